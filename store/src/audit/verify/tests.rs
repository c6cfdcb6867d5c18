use super::*;
use crate::audit::batch::Tip;
use crate::audit::batch::tests::{batch, entries};
use crate::audit::checkpoint::{SigningKey, VERSION};
use crate::audit::record::{Access, Decision, Phase, Record};
use proptest::prelude::*;

pub(crate) fn record(time_ms: i64) -> Record<'static> {
    Record {
        time_ms,
        phase: Phase::Done,
        request_id: format!("r-{time_ms}").into(),
        principal: Some("user:ann".into()),
        delegate: None,
        agent: None,
        endpoint: "mcp".into(),
        method: "tools/call".into(),
        connector: Some("odoo".into()),
        tool: Some("search\n\"x\"".into()),
        access: Access::Read,
        decision: Decision::Allowed,
        grant: Some("all".into()),
        outcome: "ok".into(),
        status: Some(200),
        took_ms: Some(3),
        lost: None,
        arguments: None,
    }
}

/// A log: two replicas, three tenants, a checkpoint now and then.
#[derive(Debug, Clone)]
struct Log {
    entries: Vec<Entry>,
    checkpoints: Vec<Signed>,
}

fn key() -> SigningKey {
    SigningKey::from_seed(&[7; 32]).unwrap()
}

fn checkpoint(log: &Log, heads: Vec<Head>, cuts: Option<Cuts>) -> Signed {
    let (seq, before) = log.checkpoints.last().map_or((0, Hash::GENESIS), |last| (last.seq, last.hash()));
    let replica = "gw-0".to_owned();
    let checkpoint = Checkpoint { v: VERSION, seq: seq + 1, before, time_ms: 0, replica, heads, cuts };
    key().sign(&checkpoint).unwrap()
}

/// `steps`: which of the six chains grows; every `every`-th step is followed by a checkpoint, and the last one too.
fn log(steps: &[u8], every: usize) -> Log {
    let mut tips: Vec<Tip> = (0..6)
        .map(|n| Chain { replica: format!("gw-{}", n / 3), tenant: ["", "acme", "globex"][n % 3].into() })
        .map(|chain| Tip::new(chain).unwrap())
        .collect();
    let mut log = Log { entries: Vec::new(), checkpoints: Vec::new() };
    let mut grown = HashSet::new();
    for (at, step) in steps.iter().enumerate() {
        let which = usize::from(*step) % 6;
        grown.insert(which);
        log.entries.extend(entries(&batch(&mut tips[which], [record(at as i64)])));
        if at % every == every - 1 || at == steps.len() - 1 {
            let heads = grown.drain().map(|which| tips[which].head()).collect();
            let signed = checkpoint(&log, heads, None);
            log.checkpoints.push(signed);
        }
    }
    log.entries.sort_by_key(|entry| (entry.chain.clone(), entry.seq));
    log
}

fn verify(log: &Log) -> Report {
    let mut verifier = Verifier::new(&[key().public()], &log.checkpoints, None);
    log.entries.iter().for_each(|entry| verifier.entry(entry));
    verifier.finish()
}

fn steps() -> impl Strategy<Value = (Vec<u8>, usize)> {
    (prop::collection::vec(0_u8..6, 1..60), 1_usize..8)
}

