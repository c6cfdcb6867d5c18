//! A password on standard input → its hash for the settings.

use anyhow::Context;
use secrecy::SecretString;
use std::io::{BufRead, Read, Write};

/// More than the longest password.
const MAX: u64 = 4096;

/// Prints the hash. The password is in no argument, where others could see it.
pub(crate) fn print() -> anyhow::Result<()> {
    let mut line = String::new();
    std::io::stdin().lock().take(MAX).read_line(&mut line).context("standard input cannot be read")?;
    let password = SecretString::from(line.trim_end_matches(['\r', '\n']).to_owned());
    let hash = aperium_gateway::login::password::hash(&password)?;
    writeln!(std::io::stdout().lock(), "{hash}").context("standard output is closed")
}
