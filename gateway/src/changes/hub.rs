//! Everyone who is told of changes: who may be, how many at a time, and what all of them share.

use super::notice::List;
use super::watch::{Place, Watch};
use crate::error::Failure;
use crate::metrics::Metrics;
use crate::snapshot::{Identity, Snapshot};
use arc_swap::ArcSwap;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What all who are told share.
#[derive(Debug)]
pub(crate) struct Hub {
    /// What is served.
    pub(super) snapshot: Arc<ArcSwap<Snapshot>>,
    /// Told of every new one.
    pub(super) changed: watch::Receiver<()>,
    /// Ends everything.
    pub(super) shutdown: CancellationToken,
    metrics: Arc<Metrics>,
    open: Mutex<HashMap<Box<str>, usize>>,
}

impl Hub {
    /// Nobody is told yet. `changed` hears of every new Snapshot.
    pub(crate) fn new(
        snapshot: Arc<ArcSwap<Snapshot>>,
        changed: watch::Receiver<()>,
        metrics: Arc<Metrics>,
        shutdown: CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self { snapshot, changed, shutdown, metrics, open: Mutex::default() })
    }

    /// Watches for a caller what changes for it from now on.
    ///
    /// # Errors
    /// [`Failure::TooManySubscriptions`]; [`Failure::NoRole`] and [`Failure::NotFound`] for one who has lost access.
    pub(crate) fn watch(
        self: &Arc<Self>,
        identity: &Arc<Identity>,
        place: Place,
        lists: &[List],
    ) -> Result<Watch, Failure> {
        Watch::new(self.admit(identity)?, identity, place, lists)
    }

    /// Counts one more, where the limits allow it.
    fn admit(self: &Arc<Self>, identity: &Identity) -> Result<Admission, Failure> {
        let limits = self.snapshot.load().catalog.settings.limits.clone();
        let mut open = self.open();
        let all: usize = open.values().sum();
        let own = open.get(identity.key()).copied().unwrap_or(0);
        if all >= limits.max_subscriptions || own >= limits.max_subscriptions_per_caller {
            return Err(Failure::TooManySubscriptions);
        }
        open.insert(identity.key().into(), own + 1);
        self.metrics.subscriptions(all + 1);
        Ok(Admission { hub: Arc::clone(self), key: identity.key().into() })
    }

    fn open(&self) -> MutexGuard<'_, HashMap<Box<str>, usize>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to be told, given back when dropped.
#[derive(Debug)]
pub(super) struct Admission {
    pub(super) hub: Arc<Hub>,
    key: Box<str>,
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut open = self.hub.open();
        if let Some(own) = open.get_mut(&self.key) {
            *own -= 1;
            if *own == 0 {
                open.remove(&self.key);
            }
        }
        self.hub.metrics.subscriptions(open.values().sum());
    }
}
