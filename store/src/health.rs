//! Whether the database answers, and whether the key ring is the one that its rows were sealed with.

use crate::error::StoreError;
use crate::scope::EveryTenant;
use crate::store::Store;
use crate::tx::Tx;
use aperium_platform::seal::{Purpose, SealError};
use std::time::Duration;

/// Health is told after this time, whatever the database does.
const LIMIT: Duration = Duration::from_secs(2);
const PURPOSE: Purpose = Purpose::new("store check");
const PLAIN: &[u8] = b"aperium";
const READ: &str = "SELECT sealed FROM key_checks WHERE id = 1";
const FIRST: &str = "INSERT INTO key_checks (id, sealed) VALUES (1, $1) ON CONFLICT (id) DO NOTHING";
const NEEDED: &str = "SELECT DISTINCT ring_key FROM tenants /* every tenant */";

impl Store {
    /// Whether it can be used right now.
    ///
    /// # Errors
    /// [`StoreError`]: the reason to be not ready.
    pub async fn health(&self) -> Result<(), StoreError> {
        self.ready()?;
        let checked = tokio::time::timeout(LIMIT, self.check_ring()).await;
        checked.unwrap_or(Err(StoreError::Unavailable("no answer in time")))
    }

    /// One sealed row tells whether this is the ring of this database, and beside every data key stands the key of the
    /// ring that it needs. The row is made with the first ring that comes; a ring that does not open it is refused, so
    /// that nothing is ever sealed with a ring that would split the rows.
    pub(crate) async fn check_ring(&self) -> Result<(), StoreError> {
        let ring = &self.0.sealer;
        let mut tx = Tx::begin_unprepared(self, false, Some(EveryTenant::SCOPE)).await?;
        let mut row = tx.query(READ).optional().await?;
        let needed = tx.query(NEEDED).all().await?;
        drop(tx);
        if row.is_none() {
            let sealed = ring.seal(PURPOSE, b"", PLAIN)?;
            let mut tx = Tx::begin_unprepared(self, true, None).await?;
            // Whoever comes first decides.
            tx.query(FIRST).bind(sealed).execute().await?;
            row = tx.query(READ).optional().await?;
            tx.commit().await?;
        }
        let opened = ring.open(PURPOSE, b"", &row.ok_or(StoreError::Row)?.bytes("sealed")?)?;
        if opened.as_slice() != PLAIN {
            return Err(SealError::Invalid.into());
        }
        for row in needed {
            if !ring.holds(&row.text("ring_key")?)? {
                return Err(SealError::UnknownKey.into());
            }
        }
        Ok(())
    }

    /// Seals the row anew, with the ring's current key.
    pub(crate) async fn renew_check(&self) -> Result<(), StoreError> {
        self.check_ring().await?;
        let sealed = self.0.sealer.seal(PURPOSE, b"", PLAIN)?;
        let mut tx = self.platform().write().await?;
        tx.query("UPDATE key_checks SET sealed = $1 WHERE id = 1").bind(sealed).execute().await?;
        tx.commit().await
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{ring, sqlite};
    use crate::{Store, StoreError, Target};
    use aperium_platform::seal::{SealError, Sealer};

    #[tokio::test]
    async fn a_database_answers_to_the_ring_it_was_made_with_and_to_no_other() {
        let (_folder, target) = sqlite();
        let store = Store::connect(&target, ring("k1", &[("k1", 1)])).await.unwrap();
        assert_eq!(store.health().await, Ok(()));
        let again = Store::connect(&target, ring("k2", &[("k1", 1), ("k2", 2)])).await.unwrap();
        assert_eq!(again.health().await, Ok(()), "the old key is still in the ring");
        let wrong = Store::connect(&target, ring("k1", &[("k1", 9)])).await.unwrap_err();
        assert_eq!(wrong, StoreError::Seal(SealError::Invalid));
        let lost = Store::connect(&target, ring("k2", &[("k2", 2)])).await.unwrap_err();
        assert_eq!(lost, StoreError::Seal(SealError::UnknownKey));
        let missing = Store::connect(&target, Sealer::file("/does/not/exist")).await.unwrap_err();
        assert_eq!(missing.reason(), "KeyRingMissing");
    }

    #[tokio::test]
    async fn an_unprepared_store_is_not_healthy_and_gives_nothing() {
        let (_folder, target) = sqlite();
        let store = Store::open(&target, Sealer::ephemeral().unwrap()).unwrap();
        assert_eq!(store.health().await, Err(StoreError::Unprepared));
        assert_eq!(store.platform().read().await.err(), Some(StoreError::Unprepared));
        store.prepare().await.unwrap();
        assert_eq!(store.health().await, Ok(()));
    }

    #[tokio::test]
    async fn a_database_that_is_away_is_named_within_seconds() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let target = Target::postgres(&format!("postgres://a:b@127.0.0.1:{port}/x").into()).unwrap();
        let error = Store::connect(&target, Sealer::ephemeral().unwrap()).await.unwrap_err();
        assert_eq!(error.reason(), "DatabaseUnavailable");
    }
}
