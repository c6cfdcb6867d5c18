//! What this replica remembers of one session beside its token: what waits for the client, what it can cancel, what it
//! wants to be told.

use super::capabilities::Capabilities;
use super::followed::Followed;
use super::level::Level;
use super::own::Own;
use super::streams::OpenStream;
use crate::pipeline::upstream::Upstream;
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Requests that may wait for one client at a time.
const MAX_WAITING: usize = 64;
/// Upstreams that one client has sessions of its own with.
const MAX_OWN: usize = 256;

/// A session in use.
#[derive(Debug)]
pub(crate) struct Live {
    /// A random id, for logs.
    pub(crate) id: Box<str>,
    /// What the client can be asked.
    pub(crate) capabilities: Capabilities,
    /// The resources that it follows.
    pub(crate) followed: Followed,
    level: AtomicU8,
    used: AtomicU64,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    own: HashMap<u64, Arc<Own>>,
    waiting: HashMap<Box<str>, mpsc::Sender<Answered>>,
    running: HashMap<Box<str>, CancellationToken>,
    stream: Option<Arc<OpenStream>>,
    ended: bool,
}

/// A client's answer to a request that it was sent.
#[derive(Debug)]
pub(crate) struct Answered {
    /// The id that the gateway gave the request.
    pub(crate) id: Box<str>,
    /// What it says.
    pub(crate) answer: Answer,
}

/// Result or error of a client.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Its result.
    Result(Box<RawValue>),
    /// Its error.
    Error(Box<RawValue>),
}

impl Live {
    /// A session that nothing is remembered of yet. `now` is in seconds of the table's clock.
    pub(super) fn new(id: Box<str>, capabilities: Capabilities, now: u64) -> Arc<Self> {
        let (level, used, inner) = (AtomicU8::new(0), AtomicU64::new(now), Mutex::default());
        Arc::new(Self { id, capabilities, followed: Followed::default(), level, used, inner })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn touch(&self, now: u64) {
        self.used.store(now, Ordering::Relaxed);
    }

    /// When it was last used; never for one that is in use.
    pub(super) fn idle_since(&self) -> Option<u64> {
        let inner = self.inner();
        let in_use = !inner.running.is_empty()
            || !inner.waiting.is_empty()
            || inner.stream.as_ref().is_some_and(|stream| stream.is_open());
        (!in_use).then(|| self.used.load(Ordering::Relaxed))
    }

    /// The least level of log messages that the client wants; `None`: it has not said.
    pub(crate) fn level(&self) -> Option<Level> {
        Level::of_number(self.level.load(Ordering::Relaxed))
    }

    /// `logging/setLevel`.
    pub(crate) fn set_level(&self, level: Level) {
        self.level.store(Level::number(Some(level)), Ordering::Relaxed);
    }

    /// Whether its calls need sessions of their own: somebody can be asked, or has said what logs are wanted.
    pub(crate) fn talks(&self) -> bool {
        !self.capabilities.is_empty() || self.level().is_some()
    }

    /// Its own session with an upstream, opened or not.
    pub(crate) fn own(&self, upstream: &Arc<Upstream>) -> Arc<Own> {
        let mut inner = self.inner();
        let own = || Own::new(upstream, self.capabilities.json());
        if inner.ended {
            return own();
        }
        // Upstreams that are gone are not asked for again.
        if inner.own.len() >= MAX_OWN && !inner.own.contains_key(&upstream.key()) {
            inner.own.clear();
        }
        Arc::clone(inner.own.entry(upstream.key()).or_insert_with(own))
    }

    /// Notes a request that is being served, so that the client can cancel it.
    pub(crate) fn run(self: &Arc<Self>, id: &RawValue) -> Running {
        let cancelled = CancellationToken::new();
        let mut inner = self.inner();
        if inner.ended {
            cancelled.cancel();
        }
        inner.running.insert(id.get().into(), cancelled.clone());
        Running { live: Arc::clone(self), id: id.get().into(), cancelled }
    }

    /// `notifications/cancelled`: ends the request of this id, if one is being served here.
    pub(crate) fn cancel(&self, id: &RawValue) {
        if let Some(running) = self.inner().running.get(id.get()) {
            running.cancel();
        }
    }

    /// An id for a request to the client. Its answer goes to `to`. `None`: too many wait already.
    pub(crate) fn ask(self: &Arc<Self>, to: mpsc::Sender<Answered>) -> Option<Asked> {
        let id: Box<str> = format!("aperium-{}", uuid::Uuid::new_v4().simple()).into();
        let mut inner = self.inner();
        if inner.ended || inner.waiting.len() >= MAX_WAITING {
            return None;
        }
        inner.waiting.insert(id.clone(), to);
        Some(Asked { live: Arc::clone(self), id })
    }

    /// The client's answer, to whoever waits for it. False: nobody does, here.
    pub(crate) fn answered(&self, id: &str, answer: Answer) -> bool {
        // An answer is taken once.
        let waiting = self.inner().waiting.remove(id);
        waiting.is_some_and(|to| to.try_send(Answered { id: id.into(), answer }).is_ok())
    }

    /// Takes a new stream in the place of an older one, which ends.
    pub(crate) fn open_stream(&self, stream: Arc<OpenStream>) {
        let mut inner = self.inner();
        if inner.ended {
            stream.close();
        }
        if let Some(before) = inner.stream.replace(stream) {
            before.close();
        }
    }

    /// Its open stream.
    pub(crate) fn stream(&self) -> Option<Arc<OpenStream>> {
        self.inner().stream.clone().filter(|stream| stream.is_open())
    }

    /// Ends all that belongs to it.
    pub(super) fn end(&self) {
        let Inner { running, stream, .. } =
            std::mem::replace(&mut *self.inner(), Inner { ended: true, ..Inner::default() });
        running.values().for_each(CancellationToken::cancel);
        if let Some(stream) = stream {
            stream.close();
        }
    }
}

/// A request that is being served; dropped when it is over.
#[derive(Debug)]
pub(crate) struct Running {
    live: Arc<Live>,
    id: Box<str>,
    cancelled: CancellationToken,
}

impl Running {
    /// Waits until the client has cancelled it, or its session has ended.
    pub(crate) async fn cancelled(&self) {
        self.cancelled.cancelled().await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.live.inner().running.remove(&self.id);
    }
}

/// A request that waits for the client; dropped when nobody wants the answer any more.
#[derive(Debug)]
pub(crate) struct Asked {
    live: Arc<Live>,
    id: Box<str>,
}

impl Asked {
    /// The id that the client sees.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.live.inner().waiting.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live() -> Arc<Live> {
        Live::new("id".into(), Capabilities::none(), 0)
    }

