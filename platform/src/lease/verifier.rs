//! The pod's half: public keys in, the claims of leases that are for it out.

use super::{Audience, Claims, LeaseError, LeaseSigner, Now, PublicKeys};
use crate::seal::RingFile;
use aperium_core::id::ConnectorId;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// Verifies the leases of one service. Cheap to clone.
#[derive(Clone)]
pub struct LeaseVerifier(Arc<Inner>);

struct Inner {
    keys: Keys,
    audience: Audience,
    connector: ConnectorId,
}

enum Keys {
    Fixed(PublicKeys),
    File(RingFile<PublicKeys>),
    Signer(LeaseSigner),
}

impl LeaseVerifier {
    /// Keys from a file in the form of [`PublicKeys::parse`]. It need not exist yet. It is looked at again at most every
    /// 500 ms; a bad new file leaves the old keys in place.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>, audience: Audience, connector: ConnectorId) -> Self {
        let keys = Keys::File(RingFile::new(path.into(), PublicKeys::parse));
        Self(Arc::new(Inner { keys, audience, connector }))
    }

    /// Keys that stay what they are.
    #[must_use]
    pub fn fixed(keys: PublicKeys, audience: Audience, connector: ConnectorId) -> Self {
        Self(Arc::new(Inner { keys: Keys::Fixed(keys), audience, connector }))
    }

    /// The keys of a signer of the same process, as they are now.
    #[must_use]
    pub fn beside(signer: LeaseSigner, audience: Audience, connector: ConnectorId) -> Self {
        Self(Arc::new(Inner { keys: Keys::Signer(signer), audience, connector }))
    }

    /// What a lease says, when it is valid now and for this service, this connector and this tool.
    ///
    /// # Errors
    /// [`LeaseError`].
    pub fn verify(&self, lease: &str, tool: &str) -> Result<Claims, LeaseError> {
        self.verify_at(lease, tool, Now::clock())
    }

    pub(super) fn verify_at(&self, lease: &str, tool: &str, now: Now) -> Result<Claims, LeaseError> {
        let claims = match &self.0.keys {
            Keys::Fixed(keys) => keys.open(lease, now)?,
            Keys::File(file) => file.ring().ok_or(LeaseError::NoKeys)?.open(lease, now)?,
            Keys::Signer(signer) => signer.open(lease, now)?,
        };
        claims.check_use(&self.0.audience, &self.0.connector, tool)?;
        Ok(claims)
    }

    /// Whether there are keys at all.
    #[must_use]
    pub fn loaded(&self) -> bool {
        match &self.0.keys {
            Keys::Fixed(_) => true,
            Keys::File(file) => file.ring().is_some(),
            Keys::Signer(signer) => signer.loaded(),
        }
    }
}

impl fmt::Debug for LeaseVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LeaseVerifier")
            .field("audience", &self.0.audience)
            .field("connector", &self.0.connector)
            .finish_non_exhaustive()
    }
}
