use super::*;
use crate::audit::meter::Meter;
use crate::audit::{Audit, Unrecorded};
use aperium_platform::seal::Sealer;
use aperium_store::Target;
use aperium_store::audit::Filter;
use prometheus_client::registry::Registry;
use tempfile::TempDir;

async fn log(room: usize) -> (TempDir, Store, Audit, Scribe, Registry) {
    let folder = tempfile::tempdir().unwrap();
    let target = Target::Sqlite(folder.path().join("aperium.db"));
    let store = Store::connect(&target, Sealer::ephemeral().unwrap()).await.unwrap();
    let mut registry = Registry::default();
    let meter = Meter::register(&mut registry);
    let (audit, scribe) = Audit::with_room(store.clone(), "gw", meter, room);
    (folder, store, audit, scribe, registry)
}

fn draft(id: &str) -> Draft<'_> {
    Draft { tenant: None, record: record("broker", "redeem", id), arguments: None }
}

fn scrape(registry: &Registry) -> String {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, registry).unwrap();
    text
}

#[tokio::test]
async fn what_finds_no_room_is_counted_and_the_log_says_how_much_is_missing() {
    let (_folder, store, audit, scribe, registry) = log(4).await;
    for id in 0..10 {
        let id = id.to_string();
        audit.note(|| draft(&id));
    }
    // A write does not wait for room: it is refused.
    let inner = audit.0.as_ref().unwrap();
    assert_eq!(inner.write(Item::of(draft("w"))).await, Err(Unrecorded::Full));
    let end = CancellationToken::new();
    end.cancel();
    scribe.run(end).await;
    let lines = store.every_tenant().audit_records(&Filter::default(), None, 100).await.unwrap().lines;
    let lost: Vec<_> = lines.iter().filter_map(|line| line.record.lost).collect();
    assert_eq!((lines.len(), lost), (5, vec![6]));
    let text = scrape(&registry);
    assert!(text.contains("audit_dropped_total 6") && text.contains("audit_written_total 5"), "{text}");
}

#[tokio::test]
async fn the_end_writes_what_waits_and_covers_it_with_a_checkpoint() {
    let (_folder, store, audit, scribe, _registry) = log(1000).await;
    let end = CancellationToken::new();
    let running = tokio::spawn(scribe.run(end.clone()));
    let inner = audit.0.as_ref().unwrap();
    assert_eq!(inner.write(Item::of(draft("w"))).await, Ok(()));
    for id in 0..500 {
        let id = id.to_string();
        audit.note(|| draft(&id));
    }
    end.cancel();
    running.await.unwrap();
    let report = store.audit_verify(&[store.audit_key().await.unwrap().public()], None).await.unwrap();
    assert_eq!((report.findings.as_slice(), report.entries, report.uncovered), (&[][..], 501, 0));
    assert_eq!(inner.write(Item::of(draft("late"))).await, Err(Unrecorded::Down));
}

#[tokio::test]
async fn two_runs_of_one_replica_have_chains_of_their_own() {
    let (_folder, store, audit, scribe, _registry) = log(10).await;
    let (again, other) = Audit::with_room(store.clone(), "gw", audit.0.as_ref().unwrap().meter.clone(), 10);
    let end = CancellationToken::new();
    end.cancel();
    audit.note(|| draft("a"));
    again.note(|| draft("b"));
    scribe.run(end.clone()).await;
    other.run(end).await;
    let report = store.audit_verify(&[store.audit_key().await.unwrap().public()], None).await.unwrap();
    assert_eq!((report.findings.as_slice(), report.chains, report.last.map(|(seq, _)| seq)), (&[][..], 2, Some(2)));
}