proptest! {
    #[test]
    fn an_untouched_log_is_intact((steps, every) in steps()) {
        let log = log(&steps, every);
        let report = verify(&log);
        prop_assert_eq!(&report.findings, &[]);
        prop_assert_eq!(report.entries, steps.len() as u64);
        prop_assert_eq!(report.uncovered, 0);
        prop_assert_eq!(report.last, log.checkpoints.last().map(|last| (last.seq, last.hash())));
    }

    #[test]
    fn a_removed_record_is_named((steps, every) in steps(), at: prop::sample::Index) {
        let mut log = log(&steps, every);
        let Entry { chain, seq, .. } = log.entries.remove(at.index(log.entries.len()));
        let named = verify(&log).findings.into_iter().any(|finding| match finding {
            Finding::Missing { chain: c, from, to } | Finding::TailMissing { chain: c, from, to, .. } => {
                c == chain && (from..=to).contains(&seq)
            }
            _ => false,
        });
        prop_assert!(named);
    }

    #[test]
    fn an_altered_line_is_named((steps, every) in steps(), at: prop::sample::Index, byte: prop::sample::Index) {
        let mut log = log(&steps, every);
        let count = log.entries.len();
        let entry = &mut log.entries[at.index(count)];
        let byte = byte.index(entry.line.len());
        let replaced = if entry.line.as_bytes()[byte] == b'0' { "1" } else { "0" };
        entry.line.replace_range(byte..=byte, replaced);
        let (chain, seq) = (entry.chain.clone(), entry.seq);
        let named = verify(&log).findings.into_iter().any(|finding| match finding {
            Finding::Altered { chain: c, seq: s } | Finding::Moved { chain: c, seq: s, .. } => (c, s) == (chain.clone(), seq),
            _ => false,
        });
        prop_assert!(named);
    }

    #[test]
    fn two_entries_that_changed_places_are_named((steps, every) in steps(), a: prop::sample::Index, b: prop::sample::Index) {
        let mut log = log(&steps, every);
        let (a, b) = (a.index(log.entries.len()), b.index(log.entries.len()));
        prop_assume!(a != b);
        // The rows keep their places, what stands in them is exchanged: within a chain, between tenants and replicas.
        let (left, right) = (log.entries[a].clone(), log.entries[b].clone());
        (log.entries[a].line, log.entries[a].hash) = (right.line.clone(), right.hash);
        (log.entries[b].line, log.entries[b].hash) = (left.line.clone(), left.hash);
        let findings = verify(&log).findings;
        for moved in [&left, &right] {
            let named = |finding: &Finding| matches!(finding, Finding::Moved { chain, seq, .. } if (chain, *seq) == (&moved.chain, moved.seq));
            prop_assert!(findings.iter().any(named), "{findings:?}");
        }
    }

    #[test]
    fn an_entry_that_is_there_twice_is_named((steps, every) in steps(), at: prop::sample::Index) {
        let mut log = log(&steps, every);
        let at = at.index(log.entries.len());
        let twice = log.entries[at].clone();
        log.entries.insert(at, twice.clone());
        let (chain, seq) = (twice.chain, twice.seq);
        prop_assert_eq!(verify(&log).findings, vec![Finding::Repeated { chain, seq }]);
    }

    #[test]
    fn lines_in_another_order_are_found((steps, every) in steps(), at: prop::sample::Index) {
        let mut log = log(&steps, every);
        prop_assume!(log.entries.len() > 1);
        let at = at.index(log.entries.len() - 1);
        prop_assume!(log.entries[at].chain == log.entries[at + 1].chain);
        let (chain, seq) = (log.entries[at].chain.clone(), log.entries[at].seq);
        log.entries.swap(at, at + 1);
        let expected = Finding::OutOfOrder { chain, seq };
        prop_assert!(verify(&log).findings.contains(&expected));
    }

    #[test]
    fn a_chain_that_was_written_anew_does_not_match_its_checkpoint((steps, every) in steps(), at: prop::sample::Index) {
        let mut log = log(&steps, every);
        let from = log.entries[at.index(log.entries.len())].clone();
        let mut before = log.entries.iter().find(|e| e.chain == from.chain && e.seq + 1 == from.seq).map_or(Hash::GENESIS, |e| e.hash);
        for entry in log.entries.iter_mut().filter(|entry| entry.chain == from.chain && entry.seq >= from.seq) {
            entry.line = entry.line.replace("user:ann", "user:bob");
            entry.hash = link(&before, &entry.line);
            before = entry.hash;
        }
        let findings = verify(&log).findings;
        let [Finding::Rewritten { chain, after, seq, .. }] = findings.as_slice() else {
            return Err(TestCaseError::fail(format!("{findings:?}")));
        };
        prop_assert_eq!(chain, &from.chain);
        prop_assert!(*after < from.seq && from.seq <= *seq);
    }

    #[test]
    fn a_removed_or_altered_checkpoint_is_named((steps, every) in steps(), at: prop::sample::Index) {
        let whole = log(&steps, every);
        let at = at.index(whole.checkpoints.len());
        let seq = whole.checkpoints[at].seq;
        let mut altered = whole.clone();
        altered.checkpoints[at].body = altered.checkpoints[at].body.replacen("\"time_ms\":0", "\"time_ms\":1", 1);
        let expected = Finding::CheckpointAltered { seq };
        prop_assert!(verify(&altered).findings.contains(&expected));
        let mut removed = whole.clone();
        removed.checkpoints.remove(at);
        let findings = verify(&removed).findings;
        if at + 1 == whole.checkpoints.len() {
            // The end of the chain of checkpoints is known to those who noted it.
            let noted = whole.checkpoints.last().map(|last| (last.seq, last.hash()));
            let report = Verifier::new(&[key().public()], &removed.checkpoints, noted).finish();
            let expected = Finding::NotAsNoted { seq };
        prop_assert!(report.findings.contains(&expected));
        } else {
            let expected = Finding::CheckpointsMissing { from: seq, to: seq };
        prop_assert!(findings.contains(&expected));
        }
    }

    #[test]
    fn what_retention_has_cut_is_not_missed_and_the_rest_stays_verifiable((steps, every) in steps(), at: prop::sample::Index, gone: bool) {
        let mut log = log(&steps, every);
        let until = at.index(steps.len()) as i64;
        let mut cuts: BTreeMap<Chain, Head> = BTreeMap::new();
        let old = |entry: &Entry| Line::parse(&entry.line).unwrap().record.time_ms <= until;
        for entry in log.entries.iter().filter(|entry| old(entry)) {
            let Chain { replica, tenant } = entry.chain.clone();
            cuts.insert(entry.chain.clone(), Head { replica, tenant, seq: entry.seq, hash: entry.hash });
        }
        // A checkpoint that covers what is kept is kept as well.
        let opened = log.checkpoints[0].open(&[key().public()]).unwrap();
        let covered = opened.heads.iter().all(|head| cuts.get(&head.chain()).is_some_and(|cut| cut.seq >= head.seq));
        let (checkpoints, hash) = if covered { (1, log.checkpoints[0].hash()) } else { (0, Hash::GENESIS) };
        let cuts = Cuts { checkpoints, hash, chains: cuts.into_values().collect() };
        let signed = checkpoint(&log, Vec::new(), Some(cuts));
        log.checkpoints.push(signed);
        // Whether it has been done already or not.
        if gone {
            log.entries.retain(|entry| !old(entry));
            log.checkpoints.retain(|signed| signed.seq > checkpoints);
        }
        prop_assert_eq!(verify(&log).findings, vec![]);
        let Some(kept) = log.entries.iter().position(|entry| !old(entry)) else { return Ok(()) };
        log.entries.remove(kept);
        prop_assert_eq!(verify(&log).findings.len(), 1);
    }
}

