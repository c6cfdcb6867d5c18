//! Entries and checkpoints ↔ the database. What is here belongs to all tenants at once: batches, checks, exports.

use super::batch::Batch;
use super::chain::{Chain, Entry, Hash, Head};
use super::checkpoint::{Checkpoint, PublicKey, Signed, SigningKey, VERSION};
use super::verify::{Report, Verifier};
use crate::error::StoreError;
use crate::now_ms;
use crate::store::Store;
use crate::tx::{Row, Tx};
use aperium_platform::seal::{Purpose, SealError, key_id};
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use zeroize::Zeroizing;

const KEY: Purpose = Purpose::new("audit signing key");
/// Rows of one page.
const PAGE: i64 = 1000;
/// How often another replica may be faster with a checkpoint.
pub(super) const ATTEMPTS: u32 = 8;

macro_rules! insert {
    ($end:literal) => {
        concat!(
            "INSERT /* every tenant */ INTO audit_entries (tenant, replica, seq, time_ms, hash, line) \
             SELECT split_part(r, E'\\t', 1), split_part(r, E'\\t', 2), split_part(r, E'\\t', 3)::bigint, \
             split_part(r, E'\\t', 4)::bigint, split_part(r, E'\\t', 6), split_part(r, E'\\t', 5) \
             FROM unnest(string_to_array($1, E'\\n')) AS rows (r)",
            $end
        )
    };
}
/// A batch of which nothing is there, for PostgreSQL.
const NEW: &str = insert!("");
/// A batch of which some may be there: to look for each of them costs a third more.
const NEW_OR_THERE: &str = insert!(" ON CONFLICT (tenant, replica, seq) DO NOTHING");

impl Store {
    /// Appends lines, all or none. Those that are there already are left as they are: a batch may be sent again.
    ///
    /// # Errors
    /// [`StoreError`]; with [`StoreError::Unavailable`] nobody knows whether they were written.
    pub async fn audit_append(&self, batch: &Batch) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        match self.append(batch, NEW).await {
            Err(StoreError::Exists) => self.append(batch, NEW_OR_THERE).await,
            done => done,
        }
    }

    async fn append(&self, batch: &Batch, postgres: &'static str) -> Result<(), StoreError> {
        let rows = if self.0.postgres { batch.text().to_owned() } else { batch.json()? };
        let mut tx = self.every_tenant().write().await?;
        let sql = tx.dialect(
            postgres,
            "INSERT /* every tenant */ INTO audit_entries (tenant, replica, seq, time_ms, hash, line) \
             SELECT value ->> 0, value ->> 1, CAST(value ->> 2 AS INTEGER), CAST(value ->> 3 AS INTEGER), value ->> 5, \
             value ->> 4 FROM json_each($1) WHERE true ON CONFLICT (tenant, replica, seq) DO NOTHING",
        );
        tx.query(sql).bind(rows).execute().await?;
        tx.commit().await
    }

    /// The key that signs checkpoints; made by whoever comes first. It is sealed anew when the ring has a newer key.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn audit_key(&self) -> Result<SigningKey, StoreError> {
        let sealer = &self.0.sealer;
        let mut tx = self.platform().write().await?;
        let mut row = tx.query("SELECT sealed FROM audit_keys WHERE id = 1").optional().await?;
        if row.is_none() {
            let mut seed = Zeroizing::new([0_u8; 32]);
            SystemRandom::new().fill(seed.as_mut_slice()).map_err(|_| SealError::Random)?;
            let sealed = sealer.seal(KEY, b"", seed.as_slice())?;
            let insert = "INSERT INTO audit_keys (id, sealed) VALUES (1, $1) ON CONFLICT (id) DO NOTHING";
            tx.query(insert).bind(sealed).execute().await?;
            row = tx.query("SELECT sealed FROM audit_keys WHERE id = 1").optional().await?;
        }
        let sealed = row.ok_or(StoreError::Row)?.bytes("sealed")?;
        let seed = sealer.open(KEY, b"", &sealed)?;
        let anew = sealer.seal(KEY, b"", &seed)?;
        if key_id(&anew) != key_id(&sealed) {
            tx.query("UPDATE audit_keys SET sealed = $1 WHERE id = 1").bind(anew).execute().await?;
        }
        tx.commit().await?;
        SigningKey::from_seed(&seed).ok_or(StoreError::Row)
    }

    /// Signs these heads as the next checkpoint of the platform.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::Busy`] if other replicas were faster again and again.
    pub async fn audit_checkpoint(
        &self,
        key: &SigningKey,
        replica: &str,
        heads: Vec<Head>,
    ) -> Result<Signed, StoreError> {
        let mut checkpoint = Checkpoint {
            v: VERSION,
            seq: 0,
            before: Hash::GENESIS,
            time_ms: 0,
            replica: replica.to_owned(),
            heads,
            cuts: None,
        };
        for _ in 0..ATTEMPTS {
            let mut tx = self.platform().write().await?;
            match next_checkpoint(&mut tx, key, &mut checkpoint).await {
                Err(StoreError::Exists) => {}
                done => {
                    let signed = done?;
                    tx.commit().await?;
                    return Ok(signed);
                }
            }
        }
        Err(StoreError::Busy)
    }

    /// All checkpoints that are kept, in their order.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn audit_checkpoints(&self) -> Result<Vec<Signed>, StoreError> {
        let mut all: Vec<Signed> = Vec::new();
        loop {
            let after = all.last().map_or(i64::MIN, |last| stored(last.seq));
            let mut tx = self.platform().read().await?;
            let sql = "SELECT seq, body, signature FROM audit_checkpoints WHERE seq > $1 ORDER BY seq LIMIT 1000";
            let page = tx.query(sql).bind(after).all().await?;
            if page.is_empty() {
                return Ok(all);
            }
            for row in page {
                all.push(signed(&row)?);
            }
        }
    }

    /// The page of entries that follows a place; chain by chain, each in its order. Empty at the end.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn audit_page(&self, after: Option<&Entry>) -> Result<Vec<Entry>, StoreError> {
        let none = Chain { replica: String::new(), tenant: String::new() };
        let (chain, seq) = after.map_or((&none, i64::MIN), |entry| (&entry.chain, stored(entry.seq)));
        let mut tx = self.every_tenant().read().await?;
        let sql = "SELECT /* every tenant */ tenant, replica, seq, time_ms, hash, line FROM audit_entries \
             WHERE (tenant, replica, seq) > ($1, $2, $3) ORDER BY tenant, replica, seq LIMIT $4";
        let (tenant, replica) = (chain.tenant.as_str(), chain.replica.as_str());
        let rows = tx.query(sql).bind(tenant).bind(replica).bind(seq).bind(PAGE).all().await?;
        rows.iter().map(entry).collect()
    }

    /// Verifies all of it. `noted`: what an earlier report named as the last checkpoint.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn audit_verify(&self, keys: &[PublicKey], noted: Option<(u64, Hash)>) -> Result<Report, StoreError> {
        // Checkpoints first: whatever is written meanwhile is only not covered yet.
        let mut verifier = Verifier::new(keys, &self.audit_checkpoints().await?, noted);
        let mut last: Option<Entry> = None;
        loop {
            let page = self.audit_page(last.as_ref()).await?;
            page.iter().for_each(|entry| verifier.entry(entry));
            match page.into_iter().next_back() {
                Some(entry) => last = Some(entry),
                None => return Ok(verifier.finish()),
            }
        }
    }
}

