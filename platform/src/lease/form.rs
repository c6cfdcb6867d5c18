//! `al1.<key>.<claims>.<signature>`: the claims are JSON in base64url, the signature is over all before it.

use super::{LeaseError, MAX_LEASE};
use crate::seal::ring::is_kid;
use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Names form and algorithm. Another algorithm would be another prefix, known to nobody yet.
const PREFIX: &str = "al1.";
/// Bytes of an Ed25519 signature.
const SIGNATURE_LEN: usize = 64;

/// A lease taken apart, nothing of it verified.
pub(super) struct Parts<'a> {
    pub(super) kid: &'a str,
    pub(super) signed: &'a [u8],
    pub(super) signature: [u8; SIGNATURE_LEN],
    claims: &'a str,
}

/// Writes a lease.
pub(super) fn write(kid: &str, key: &Ed25519KeyPair, claims: &[u8]) -> Result<String, LeaseError> {
    let mut text = String::with_capacity(PREFIX.len() + kid.len() + claims.len() * 4 / 3 + 96);
    text.push_str(PREFIX);
    text.push_str(kid);
    text.push('.');
    URL_SAFE_NO_PAD.encode_string(claims, &mut text);
    let signature = key.sign(text.as_bytes());
    text.push('.');
    URL_SAFE_NO_PAD.encode_string(signature.as_ref(), &mut text);
    if text.len() > MAX_LEASE { Err(LeaseError::TooLarge) } else { Ok(text) }
}

impl<'a> Parts<'a> {
    /// Takes a text apart.
    pub(super) fn of(text: &'a str) -> Result<Self, LeaseError> {
        if text.len() > MAX_LEASE {
            return Err(LeaseError::Malformed);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(LeaseError::Malformed)?;
        let rest = signed.strip_prefix(PREFIX).ok_or(LeaseError::Malformed)?;
        let (kid, claims) = rest.split_once('.').ok_or(LeaseError::Malformed)?;
        if !is_kid(kid) || claims.contains('.') {
            return Err(LeaseError::Malformed);
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| LeaseError::Malformed)?;
        let signature = signature.try_into().map_err(|_| LeaseError::Malformed)?;
        Ok(Self { kid, signed: signed.as_bytes(), signature, claims })
    }

    /// The claims, once the signature was found to be right.
    pub(super) fn claims(&self) -> Result<Vec<u8>, LeaseError> {
        URL_SAFE_NO_PAD.decode(self.claims).map_err(|_| LeaseError::Malformed)
    }
}
