//! Asks the pods' own `/readyz`, by their address and also while they are not ready, and remembers what they said.
//!
//! ```text
//! EndpointSlice ──look──► due at once ──► GET /readyz of each pod ──► Seen ──changed──► the Connector is reconciled
//!                            ▲   5 s while not ready, 30 s when ready   │
//!                            └──────────────────────────────────────────┘
//! ```

mod answer;

pub use answer::{Answer, Seen, names_digest};

use crate::context::Context;
use crate::stores::Key;
use crate::stores::children::ChildKind;
use crate::stores::slices::Pod;
use futures::StreamExt;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long until a Connector that is not ready is asked again.
const UNREADY_PERIOD: Duration = Duration::from_secs(5);
/// How long until a Connector that is ready is asked again.
const READY_PERIOD: Duration = Duration::from_secs(30);
/// The longest that a pod may take to answer.
const TIMEOUT: Duration = Duration::from_secs(4);
/// Pods of one Connector that are asked; the others are counted by the kubelet's verdict.
const MAX_PODS: usize = 5;
/// Connectors that are asked at the same time.
const CONCURRENCY: usize = 32;

/// What is known of all Connectors' pods.
#[derive(Debug, Default)]
pub struct Readiness {
    known: Mutex<HashMap<Key, Entry>>,
    due: Notify,
}

#[derive(Debug)]
struct Entry {
    at: Instant,
    asking: bool,
    seen: Option<Seen>,
}

impl Readiness {
    fn known(&self) -> MutexGuard<'_, HashMap<Key, Entry>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a Connector's pods said last.
    #[must_use]
    pub fn seen(&self, key: &Key) -> Option<Seen> {
        self.known().get(key).and_then(|entry| entry.seen.clone())
    }

    /// Whether its pods are about to be asked for the first time: a Connector waits for that with its status, or a
    /// restarted operator would first write that it knows nothing.
    #[must_use]
    pub fn awaited(&self, key: &Key) -> bool {
        self.known().get(key).is_some_and(|entry| entry.seen.is_none())
    }

    /// Its pods have changed: they are asked at once.
    pub fn look(&self, key: &Key) {
        let now = Instant::now();
        self.known().entry(key.clone()).and_modify(|entry| entry.at = now).or_insert(Entry {
            at: now,
            asking: false,
            seen: None,
        });
        self.due.notify_one();
    }

    /// The Connector is gone.
    pub fn forget(&self, key: &Key) {
        self.known().remove(key);
    }

    /// Due Connectors, marked as being asked, and when the next one is due.
    fn take(&self, now: Instant) -> (Vec<Key>, Option<Instant>) {
        let mut known = self.known();
        let mut due = Vec::new();
        let mut next: Option<Instant> = None;
        for (key, entry) in known.iter_mut().filter(|(_, entry)| !entry.asking) {
            if entry.at <= now {
                entry.asking = true;
                entry.at = now + UNREADY_PERIOD;
                due.push(key.clone());
            } else {
                next = Some(next.map_or(entry.at, |next| next.min(entry.at)));
            }
        }
        (due, next)
    }

    /// Takes an answer; true if it says something new. Without pods the Connector is not asked again before its
    /// slices change.
    fn answered(&self, key: &Key, seen: Option<Seen>) -> bool {
        let mut known = self.known();
        let Some(entry) = known.get_mut(key) else { return false };
        let Some(seen) = seen else {
            // That there is nobody to ask is an answer too: somebody may wait for it.
            known.remove(key);
            return true;
        };
        entry.asking = false;
        let wished = entry.at;
        let period = if seen.ready() { READY_PERIOD } else { UNREADY_PERIOD };
        // `look` may have been called meanwhile: then it is due already.
        entry.at = if wished <= Instant::now() { wished } else { Instant::now() + spread(key, period) };
        if entry.seen.as_ref().is_some_and(|before| before.says_the_same(&seen)) {
            return false;
        }
        entry.seen = Some(seen);
        true
    }
}

/// A tenth more or less, by the name: a thousand Connectors are not asked in one moment.
fn spread(key: &Key, period: Duration) -> Duration {
    period.mul_f64(0.9 + 0.2 * crate::backoff::fraction(key))
}

/// Asks until the token is cancelled.
pub async fn run(context: Arc<Context>, stop: CancellationToken) {
    let mut asking = futures::stream::FuturesUnordered::new();
    loop {
        let (due, next) =
            if asking.len() < CONCURRENCY { context.readiness.take(Instant::now()) } else { (Vec::new(), None) };
        for key in due {
            let context = context.clone();
            asking.push(async move {
                let seen = ask(&context, &key).await;
                if context.readiness.answered(&key, seen) {
                    context.queue.add(key);
                }
            });
        }
        let wake = next.unwrap_or_else(|| Instant::now() + UNREADY_PERIOD);
        tokio::select! {
            () = stop.cancelled() => return,
            Some(()) = asking.next(), if !asking.is_empty() => {}
            () = context.readiness.due.notified() => {}
            () = tokio::time::sleep_until(wake) => {}
        }
    }
}

/// Asks the pods of one Connector. None: it has none.
async fn ask(context: &Context, key: &Key) -> Option<Seen> {
    let child = crate::names::child_key(key).ok()?;
    let service = context.stores.children.get(ChildKind::Service, &child)?;
    let pods = context.stores.slices.pods(key, &service.uid);
    if pods.is_empty() {
        return None;
    }
    let answers = futures::future::join_all(pods.iter().take(MAX_PODS).map(|pod| ask_pod(context, pod))).await;
    context.metrics.probes(&answers);
    Some(Seen::of(&pods, answers))
}

async fn ask_pod(context: &Context, pod: &Pod) -> Result<Answer, String> {
    let request = http::Request::get("/readyz").header(http::header::ACCEPT, "application/json");
    let request = request.body(axum::body::Body::empty()).map_err(|_| "no request".to_owned())?;
    let asked = async {
        let response = context.cluster.send(&pod.endpoint, request).await.map_err(|error| error.to_string())?;
        answer::read(response).await
    };
    let outcome = tokio::time::timeout(TIMEOUT, asked).await;
    let outcome = outcome.unwrap_or_else(|_| Err(format!("no answer within {} s", TIMEOUT.as_secs())));
    outcome.map_err(|error| format!("pod {}: /readyz: {error}", pod.name))
}

#[cfg(test)]
mod tests;
