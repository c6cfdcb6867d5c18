//! What the database takes of a redeemed lease: the insert that makes it the only one, and the credential, opened.

use crate::databases::Database;
use aperium_core::id::{ConnectorId, TenantId};
use aperium_platform::seal::Sealer;
use aperium_store::now_ms;
use std::time::{Duration, Instant};

const ROUNDS: usize = 2_000;

#[tokio::test]
#[ignore = "a measurement"]
async fn measure_redeems() {
    let (acme, odoo) = (TenantId::parse("acme").unwrap(), ConnectorId::parse("odoo").unwrap());
    for database in Database::both() {
        let store = database.store(&Sealer::ephemeral().unwrap()).await;
        let fields = [("host", "db"), ("username", "reader"), ("password", "s3cret")]
            .map(|(field, value)| (field.to_owned(), value.to_owned().into()));
        store.tenant(&acme).put_credential(&odoo, &fields.into(), None, "admin").await.unwrap();
        let mut took: Vec<Duration> = Vec::new();
        for number in 0..ROUNDS {
            let began = Instant::now();
            assert!(store.platform().redeem_lease(&format!("{number:032x}"), now_ms() + 60_000).await.unwrap());
            assert!(store.tenant(&acme).load_credential(&odoo).await.unwrap().is_some());
            took.push(began.elapsed());
        }
        took.sort_unstable();
        let at = |percent: usize| took[took.len() * percent / 100].as_secs_f64() * 1e3;
        let kind = if matches!(database, Database::Sqlite(_)) { "SQLite" } else { "PostgreSQL" };
        println!(
            "| leased calls: the database's part of a redeem, {kind}, p50 ms | ≤ 1 | {:.2} (p99 {:.2}) |",
            at(50),
            at(99)
        );
    }
}
