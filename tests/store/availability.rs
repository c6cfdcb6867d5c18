//! Replicas that start at once, and a server that goes away and comes back.

use crate::databases::{Database, ring};
use crate::{password, save};
use aperium_store::Store;
use tokio::task::JoinSet;

#[tokio::test]
async fn replicas_that_start_at_once_migrate_once() {
    let database = Database::postgres();
    let mut starts = JoinSet::new();
    for _ in 0..6 {
        let target = database.target();
        starts.spawn(async move { Store::connect(&target, ring(&[1])).await });
    }
    let stores: Vec<Store> = starts.join_all().await.into_iter().map(Result::unwrap).collect();
    assert_eq!(database.number("SELECT COUNT(*) FROM key_checks").await, 1, "one ring is that of the database");
    save(&stores[0], "acme", "hunter2").await;
    for store in &stores {
        assert_eq!(password(store, "acme").await, Ok(Some("hunter2".to_owned())));
    }
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused() {
    for database in Database::both() {
        drop(database.store(&ring(&[1])).await);
        let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
            SELECT 9999, 'later', success, checksum, 0 FROM _sqlx_migrations WHERE version = 1";
        database.attack(newer).await;
        let error = Store::connect(&database.target(), ring(&[1])).await.unwrap_err();
        assert_eq!(error.reason(), "DatabaseNewer");
    }
}

#[tokio::test]
async fn a_server_that_went_away_is_used_again_without_a_restart() {
    let mut database = Database::postgres();
    let store = database.store(&ring(&[1])).await;
    save(&store, "acme", "hunter2").await;
    database.server().stop();
    assert_eq!(store.health().await.unwrap_err().reason(), "DatabaseUnavailable");
    assert_eq!(password(&store, "acme").await.unwrap_err().reason(), "DatabaseUnavailable");
    database.server().start_again();
    assert_eq!(store.health().await, Ok(()));
    assert_eq!(password(&store, "acme").await, Ok(Some("hunter2".to_owned())));
}
