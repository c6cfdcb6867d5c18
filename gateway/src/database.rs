//! The platform database as this gateway sees it: prepared as soon as it can be reached, looked at from then on, and its
//! data keys sealed anew once the ring has had a new current key for a while.

use crate::error::Failure;
use aperium_platform::probes::Check;
use aperium_store::{Store, StoreError};
use arc_swap::ArcSwap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Time between two looks; readiness is never older.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// A new ring key has reached every replica by then: a mounted Secret is at most two minutes late.
const RING_SETTLES: Duration = Duration::from_secs(180);

/// The database, and how it was at the last look.
pub(crate) struct Database {
    store: Store,
    health: ArcSwap<Result<(), StoreError>>,
}

impl Database {
    /// One that nobody has looked at yet.
    pub(crate) fn new(store: Store) -> Arc<Self> {
        Arc::new(Self { store, health: ArcSwap::from_pointee(Err(StoreError::Unprepared)) })
    }

    /// The store. Whether it answers shows when it is asked.
    pub(crate) const fn store(&self) -> &Store {
        &self.store
    }

    /// For `/readyz`.
    pub(crate) fn check(&self) -> Check {
        match &**self.health.load() {
            Ok(()) => Check::ok("the database answers, and the key ring is its own"),
            Err(error) => Check::failed(error.reason(), error.to_string()),
        }
    }

    /// Until the token is cancelled.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut ring = RingWatch::default();
        loop {
            self.look(&mut ring).await;
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
        self.store.close().await;
    }

    async fn look(&self, ring: &mut RingWatch) {
        let mut now = self.store.health().await;
        if now == Err(StoreError::Unprepared) {
            now = match self.store.prepare().await {
                Ok(()) => self.store.health().await,
                failed => failed,
            };
        }
        if **self.health.load() != now {
            match &now {
                Ok(()) => tracing::info!("the database is ready"),
                Err(error) => tracing::error!(reason = error.reason(), %error, "the database is not ready"),
            }
            self.health.store(Arc::new(now.clone()));
        }
        if now.is_ok() {
            ring.look(&self.store).await;
        }
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Database({:?}, {:?})", self.store, self.health.load())
    }
}

/// What a caller is told when the store does not do what was asked.
pub(crate) fn failure(error: &StoreError) -> Failure {
    Failure::Unavailable {
        outside: "the database is not available: try again later",
        inside: error.reason().to_owned(),
    }
}

/// What a caller is told where there is no database.
pub(crate) fn missing() -> Failure {
    Failure::Unavailable {
        outside: "there is no database: give the gateway a DATABASE_URL",
        inside: "no database".to_owned(),
    }
}

/// The current key of the ring, and since when.
#[derive(Debug, Default)]
struct RingWatch {
    current: Option<(String, Instant)>,
    done: bool,
}

impl RingWatch {
    async fn look(&mut self, store: &Store) {
        let Ok(key) = store.every_tenant().current_key() else { return };
        if self.current.as_ref().is_none_or(|(current, _)| *current != key) {
            self.current = Some((key, Instant::now()));
            self.done = false;
        }
        let settled = self.current.as_ref().is_some_and(|(_, since)| since.elapsed() >= RING_SETTLES);
        if self.done || !settled {
            return;
        }
        match store.every_tenant().rewrap().await {
            Ok(rows) => {
                self.done = true;
                if rows > 0 {
                    tracing::info!(rows, "data keys are sealed with the new key of the ring");
                }
            }
            Err(error) => tracing::warn!(reason = error.reason(), "data keys could not be sealed anew"),
        }
    }
}
