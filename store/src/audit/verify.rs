//! Checkpoints, then entries chain by chain in the order of their places → what is wrong, and where.
//!
//! Of an entry: its line must say that it stands where it stands and was made when the row says, and its hash must
//! follow from the line and the hash before it. Whoever can write to the database can put a whole chain right again
//! after changing it; but the hash then differs from the signed one in the next checkpoint. Only what no checkpoint
//! covers yet can be changed unseen.

use super::chain::{Chain, Entry, Hash, Head, link};
use super::checkpoint::{Checkpoint, Cuts, PublicKey, Signed};
use super::record::Line;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// Entries are gone from within a chain.
    Missing {
        /// Where.
        chain: Chain,
        /// The first.
        from: u64,
        /// The last.
        to: u64,
    },
    /// Entries are gone from the end of a chain, which a checkpoint covers.
    TailMissing {
        /// Where.
        chain: Chain,
        /// The first.
        from: u64,
        /// The last that is known to have been there.
        to: u64,
        /// The checkpoint.
        checkpoint: u64,
    },
    /// An entry is not what was written.
    Altered {
        /// Where.
        chain: Chain,
        /// Its place.
        seq: u64,
    },
    /// An entry was written for another place.
    Moved {
        /// Where it stands.
        chain: Chain,
        /// At which place.
        seq: u64,
        /// The chain that it belongs to.
        from: Chain,
        /// The place that it belongs to.
        from_seq: u64,
    },
    /// An entry stands before one that comes earlier.
    OutOfOrder {
        /// Where.
        chain: Chain,
        /// Its place.
        seq: u64,
    },
    /// An entry is there twice.
    Repeated {
        /// Where.
        chain: Chain,
        /// Its place.
        seq: u64,
    },
    /// A chain hangs together and yet is not what a checkpoint covers: it was written anew.
    Rewritten {
        /// Where.
        chain: Chain,
        /// After this place, where it was still good.
        after: u64,
        /// The place that the checkpoint names.
        seq: u64,
        /// The checkpoint.
        checkpoint: u64,
    },
    /// Checkpoints are gone.
    CheckpointsMissing {
        /// The first.
        from: u64,
        /// The last.
        to: u64,
    },
    /// A checkpoint is not what was signed, not signed by a trusted key, or does not follow the one before it.
    CheckpointAltered {
        /// Its place.
        seq: u64,
    },
    /// The checkpoint that somebody has noted is gone or another one.
    NotAsNoted {
        /// Its place.
        seq: u64,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { chain, from, to } => write!(f, "{chain}: records {from} to {to} were removed"),
            Self::TailMissing { chain, from, to, checkpoint } => {
                write!(f, "{chain}: records {from} to {to} were removed from the end (checkpoint {checkpoint})")
            }
            Self::Altered { chain, seq } => write!(f, "{chain}: record {seq} was altered"),
            Self::Moved { chain, seq, from, from_seq } => {
                write!(f, "{chain}: record {seq} was moved here: it is record {from_seq} of {from}")
            }
            Self::OutOfOrder { chain, seq } => write!(f, "{chain}: record {seq} is out of order"),
            Self::Repeated { chain, seq } => write!(f, "{chain}: record {seq} is there twice"),
            Self::Rewritten { chain, after, seq, checkpoint } => {
                write!(f, "{chain}: records {} to {seq} were written anew (checkpoint {checkpoint})", after + 1)
            }
            Self::CheckpointsMissing { from, to } => write!(f, "checkpoints {from} to {to} were removed"),
            Self::CheckpointAltered { seq } => {
                write!(f, "checkpoint {seq} was altered, or is not signed by a known key")
            }
            Self::NotAsNoted { seq } => write!(f, "checkpoint {seq} is not the one that was noted"),
        }
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// All that is wrong.
    pub findings: Vec<Finding>,
    /// Entries that were looked at.
    pub entries: u64,
    /// Of these, how many no checkpoint covers yet.
    pub uncovered: u64,
    /// Chains.
    pub chains: u64,
    /// The last good checkpoint and its hash: what to note elsewhere.
    pub last: Option<(u64, Hash)>,
}

