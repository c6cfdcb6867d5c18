//! What is too old is removed: first a signed checkpoint says up to where, then the rows go. A log that was cut in this
//! way verifies; whoever has no key cannot cut it, nor have it cut by giving a row an older time.

use super::chain::{Chain, Entry, Hash, Head, link};
use super::checkpoint::{Checkpoint, Cuts, SigningKey, VERSION};
use super::record::Line;
use super::rows::{ATTEMPTS, entry, next_checkpoint, signed, stored};
use crate::error::StoreError;
use crate::store::Store;
use crate::tx::{Row, Tx};
use std::collections::BTreeMap;

/// Checkpoints are kept for longer than what they cover: the clocks of replicas differ.
const LONGER_MS: i64 = 24 * 60 * 60 * 1000;
/// Rows that are deleted in one transaction.
const AT_ONCE: i64 = 2000;

/// What retention has done.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Retained {
    /// Records that were removed.
    pub removed: u64,
    /// Chains whose last old record is not what was written there: nothing of them is removed.
    pub altered: Vec<Chain>,
}

impl Store {
    /// Removes what was put on record before this time, and the checkpoints that cover nothing else.
    /// Replicas may do it at the same time. What was interrupted goes on with the next time.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn audit_retain(&self, before_ms: i64) -> Result<Retained, StoreError> {
        let key = self.audit_key().await?;
        let mut altered = Vec::new();
        for attempt in 1..=ATTEMPTS {
            let mut tx = self.every_tenant().write().await?;
            match cut(&mut tx, &key, before_ms).await {
                // Another replica has made the next checkpoint.
                Err(StoreError::Exists) if attempt < ATTEMPTS => {}
                done => {
                    altered = done?;
                    tx.commit().await?;
                    break;
                }
            }
        }
        Ok(Retained { removed: self.remove_what_was_cut().await?, altered })
    }

    async fn remove_what_was_cut(&self) -> Result<u64, StoreError> {
        let mut removed = 0;
        loop {
            let mut tx = self.every_tenant().write().await?;
            let sql = "DELETE /* every tenant */ FROM audit_entries WHERE (tenant, replica, seq) IN \
                 (SELECT e.tenant, e.replica, e.seq FROM audit_entries e JOIN audit_cuts c \
                  ON c.tenant = e.tenant AND c.replica = e.replica WHERE e.seq <= c.seq LIMIT $1)";
            let rows = tx.query(sql).bind(AT_ONCE).execute().await?;
            tx.commit().await?;
            removed += rows;
            if rows == 0 {
                break;
            }
        }
        let mut tx = self.every_tenant().write().await?;
        let sql = "DELETE /* every tenant */ FROM audit_checkpoints WHERE seq <= \
             (SELECT MAX(c.seq) FROM audit_cuts c WHERE c.tenant = '' AND c.replica = '')";
        tx.query(sql).execute().await?;
        tx.commit().await?;
        Ok(removed)
    }
}

/// Signs how far is to be cut, where that is further than before. Which chains are left alone.
async fn cut(tx: &mut Tx, key: &SigningKey, before_ms: i64) -> Result<Vec<Chain>, StoreError> {
    let before = newest_cuts(tx, key).await?;
    let mut chains: BTreeMap<Chain, Head> = before.chains.iter().map(|head| (head.chain(), head.clone())).collect();
    let (mut further, mut altered) = (false, Vec::new());
    for old in old(tx, before_ms).await? {
        let chain = &old.entry.chain;
        let cut = chains.get(chain);
        if cut.is_some_and(|cut| cut.seq >= old.entry.seq) {
            continue;
        }
        if !old.is_what_was_written(cut, before_ms) {
            altered.push(chain.clone());
            continue;
        }
        further = true;
        chains.insert(chain.clone(), old.entry.head());
    }
    let (checkpoints, hash) = old_checkpoints(tx, key, &before, before_ms.saturating_sub(LONGER_MS)).await?;
    if !further && checkpoints == before.checkpoints {
        return Ok(altered);
    }
    let mut named = BTreeMap::new();
    let mut cut = Vec::new();
    for (chain, head) in chains {
        // A chain of which nothing is left is forgotten with the last checkpoint of its replica.
        if is_there(tx, &head).await? || is_named(tx, &mut named, &chain.replica, checkpoints).await? {
            cut.push(head);
        }
    }
    let cuts = Cuts { checkpoints, hash, chains: cut };
    let mut checkpoint = Checkpoint {
        v: VERSION,
        seq: 0,
        before: Hash::GENESIS,
        time_ms: 0,
        replica: String::new(),
        heads: Vec::new(),
        cuts: Some(cuts.clone()),
    };
    next_checkpoint(tx, key, &mut checkpoint).await?;
    note(tx, &cuts).await?;
    Ok(altered)
}

/// A checkpoint as it was signed. With one that is not, the log is not intact; then nothing of it is removed.
fn opened(key: &SigningKey, row: &Row) -> Result<(Hash, Checkpoint), StoreError> {
    let signed = signed(row)?;
    let checkpoint = signed.open(&[key.public()]).filter(|checkpoint| checkpoint.seq == signed.seq);
    Ok((signed.hash(), checkpoint.ok_or(StoreError::Row)?))
}

