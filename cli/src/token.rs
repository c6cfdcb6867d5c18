//! Randomness → a token for a client, and its hash for the settings.

use anyhow::Context;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use sha2::{Digest, Sha256};
use std::io::Write;

/// Makes 256 random bits, in hexadecimal.
pub(crate) fn random() -> anyhow::Result<String> {
    let mut bytes = [0_u8; 32];
    SystemRandom::new().fill(&mut bytes).map_err(|_| anyhow::anyhow!("the system has no randomness"))?;
    Ok(hex::encode(bytes))
}

/// Prints a new token and its hash. The token is shown this once.
pub(crate) fn print() -> anyhow::Result<()> {
    let token = random()?;
    let hash = hex::encode(Sha256::digest(token.as_bytes()));
    let mut out = std::io::stdout().lock();
    writeln!(out, "token:    {token}\nsettings: sha256:{hash}").context("standard output is closed")
}
