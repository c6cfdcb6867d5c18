//! Registrations that all replicas serve: rows of the platform database, one for each connection that holds one.
//!
//! ```text
//! admit ──row──► database ◄──every second── each replica ──Register, Unregister──► its Manager
//!                   ▲ every 5 s: the replica that has the connections puts the end of all its rows off
//! ```
//! The keepalive lines of a registrant write nothing. The rows of a replica that is gone end by themselves; a registrant
//! that registers the same URL elsewhere before keeps its number, and nobody notices.

use super::{Denied, config, id_of, key_of, target};
use crate::discovery::{Event, Events};
use aperium_store::{Admitted, Holding, Quotas, Store, StoreError};
use http::Uri;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often a replica looks what the others have.
const LOOK: Duration = Duration::from_secs(1);
/// Looks between two times that it puts the end of its own off.
const RENEW_EVERY: u32 = 5;
/// How long a row counts that nobody puts off.
const LIFE_MS: i64 = 15_000;

/// What this replica holds and serves.
pub(super) struct Shared {
    store: Store,
    /// This process, told from all others.
    replica: String,
    events: Events,
    namespace: String,
    stopping: CancellationToken,
    /// What its own connections hold.
    mine: Mutex<BTreeMap<String, Holding>>,
    /// What its Manager was told to serve.
    served: tokio::sync::Mutex<BTreeSet<u64>>,
    /// Whether the last look failed.
    blind: AtomicBool,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("replica", &self.replica).finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn new(store: Store, events: Events, namespace: &str, stopping: CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            store,
            replica: random(),
            events,
            namespace: namespace.to_owned(),
            stopping,
            mine: Mutex::default(),
            served: tokio::sync::Mutex::default(),
            blind: AtomicBool::new(false),
        })
    }

    /// Registers a server for a connection: what the connection is called, and the number.
    pub(super) async fn admit(
        &self,
        caller: &str,
        uri: &Uri,
        quotas: Quotas,
        floor: u64,
    ) -> Result<(String, u64), Denied> {
        let wish = Holding {
            holder: random(),
            replica: self.replica.clone(),
            number: 0,
            caller: caller.to_owned(),
            url: uri.to_string(),
        };
        let floor = i64::try_from(floor).unwrap_or(i64::MAX);
        match self.store.platform().register(&wish, quotas, floor, LIFE_MS).await.map_err(Denied::Store)? {
            Admitted::CallerQuota => Err(Denied::CallerQuota(quotas.per_caller)),
            Admitted::Quota => Err(Denied::Quota(quotas.all)),
            Admitted::As(number) => {
                let holder = wish.holder.clone();
                self.mine().insert(holder.clone(), Holding { number, ..wish });
                self.look().await;
                Ok((holder, u64::try_from(number).unwrap_or_default()))
            }
        }
    }

    /// A connection has ended. Where it has because this replica stops, its registrant is about to come to another one:
    /// the row is left to end by itself.
    pub(super) async fn leave(&self, holder: &str) {
        self.mine().remove(holder);
        if self.stopping.is_cancelled() {
            return;
        }
        if let Err(error) = self.store.platform().unregister(holder).await {
            tracing::warn!(reason = error.reason(), "a registration ends later than its connection");
        }
        self.look().await;
    }

    /// Until this replica stops.
    pub(super) async fn run(self: Arc<Self>) {
        let mut looks = 0_u32;
        loop {
            tokio::select! {
                () = self.stopping.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            looks = looks.wrapping_add(1);
            if looks.is_multiple_of(RENEW_EVERY) {
                self.renew().await;
            }
            self.look().await;
        }
    }

    async fn renew(&self) {
        let mine: Vec<Holding> = self.mine().values().cloned().collect();
        if mine.is_empty() {
            return;
        }
        let renewed = self.store.platform().renew_registrations(&self.replica, &mine, LIFE_MS).await;
        if let Err(error) = renewed {
            tracing::warn!(reason = error.reason(), "registrations could not be renewed");
        }
    }

    /// Tells the Manager what has come and gone. While the database cannot be read, nothing comes and goes.
    async fn look(&self) {
        let mut served = self.served.lock().await;
        let held = match self.store.platform().registrations().await {
            Ok(held) => held,
            Err(error) => return self.failed(&error),
        };
        self.blind.store(false, Ordering::Relaxed);
        // What is held here counts although its row has ended: the next renewal brings it back.
        let mine: Vec<Holding> = self.mine().values().cloned().collect();
        let mut wanted = BTreeMap::new();
        for holding in held.iter().chain(&mine) {
            if let (Ok(number), Ok((uri, _))) = (u64::try_from(holding.number), target(&holding.url)) {
                wanted.insert(number, uri);
            }
        }
        let gone: Vec<u64> = served.iter().filter(|number| !wanted.contains_key(number)).copied().collect();
        for number in gone {
            served.remove(&number);
            if let Ok(id) = id_of(number) {
                // A Manager that has ended serves nobody.
                let _ = self.events.send(Event::Unregister(key_of(&self.namespace, &id))).await;
            }
        }
        for (number, uri) in wanted {
            if let Ok(id) = id_of(number)
                && served.insert(number)
            {
                let _ = self.events.send(Event::Register(Box::new(config(&self.namespace, id, uri)))).await;
            }
        }
    }

    fn failed(&self, error: &StoreError) {
        // Before the database is prepared there is nothing to see.
        if *error != StoreError::Unprepared && !self.blind.swap(true, Ordering::Relaxed) {
            tracing::warn!(reason = error.reason(), "what other replicas have registered cannot be read");
        }
    }

    fn mine(&self) -> MutexGuard<'_, BTreeMap<String, Holding>> {
        self.mine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn random() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}
