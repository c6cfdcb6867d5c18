//! The text of a key ring in, keys by id out.
//!
//! ```json
//! {"current": "k2", "keys": {"k1": "<base64, 32 bytes>", "k2": "<base64, 32 bytes>"}}
//! ```
//! `current` seals, all keys open. To rotate: add a key, let every replica read it, make it the current one, and take
//! the old one away once nothing that it sealed is needed any more.

use super::SealError;
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret as _, SecretBox, SecretString};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;

/// A key ring larger than this is none.
pub(crate) const MAX_BYTES: usize = 64 * 1024;
const KEY_LEN: usize = 32;
const MAX_KID: usize = 32;

/// Why a text is no key ring. Never quotes what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    /// No such file.
    #[error("the key ring does not exist")]
    Missing,
    /// The file cannot be read.
    #[error("the key ring cannot be read")]
    Unreadable,
    /// More than 64 KiB.
    #[error("the key ring is larger than 64 KiB")]
    TooLarge,
    /// Not JSON of the form above.
    #[error(r#"the key ring must be {{"current": "<id>", "keys": {{"<id>": "<base64>"}}}}"#)]
    Malformed,
    /// An id that is not 1 to 32 of `[A-Za-z0-9_-]`.
    #[error("an id in the key ring is not 1 to 32 characters of A-Z, a-z, 0-9, _ and -")]
    Id,
    /// A key that is not 32 bytes in base64.
    #[error("a key in the key ring is not 32 bytes in base64")]
    Key,
    /// No certificate where one is expected.
    #[error("the file holds no certificate that can be read")]
    Certificate,
    /// The current key is not among the keys.
    #[error("the current key is not in the key ring")]
    Current,
}

impl RingError {
    /// `PascalCase` reason.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Missing => "KeyRingMissing",
            Self::Unreadable => "KeyRingUnreadable",
            Self::TooLarge => "KeyRingTooLarge",
            Self::Certificate => "CertificateMalformed",
            Self::Malformed | Self::Id | Self::Key | Self::Current => "KeyRingMalformed",
        }
    }
}

/// Whether a text may name a key: 1 to 32 of `[A-Za-z0-9_-]`.
pub(crate) fn is_kid(text: &str) -> bool {
    (1..=MAX_KID).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

/// Keys by id, and which of them seals.
pub struct KeyRing {
    current: Box<str>,
    keys: BTreeMap<Box<str>, SecretBox<[u8; KEY_LEN]>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    current: String,
    keys: BTreeMap<String, SecretString>,
}

impl KeyRing {
    /// Reads a ring.
    ///
    /// # Errors
    /// [`RingError`].
    pub fn parse(text: &[u8]) -> Result<Self, RingError> {
        if text.len() > MAX_BYTES {
            return Err(RingError::TooLarge);
        }
        let text: Text = serde_json::from_slice(text).map_err(|_| RingError::Malformed)?;
        let mut keys = BTreeMap::new();
        for (kid, encoded) in text.keys {
            if !is_kid(&kid) {
                return Err(RingError::Id);
            }
            let mut key = Box::new([0_u8; KEY_LEN]);
            let written = STANDARD.decode_slice(encoded.expose_secret().trim(), key.as_mut_slice());
            if written != Ok(KEY_LEN) {
                return Err(RingError::Key);
            }
            keys.insert(kid.into(), SecretBox::new(key));
        }
        if !keys.contains_key(text.current.as_str()) {
            return Err(RingError::Current);
        }
        Ok(Self { current: text.current.into(), keys })
    }

    /// A ring of one random key, which is called `k1`.
    ///
    /// # Errors
    /// [`SealError::Random`].
    pub fn generate() -> Result<Self, SealError> {
        let mut key = Box::new([0_u8; KEY_LEN]);
        SystemRandom::new().fill(key.as_mut_slice()).map_err(|_| SealError::Random)?;
        let kid: Box<str> = "k1".into();
        Ok(Self { current: kid.clone(), keys: BTreeMap::from([(kid, SecretBox::new(key))]) })
    }

    /// A ring of this one key, for keys that are kept elsewhere: a tenant's data key.
    ///
    /// # Errors
    /// [`RingError::Key`] if it is not 32 bytes.
    pub fn of_key(kid: &'static str, key: &[u8]) -> Result<Self, RingError> {
        let mut kept = Box::new([0_u8; KEY_LEN]);
        if key.len() != KEY_LEN {
            return Err(RingError::Key);
        }
        kept.copy_from_slice(key);
        Ok(Self { current: kid.into(), keys: BTreeMap::from([(kid.into(), SecretBox::new(kept))]) })
    }

    /// Adds a random key, which seals nothing yet; its id is `k` and the next number.
    ///
    /// # Errors
    /// [`SealError::Random`].
    pub fn add_key(&mut self) -> Result<String, SealError> {
        let number = |kid: &str| kid.strip_prefix('k').and_then(|number| number.parse::<u32>().ok());
        let next = self.keys.keys().filter_map(|kid| number(kid)).max().unwrap_or_default().saturating_add(1);
        let kid = format!("k{next}");
        let mut key = Box::new([0_u8; KEY_LEN]);
        SystemRandom::new().fill(key.as_mut_slice()).map_err(|_| SealError::Random)?;
        self.keys.insert(kid.as_str().into(), SecretBox::new(key));
        Ok(kid)
    }

    /// Makes a key of the ring the one that seals.
    ///
    /// # Errors
    /// [`RingError::Current`] if the ring has no such key.
    pub fn use_key(&mut self, kid: &str) -> Result<(), RingError> {
        if !self.keys.contains_key(kid) {
            return Err(RingError::Current);
        }
        self.current = kid.into();
        Ok(())
    }

    /// Takes away every key but the one that seals. What they sealed never opens again.
    pub fn retire_others(&mut self) {
        let current = &self.current;
        self.keys.retain(|kid, _| kid == current);
    }

    /// The ids of the keys, in order.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().map(AsRef::as_ref)
    }

    /// The ring as text.
    #[must_use]
    pub fn to_text(&self) -> SecretString {
        // Ids hold nothing that JSON would escape.
        let keys: Vec<String> = self
            .keys
            .iter()
            .map(|(kid, key)| format!(r#""{kid}":"{}""#, STANDARD.encode(key.expose_secret())))
            .collect();
        SecretString::from(format!(r#"{{"current":"{}","keys":{{{}}}}}"#, self.current, keys.join(",")))
    }

    /// The key that seals. A ring always has it.
    pub(crate) fn current(&self) -> (&str, &[u8]) {
        (&self.current, self.key(&self.current).unwrap_or_default())
    }

    /// Every key with its id.
    pub(crate) fn keys(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.keys.iter().map(|(kid, key)| (&**kid, key.expose_secret().as_slice()))
    }

    /// A key by its id.
    pub(super) fn key(&self, kid: &str) -> Option<&[u8]> {
        self.keys.get(kid).map(|key| key.expose_secret().as_slice())
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyRing(current {}, {} keys)", self.current, self.keys.len())
    }
}