/// Verifies.
#[derive(Debug)]
pub struct Verifier {
    findings: Vec<Finding>,
    /// Signed hashes of chains, by place: hash and checkpoint.
    heads: HashMap<Chain, BTreeMap<u64, (Hash, u64)>>,
    cuts: HashMap<Chain, Head>,
    last: Option<(u64, Hash)>,
    /// Chains that were left behind.
    left: HashSet<Chain>,
    at: Option<At>,
    entries: u64,
    uncovered: u64,
}

/// Within a chain.
#[derive(Debug)]
struct At {
    chain: Chain,
    seq: u64,
    hash: Hash,
    /// The last place that agrees with a checkpoint.
    good: u64,
    rewritten: bool,
    /// Places after a cut that were seen, for telling twice from out of order.
    skipped: HashSet<u64>,
}

impl Verifier {
    /// Reads the checkpoints, in the order of their places. `noted` is what an earlier report said was the last one.
    #[must_use]
    pub fn new(keys: &[PublicKey], checkpoints: &[Signed], noted: Option<(u64, Hash)>) -> Self {
        let mut findings = Vec::new();
        let opened: Vec<(&Signed, Option<Checkpoint>)> =
            checkpoints.iter().map(|signed| (signed, signed.open(keys).filter(|c| c.seq == signed.seq))).collect();
        let cuts = opened.iter().rev().find_map(|(_, checkpoint)| checkpoint.as_ref()?.cuts.as_ref());
        let last = in_chain(&opened, cuts, &mut findings);
        let mut heads: HashMap<Chain, BTreeMap<u64, (Hash, u64)>> = HashMap::new();
        for checkpoint in opened.iter().filter_map(|(_, checkpoint)| checkpoint.as_ref()) {
            for head in &checkpoint.heads {
                heads.entry(head.chain()).or_default().insert(head.seq, (head.hash, checkpoint.seq));
            }
        }
        if let Some((seq, hash)) = noted {
            let cut = cuts.is_some_and(|cuts| seq < cuts.checkpoints || (seq, hash) == (cuts.checkpoints, cuts.hash));
            let there = checkpoints.iter().any(|signed| signed.seq == seq && signed.hash() == hash);
            if !(cut || there) {
                findings.push(Finding::NotAsNoted { seq });
            }
        }
        let cuts = cuts.iter().flat_map(|cuts| &cuts.chains).map(|head| (head.chain(), head.clone())).collect();
        Self { findings, heads, cuts, last, left: HashSet::new(), at: None, entries: 0, uncovered: 0 }
    }

    /// Reads the next entry. Chains come one after the other, each in the order of its places.
    pub fn entry(&mut self, entry: &Entry) {
        if self.at.as_ref().is_none_or(|at| at.chain != entry.chain) {
            self.leave();
            self.enter(entry.chain.clone());
        }
        let Some(mut at) = self.at.take() else { return };
        self.follow(&mut at, entry);
        self.at = Some(at);
    }

    /// After the last entry.
    #[must_use]
    pub fn finish(mut self) -> Report {
        self.leave();
        // Chains of which nothing is left at all.
        let mut gone: Vec<Chain> = self.heads.keys().filter(|chain| !self.left.contains(*chain)).cloned().collect();
        gone.sort();
        for chain in gone {
            self.enter(chain);
            self.leave();
        }
        let chains = self.left.len() as u64;
        let Self { findings, entries, uncovered, last, .. } = self;
        Report { findings, entries, uncovered, chains, last }
    }

    fn enter(&mut self, chain: Chain) {
        let (seq, hash) = self.cuts.get(&chain).map_or((0, Hash::GENESIS), |cut| (cut.seq, cut.hash));
        // The cut itself must be where a checkpoint has seen the chain.
        let heads = self.heads.get(&chain);
        if let Some((signed, checkpoint)) = heads.and_then(|heads| heads.get(&seq))
            && *signed != hash
        {
            let after = heads.and_then(|heads| heads.range(..seq).next_back()).map_or(0, |(seq, _)| *seq);
            self.findings.push(Finding::Rewritten { chain: chain.clone(), after, seq, checkpoint: *checkpoint });
        }
        self.at = Some(At { chain, seq, hash, good: seq, rewritten: false, skipped: HashSet::new() });
    }

