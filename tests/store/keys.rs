//! T14: without the right key ring nothing is ready and nothing is readable. T15: a backup and the key ring are enough.
//! A rotation of the ring while everybody reads.

use crate::databases::{Database, ring, ring_text};
use crate::{password, save};
use aperium_platform::seal::Sealer;
use aperium_store::Store;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};
use tokio::task::JoinSet;

#[tokio::test]
async fn t14_a_wrong_or_missing_ring_is_never_ready_and_the_rows_are_never_readable() {
    let canary = "canary-5f1d7c62-plain";
    for database in Database::both() {
        let store = database.store(&ring(&[1])).await;
        save(&store, "acme", canary).await;
        assert_eq!(password(&store, "acme").await, Ok(Some(canary.to_owned())));
        assert!(Store::connect(&database.target(), ring(&[2])).await.is_err(), "an unknown key");
        let missing = Store::connect(&database.target(), Sealer::file("/does/not/exist")).await.unwrap_err();
        assert_eq!(missing.reason(), "KeyRingMissing");
        // A ring that changes under a running replica.
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys.json");
        std::fs::write(&file, ring_text(&[1])).unwrap();
        let running = Store::connect(&database.target(), Sealer::file(&file)).await.unwrap();
        assert_eq!(running.health().await, Ok(()));
        std::fs::write(&file, ring_text(&[3])).unwrap();
        tokio::time::sleep(Duration::from_millis(600)).await;
        assert_eq!(running.health().await.unwrap_err().reason(), "KeyUnknown");
        assert!(password(&running, "acme").await.is_err());
        store.close().await;
        running.close().await;
        let bytes = database.bytes();
        assert!(bytes.len() > 10_000 && !holds(&bytes, canary.as_bytes()), "the value is on the disk in clear");
        assert!(holds(&bytes, b"credential_fields"), "the scan sees the database");
    }
}

#[tokio::test]
async fn t15_a_backup_is_worth_something_with_the_ring_and_nothing_without() {
    for database in Database::both() {
        let store = database.store(&ring(&[1])).await;
        save(&store, "acme", "hunter2").await;
        save(&store, "globex", "swordfish").await;
        match &database {
            Database::Postgres(server) => {
                let dump = server.dump("aperium");
                assert!(!dump.contains("hunter2"));
                server.sql("postgres", "CREATE DATABASE copy OWNER aperium");
                server.restore("copy", &dump);
            }
            Database::Sqlite(folder) => {
                store.close().await;
                std::fs::copy(folder.path().join("aperium.db"), folder.path().join("copy.db")).unwrap();
            }
        }
        let copy = Store::connect(&database.target_of("copy"), ring(&[1])).await.unwrap();
        assert_eq!(password(&copy, "acme").await, Ok(Some("hunter2".to_owned())));
        assert_eq!(password(&copy, "globex").await, Ok(Some("swordfish".to_owned())));
        assert!(Store::connect(&database.target_of("copy"), ring(&[2])).await.is_err());
    }
}

#[expect(clippy::disallowed_methods, reason = "how a person asks a test for its full size, and for its last seed")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The seed of a failure, and what a soak reports.
fn say(text: &str) {
    println!("{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rotating_the_ring_fails_no_read() {
    let tenants = if variable("APERIUM_SOAK").is_some() { 10_000 } else { 200 };
    let now =
        || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| u64::from(since.subsec_nanos()));
    let seed = variable("APERIUM_SEED").and_then(|seed| seed.parse().ok()).unwrap_or_else(now);
    say(&format!("APERIUM_SEED={seed}"));
    for database in Database::both() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys.json");
        let keys = |bytes: &[u8]| {
            std::fs::write(folder.path().join("next"), ring_text(bytes)).unwrap();
            std::fs::rename(folder.path().join("next"), &file).unwrap();
        };
        keys(&[1]);
        let replicas = [(); 2].map(|()| Sealer::file(&file));
        let mut stores = Vec::new();
        for sealer in replicas {
            stores.push(Store::connect(&database.target(), sealer).await.unwrap());
        }
        for n in 0..tenants {
            save(&stores[0], &format!("t{n}"), &format!("secret of t{n}")).await;
        }
        let (stop, reads) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut readers = JoinSet::new();
        for (number, store) in stores.iter().cycle().take(4).cloned().enumerate() {
            let (stop, reads) = (Arc::clone(&stop), Arc::clone(&reads));
            readers.spawn(async move {
                let mut state = seed.wrapping_add(number as u64) | 1;
                while !stop.load(Ordering::Relaxed) {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let tenant = format!("t{}", (state >> 33) % tenants);
                    let read = password(&store, &tenant).await;
                    assert_eq!(read, Ok(Some(format!("secret of {tenant}"))));
                    reads.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let settle = async || tokio::time::sleep(Duration::from_millis(700)).await;
        let mut longest = Duration::ZERO;
        for (both, with, only) in [([1, 2], 2, "k2"), ([2, 3], 3, "k3")] {
            // The new key is known everywhere before anything is sealed with it.
            keys(&[both[1], both[0]]);
            settle().await;
            keys(&both);
            settle().await;
            let began = Instant::now();
            assert_eq!(stores[0].every_tenant().rewrap().await, Ok(tenants), "seed {seed}");
            longest = longest.max(began.elapsed());
            assert_eq!(stores[1].every_tenant().ring_keys().await.unwrap(), [only]);
            keys(&[with]);
            settle().await;
        }
        stop.store(true, Ordering::Relaxed);
        while let Some(ended) = readers.join_next().await {
            ended.unwrap_or_else(|error| panic!("a read failed, seed {seed}: {error}"));
        }
        let (reads, kind) = (
            reads.load(Ordering::Relaxed),
            if matches!(database, Database::Sqlite(_)) { "SQLite" } else { "PostgreSQL" },
        );
        say(&format!("{reads} rounds of reading on {kind}, none failed; {tenants} rows sealed anew in {longest:?}"));
        assert!(reads > 0 && longest < Duration::from_secs(60), "{reads} reads, {longest:?}");
        let after = Store::connect(&database.target(), ring(&[3])).await.unwrap();
        let all: BTreeSet<_> = after.every_tenant().list().await.unwrap().into_iter().collect();
        assert_eq!(all.len() as u64, tenants);
    }
}

fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
