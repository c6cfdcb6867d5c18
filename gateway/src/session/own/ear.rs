//! What an upstream says on the stream of a client's own session, and not on that of a call: some servers ask there
//! (specification 2025-11-25, "Transports", "Listening for Messages from the Server").
//!
//! Such a message names no call. While exactly one call is under way in the session, it can only be about that one;
//! otherwise nobody is asked, and the upstream reads that at once.

use crate::pipeline::upstream::body::UpstreamBody;
use crate::pipeline::upstream::legacy_sse::refusal;
use crate::pipeline::upstream::resume::{self, Events};
use crate::pipeline::upstream::{Session, Upstream, UpstreamError};
use crate::raw::RawObject;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

/// How long a stream may take to open. A server that opens it late is not waited for longer than that, once a session.
const OPENING: Duration = Duration::from_secs(2);
/// Messages that may wait for one call.
const MAX_WAITING: usize = 32;
/// The pauses before a stream that broke is opened again: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Hears one session for as long as it is kept.
#[derive(Debug, Default)]
pub(super) struct Ear {
    calls: Arc<Calls>,
    listening: Mutex<Option<AbortOnDropHandle<()>>>,
}

/// The calls under way.
#[derive(Debug, Default)]
struct Calls(Mutex<HashMap<u64, mpsc::Sender<Vec<u8>>>>);

/// What one call hears. Dropped when the call is over.
#[derive(Debug)]
pub(crate) struct Heard {
    calls: Arc<Calls>,
    id: u64,
    receiver: mpsc::Receiver<Vec<u8>>,
    first: Option<Vec<u8>>,
}

impl Ear {
    /// Listens to another session, and to the one before no longer. Returns when the stream is open, or when it is clear
    /// that there is none.
    pub(super) async fn listen(&self, upstream: &Arc<Upstream>, session: &Arc<Session>) {
        let (opened, open) = oneshot::channel();
        let task = listen(Arc::clone(upstream), Arc::clone(session), Arc::clone(&self.calls), opened);
        let task = AbortOnDropHandle::new(tokio::spawn(task));
        *self.listening.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
        let _ = tokio::time::timeout(OPENING, open).await;
    }

    /// A call under way, by an id of the gateway's own.
    pub(super) fn call(&self, id: u64) -> Heard {
        let (sender, receiver) = mpsc::channel(MAX_WAITING);
        self.calls.lock().insert(id, sender);
        Heard { calls: Arc::clone(&self.calls), id, receiver, first: None }
    }
}

impl Calls {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, mpsc::Sender<Vec<u8>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a message to the only call; gives it back where there is none, or more than one.
    fn hand(&self, data: Vec<u8>) -> Option<Vec<u8>> {
        let calls = self.lock();
        match calls.values().next().filter(|_| calls.len() == 1) {
            Some(only) => only.try_send(data).err().map(mpsc::error::TrySendError::into_inner),
            None => Some(data),
        }
    }
}

impl Heard {
    /// Waits until there is something to hear, and leaves it there.
    pub(crate) async fn waiting(&mut self) {
        if self.first.is_none() {
            self.first = Some(self.heard().await);
        }
    }

    /// The next message. May be dropped and asked again.
    pub(crate) async fn next(&mut self) -> Vec<u8> {
        match self.first.take() {
            Some(first) => first,
            None => self.heard().await,
        }
    }

    async fn heard(&mut self) -> Vec<u8> {
        match self.receiver.recv().await {
            Some(data) => data,
            // Another call has taken the place of this id, which does not happen: nothing more is heard.
            None => std::future::pending().await,
        }
    }
}

impl Drop for Heard {
    fn drop(&mut self) {
        self.calls.lock().remove(&self.id);
    }
}

/// Opens the stream again and again until the upstream offers none, or has ended the session.
async fn listen(upstream: Arc<Upstream>, session: Arc<Session>, calls: Arc<Calls>, opened: oneshot::Sender<()>) {
    let mut opened = Some(opened);
    let mut pause = PAUSES.0;
    loop {
        match resume::stream(upstream.link(), session.headers()).await {
            Ok(Some(response)) => {
                if let Some(opened) = opened.take() {
                    let _ = opened.send(());
                }
                let body = UpstreamBody::Http(response.into_body());
                let mut events = Events::new(body, upstream.link(), &session, upstream.limits().max_answer);
                while let Ok(Some(data)) = events.next().await {
                    pause = PAUSES.0;
                    if let Some(unheard) = says_something(&data).then(|| calls.hand(data)).flatten() {
                        refuse(&upstream, &session, &unheard);
                    }
                }
            }
            Ok(None) | Err(UpstreamError::Refused(_)) => return,
            Err(error) => tracing::debug!(reason = error.reason(), %error, "the stream of a session cannot be opened"),
        }
        // Nobody waits for a stream that comes late.
        opened = None;
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}

/// Whether it is a request or a notification: answers to calls come on the streams of these, and the rest is nothing.
fn says_something(data: &[u8]) -> bool {
    parse(data).is_some_and(|message| message.get("method").is_some())
}

fn parse(data: &[u8]) -> Option<RawObject<'_>> {
    RawObject::parse(std::str::from_utf8(data).ok()?).ok()
}

/// Answers what belongs to no call.
fn refuse(upstream: &Arc<Upstream>, session: &Arc<Session>, data: &[u8]) {
    let Some(message) = parse(data) else { return };
    if let (Some(id), Some(_)) = (message.get("id"), message.get("method")) {
        upstream.tell(session, refusal(&message, id).into_bytes());
    }
}
