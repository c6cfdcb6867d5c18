//! What an upstream says on the stream of a client's own session, and not on that of a call: some servers ask there
//! (specification 2025-11-25, "Transports", "Listening for Messages from the Server").
//!
//! Such a message names no call. While exactly one call is under way in the session, it can only be about that one;
//! otherwise nobody is asked, and the upstream reads that at once. The stream is held while there are calls and a
//! little longer: thousands of clients that have nothing to ask hold no connection.

use crate::pipeline::upstream::body::UpstreamBody;
use crate::pipeline::upstream::legacy_sse::refusal;
use crate::pipeline::upstream::resume::{self, Events};
use crate::pipeline::upstream::{Along, Post, Session, Upstream, UpstreamError};
use crate::raw::RawObject;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

/// How long a stream may take to open. A server that opens it late is waited for once a session, no longer than that.
const OPENING: Duration = Duration::from_secs(2);
/// How long a stream is held after the last call: the next one finds it open.
const LINGER: Duration = Duration::from_secs(30);
/// How long the upstream may take to hear that nobody is asked.
const REFUSING: Duration = Duration::from_secs(5);
/// Messages that may wait for one call.
const MAX_WAITING: usize = 8;
/// The pauses before a stream that broke is opened again: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Hears one session for as long as there are calls in it.
#[derive(Debug)]
pub(super) struct Ear {
    calls: Arc<Calls>,
    listening: Mutex<Option<AbortOnDropHandle<()>>>,
    linger: Duration,
}

/// The calls of one session.
#[derive(Debug)]
struct Calls(Mutex<UnderWay>);

#[derive(Debug)]
struct UnderWay {
    senders: HashMap<u64, mpsc::Sender<Vec<u8>>>,
    /// When the last call began or ended.
    used: Instant,
    /// Nobody listens, and the next call needs somebody to.
    rests: bool,
    /// The upstream does not say that a stream is open before there is something on it: no call waits for that again.
    late: bool,
}

/// What one call hears. Dropped when the call is over.
#[derive(Debug)]
pub(crate) struct Heard {
    calls: Arc<Calls>,
    id: u64,
    receiver: mpsc::Receiver<Vec<u8>>,
    first: Option<Vec<u8>>,
}

impl Default for Ear {
    fn default() -> Self {
        Self::lingering(LINGER)
    }
}

impl Ear {
    fn lingering(linger: Duration) -> Self {
        let under_way = UnderWay { senders: HashMap::new(), used: Instant::now(), rests: false, late: false };
        Self { calls: Arc::new(Calls(Mutex::new(under_way))), listening: Mutex::default(), linger }
    }

    /// Whether a call may begin: somebody listens, or there is nothing to listen to.
    pub(super) fn is_ready(&self) -> bool {
        let mut calls = self.calls.lock();
        calls.used = Instant::now();
        !calls.rests
    }

    /// There is a session to listen to, from the next call on.
    pub(super) fn expect(&self) {
        self.calls.lock().rests = true;
    }

    /// Listens to a session, and to the one before no longer. Returns when the stream is open, or when it is clear that
    /// there is none.
    pub(super) async fn listen(&self, upstream: &Arc<Upstream>, session: &Arc<Session>) {
        let (opened, open) = oneshot::channel();
        let (upstream, session, calls) = (Arc::clone(upstream), Arc::clone(session), Arc::clone(&self.calls));
        let linger = self.linger;
        let task = tokio::spawn(async move {
            tokio::select! {
                () = listen(&upstream, &session, &calls, opened) => {}
                () = calls.over(linger) => {}
            }
        });
        let before = self.listening().replace(AbortOnDropHandle::new(task));
        drop(before);
        let patience = if self.calls.lock().late { Duration::ZERO } else { OPENING };
        let late = tokio::time::timeout(patience, open).await.is_err();
        let mut calls = self.calls.lock();
        (calls.used, calls.rests, calls.late) = (Instant::now(), false, late);
    }

    /// A call under way, by an id of the gateway's own.
    pub(super) fn call(&self, id: u64) -> Heard {
        let (sender, receiver) = mpsc::channel(MAX_WAITING);
        self.calls.lock().senders.insert(id, sender);
        Heard { calls: Arc::clone(&self.calls), id, receiver, first: None }
    }

