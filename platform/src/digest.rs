//! Bytes → SHA-256: what a secret is known by, so that nobody has to keep it.

use aws_lc_rs::digest::{SHA256, digest};

/// The SHA-256 of these bytes.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, bytes).as_ref());
    out
}
