//! What happens → the audit log of the platform database (`store::audit`).
//!
//! ```text
//! request ── its trail, when it ends ──► record ──► text ──► queue ──► scribe: chain ──► one batch, one transaction
//! write ──── before a credential is used, and waits ───────────┘         └── heads of the chains ──► signed checkpoint
//! broker, OAuth ───────────────────────────────────────────────┘
//! ```
//! A record becomes text where it is made: that is small, and what it is made of can go.
//!
//! Nobody waits for the record of a read. When the queue is full it is lost: counted, and the log itself says how many
//! are missing. What may write waits until its record is in the database, and is refused where that cannot be.
//!
//! Without a platform database there is no audit log; the access log still says what was decided.

use crate::trail::{self, Trail};
use aperium_core::id::TenantId;
use aperium_store::Store;
use aperium_store::audit::{Access, Body, Decision, Phase, Record, bounded};
use aperium_store::now_ms;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::timeout;

pub(crate) mod arguments;
pub(crate) mod meter;
pub(crate) mod retention;
mod scribe;

pub(crate) use arguments::Arguments;
pub(crate) use scribe::Scribe;

use meter::Meter;

/// Records that wait to be written. With arguments at their longest they hold some 40 MiB.
const QUEUE: usize = 8192;
/// So many are put into their chains at once, however long the first of them may still wait: they are in the cache
/// then, and requests need not wait for many of them.
const CHUNK: usize = 64;
/// How long a write waits for its record.
const PATIENCE: Duration = Duration::from_secs(5);
/// Failed sign-ins that are put on record within a minute, on one replica.
const STRANGERS: u32 = 60;
const MINUTE: Duration = Duration::from_secs(60);

/// Why a write is refused: it could not be put on record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unrecorded {
    /// The queue is full.
    #[error("the audit log has no room for more records now")]
    Full,
    /// The database does not take records.
    #[error("the audit log cannot be written now")]
    Down,
    /// It took too long; the record may have been written all the same.
    #[error("the audit log was not written in time")]
    Late,
}

impl Unrecorded {
    /// `PascalCase` reason.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::Full => "AuditQueueFull",
            Self::Down => "AuditUnavailable",
            Self::Late => "AuditTimeout",
        }
    }
}

/// A record that is not yet in a chain.
#[derive(Debug)]
pub(crate) struct Draft<'d> {
    /// Whose chain it belongs to.
    pub(crate) tenant: Option<TenantId>,
    /// What is on record, the arguments aside.
    pub(crate) record: Record<'d>,
    /// The arguments.
    pub(crate) arguments: Option<Arguments>,
}

/// What waits in the queue.
#[derive(Debug)]
struct Item {
    tenant: Option<TenantId>,
    body: Body,
    arguments: Option<Arguments>,
    /// Who waits for it.
    done: Option<oneshot::Sender<()>>,
}

impl Item {
    fn of(Draft { tenant, record, arguments }: Draft<'_>) -> Self {
        Self { tenant, body: record.body(), arguments, done: None }
    }
}

/// The way to the log. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Audit(Option<Arc<Inner>>);

#[derive(Debug)]
struct Inner {
    queue: mpsc::Sender<Item>,
    /// There is a [`CHUNK`] to be taken, or a write waits.
    hurry: Notify,
    /// The last attempt failed: writes are refused at once until one succeeds.
    down: AtomicBool,
    /// Records that found no room since the log last said so.
    lost: AtomicU64,
    /// Failed sign-ins of this minute, which began then.
    strangers: Mutex<(Instant, u32)>,
    meter: Meter,
}

impl Audit {
    /// The log of this store, and what writes it: `replica` is the name of this process.
    pub(crate) fn new(store: Store, replica: &str, meter: Meter) -> (Self, Scribe) {
        Self::with_room(store, replica, meter, QUEUE)
    }

