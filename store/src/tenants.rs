//! Tenants: which there are, taking one away with everything that is theirs, and a new ring key for all of them.

use crate::error::StoreError;
use crate::scope::{EveryTenant, TenantStore};
use crate::vault::DATA_KEY;
use aperium_core::id::TenantId;
use aperium_platform::seal::{SealError, key_id};

/// Data keys that are sealed anew in one transaction. Small, so that no reader waits for long.
const BATCH: i64 = 200;

const LIST: &str = "SELECT id FROM tenants /* every tenant */ ORDER BY id";
const RING_KEYS: &str = "SELECT DISTINCT ring_key FROM tenants /* every tenant */";
const STALE: &str = "SELECT id, data_key FROM tenants /* every tenant */ WHERE ring_key <> $1 ORDER BY id LIMIT $2";
// Only what was read is replaced: another replica may have been here meanwhile.
const REWRAP: &str =
    "UPDATE tenants /* every tenant */ SET ring_key = $1, data_key = $2 WHERE id = $3 AND data_key = $4";

impl TenantStore {
    /// When the tenant was first saved anything for, in milliseconds since 1970; nothing of whom nobody has saved
    /// anything.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn since(&self) -> Result<Option<i64>, StoreError> {
        let row = self.read().await?.query("SELECT created_ms FROM tenants WHERE id = $1").optional().await?;
        row.map(|row| row.int("created_ms")).transpose()
    }

    /// Deletes the tenant: the data key is shredded and every row that is theirs goes with it. Says whether there was
    /// one. A replica keeps nothing of it, so the next read finds nothing.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn delete(&self) -> Result<bool, StoreError> {
        let mut tx = self.write().await?;
        let deleted = tx.query("DELETE FROM tenants WHERE id = $1").execute().await?;
        tx.commit().await?;
        Ok(deleted > 0)
    }
}

impl EveryTenant {
    /// All tenants that have anything in the database, by name.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn list(&self) -> Result<Vec<TenantId>, StoreError> {
        let mut tx = self.read().await?;
        let rows = tx.query(LIST).all().await?;
        rows.iter().map(|row| TenantId::parse(&row.text("id")?).map_err(|_| StoreError::Row)).collect()
    }

    /// The id of the ring's key that seals at the moment.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn current_key(&self) -> Result<String, StoreError> {
        Ok(self.store().0.sealer.current()?)
    }

    /// The ids of the ring's keys that data keys are sealed with.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn ring_keys(&self) -> Result<Vec<String>, StoreError> {
        let mut tx = self.read().await?;
        tx.query(RING_KEYS).all().await?.iter().map(|row| row.text("ring_key")).collect()
    }

    /// Seals every data key, and the check of the ring, with the ring's current key; how many were not yet. Readers go
    /// on: before and after it the ring opens what they find. May run anywhere, several times, and be broken off.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn rewrap(&self) -> Result<u64, StoreError> {
        let ring = self.store().0.sealer.clone();
        let current = ring.current()?;
        let mut done = 0;
        loop {
            let mut tx = self.write().await?;
            let stale = tx.query(STALE).bind(current.as_str()).bind(BATCH).all().await?;
            if stale.is_empty() {
                break;
            }
            for row in stale {
                let (id, sealed) = (row.text("id")?, row.bytes("data_key")?);
                let key = ring.open(DATA_KEY, id.as_bytes(), &sealed)?;
                let anew = ring.seal(DATA_KEY, id.as_bytes(), &key)?;
                // The ring may have changed since: what is written beside a key is what it was sealed with.
                let with = key_id(&anew).ok_or(SealError::Invalid)?.to_owned();
                done += tx.query(REWRAP).bind(with).bind(anew).bind(id).bind(sealed).execute().await?;
            }
            tx.commit().await?;
            if ring.current()? != current {
                return Err(StoreError::Busy);
            }
        }
        self.store().renew_check().await?;
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use crate::credentials::Fields;
    use crate::testing::{ring, sqlite};
    use crate::{Store, StoreError};
    use aperium_core::id::{ConnectorId, TenantId};
    use aperium_platform::seal::SealError;
    use secrecy::ExposeSecret as _;

    fn odoo() -> ConnectorId {
        ConnectorId::parse("odoo").unwrap()
    }

    fn tenant(name: &str) -> TenantId {
        TenantId::parse(name).unwrap()
    }

    async fn saved(store: &Store, name: &str) {
        let fields: Fields = [("token".to_owned(), format!("secret of {name}").into())].into();
        store.tenant(&tenant(name)).put_credential(&odoo(), &fields, None, "admin").await.unwrap();
    }

    #[tokio::test]
    async fn after_a_rotation_the_old_key_is_needed_no_more() {
        let (_folder, target) = sqlite();
        let store = Store::connect(&target, ring("k1", &[("k1", 1)])).await.unwrap();
        for name in ["acme", "globex", "initech"] {
            saved(&store, name).await;
        }
        let both = Store::connect(&target, ring("k2", &[("k1", 1), ("k2", 2)])).await.unwrap();
        assert_eq!(both.every_tenant().rewrap().await, Ok(3));
        assert_eq!(both.every_tenant().rewrap().await, Ok(0), "nothing is left to do");
        assert_eq!(both.every_tenant().ring_keys().await.unwrap(), ["k2"]);
        let after = Store::connect(&target, ring("k2", &[("k2", 2)])).await.unwrap();
        for name in ["acme", "globex", "initech"] {
            let loaded = after.tenant(&tenant(name)).load_credential(&odoo()).await.unwrap().unwrap();
            assert_eq!(loaded.fields["token"].expose_secret(), format!("secret of {name}"));
        }
        let old = Store::connect(&target, ring("k1", &[("k1", 1)])).await.unwrap_err();
        assert_eq!(old, StoreError::Seal(SealError::UnknownKey));
    }

    #[tokio::test]
    async fn a_key_that_data_keys_need_is_missed_before_the_first_call() {
        let (_folder, target) = sqlite();
        saved(&Store::connect(&target, ring("k1", &[("k1", 1)])).await.unwrap(), "acme").await;
        let both = Store::connect(&target, ring("k2", &[("k1", 1), ("k2", 2)])).await.unwrap();
        both.renew_check().await.unwrap();
        let lost = Store::connect(&target, ring("k2", &[("k2", 2)])).await.unwrap_err();
        assert_eq!(lost, StoreError::Seal(SealError::UnknownKey));
    }

    #[tokio::test]
    async fn a_deleted_tenant_leaves_nothing_and_its_neighbour_everything() {
        let (_folder, target) = sqlite();
        let store = Store::connect(&target, ring("k1", &[("k1", 1)])).await.unwrap();
        saved(&store, "acme").await;
        saved(&store, "globex").await;
        let acme = store.tenant(&tenant("acme"));
        assert!(acme.since().await.unwrap().is_some());
        assert_eq!((acme.delete().await, acme.delete().await), (Ok(true), Ok(false)));
        assert_eq!(acme.since().await, Ok(None));
        assert!(acme.load_credential(&odoo()).await.unwrap().is_none());
        assert!(acme.credentials().await.unwrap().is_empty());
        assert!(acme.read().await.unwrap().vault().await.unwrap().is_none());
        assert_eq!(store.every_tenant().list().await.unwrap(), [tenant("globex")]);
        assert!(store.tenant(&tenant("globex")).load_credential(&odoo()).await.unwrap().is_some());
        saved(&store, "acme").await;
        let anew = acme.load_credential(&odoo()).await.unwrap().unwrap();
        assert_eq!(anew.version, 2, "no version is ever used twice");
    }
}
