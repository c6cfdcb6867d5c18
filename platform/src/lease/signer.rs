//! The gateway's half: a key ring in, signed leases out.
//!
//! The ring has the form of [`KeyRing`]; its 32 bytes are the seeds of Ed25519 keys (RFC 8032). To rotate: add a key,
//! wait until the pods have its public half (the operator publishes every key of the ring; a mounted ConfigMap follows
//! within two minutes), make it the current one, and take the old one away a minute later.

use super::{Claims, LeaseError, LeaseId, MAX_LIFETIME, Now, PublicKeys, Scope, form};
use crate::seal::{KeyRing, RingError, RingFile};
use arc_swap::ArcSwapOption;
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// Makes leases. Cheap to clone.
#[derive(Clone)]
pub struct LeaseSigner(Arc<Source>);

struct Source {
    ring: Ring,
    keys: ArcSwapOption<Keys>,
}

enum Ring {
    Fixed(Arc<KeyRing>),
    File(RingFile<KeyRing>),
}

/// What was worked out of one ring.
struct Keys {
    ring: Arc<KeyRing>,
    kid: Box<str>,
    current: Ed25519KeyPair,
    public: PublicKeys,
}

impl Keys {
    fn of(ring: Arc<KeyRing>) -> Result<Self, LeaseError> {
        let (kid, seed) = ring.current();
        let kid = kid.into();
        let current = pair(seed)?;
        let public = public_keys(&ring).map_err(|_| LeaseError::NoKeys)?;
        Ok(Self { kid, current, public, ring })
    }
}

fn pair(seed: &[u8]) -> Result<Ed25519KeyPair, LeaseError> {
    Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| LeaseError::NoKeys)
}

/// The public half of every key of a ring.
fn public_keys(ring: &KeyRing) -> Result<PublicKeys, RingError> {
    let mut keys = BTreeMap::new();
    for (kid, seed) in ring.keys() {
        let pair = pair(seed).map_err(|_| RingError::Key)?;
        keys.insert(kid.to_owned(), pair.public_key().as_ref().try_into().map_err(|_| RingError::Key)?);
    }
    Ok(PublicKeys::of(keys))
}

impl LeaseSigner {
    /// Keys from a file in the form of [`KeyRing::parse`]. It need not exist yet, and is read again when it changes.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::with(Ring::File(RingFile::new(path.into(), KeyRing::parse)))
    }

    /// A ring that stays what it is.
    #[must_use]
    pub fn fixed(ring: KeyRing) -> Self {
        Self::with(Ring::Fixed(Arc::new(ring)))
    }

    fn with(ring: Ring) -> Self {
        Self(Arc::new(Source { ring, keys: ArcSwapOption::empty() }))
    }

    /// Whether there are keys at all.
    #[must_use]
    pub fn loaded(&self) -> bool {
        self.keys().is_ok()
    }

    /// The keys of the ring as it is now; worked out once per ring.
    fn keys(&self) -> Result<Arc<Keys>, LeaseError> {
        let ring = match &self.0.ring {
            Ring::Fixed(ring) => Arc::clone(ring),
            Ring::File(file) => file.ring().ok_or(LeaseError::NoKeys)?,
        };
        if let Some(keys) = self.0.keys.load_full().filter(|keys| Arc::ptr_eq(&keys.ring, &ring)) {
            return Ok(keys);
        }
        let keys = Arc::new(Keys::of(ring)?);
        self.0.keys.store(Some(Arc::clone(&keys)));
        Ok(keys)
    }

    /// Makes a lease that lives for [`MAX_LIFETIME`] from now.
    ///
    /// # Errors
    /// [`LeaseError::NoKeys`], [`LeaseError::Random`], [`LeaseError::TooLarge`].
    pub fn sign(&self, scope: &Scope) -> Result<String, LeaseError> {
        self.sign_at(scope, Now::clock())
    }

    pub(super) fn sign_at(&self, scope: &Scope, now: Now) -> Result<String, LeaseError> {
        let keys = self.keys()?;
        let mut random = [0_u8; 16];
        SystemRandom::new().fill(&mut random).map_err(|_| LeaseError::Random)?;
        let claims = Claims::new(scope, LeaseId::of(random), now, MAX_LIFETIME);
        let claims = serde_json::to_vec(&claims).map_err(|_| LeaseError::Malformed)?;
        form::write(&keys.kid, &keys.current, &claims)
    }

    /// What a lease of ours says; see [`PublicKeys::open`].
    ///
    /// # Errors
    /// [`LeaseError`].
    pub fn open(&self, lease: &str, now: Now) -> Result<Claims, LeaseError> {
        self.keys()?.public.open(lease, now)
    }

    /// The public half of every key: what pods verify with.
    ///
    /// # Errors
    /// [`LeaseError::NoKeys`].
    pub fn public(&self) -> Result<PublicKeys, LeaseError> {
        self.keys().map(|keys| keys.public.clone())
    }
}

impl fmt::Debug for LeaseSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.ring {
            Ring::Fixed(_) => f.write_str("LeaseSigner::fixed(..)"),
            Ring::File(file) => f.debug_tuple("LeaseSigner::file").field(&file.path()).finish(),
        }
    }
}
