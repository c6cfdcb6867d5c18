//! Which leases were redeemed: each once, whatever replica is asked.

use crate::error::StoreError;
use crate::scope::Platform;

const REDEEM: &str = "INSERT INTO redeemed_leases (id, until_ms) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING";
const FORGET: &str = "DELETE FROM redeemed_leases WHERE until_ms < $1";

impl Platform {
    /// Notes that a lease is redeemed. Says whether it is for the first time: only then it may be.
    ///
    /// # Errors
    /// [`StoreError`]; then it must not be.
    pub async fn redeem_lease(&self, id: &str, until_ms: i64) -> Result<bool, StoreError> {
        Ok(self.alone(REDEEM)?.bind(id).bind(until_ms).execute().await? == 1)
    }

    /// Forgets the leases whose time was over at `now_ms`. Says how many.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn forget_leases(&self, now_ms: i64) -> Result<u64, StoreError> {
        let mut tx = self.write().await?;
        let gone = tx.query(FORGET).bind(now_ms).execute().await?;
        tx.commit().await?;
        Ok(gone)
    }
}

#[cfg(test)]
mod tests {
    use crate::Store;
    use crate::testing::{ring, sqlite};

    #[tokio::test]
    async fn a_lease_is_redeemed_once_until_it_is_forgotten() {
        let (_folder, target) = sqlite();
        let store = Store::connect(&target, ring("a", &[("a", 1)])).await.unwrap();
        let all = ten_at_once(&store).await;
        assert_eq!(all, 1, "of ten at once one is the first");
        let platform = store.platform();
        assert!(platform.redeem_lease("two", 2_000).await.unwrap());
        assert!(!platform.redeem_lease("two", 9_000).await.unwrap());
        assert_eq!(platform.forget_leases(1_500).await.unwrap(), 1);
        assert!(!platform.redeem_lease("two", 2_000).await.unwrap());
        assert!(platform.redeem_lease("one", 1_000).await.unwrap(), "forgotten");
    }

    async fn ten_at_once(store: &Store) -> usize {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..10 {
            let platform = store.platform();
            tasks.spawn(async move { platform.redeem_lease("one", 1_000).await.unwrap() });
        }
        tasks.join_all().await.into_iter().filter(|first| *first).count()
    }
}
