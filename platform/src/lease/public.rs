//! Public keys by id: what a pod needs to verify leases, and nothing to make one.
//!
//! ```json
//! {"keys": {"k1": "<base64, 32 bytes>", "k2": "<base64, 32 bytes>"}}
//! ```

use super::form::Parts;
use super::{Claims, LeaseError, Now};
use crate::seal::RingError;
use crate::seal::ring::{MAX_BYTES, is_kid};
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

const KEY_LEN: usize = 32;

/// The keys that leases may be signed with.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKeys(BTreeMap<String, [u8; KEY_LEN]>);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    keys: BTreeMap<String, String>,
}

impl PublicKeys {
    /// The key of ConfigMap `aperium-lease-keys`, and the name of the file that it is mounted as.
    pub const KEY: &'static str = "lease-keys.json";

    pub(super) fn of(keys: BTreeMap<String, [u8; KEY_LEN]>) -> Self {
        Self(keys)
    }

    /// Reads them.
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
            let key = STANDARD.decode(&encoded).ok().and_then(|key| <[u8; KEY_LEN]>::try_from(key).ok());
            keys.insert(kid, key.ok_or(RingError::Key)?);
        }
        Ok(Self(keys))
    }

    /// The same as text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let keys = self.0.iter().map(|(kid, key)| (kid.clone(), STANDARD.encode(key))).collect();
        serde_json::to_string(&Text { keys }).unwrap_or_default()
    }

    /// What a lease says, when one of these keys has signed it and it is valid now. For whom it is remains to be asked.
    ///
    /// # Errors
    /// [`LeaseError`].
    pub fn open(&self, lease: &str, now: Now) -> Result<Claims, LeaseError> {
        let parts = Parts::of(lease)?;
        let key = self.0.get(parts.kid).ok_or(LeaseError::UnknownKey)?;
        UnparsedPublicKey::new(&ED25519, key)
            .verify(parts.signed, &parts.signature)
            .map_err(|_| LeaseError::Signature)?;
        let claims: Claims = serde_json::from_slice(&parts.claims()?).map_err(|_| LeaseError::Malformed)?;
        claims.check_time(now)?;
        Ok(claims)
    }
}

impl fmt::Debug for PublicKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PublicKeys").field(&self.0.keys()).finish()
    }
}
