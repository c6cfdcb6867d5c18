//! Sealing: bytes that leave this process and come back, in other hands meanwhile, unread and unchanged.
//!
//! ```text
//! key ring (file, re-read when it changes) ──► Sealer ── seal(purpose, bound to, bytes) ──► sealed bytes or text
//!                                                    └── open(purpose, bound to, sealed) ──► the bytes, or nothing
//! ```
//! AES-256-GCM under a key of its own per message: HKDF-SHA-256 over the ring's key, a random 128-bit salt and the
//! purpose. So the nonce's 96 bits are no bound on how much one ring key may seal. Whatever a message is bound to
//! (a caller, a tenant, a version) is additional authenticated data: it is not inside, and opening needs it again.
//!
//! | bytes | what |
//! |---|---|
//! | 1 | format: 1 |
//! | 1 | length of the key's id |
//! | n | the key's id |
//! | 16 | salt |
//! | 12 | nonce |
//! | rest | ciphertext and 16 bytes of tag |

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use zeroize::Zeroizing;

mod file;
pub(crate) mod ring;

pub(crate) use file::RingFile;
pub use ring::{KeyRing, RingError};

const FORMAT: u8 = 1;
const SALT_LEN: usize = 16;
const TAG_LEN: usize = 16;

/// What a sealed message is for. A message of one purpose never opens as another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Purpose(&'static str);

impl Purpose {
    /// A purpose by its name, which must stay what it is for as long as messages live.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self(name)
    }
}

/// Why a message could not be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// No key ring was ever read.
    #[error("there is no key ring")]
    NoRing,
    /// Sealed with a key that the ring does not hold (any more).
    #[error("sealed with an unknown key")]
    UnknownKey,
    /// Not a sealed message, not one of this purpose, not bound to this, or changed on its way. Which one is not told.
    #[error("not a message that was sealed here for this")]
    Invalid,
    /// The system gave no random numbers.
    #[error("no random numbers")]
    Random,
}

impl SealError {
    /// `PascalCase` reason.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::NoRing => "KeyRingMissing",
            Self::UnknownKey => "KeyUnknown",
            Self::Invalid => "SealInvalid",
            Self::Random => "NoRandomness",
        }
    }
}

/// Seals and opens. Cheap to clone.
#[derive(Clone)]
pub struct Sealer(Arc<Source>);

enum Source {
    Fixed(Arc<KeyRing>),
    File(RingFile<KeyRing>),
}