    fn follow(&mut self, at: &mut At, entry: &Entry) {
        let (chain, seq) = (entry.chain.clone(), entry.seq);
        let cut = self.cuts.get(&chain).map_or(0, |cut| cut.seq);
        if seq <= cut && seq > 0 {
            // Retention is at work, or has left something: it counts as gone.
            return;
        }
        self.entries += 1;
        if seq <= at.seq {
            let finding = if at.skipped.contains(&seq) {
                Finding::OutOfOrder { chain, seq }
            } else {
                Finding::Repeated { chain, seq }
            };
            self.findings.push(finding);
            return;
        }
        let gap = seq > at.seq + 1;
        if gap {
            self.findings.push(Finding::Missing { chain: chain.clone(), from: at.seq + 1, to: seq - 1 });
            if seq - at.seq <= 4096 {
                at.skipped.extend(at.seq + 1..seq);
            }
        }
        // After a gap nobody knows the hash before; the next checkpoint tells about what follows.
        let hangs = gap || link(&at.hash, &entry.line) == entry.hash;
        match Line::parse(&entry.line) {
            Some(line) if line.seq != seq || line.replica != chain.replica || line.tenant != chain.tenant => {
                let from = Chain { replica: line.replica, tenant: line.tenant };
                self.findings.push(Finding::Moved { chain: chain.clone(), seq, from, from_seq: line.seq });
            }
            Some(line) if hangs && line.record.time_ms == entry.time_ms => {}
            _ => self.findings.push(Finding::Altered { chain: chain.clone(), seq }),
        }
        (at.seq, at.hash) = (seq, entry.hash);
        let Some((signed, checkpoint)) = self.heads.get(&chain).and_then(|heads| heads.get(&seq)) else { return };
        if *signed == entry.hash {
            at.good = seq;
        } else if !std::mem::replace(&mut at.rewritten, true) {
            self.findings.push(Finding::Rewritten { chain, after: at.good, seq, checkpoint: *checkpoint });
        }
    }

    /// The end of a chain: it must reach as far as it was signed.
    fn leave(&mut self) {
        let Some(at) = self.at.take() else { return };
        if !self.left.insert(at.chain.clone()) {
            // It came before: somebody has mixed the chains.
            self.findings.push(Finding::OutOfOrder { chain: at.chain, seq: at.seq });
            return;
        }
        let signed = self.heads.get(&at.chain).and_then(BTreeMap::last_key_value);
        let covered = signed.map_or(0, |(seq, _)| *seq);
        self.uncovered += at.seq.saturating_sub(covered.max(self.cuts.get(&at.chain).map_or(0, |cut| cut.seq)));
        if let Some((to, (_, checkpoint))) = signed.filter(|(seq, _)| **seq > at.seq) {
            let (from, to, checkpoint) = (at.seq + 1, *to, *checkpoint);
            self.findings.push(Finding::TailMissing { chain: at.chain, from, to, checkpoint });
        }
    }
}

/// Checks that each checkpoint follows the one before it; the last that does, and its hash.
fn in_chain(
    opened: &[(&Signed, Option<Checkpoint>)],
    cuts: Option<&Cuts>,
    findings: &mut Vec<Finding>,
) -> Option<(u64, Hash)> {
    let (mut seq, mut hash) = cuts.map_or((0, Hash::GENESIS), |cuts| (cuts.checkpoints, cuts.hash));
    let mut last = None;
    for (signed, checkpoint) in opened {
        if signed.seq <= seq {
            if cuts.is_none_or(|cuts| signed.seq > cuts.checkpoints) {
                findings.push(Finding::CheckpointAltered { seq: signed.seq });
            }
            continue;
        }
        let gap = signed.seq > seq + 1;
        if gap {
            findings.push(Finding::CheckpointsMissing { from: seq + 1, to: signed.seq - 1 });
        }
        match checkpoint {
            Some(checkpoint) if gap || checkpoint.before == hash => last = Some((signed.seq, signed.hash())),
            _ => findings.push(Finding::CheckpointAltered { seq: signed.seq }),
        }
        (seq, hash) = (signed.seq, signed.hash());
    }
    last
}

#[cfg(test)]
pub(crate) mod tests;
