//! Servers that have registered themselves, with whichever replica: one row for each connection that holds one.

use crate::error::StoreError;
use crate::scope::Platform;
use crate::tx::{Row, Tx};

/// Rows that are read at a time: more than the settings allow servers.
const MOST: &str = "SELECT holder, replica, number, caller, url FROM registrations WHERE until_ms > $1 \
    ORDER BY number, holder LIMIT 20000";

/// A registration, as one connection holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding {
    /// The connection.
    pub holder: String,
    /// The replica that has it.
    pub replica: String,
    /// The number of `auto<N>`.
    pub number: i64,
    /// Who registered it.
    pub caller: String,
    /// The server.
    pub url: String,
}

/// How many there may be.
#[derive(Debug, Clone, Copy)]
pub struct Quotas {
    /// Of one caller.
    pub per_caller: usize,
    /// Of all together.
    pub all: usize,
}

/// What became of a wish to register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admitted {
    /// It has this number.
    As(i64),
    /// The caller has as many as one may have.
    CallerQuota,
    /// There are as many as there may be.
    Quota,
}

impl Platform {
    /// Registers a server for a connection, for `for_ms` if nobody puts that off. A server that the caller has registered
    /// over another connection keeps its number; any other gets one that is above all that were given, and above `floor`.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn register(
        &self,
        wish: &Holding,
        quotas: Quotas,
        floor: i64,
        for_ms: i64,
    ) -> Result<Admitted, StoreError> {
        let mut tx = self.write().await?;
        // First, so that one replica at a time counts and takes a number.
        let next = "UPDATE registration_numbers SET last = CASE WHEN last < $1 THEN $1 ELSE last END WHERE id = 1";
        tx.query(next).bind(floor).execute().await?;
        let now = crate::now_ms();
        tx.query("DELETE FROM registrations WHERE until_ms <= $1").bind(now).execute().await?;
        let held = holdings(&mut tx, now).await?;
        let same = held.iter().find(|held| held.caller == wish.caller && held.url == wish.url);
        let number = match same {
            Some(same) => same.number,
            None => {
                let count = |of: &dyn Fn(&&Holding) -> bool| {
                    let mut numbers: Vec<i64> = held.iter().filter(of).map(|held| held.number).collect();
                    numbers.dedup();
                    numbers.len()
                };
                if count(&|held| held.caller == wish.caller) >= quotas.per_caller {
                    return Ok(Admitted::CallerQuota);
                }
                if count(&|_| true) >= quotas.all {
                    return Ok(Admitted::Quota);
                }
                let next = "UPDATE registration_numbers SET last = last + 1 WHERE id = 1 RETURNING last";
                tx.query(next).one().await?.int("last")?
            }
        };
        insert(&mut tx, &Holding { number, ..wish.clone() }, now + for_ms).await?;
        tx.commit().await?;
        Ok(Admitted::As(number))
    }

    /// Puts the end of all that a replica holds off by `for_ms` from now, and brings back what ended meanwhile.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn renew_registrations(
        &self,
        replica: &str,
        holdings: &[Holding],
        for_ms: i64,
    ) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        let until = crate::now_ms() + for_ms;
        let renew = "UPDATE registrations SET until_ms = $2 WHERE replica = $1";
        let renewed = tx.query(renew).bind(replica).bind(until).execute().await?;
        if renewed < holdings.len() as u64 {
            for holding in holdings {
                insert(&mut tx, holding, until).await?;
            }
        }
        tx.commit().await
    }

    /// A connection has ended.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn unregister(&self, holder: &str) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        tx.query("DELETE FROM registrations WHERE holder = $1").bind(holder).execute().await?;
        tx.commit().await
    }

    /// All that are held now.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn registrations(&self) -> Result<Vec<Holding>, StoreError> {
        holdings(&mut self.read().await?, crate::now_ms()).await
    }
}

async fn holdings(tx: &mut Tx, now: i64) -> Result<Vec<Holding>, StoreError> {
    let rows = tx.query(MOST).bind(now).all().await?;
    let holding = |row: &Row| {
        Ok(Holding {
            holder: row.text("holder")?,
            replica: row.text("replica")?,
            number: row.int("number")?,
            caller: row.text("caller")?,
            url: row.text("url")?,
        })
    };
    rows.iter().map(holding).collect()
}

async fn insert(tx: &mut Tx, holding: &Holding, until: i64) -> Result<(), StoreError> {
    let sql = "INSERT INTO registrations (holder, replica, number, caller, url, until_ms) \
        VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (holder) DO NOTHING";
    let insert = tx.query(sql).bind(holding.holder.as_str()).bind(holding.replica.as_str()).bind(holding.number);
    insert.bind(holding.caller.as_str()).bind(holding.url.as_str()).bind(until).execute().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Store;
    use crate::testing::{ring, sqlite};

    const QUOTAS: Quotas = Quotas { per_caller: 2, all: 3 };

    fn wish(holder: &str, replica: &str, caller: &str, url: &str) -> Holding {
        let text = str::to_owned;
        Holding { holder: text(holder), replica: text(replica), number: 0, caller: text(caller), url: text(url) }
    }

    async fn store() -> (tempfile::TempDir, Platform) {
        let (folder, target) = sqlite();
        let store = Store::connect(&target, ring("a", &[("a", 1)])).await.unwrap();
        (folder, store.platform())
    }

    #[tokio::test]
    async fn a_number_is_given_once_and_the_same_server_of_the_same_caller_keeps_it() {
        let (_folder, platform) = store().await;
        let register = async |wish: Holding, floor| platform.register(&wish, QUOTAS, floor, 60_000).await.unwrap();
        assert_eq!(register(wish("h1", "one", "anna", "u"), 0).await, Admitted::As(1));
        assert_eq!(register(wish("h2", "other", "anna", "u"), 0).await, Admitted::As(1), "at another replica");
        assert_eq!(register(wish("h3", "other", "ben", "u"), 0).await, Admitted::As(2), "another's is another");
        platform.unregister("h1").await.unwrap();
        platform.unregister("h2").await.unwrap();
        assert_eq!(register(wish("h4", "one", "anna", "u"), 0).await, Admitted::As(3));
        assert_eq!(register(wish("h5", "one", "anna", "v"), 9).await, Admitted::As(10), "above what a file says");
        assert_eq!(register(wish("h6", "one", "anna", "w"), 0).await, Admitted::CallerQuota);
        assert_eq!(register(wish("h7", "one", "carl", "w"), 0).await, Admitted::Quota);
        let numbers: Vec<i64> = platform.registrations().await.unwrap().iter().map(|held| held.number).collect();
        assert_eq!(numbers, [2, 3, 10]);
    }

    #[tokio::test]
    async fn what_a_replica_no_longer_puts_off_ends_and_comes_back_with_it() {
        let (_folder, platform) = store().await;
        let mut one = wish("h1", "one", "anna", "u");
        assert_eq!(platform.register(&one, QUOTAS, 0, 60_000).await, Ok(Admitted::As(1)));
        assert_eq!(platform.register(&wish("h2", "other", "ben", "u"), QUOTAS, 0, 60_000).await, Ok(Admitted::As(2)));
        one.number = 1;
        platform.renew_registrations("one", &[one.clone()], -1).await.unwrap();
        let held = platform.registrations().await.unwrap();
        assert_eq!(held.iter().map(|held| held.number).collect::<Vec<_>>(), [2], "the other's has not ended");
        platform.unregister("h1").await.unwrap();
        platform.renew_registrations("one", &[one.clone()], 60_000).await.unwrap();
        assert_eq!(platform.registrations().await.unwrap().first(), Some(&one));
    }
}
