//! The queue → chains and batches; the only one who writes the log of this process.

use super::{CHUNK, Draft, Inner, Item, record};
use aperium_store::audit::{Batch, Chain, SigningKey, Tip};
use aperium_store::{Store, StoreError};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How long a record of a read waits for others.
const GATHER: Duration = Duration::from_millis(50);
/// Records of one batch.
const BATCH: usize = 1024;
/// Between two checkpoints, where anything was written.
const CHECKPOINT: Duration = Duration::from_secs(60);
/// Between two attempts to write a batch; it doubles from the first to the last.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));
/// Attempts after the end: then what could not be written is lost, and said so.
const LAST_ATTEMPTS: u32 = 3;
/// A database that is not there at the start may take that long before writes are refused at once.
const STARTING: Duration = Duration::from_secs(5);

/// Writes the log.
#[derive(Debug)]
pub(crate) struct Scribe {
    inner: Arc<Inner>,
    queue: mpsc::Receiver<Item>,
    store: Store,
    replica: String,
    /// The ends of this process's chains, by tenant.
    ends: HashMap<String, End>,
    /// Whether there is one that no checkpoint covers.
    uncovered: bool,
}

/// A batch that grows, and who waits until it is written.
#[derive(Debug, Default)]
struct Gathered {
    batch: Batch,
    waiting: Vec<oneshot::Sender<()>>,
}

/// Where a chain grows.
#[derive(Debug)]
struct End {
    tip: Tip,
    /// Whether the last checkpoint reaches as far.
    covered: bool,
}

impl Scribe {
    /// Each run has chains of its own: the name alone would continue what another run has begun.
    pub(super) fn new(inner: Arc<Inner>, queue: mpsc::Receiver<Item>, store: Store, replica: &str) -> Self {
        let replica = format!("{replica}-{}", Uuid::new_v4().simple());
        Self { inner, queue, store, replica, ends: HashMap::new(), uncovered: false }
    }

    /// Until the token is cancelled; what is in the queue then is still written, and covered by a checkpoint.
    pub(crate) async fn run(mut self, end: CancellationToken) {
        let Some(key) = self.key(&end).await else {
            tracing::error!(records = self.queue.len(), "the audit log was never ready: what it was to hold is lost");
            return;
        };
        self.inner.meter.enabled();
        let mut due = Instant::now() + CHECKPOINT;
        let mut gathered = Gathered::default();
        loop {
            let more = self.gather(&key, &mut gathered, due, &end).await;
            if !gathered.batch.is_empty() {
                self.write(&mut gathered, &end).await;
            }
            if !more || Instant::now() >= due {
                self.sign(&key).await;
                due = Instant::now() + CHECKPOINT;
            }
            if !more {
                return;
            }
        }
    }

    /// The key that signs, as soon as the database gives it.
    async fn key(&self, end: &CancellationToken) -> Option<SigningKey> {
        let (patience, mut last) = (Instant::now() + STARTING, 0);
        loop {
            match self.store.audit_key().await {
                Ok(key) => {
                    self.inner.down.store(false, Ordering::Release);
                    return Some(key);
                }
                Err(error) => {
                    if Instant::now() >= patience && !self.inner.down.swap(true, Ordering::AcqRel) {
                        tracing::error!(reason = error.reason(), %error, "the audit log is not ready: writes are refused");
                    }
                    self.inner.meter.failed(error.reason());
                }
            }
            if end.is_cancelled() {
                last += 1;
                if last == LAST_ATTEMPTS {
                    return None;
                }
            }
            rest(PAUSES.0, end).await;
        }
    }

    /// The next batch; false after the last one.
    async fn gather(
        &mut self,
        key: &SigningKey,
        gathered: &mut Gathered,
        due: Instant,
        end: &CancellationToken,
    ) -> bool {
        let open = !self.queue.is_closed();
        let mut items = Vec::with_capacity(CHUNK);
        let count = tokio::select! {
            count = self.queue.recv_many(&mut items, CHUNK) => count,
            () = end.cancelled(), if open => {
                self.queue.close();
                return true;
            }
            () = sleep_until(due), if self.uncovered => return true,
        };
        if count == 0 {
            return false;
        }
        self.say_what_was_lost(key, gathered);
        let until = Instant::now() + GATHER;
        loop {
            items.drain(..).for_each(|item| self.take(key, gathered, item));
            while gathered.batch.len() < BATCH
                && let Ok(item) = self.queue.try_recv()
            {
                self.take(key, gathered, item);
                if gathered.batch.len().is_multiple_of(CHUNK) {
                    // Requests are not held up by a long queue.
                    yield_now().await;
                }
            }
            let enough = gathered.batch.len() >= BATCH || !gathered.waiting.is_empty() || !open || end.is_cancelled();
            if enough || Instant::now() >= until {
                return true;
            }
            tokio::select! {
                () = sleep_until(until) => {}
                () = self.inner.hurry.notified() => {}
                () = end.cancelled() => {}
            }
        }
    }