impl Sealer {
    /// Keys from a file in the form of [`KeyRing::parse`]. It need not exist yet. It is looked at again at most every
    /// 500 ms; a bad new file leaves the old ring in place.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Arc::new(Source::File(RingFile::new(path.into(), KeyRing::parse))))
    }

    /// A ring that stays what it is.
    #[must_use]
    pub fn fixed(ring: KeyRing) -> Self {
        Self(Arc::new(Source::Fixed(Arc::new(ring))))
    }

    /// A key that nobody else has and that ends with this process: what it sealed opens nowhere else and never again.
    ///
    /// # Errors
    /// [`SealError::Random`].
    pub fn ephemeral() -> Result<Self, SealError> {
        KeyRing::generate().map(Self::fixed)
    }

    /// Whether there is a ring at all.
    #[must_use]
    pub fn loaded(&self) -> bool {
        self.ring().is_ok()
    }

    /// The id of the key that seals at the moment.
    ///
    /// # Errors
    /// [`SealError::NoRing`].
    pub fn current(&self) -> Result<String, SealError> {
        self.ring().map(|ring| ring.current().0.to_owned())
    }

    /// Whether the ring has a key with this id.
    ///
    /// # Errors
    /// [`SealError::NoRing`].
    pub fn holds(&self, kid: &str) -> Result<bool, SealError> {
        self.ring().map(|ring| ring.key(kid).is_some())
    }

    fn ring(&self) -> Result<Arc<KeyRing>, SealError> {
        match &*self.0 {
            Source::Fixed(ring) => Ok(Arc::clone(ring)),
            Source::File(file) => file.ring().ok_or(SealError::NoRing),
        }
    }

    /// Seals with the current key. `bound` is needed again to open it.
    ///
    /// # Errors
    /// [`SealError::NoRing`], [`SealError::Random`].
    pub fn seal(&self, purpose: Purpose, bound: &[u8], message: &[u8]) -> Result<Vec<u8>, SealError> {
        let ring = self.ring()?;
        let (kid, key) = ring.current();
        let mut random = [0_u8; SALT_LEN + NONCE_LEN];
        SystemRandom::new().fill(&mut random).map_err(|_| SealError::Random)?;
        let (salt, nonce) = random.split_at(SALT_LEN);
        let mut sealed = Vec::with_capacity(2 + kid.len() + random.len() + message.len() + TAG_LEN);
        sealed.push(FORMAT);
        sealed.push(u8::try_from(kid.len()).map_err(|_| SealError::Invalid)?);
        sealed.extend_from_slice(kid.as_bytes());
        sealed.extend_from_slice(&random);
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Invalid)?;
        let mut body = Zeroizing::new(message.to_vec());
        let tag = message_key(key, salt, purpose)?
            .seal_in_place_separate_tag(nonce, Aad::from(associated(kid, purpose, bound)), &mut body)
            .map_err(|_| SealError::Invalid)?;
        sealed.extend_from_slice(&body);
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed)
    }

    /// Opens what [`Sealer::seal`] made for the same purpose and bound to the same.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn open(&self, purpose: Purpose, bound: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let ring = self.ring()?;
        let parts = Parts::read(sealed).ok_or(SealError::Invalid)?;
        let key = ring.key(parts.kid).ok_or(SealError::UnknownKey)?;
        let nonce = Nonce::try_assume_unique_for_key(parts.nonce).map_err(|_| SealError::Invalid)?;
        let mut body = Zeroizing::new(parts.body.to_vec());
        let length = message_key(key, parts.salt, purpose)?
            .open_in_place(nonce, Aad::from(associated(parts.kid, purpose, bound)), &mut body)
            .map_err(|_| SealError::Invalid)?
            .len();
        body.truncate(length);
        Ok(body)
    }

    /// The same as base64url text without padding: for headers and JSON.
    ///
    /// # Errors
    /// As [`Sealer::seal`].
    pub fn seal_text(&self, purpose: Purpose, bound: &[u8], message: &[u8]) -> Result<String, SealError> {
        self.seal(purpose, bound, message).map(|sealed| URL_SAFE_NO_PAD.encode(sealed))
    }

    /// Opens such a text.
    ///
    /// # Errors
    /// As [`Sealer::open`].
    pub fn open_text(&self, purpose: Purpose, bound: &[u8], sealed: &str) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let sealed = URL_SAFE_NO_PAD.decode(sealed).map_err(|_| SealError::Invalid)?;
        self.open(purpose, bound, &sealed)
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Source::Fixed(_) => f.write_str("Sealer(fixed)"),
            Source::File(file) => write!(f, "Sealer({})", file.path().display()),
        }
    }
}

/// The id of the key that a message says it was sealed with. Nobody has checked that yet.
#[must_use]
pub fn key_id(sealed: &[u8]) -> Option<&str> {
    Parts::read(sealed).map(|parts| parts.kid)
}

/// The parts of a sealed message.
struct Parts<'a> {
    kid: &'a str,
    salt: &'a [u8],
    nonce: &'a [u8],
    body: &'a [u8],
}

impl<'a> Parts<'a> {
    fn read(sealed: &'a [u8]) -> Option<Self> {
        let (format, rest) = sealed.split_first()?;
        let (length, rest) = rest.split_first()?;
        let (kid, rest) = rest.split_at_checked(usize::from(*length))?;
        let (salt, rest) = rest.split_at_checked(SALT_LEN)?;
        let (nonce, body) = rest.split_at_checked(NONCE_LEN)?;
        let kid = std::str::from_utf8(kid).ok()?;
        (*format == FORMAT && body.len() >= TAG_LEN).then_some(Self { kid, salt, nonce, body })
    }
}

/// The key of one message.
fn message_key(key: &[u8], salt: &[u8], purpose: Purpose) -> Result<LessSafeKey, SealError> {
    let info = [b"aperium seal 1 ".as_slice(), purpose.0.as_bytes()];
    let prk = Salt::new(HKDF_SHA256, salt).extract(key);
    let okm = prk.expand(&info, &AES_256_GCM).map_err(|_| SealError::Invalid)?;
    Ok(LessSafeKey::new(UnboundKey::from(okm)))
}

/// Everything that is authenticated and not inside; lengths keep the parts apart.
fn associated(kid: &str, purpose: Purpose, bound: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(kid.len() + purpose.0.len() + bound.len() + 24);
    for part in [kid.as_bytes(), purpose.0.as_bytes(), bound] {
        out.extend_from_slice(&(part.len() as u64).to_be_bytes());
        out.extend_from_slice(part);
    }
    out
}

#[cfg(test)]
mod tests;