    fn listening(&self) -> MutexGuard<'_, Option<AbortOnDropHandle<()>>> {
        self.listening.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Calls {
    fn lock(&self) -> MutexGuard<'_, UnderWay> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a message to the only call; gives it back where there is none, or more than one.
    fn hand(&self, data: Vec<u8>) -> Option<Vec<u8>> {
        let calls = self.lock();
        match calls.senders.values().next().filter(|_| calls.senders.len() == 1) {
            Some(only) => only.try_send(data).err().map(mpsc::error::TrySendError::into_inner),
            None => Some(data),
        }
    }

    /// Returns when there was no call for so long; from then on nobody listens.
    async fn over(&self, linger: Duration) {
        loop {
            let left = {
                let mut calls = self.lock();
                let left = if calls.senders.is_empty() { linger.saturating_sub(calls.used.elapsed()) } else { linger };
                calls.rests |= left.is_zero();
                left
            };
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left).await;
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
        let mut calls = self.calls.lock();
        calls.senders.remove(&self.id);
        calls.used = Instant::now();
    }
}

/// Opens the stream again and again until the upstream offers none, or has ended the session.
async fn listen(upstream: &Upstream, session: &Arc<Session>, calls: &Calls, opened: oneshot::Sender<()>) {
    let mut opened = Some(opened);
    let mut pause = PAUSES.0;
    loop {
        match resume::stream(upstream.link(), session.headers()).await {
            Ok(Some(response)) => {
                if let Some(opened) = opened.take() {
                    let _ = opened.send(());
                }
                let body = UpstreamBody::Http(response.into_body());
                let mut events = Events::new(body, upstream.link(), session, upstream.limits().max_answer);
                while let Ok(Some(data)) = events.next().await {
                    pause = PAUSES.0;
                    if let Some(unheard) = says_something(&data).then(|| calls.hand(data)).flatten() {
                        refuse(upstream, session, &unheard).await;
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

/// Answers what belongs to no call, before anything else is heard: nobody can ask faster than the answers are taken.
async fn refuse(upstream: &Upstream, session: &Arc<Session>, data: &[u8]) {
    let Some(message) = parse(data) else { return };
    if let (Some(id), Some(_)) = (message.get("id"), message.get("method")) {
        let (body, along) = (refusal(&message, id).into_bytes(), Along::default());
        let post = Post { body, method: "response", name: None, along: &along };
        // It may go on without the answer.
        let _ = tokio::time::timeout(REFUSING, upstream.post(session, post)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::upstream::Limits;
    use crate::pipeline::upstream::link::Link;

    fn nowhere() -> (Arc<Upstream>, Arc<Session>) {
        let limits = Limits { max_answer: 1000, max_tools: 10 };
        let session = Session::Legacy { version: "2025-11-25".to_owned(), id: None, stream: None };
        (Upstream::new(Link::Absent("it is not there".to_owned()), limits), Arc::new(session))
    }

    #[tokio::test]
    async fn nobody_listens_any_more_when_there_was_no_call_for_a_while() {
        let ear = Ear::lingering(Duration::from_millis(50));
        assert!(ear.is_ready(), "there is nothing to listen to yet");
        ear.expect();
        assert!(!ear.is_ready());
        let (upstream, session) = nowhere();
        let call = ear.call(1);
        ear.listen(&upstream, &session).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(ear.is_ready(), "a call is under way");
        drop(call);
        let over = async {
            while !ear.listening().as_ref().is_some_and(|listening| listening.is_finished()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), over).await.expect("somebody listens for ever");
        assert!(!ear.is_ready(), "the next call needs somebody to listen");
        ear.listen(&upstream, &session).await;
        assert!(ear.is_ready());
    }

    #[test]
    fn what_waits_for_a_call_is_bounded_and_the_rest_is_given_back() {
        let ear = Ear::default();
        let _call = ear.call(1);
        for _ in 0..MAX_WAITING {
            assert_eq!(ear.calls.hand(b"{}".to_vec()), None);
        }
        assert_eq!(ear.calls.hand(b"{}".to_vec()), Some(b"{}".to_vec()));
    }
}
