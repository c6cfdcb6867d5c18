use super::*;
use crate::audit::batch::Tip;
use crate::audit::batch::tests::batch;
use crate::audit::verify::tests::record;
use crate::audit::{Finding, Retained};
use crate::testing::{ring, sqlite};
use tempfile::TempDir;

/// What whoever owns the database can do before changing rows.
const WITHOUT_TRIGGERS: [&str; 3] =
    ["DROP TRIGGER audit_entries_update", "DROP TRIGGER audit_entries_delete", "DROP TRIGGER audit_checkpoints_delete"];

async fn store() -> (TempDir, Store, SigningKey) {
    let (folder, target) = sqlite();
    let store = Store::connect(&target, ring("k1", &[("k1", 1)])).await.unwrap();
    let key = store.audit_key().await.unwrap();
    (folder, store, key)
}

/// Ten entries for each of two tenants, covered by two checkpoints.
async fn filled() -> (TempDir, Store, SigningKey) {
    let (folder, store, key) = store().await;
    let chain = |tenant: &str| Chain { replica: "gw-1".into(), tenant: tenant.into() };
    let mut tips = [Tip::new(chain("acme")).unwrap(), Tip::new(chain("globex")).unwrap()];
    for round in 0..2 {
        for tip in &mut tips {
            let batch = batch(tip, (0..5).map(|at| record(round * 5 + at)));
            store.audit_append(&batch).await.unwrap();
            store.audit_append(&batch).await.unwrap();
        }
        store.audit_checkpoint(&key, "gw-1", tips.iter().map(Tip::head).collect()).await.unwrap();
    }
    (folder, store, key)
}