/// Signs and inserts what follows the newest checkpoint.
pub(super) async fn next_checkpoint(
    tx: &mut Tx,
    key: &SigningKey,
    checkpoint: &mut Checkpoint,
) -> Result<Signed, StoreError> {
    let newest = "SELECT seq, body, signature FROM audit_checkpoints ORDER BY seq DESC LIMIT 1";
    let newest = tx.query(newest).optional().await?.map(|row| signed(&row)).transpose()?;
    (checkpoint.seq, checkpoint.before) =
        newest.map_or((1, Hash::GENESIS), |newest| (newest.seq.saturating_add(1), newest.hash()));
    checkpoint.time_ms = now_ms();
    let signed = key.sign(checkpoint).map_err(|_| StoreError::Row)?;
    let insert = "INSERT INTO audit_checkpoints (seq, body, signature) VALUES ($1, $2, $3)";
    let (body, signature) = (signed.body.as_str(), signed.signature.as_str());
    tx.query(insert).bind(stored(signed.seq)).bind(body).bind(signature).execute().await?;
    Ok(signed)
}

pub(super) fn signed(row: &Row) -> Result<Signed, StoreError> {
    Ok(Signed { seq: place(row)?, body: row.text("body")?, signature: row.text("signature")? })
}

pub(super) fn entry(row: &Row) -> Result<Entry, StoreError> {
    let chain = Chain { replica: row.text("replica")?, tenant: row.text("tenant")? };
    // A hash that is none is one that nothing leads to.
    let hash = Hash::parse(&row.text("hash")?).unwrap_or(Hash::GENESIS);
    Ok(Entry { chain, seq: place(row)?, time_ms: row.int("time_ms")?, line: row.text("line")?, hash })
}

/// A place below one is none; it is told as 0, which no chain has.
fn place(row: &Row) -> Result<u64, StoreError> {
    Ok(u64::try_from(row.int("seq")?).unwrap_or(0))
}

pub(super) fn stored(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
