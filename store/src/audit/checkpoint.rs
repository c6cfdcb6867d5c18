//! The heads of a replica's chains → one signed text, which also covers the checkpoint before it, whoever made that.

use super::chain::{Hash, Head};
use aws_lc_rs::hmac::{self, HMAC_SHA256};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The form of a checkpoint.
pub const VERSION: u8 = 1;
const SIGNED: &[u8] = b"aperium audit checkpoint 1\n";
const SALT: &[u8] = b"aperium audit arguments 1\n";

/// What is signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// [`VERSION`].
    pub v: u8,
    /// The place among all checkpoints of the platform, from 1.
    pub seq: u64,
    /// The hash of the one before.
    pub before: Hash,
    /// When, in milliseconds since 1970.
    pub time_ms: i64,
    /// Who made it.
    pub replica: String,
    /// The chains that have grown since the replica's last one, and how far.
    pub heads: Vec<Head>,
    /// Where retention has cut, if it has: the newest such list counts, and it is whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cuts: Option<Cuts>,
}

/// What retention has removed: everything up to these places.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cuts {
    /// The last checkpoint that may be gone, and its hash.
    pub checkpoints: u64,
    /// Its hash.
    pub hash: Hash,
    /// The last entry of each chain that may be gone.
    pub chains: Vec<Head>,
}

/// A checkpoint as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// Its place, as it is stored beside the text.
    pub seq: u64,
    /// The text of the [`Checkpoint`].
    pub body: String,
    /// The signature over the text, in hexadecimal digits.
    pub signature: String,
}

impl Signed {
    /// Its hash, for the one that follows.
    #[must_use]
    pub fn hash(&self) -> Hash {
        Hash::of(SIGNED, &[self.body.as_bytes()])
    }

    /// The checkpoint, if one of these keys has signed it as it is.
    #[must_use]
    pub fn open(&self, keys: &[PublicKey]) -> Option<Checkpoint> {
        let signature = hex::decode(&self.signature).ok()?;
        let message = message(&self.body);
        let good = keys.iter().any(|key| UnparsedPublicKey::new(&ED25519, &key.0).verify(&message, &signature).is_ok());
        if !good {
            return None;
        }
        serde_json::from_str(&self.body).ok().filter(|checkpoint: &Checkpoint| checkpoint.v == VERSION)
    }
}

fn message(body: &str) -> Vec<u8> {
    [SIGNED, body.as_bytes()].concat()
}

/// Who may sign: 32 bytes; as text 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// Reads 64 hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut key = [0; 32];
        hex::decode_to_slice(text.trim(), &mut key).ok()?;
        Some(Self(key))
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A key that signs, and salts digests of arguments.
pub struct SigningKey {
    pair: Ed25519KeyPair,
    salt: hmac::Key,
}

impl SigningKey {
    /// The key of a seed; `None` if it is not 32 bytes.
    #[must_use]
    pub fn from_seed(seed: &[u8]) -> Option<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
        let salt = hmac::sign(&hmac::Key::new(HMAC_SHA256, seed), SALT);
        Some(Self { pair, salt: hmac::Key::new(HMAC_SHA256, salt.as_ref()) })
    }

    /// The salted digest of arguments, given their SHA-256. The same arguments of another tenant have another one, and
    /// without the key nobody can try out what they were.
    #[must_use]
    pub fn digest(&self, tenant: &str, sha256: &[u8; 32]) -> String {
        let mut context = hmac::Context::with_key(&self.salt);
        context.update(sha256);
        context.update(tenant.as_bytes());
        format!("hmac-sha256:{}", hex::encode(context.sign()))
    }

    /// Who verifies what it signs.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        let mut key = [0; 32];
        let bytes = self.pair.public_key().as_ref();
        if bytes.len() == key.len() {
            key.copy_from_slice(bytes);
        }
        PublicKey(key)
    }

    /// Signs.
    ///
    /// # Errors
    /// None in practice: a checkpoint holds nothing that JSON cannot.
    pub fn sign(&self, checkpoint: &Checkpoint) -> Result<Signed, serde_json::Error> {
        let body = serde_json::to_string(checkpoint)?;
        let signature = hex::encode(self.pair.sign(&message(&body)));
        Ok(Signed { seq: checkpoint.seq, body, signature })
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_of_arguments_is_of_this_key_and_this_tenant() {
        let key = |byte| SigningKey::from_seed(&[byte; 32]).unwrap();
        let one = key(7).digest("acme", &[1; 32]);
        assert_eq!(one, key(7).digest("acme", &[1; 32]));
        assert!(one.starts_with("hmac-sha256:") && one.len() == 76, "{one}");
        for other in [key(8).digest("acme", &[1; 32]), key(7).digest("beta", &[1; 32]), key(7).digest("acme", &[2; 32])]
        {
            assert_ne!(one, other);
        }
    }
}