    fn with_room(store: Store, replica: &str, meter: Meter, room: usize) -> (Self, Scribe) {
        let (queue, receiver) = mpsc::channel(room);
        let (down, lost) = (AtomicBool::new(false), AtomicU64::new(0));
        let strangers = Mutex::new((Instant::now(), 0));
        let inner = Arc::new(Inner { queue, hurry: Notify::new(), down, lost, strangers, meter });
        let scribe = Scribe::new(Arc::clone(&inner), receiver, store, replica);
        (Self(Some(inner)), scribe)
    }

    /// Whether there is a log at all.
    pub(crate) const fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// A request has ended.
    pub(crate) fn ended(&self, trail: &Trail) {
        if let Some(inner) = &self.0 {
            inner.put(|| trail.recorded(Phase::Done, Item::of));
        }
    }

    /// A sign-in has failed. Anyone can make that happen: only so many a minute are put on record, and further ones are
    /// counted like records that find no room.
    pub(crate) fn not_signed_in(&self, trail: &Trail) {
        let Some(inner) = &self.0 else { return };
        let within = {
            let mut strangers = inner.strangers.lock().unwrap_or_else(PoisonError::into_inner);
            if strangers.0.elapsed() >= MINUTE {
                *strangers = (Instant::now(), 0);
            }
            strangers.1 = strangers.1.saturating_add(1);
            strangers.1 <= STRANGERS
        };
        if within {
            inner.put(|| trail.recorded(Phase::Done, Item::of));
        } else {
            inner.lose();
        }
    }

    /// Something happened that is no request of the listeners.
    pub(crate) fn note<'d>(&self, draft: impl FnOnce() -> Draft<'d>) {
        if let Some(inner) = &self.0 {
            inner.put(|| Item::of(draft()));
        }
    }

    /// Puts the request that is being served on record, and waits until it is. To be asked before a credential is used
    /// for anything that may write.
    ///
    /// # Errors
    /// [`Unrecorded`]: then it must not go on.
    pub(crate) async fn intent(&self) -> Result<(), Unrecorded> {
        let Some(inner) = &self.0 else { return Ok(()) };
        // Every request has a trail while there is a log.
        let item = trail::current().map(|trail| trail.recorded(Phase::Intent, Item::of));
        let written = inner.write(item.ok_or(Unrecorded::Down)?).await;
        if let Err(refused) = written {
            inner.meter.refused(refused.reason());
            tracing::error!(reason = refused.reason(), "a write was refused: it could not be put on record");
        }
        written
    }
}

impl Inner {
    fn put(&self, item: impl FnOnce() -> Item) {
        match self.queue.try_reserve() {
            Ok(room) => room.send(item()),
            Err(_) => self.lose(),
        }
        if self.queue.max_capacity() - self.queue.capacity() >= CHUNK {
            self.hurry.notify_one();
        }
    }

    fn lose(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
        self.meter.dropped();
    }

    async fn write(&self, item: Item) -> Result<(), Unrecorded> {
        if self.down.load(Ordering::Acquire) {
            return Err(Unrecorded::Down);
        }
        let (done, written) = oneshot::channel();
        self.queue.try_send(Item { done: Some(done), ..item }).map_err(|error| match error {
            TrySendError::Full(_) => Unrecorded::Full,
            TrySendError::Closed(_) => Unrecorded::Down,
        })?;
        self.hurry.notify_one();
        match timeout(PATIENCE, written).await {
            Ok(Ok(())) => Ok(()),
            // Whoever was to write it has given up on it.
            Ok(Err(_)) => Err(Unrecorded::Down),
            Err(_) => Err(Unrecorded::Late),
        }
    }
}

/// A record of something that is no request of the listeners: allowed, done, by nobody, to be completed.
pub(crate) fn record<'r>(endpoint: &'static str, method: &'static str, request_id: &'r str) -> Record<'r> {
    Record {
        time_ms: now_ms(),
        phase: Phase::Done,
        request_id: bounded(request_id),
        principal: None,
        delegate: None,
        agent: None,
        endpoint: endpoint.into(),
        method: method.into(),
        connector: None,
        tool: None,
        access: Access::Read,
        decision: Decision::Allowed,
        grant: None,
        outcome: "ok".into(),
        status: None,
        took_ms: None,
        lost: None,
        arguments: None,
    }
}