/// How far the log was cut before.
async fn newest_cuts(tx: &mut Tx, key: &SigningKey) -> Result<Cuts, StoreError> {
    let sql =
        "SELECT seq, body, signature FROM audit_checkpoints WHERE body LIKE '%\"cuts\":%' ORDER BY seq DESC LIMIT 1";
    let newest = tx.query(sql).optional().await?.map(|row| opened(key, &row)).transpose()?;
    let cuts = newest.and_then(|(_, checkpoint)| checkpoint.cuts);
    Ok(cuts.unwrap_or(Cuts { checkpoints: 0, hash: Hash::GENESIS, chains: Vec::new() }))
}

/// The last checkpoint that is old enough to go, and its hash. Never the newest: with it the log says where it ends;
/// nor one that says how far the log is cut, while no later one does.
async fn old_checkpoints(
    tx: &mut Tx,
    key: &SigningKey,
    before: &Cuts,
    before_ms: i64,
) -> Result<(u64, Hash), StoreError> {
    let (mut last, mut waiting) = ((before.checkpoints, before.hash), None);
    loop {
        let after = waiting.map_or(last.0, |(seq, _)| seq);
        let sql = "SELECT seq, body, signature FROM audit_checkpoints WHERE seq > $1 ORDER BY seq LIMIT 1000";
        let page = tx.query(sql).bind(stored(after)).all().await?;
        if page.is_empty() {
            return Ok(last);
        }
        for row in &page {
            let (hash, checkpoint) = opened(key, row)?;
            if checkpoint.time_ms >= before_ms {
                return Ok(waiting.unwrap_or(last));
            }
            // One is let go when it is seen that another follows.
            last = waiting.replace((checkpoint.seq, hash)).unwrap_or(last);
        }
    }
}

/// Whether anything is left of a chain: what is to be deleted counts too, for the triggers let go only what is cut.
async fn is_there(tx: &mut Tx, cut: &Head) -> Result<bool, StoreError> {
    let sql = "SELECT /* every tenant */ seq FROM audit_entries WHERE tenant = $1 AND replica = $2 LIMIT 1";
    let (tenant, replica) = (cut.tenant.as_str(), cut.replica.as_str());
    Ok(tx.query(sql).bind(tenant).bind(replica).optional().await?.is_some())
}

/// Whether a checkpoint that is kept may name chains of this replica.
async fn is_named(
    tx: &mut Tx,
    known: &mut BTreeMap<String, bool>,
    replica: &str,
    after: u64,
) -> Result<bool, StoreError> {
    if let Some(named) = known.get(replica) {
        return Ok(*named);
    }
    let sql = "SELECT seq FROM audit_checkpoints WHERE seq > $1 AND body LIKE $2 LIMIT 1";
    let pattern = format!("%\"heads\":[{{%\"replica\":\"{replica}\"%");
    let named = tx.query(sql).bind(stored(after)).bind(pattern).optional().await?.is_some();
    known.insert(replica.to_owned(), named);
    Ok(named)
}

/// The last entry of a chain before some time.
struct Old {
    entry: Entry,
    /// The hash of the row before it, where there is one.
    before: Option<Hash>,
}

impl Old {
    /// Whether its line says where it stands and that it is old, and follows from what is before it: otherwise an older
    /// time, written into the row or into the line as well, would have a replica remove what somebody wants gone.
    fn is_what_was_written(&self, cut: Option<&Head>, before_ms: i64) -> bool {
        let Entry { chain, seq, line, hash, .. } = &self.entry;
        let cut = cut.map_or((0, Hash::GENESIS), |cut| (cut.seq, cut.hash));
        let before = if *seq == cut.0 + 1 { Some(cut.1) } else { self.before };
        let own = |line: Line| {
            let place = (line.replica == chain.replica, line.tenant == chain.tenant, line.seq == *seq);
            place == (true, true, true) && line.record.time_ms < before_ms
        };
        Line::parse(line).is_some_and(own) && before.is_some_and(|before| link(&before, line) == *hash)
    }
}

/// Where each chain is at this time.
async fn old(tx: &mut Tx, before_ms: i64) -> Result<Vec<Old>, StoreError> {
    let sql = "SELECT /* every tenant */ e.tenant, e.replica, e.seq, e.time_ms, e.hash, e.line, \
         COALESCE(p.hash, '') AS before FROM audit_entries e JOIN \
         (SELECT tenant, replica, MAX(seq) AS seq FROM audit_entries WHERE time_ms < $1 GROUP BY tenant, replica) o \
         ON o.tenant = e.tenant AND o.replica = e.replica AND o.seq = e.seq \
         LEFT JOIN audit_entries p ON p.tenant = e.tenant AND p.replica = e.replica AND p.seq = e.seq - 1";
    let rows = tx.query(sql).bind(before_ms).all().await?;
    rows.iter().map(|row| Ok(Old { entry: entry(row)?, before: Hash::parse(&row.text("before")?) })).collect()
}

/// What the triggers let go.
async fn note(tx: &mut Tx, cuts: &Cuts) -> Result<(), StoreError> {
    let all = cuts.chains.iter().map(|head| (head.tenant.as_str(), head.replica.as_str(), head.seq));
    for (tenant, replica, seq) in all.chain([("", "", cuts.checkpoints)]) {
        let sql = "INSERT /* every tenant */ INTO audit_cuts (tenant, replica, seq) VALUES ($1, $2, $3) \
             ON CONFLICT (tenant, replica) DO UPDATE SET seq = excluded.seq";
        tx.query(sql).bind(tenant).bind(replica).bind(stored(seq)).execute().await?;
    }
    Ok(())
}