async fn run(store: &Store, statements: &[&'static str]) -> Result<(), StoreError> {
    let mut tx = store.every_tenant().write().await?;
    for sql in statements {
        tx.query(sql).execute().await?;
    }
    tx.commit().await
}

async fn findings(store: &Store, key: &SigningKey) -> Vec<Finding> {
    store.audit_verify(&[key.public()], None).await.unwrap().findings
}

fn acme() -> Chain {
    Chain { replica: "gw-1".into(), tenant: "acme".into() }
}

#[tokio::test]
async fn what_was_written_is_intact_and_a_batch_that_is_sent_again_counts_once() {
    let (_folder, store, key) = filled().await;
    let report = store.audit_verify(&[key.public()], None).await.unwrap();
    assert_eq!((report.findings.as_slice(), report.entries, report.uncovered, report.chains), (&[][..], 20, 0, 2));
    assert_eq!(report.last.map(|(seq, _)| seq), Some(2));
    let noted = store.audit_verify(&[key.public()], report.last).await.unwrap();
    assert_eq!(noted.findings, []);
}

#[tokio::test]
async fn nothing_is_changed_or_deleted_on_the_normal_way() {
    let (_folder, store, key) = filled().await;
    for sql in [
        "UPDATE audit_entries SET line = '' /* every tenant */",
        "DELETE FROM audit_entries /* every tenant */",
        "UPDATE audit_checkpoints SET body = ''",
        "DELETE FROM audit_checkpoints",
    ] {
        assert!(matches!(run(&store, &[sql]).await, Err(StoreError::Refused(_))), "{sql}");
    }
    assert_eq!(findings(&store, &key).await, []);
}

#[tokio::test]
async fn a_removed_an_altered_and_two_exchanged_rows_are_named() {
    for (sql, expected) in [
        (
            &["DELETE FROM audit_entries WHERE tenant = 'acme' AND seq = 4 /* every tenant */"][..],
            vec![Finding::Missing { chain: acme(), from: 4, to: 4 }],
        ),
        (
            &["UPDATE audit_entries SET line = replace(line, 'user:ann', 'user:bob') \
               WHERE tenant = 'acme' AND seq = 4 /* every tenant */"][..],
            vec![Finding::Altered { chain: acme(), seq: 4 }],
        ),
        (
            &["UPDATE audit_entries SET time_ms = 0 WHERE tenant = 'acme' AND seq = 4 /* every tenant */"][..],
            vec![Finding::Altered { chain: acme(), seq: 4 }],
        ),
        (
            &[
                "UPDATE audit_entries SET seq = -seq WHERE tenant = 'acme' AND seq IN (3, 4) /* every tenant */",
                "UPDATE audit_entries SET seq = 7 + seq WHERE seq < 0 /* every tenant */",
            ][..],
            vec![
                Finding::Moved { chain: acme(), seq: 3, from: acme(), from_seq: 4 },
                Finding::Moved { chain: acme(), seq: 4, from: acme(), from_seq: 3 },
                Finding::Altered { chain: acme(), seq: 5 },
            ],
        ),
        (
            &["DELETE FROM audit_entries WHERE tenant = 'acme' AND seq > 8 /* every tenant */"][..],
            vec![Finding::TailMissing { chain: acme(), from: 9, to: 10, checkpoint: 2 }],
        ),
        (&["DELETE FROM audit_checkpoints WHERE seq = 1"][..], vec![Finding::CheckpointsMissing { from: 1, to: 1 }]),
    ] {
        let (_folder, store, key) = filled().await;
        run(&store, &WITHOUT_TRIGGERS).await.unwrap();
        run(&store, sql).await.unwrap();
        assert_eq!(findings(&store, &key).await, expected, "{sql:?}");
    }
}

#[tokio::test]
async fn an_entry_in_another_tenants_chain_is_named() {
    let (_folder, store, key) = filled().await;
    run(&store, &WITHOUT_TRIGGERS).await.unwrap();
    let splice =
        "UPDATE audit_entries SET tenant = 'globex', seq = 11 WHERE tenant = 'acme' AND seq = 10 /* every tenant */";
    run(&store, &[splice]).await.unwrap();
    let globex = Chain { tenant: "globex".into(), ..acme() };
    assert_eq!(
        findings(&store, &key).await,
        [
            Finding::TailMissing { chain: acme(), from: 10, to: 10, checkpoint: 2 },
            Finding::Moved { chain: globex, seq: 11, from: acme(), from_seq: 10 },
        ]
    );
}

#[tokio::test]
async fn the_signing_key_is_one_for_all_and_outlives_the_key_of_the_ring() {
    let (folder, store, key) = store().await;
    assert_eq!(store.audit_key().await.unwrap().public(), key.public());
    let target = crate::Target::Sqlite(folder.path().join("data/aperium.db"));
    let both = Store::connect(&target, ring("k2", &[("k1", 1), ("k2", 2)])).await.unwrap();
    assert_eq!(both.audit_key().await.unwrap().public(), key.public());
    let mut tx = both.platform().read().await.unwrap();
    let sealed = tx.query("SELECT sealed FROM audit_keys WHERE id = 1").one().await.unwrap().bytes("sealed").unwrap();
    assert_eq!(key_id(&sealed), Some("k2"), "sealed anew with the current key");
}

#[tokio::test]
async fn what_retention_removes_is_not_missed_and_anything_else_is() {
    let (_folder, store, key) = filled().await;
    assert_eq!(removed(&store, 5).await, 10, "five of each tenant are older than this");
    assert_eq!(removed(&store, 5).await, 0);
    let report = store.audit_verify(&[key.public()], None).await.unwrap();
    assert_eq!((report.findings.as_slice(), report.entries, report.chains), (&[][..], 10, 2));
    assert_eq!(report.last.map(|(seq, _)| seq), Some(3), "one checkpoint says what was cut");
    // Whoever has the database cuts a little further: the checkpoint does not say so.
    let further = "UPDATE audit_cuts SET seq = 6 WHERE tenant = 'acme' /* every tenant */";
    let delete = "DELETE FROM audit_entries WHERE tenant = 'acme' AND seq = 6 /* every tenant */";
    run(&store, &[further, delete]).await.unwrap();
    assert_eq!(findings(&store, &key).await, [Finding::Missing { chain: acme(), from: 6, to: 6 }]);
}

/// How many records retention removes where nothing was altered.
async fn removed(store: &Store, before_ms: i64) -> u64 {
    let Retained { removed, altered } = store.audit_retain(before_ms).await.unwrap();
    assert_eq!(altered, []);
    removed
}

#[tokio::test]
async fn an_older_time_does_not_have_retention_remove_a_record() {
    const TIME: &str = "UPDATE audit_entries SET time_ms = -1 WHERE tenant = 'acme' AND seq = 7 /* every tenant */";
    const LINE: &str = "UPDATE audit_entries SET line = replace(line, '\"time_ms\":6,', '\"time_ms\":-1,') \
         WHERE tenant = 'acme' AND seq = 7 /* every tenant */";
    const PLACE: &str =
        "UPDATE audit_entries SET seq = 11, time_ms = -1 WHERE tenant = 'acme' AND seq = 7 /* every tenant */";
    for altered in [&[TIME][..], &[TIME, LINE][..], &[PLACE][..]] {
        let (_folder, store, key) = filled().await;
        run(&store, &WITHOUT_TRIGGERS).await.unwrap();
        run(&store, altered).await.unwrap();
        let left = Retained { removed: 0, altered: vec![acme()] };
        assert_eq!(store.audit_retain(0).await.unwrap(), left, "{altered:?}");
        assert_ne!(findings(&store, &key).await, [], "{altered:?}");
    }
}

#[tokio::test]
async fn a_chain_that_was_written_anew_up_to_where_it_is_cut_is_named() {
    let (_folder, store, key) = filled().await;
    run(&store, &WITHOUT_TRIGGERS).await.unwrap();
    // Whoever has the database writes a whole chain again, all of it old: it hangs together, and retention removes it.
    run(&store, &["DELETE FROM audit_entries WHERE tenant = 'acme' /* every tenant */"]).await.unwrap();
    let mut tip = Tip::new(acme()).unwrap();
    store.audit_append(&batch(&mut tip, (0..10).map(|_| record(-1)))).await.unwrap();
    assert_eq!(removed(&store, 0).await, 10);
    let named = Finding::Rewritten { chain: acme(), after: 5, seq: 10, checkpoint: 2 };
    assert_eq!(findings(&store, &key).await, [named]);
}

#[tokio::test]
async fn checkpoints_go_with_what_they_cover_and_the_log_goes_on() {
    let (_folder, store, key) = filled().await;
    let later = now_ms() + 3 * 24 * 60 * 60 * 1000;
    assert_eq!(removed(&store, later).await, 20);
    assert_eq!(removed(&store, later).await, 0);
    let seqs: Vec<u64> = store.audit_checkpoints().await.unwrap().iter().map(|signed| signed.seq).collect();
    assert_eq!(seqs, [3, 4], "the last two say that the log was cut");
    let mut tip = Tip::new(Chain { replica: "gw-2".into(), tenant: "acme".into() }).unwrap();
    store.audit_append(&batch(&mut tip, [record(1)])).await.unwrap();
    store.audit_checkpoint(&key, "gw-2", vec![tip.head()]).await.unwrap();
    let report = store.audit_verify(&[key.public()], None).await.unwrap();
    assert_eq!((report.findings.as_slice(), report.entries, report.uncovered), (&[][..], 1, 0));
    assert_eq!(report.last.map(|(seq, _)| seq), Some(5));
}