    fn raw(text: &str) -> Box<RawValue> {
        serde_json::from_str(text).unwrap()
    }

    #[tokio::test]
    async fn an_answer_reaches_the_one_who_asked_and_counts_once() {
        let live = live();
        let (sender, mut receiver) = mpsc::channel(8);
        let asked = live.ask(sender.clone()).unwrap();
        assert!(!live.answered("aperium-0", Answer::Result(raw("{}"))));
        assert!(live.answered(asked.id(), Answer::Result(raw(r#"{"a":1}"#))));
        assert!(!live.answered(asked.id(), Answer::Result(raw("{}"))), "once");
        let got = receiver.recv().await.unwrap();
        assert!(&*got.id == asked.id() && matches!(got.answer, Answer::Result(result) if result.get() == r#"{"a":1}"#));
        let given_up = live.ask(sender).unwrap();
        let id = given_up.id().to_owned();
        drop(given_up);
        assert!(!live.answered(&id, Answer::Result(raw("{}"))));
    }

    #[tokio::test]
    async fn requests_that_wait_for_a_client_are_bounded() {
        let live = live();
        let (sender, _receiver) = mpsc::channel(1);
        let asked: Vec<Asked> = std::iter::from_fn(|| live.ask(sender.clone())).collect();
        assert_eq!(asked.len(), MAX_WAITING);
        drop(asked);
        assert!(live.ask(sender).is_some());
    }

    #[tokio::test]
    async fn a_request_is_cancelled_by_its_id_and_all_by_the_end_of_the_session() {
        let live = live();
        let (one, text) = (live.run(&raw("1")), live.run(&raw("\"1\"")));
        live.cancel(&raw("1"));
        one.cancelled().await;
        assert!(!text.cancelled.is_cancelled(), "a string is another id");
        assert_eq!(live.idle_since(), None, "in use");
        live.end();
        text.cancelled().await;
        assert!(live.run(&raw("2")).cancelled.is_cancelled());
        assert!(live.ask(mpsc::channel(1).0).is_none());
        drop((one, text));
        assert_eq!(live.idle_since(), Some(0));
    }
}