    /// One record takes the place of those that found no room.
    fn say_what_was_lost(&mut self, key: &SigningKey, gathered: &mut Gathered) {
        let lost = self.inner.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let mut record = record("audit", "lost", "");
            record.lost = Some(lost);
            self.take(key, gathered, Item::of(Draft { tenant: None, record, arguments: None }));
        }
    }

    /// Puts a record into the chain of its tenant.
    fn take(&mut self, key: &SigningKey, gathered: &mut Gathered, Item { tenant, body, arguments, done }: Item) {
        let tenant = tenant.as_ref().map_or("", |tenant| tenant.as_str());
        let arguments = arguments.map(|arguments| arguments.written(key, tenant));
        match self.end(tenant) {
            Ok(end) => {
                gathered.batch.append(&mut end.tip, &body, arguments.as_deref());
                end.covered = false;
                self.uncovered = true;
                gathered.waiting.extend(done);
            }
            // Whoever waits is refused.
            Err(error) => tracing::error!(%error, "a record cannot be written"),
        }
    }

    /// The end of the chain of a tenant.
    fn end(&mut self, tenant: &str) -> Result<&mut End, StoreError> {
        if !self.ends.contains_key(tenant) {
            let tip = Tip::new(Chain { replica: self.replica.clone(), tenant: tenant.to_owned() })?;
            self.ends.insert(tenant.to_owned(), End { tip, covered: true });
        }
        self.ends.get_mut(tenant).ok_or(StoreError::Row)
    }

    /// Writes a batch, however long it takes; whoever waits for one of its records hears of the first attempt.
    async fn write(&mut self, Gathered { batch, waiting }: &mut Gathered, end: &CancellationToken) {
        self.inner.meter.queued(self.queue.len());
        let (mut pause, mut last) = (PAUSES.0, 0);
        while let Err(error) = self.append(batch).await {
            // They are dropped, and whoever waits is refused.
            waiting.clear();
            self.inner.meter.failed(error.reason());
            if !self.inner.down.swap(true, Ordering::AcqRel) {
                tracing::error!(reason = error.reason(), %error, "the audit log cannot be written: writes are refused");
            }
            if end.is_cancelled() {
                last += 1;
                if last == LAST_ATTEMPTS {
                    tracing::error!(records = batch.len(), "records of the audit log are lost");
                    batch.clear();
                    return;
                }
            }
            rest(pause, end).await;
            pause = (pause * 2).min(PAUSES.1);
        }
        if self.inner.down.swap(false, Ordering::AcqRel) {
            tracing::info!("the audit log is written again");
        }
        batch.clear();
        for done in waiting.drain(..) {
            // Whoever has stopped waiting was refused.
            let _ = done.send(());
        }
    }

    async fn append(&self, batch: &Batch) -> Result<(), StoreError> {
        let began = std::time::Instant::now();
        self.store.audit_append(batch).await?;
        self.inner.meter.written(batch.len(), began.elapsed());
        Ok(())
    }

    /// Covers what was written since the last time.
    async fn sign(&mut self, key: &SigningKey) {
        let mut heads: Vec<_> = self.ends.values().filter(|end| !end.covered).map(|end| end.tip.head()).collect();
        if heads.is_empty() {
            return;
        }
        heads.sort_by(|one, other| one.tenant.cmp(&other.tenant));
        match self.store.audit_checkpoint(key, &self.replica, heads).await {
            Ok(_) => {
                self.ends.values_mut().for_each(|end| end.covered = true);
                self.uncovered = false;
            }
            Err(error) => {
                self.inner.meter.failed(error.reason());
                tracing::warn!(reason = error.reason(), %error, "no checkpoint of the audit log was made: it is tried again");
            }
        }
    }
}

/// A pause, which the end cuts short once.
async fn rest(pause: Duration, end: &CancellationToken) {
    tokio::select! {
        () = sleep(pause) => {}
        () = end.cancelled(), if !end.is_cancelled() => {}
    }
}

#[cfg(test)]
mod tests;