#[test]
fn the_tail_that_a_checkpoint_covers_is_missed_to_the_last_place() {
    let mut log = log(&[1; 9], 3);
    log.entries.truncate(4);
    let chain = Chain { replica: "gw-0".into(), tenant: "acme".into() };
    let tail = Finding::TailMissing { chain: chain.clone(), from: 5, to: 9, checkpoint: 3 };
    assert_eq!(verify(&log).findings, [tail]);
    log.entries.clear();
    assert_eq!(verify(&log).findings, [Finding::TailMissing { chain, from: 1, to: 9, checkpoint: 3 }]);
}

#[test]
fn a_checkpoint_of_somebody_elses_key_counts_for_nothing() {
    let log = log(&[0, 1, 2], 3);
    let other = SigningKey::from_seed(&[8; 32]).unwrap().public();
    let report = Verifier::new(&[other], &log.checkpoints, None).finish();
    assert_eq!(report.findings, [Finding::CheckpointAltered { seq: 1 }]);
    assert_eq!(report.last, None);
}

#[test]
fn what_no_checkpoint_covers_yet_is_counted() {
    let mut log = log(&[0, 0, 0, 0], 2);
    log.checkpoints.pop();
    assert_eq!(
        verify(&log),
        Report { findings: vec![], entries: 4, uncovered: 2, chains: 1, last: Some((1, log.checkpoints[0].hash())) }
    );
}
