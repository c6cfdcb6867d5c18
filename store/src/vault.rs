//! A tenant's data key: what is sealed with it for one place opens there and nowhere else.
//!
//! ```text
//! key ring ──opens──► data key of the tenant (row of `tenants`) ──opens──► a value, for tenant | connector | owner |
//!                                                                         field | version
//! ```
//! The data key is sealed with the key ring and never leaves this crate. When the row goes, nothing that was sealed for
//! the tenant opens again, in no backup either that holds the rows without it.

use crate::error::StoreError;
use crate::now_ms;
use crate::tx::TenantTx;
use aperium_core::id::TenantId;
use aperium_platform::seal::{KeyRing, Purpose, SealError, Sealer, key_id};
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use zeroize::Zeroizing;

/// What a data key is sealed as.
pub(crate) const DATA_KEY: Purpose = Purpose::new("tenant data key");
const KEY_LEN: usize = 32;

/// Where a sealed value belongs. All of it must be the same when it is opened.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The kind of value, one per table.
    pub purpose: Purpose,
    /// The connector's id.
    pub connector: &'a str,
    /// The person it belongs to; empty for what belongs to the tenant as a whole.
    pub owner: &'a str,
    /// The name of the value.
    pub field: &'a str,
    /// Its version: an older value in the place of a newer one does not open.
    pub version: i64,
}

/// Seals and opens for one tenant, as long as its transaction needs it.
pub struct Vault {
    tenant: TenantId,
    sealer: Sealer,
}

impl Vault {
    /// Seals a value for its place.
    ///
    /// # Errors
    /// [`SealError::Random`]
    pub fn seal(&self, place: &Place<'_>, value: &[u8]) -> Result<Vec<u8>, SealError> {
        self.sealer.seal(place.purpose, &self.bound(place), value)
    }

    /// Opens what was sealed for this place.
    ///
    /// # Errors
    /// [`SealError`]
    pub fn open(&self, place: &Place<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        self.sealer.open(place.purpose, &self.bound(place), sealed)
    }

    /// Lengths keep the parts apart.
    fn bound(&self, place: &Place<'_>) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        for part in [self.tenant.as_str(), place.connector, place.owner, place.field] {
            out.extend_from_slice(&(part.len() as u64).to_be_bytes());
            out.extend_from_slice(part.as_bytes());
        }
        out.extend_from_slice(&place.version.to_be_bytes());
        out
    }

    fn of(tenant: TenantId, ring: &Sealer, sealed: &[u8]) -> Result<Self, SealError> {
        let key = ring.open(DATA_KEY, tenant.as_str().as_bytes(), sealed)?;
        let ring = KeyRing::of_key("d1", &key).map_err(|_| SealError::Invalid)?;
        Ok(Self { tenant, sealer: Sealer::fixed(ring) })
    }
}

impl TenantTx {
    /// The vault of a tenant that has one.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn vault(&mut self) -> Result<Option<Vault>, StoreError> {
        let row = self.query("SELECT data_key FROM tenants WHERE id = $1").optional().await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(Vault::of(self.tenant().clone(), self.ring(), &row.bytes("data_key")?)?))
    }

    /// The vault; a tenant that has none yet becomes known with a new data key. Whatever refers to a tenant needs this
    /// first.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn vault_or_new(&mut self) -> Result<Vault, StoreError> {
        if let Some(vault) = self.vault().await? {
            return Ok(vault);
        }
        let mut key = Zeroizing::new([0_u8; KEY_LEN]);
        SystemRandom::new().fill(key.as_mut_slice()).map_err(|_| SealError::Random)?;
        let sealed = self.ring().seal(DATA_KEY, self.tenant().as_str().as_bytes(), key.as_slice())?;
        let ring_key = key_id(&sealed).ok_or(SealError::Invalid)?.to_owned();
        // Another replica may have been faster: its key is the one.
        let insert = "INSERT INTO tenants (id, created_ms, ring_key, data_key) VALUES ($1, $2, $3, $4) \
            ON CONFLICT (id) DO NOTHING";
        self.query(insert).bind(now_ms()).bind(ring_key).bind(sealed).execute().await?;
        self.vault().await?.ok_or(StoreError::Row)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{ring, sqlite};
    use crate::{Place, Store};
    use aperium_core::id::TenantId;
    use aperium_platform::seal::{Purpose, SealError};

    const PLACE: Place<'_> =
        Place { purpose: Purpose::new("a"), connector: "odoo", owner: "", field: "token", version: 1 };

    #[tokio::test]
    async fn a_value_opens_for_its_tenant_and_place_alone() {
        let (_folder, target) = sqlite();
        let store = Store::connect(&target, ring("k1", &[("k1", 1)])).await.unwrap();
        let mut vaults = Vec::new();
        for tenant in ["acme", "globex"] {
            let mut tx = store.tenant(&TenantId::parse(tenant).unwrap()).write().await.unwrap();
            assert!(tx.vault().await.unwrap().is_none());
            tx.vault_or_new().await.unwrap();
            vaults.push(tx.vault_or_new().await.unwrap());
            tx.commit().await.unwrap();
        }
        let sealed = vaults[0].seal(&PLACE, b"hunter2").unwrap();
        assert_eq!(*vaults[0].open(&PLACE, &sealed).unwrap(), b"hunter2");
        assert_eq!(vaults[1].open(&PLACE, &sealed).unwrap_err(), SealError::Invalid);
        for other in [
            Place { purpose: Purpose::new("b"), ..PLACE },
            Place { connector: "odo", owner: "o", ..PLACE },
            Place { owner: "token", field: "", ..PLACE },
            Place { field: "user", ..PLACE },
            Place { version: 2, ..PLACE },
        ] {
            assert_eq!(vaults[0].open(&other, &sealed).unwrap_err(), SealError::Invalid, "{other:?}");
        }
        let mut tx = store.tenant(&TenantId::parse("acme").unwrap()).read().await.unwrap();
        assert_eq!(*tx.vault().await.unwrap().unwrap().open(&PLACE, &sealed).unwrap(), b"hunter2");
    }
}
