//! The transport of 2024-11-05, "HTTP with SSE": one stream by GET carries everything that the server says, messages
//! to it are POSTed to the endpoint that the stream names first.
//!
//! Made to look like Streamable HTTP: what comes for one request becomes the events of an answer of its own, so
//! everything behind this file knows one transport only. When the stream breaks, every answer under way ends without
//! its result: the outcome is unknown, nothing is sent again.

use super::body::UpstreamBody;
use super::link::{Cleaned, Link, SameOrigin};
use super::sse::{SseReader, write_event};
use super::{UpstreamError, resume};
use crate::changes::notice::Notice;
use crate::raw::RawObject;
use bytes::Bytes;
use futures::FutureExt as _;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{Semaphore, broadcast, mpsc};
use tokio_util::task::AbortOnDropHandle;

mod route;

use route::Route;
pub(crate) use route::refusal;

/// How long the stream may take to open and to name its endpoint.
const OPEN_TIME: Duration = Duration::from_secs(10);
/// Requests under way at the same time.
const MAX_PENDING: usize = 1024;
/// Replies to requests of the server that nobody here answers, at the same time. A flood of them is not answered.
const MAX_REPLIES: usize = 4;
/// How long anything that nobody waits for may take.
const ASIDE_TIME: Duration = Duration::from_secs(5);
/// Notices that wait for their reader; older ones are dropped, and the reader learns of it.
const MAX_NOTICES: usize = 64;

/// One open stream with its endpoint. Dropping it closes the stream.
#[derive(Debug)]
pub(crate) struct Connection {
    endpoint: SameOrigin,
    pending: Arc<Pending>,
    notices: broadcast::WeakSender<Notice>,
    _reader: AbortOnDropHandle<()>,
}

/// The requests that wait for something on the stream; `None` when it has ended.
#[derive(Debug)]
struct Pending(Mutex<Option<HashMap<u64, Waiting>>>);

#[derive(Debug, Clone)]
struct Waiting {
    events: mpsc::UnboundedSender<Bytes>,
    /// Bytes that have not been read yet.
    queued: Arc<AtomicUsize>,
}

impl Connection {
    /// Opens the stream and waits for its endpoint; `None`: the server does not speak this transport.
    ///
    /// # Errors
    /// [`UpstreamError`]; [`UpstreamError::Protocol`] where the endpoint is of another origin.
    pub(crate) async fn open(link: &Link, max_event: usize) -> Result<Option<Arc<Self>>, UpstreamError> {
        let opened = async {
            let Some(response) = resume::stream(link, HeaderMap::new()).await? else { return Ok(None) };
            let mut events = SseReader::new(UpstreamBody::Http(response.into_body()), max_event);
            let first = events.next_event().await?.filter(|event| event.name == "endpoint");
            let Some(named) = first.and_then(|event| String::from_utf8(event.data).ok()) else { return Ok(None) };
            Ok(Some((events, link.resolve(named.trim())?)))
        };
        let opened = tokio::time::timeout(OPEN_TIME, opened).await;
        let Some((events, endpoint)) = opened.map_err(|_| UpstreamError::Timeout).flatten()? else { return Ok(None) };
        let pending = Arc::new(Pending(Mutex::new(Some(HashMap::new()))));
        let notices = broadcast::Sender::new(MAX_NOTICES);
        let reader = Reader {
            events,
            max_queued: max_event.saturating_mul(2),
            pending: Arc::clone(&pending),
            notices: notices.clone(),
            link: link.clone(),
            endpoint: endpoint.clone(),
            replies: Arc::new(Semaphore::new(MAX_REPLIES)),
        };
        let reader = AbortOnDropHandle::new(tokio::spawn(reader.run()));
        Ok(Some(Arc::new(Self { endpoint, pending, notices: notices.downgrade(), _reader: reader })))
    }

    /// Whether the stream has ended.
    pub(crate) fn ended(&self) -> bool {
        self.pending.lock().is_none()
    }

    /// What the server says of changes from now on; it ends with the stream.
    pub(crate) fn notices(&self) -> broadcast::Receiver<Notice> {
        // Nothing ever comes from a sender that is gone.
        self.notices.upgrade().map_or_else(|| broadcast::channel(1).1, |notices| notices.subscribe())
    }

    /// POSTs one message, once. The answer to a request comes as events.
    ///
    /// # Errors
    /// [`UpstreamError::SessionEnded`] when the stream has ended, [`UpstreamError::Busy`]; nothing was sent then.
    pub(crate) async fn post(
        &self,
        link: &Link,
        headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<Response<UpstreamBody>, UpstreamError> {
        if self.ended() {
            return Err(UpstreamError::SessionEnded);
        }
        let answers = match request_id(&body) {
            Some(id) => Some(self.expect(id)?),
            None => None,
        };
        let response = link.send(Method::POST, Some(&self.endpoint), headers, body).await?;
        let Some(answers) = answers.filter(|_| response.status().is_success()) else {
            return Ok(response.map(UpstreamBody::Http));
        };
        drain(response.into_body()).await;
        let mut response = Response::new(UpstreamBody::Stream(answers));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        Ok(response)
    }

    /// From now on, what comes for this request is kept.
    fn expect(&self, id: u64) -> Result<Answers, UpstreamError> {
        let mut pending = self.pending.lock();
        let pending = pending.as_mut().ok_or(UpstreamError::SessionEnded)?;
        if pending.len() >= MAX_PENDING {
            return Err(UpstreamError::Busy);
        }
        let (events, receiver) = mpsc::unbounded_channel();
        let queued = Arc::new(AtomicUsize::new(0));
        pending.insert(id, Waiting { events, queued: Arc::clone(&queued) });
        Ok(Answers { events: receiver, queued, id, pending: Arc::clone(&self.pending) })
    }
}

/// Our own id, where the message is a request.
fn request_id(body: &[u8]) -> Option<u64> {
    let message = RawObject::parse(std::str::from_utf8(body).ok()?).ok()?;
    message.get("method")?;
    message.get("id")?.get().parse().ok()
}

/// The body of an accepted POST says nothing; read, so that the connection can be used again.
async fn drain(body: Cleaned) {
    const MAX: usize = 64 * 1024;
    let _ = tokio::time::timeout(ASIDE_TIME, Limited::new(body, MAX).collect()).await;
}

impl Pending {
    fn lock(&self) -> MutexGuard<'_, Option<HashMap<u64, Waiting>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What comes for one request. Dropping it means that nobody waits any more.
#[derive(Debug)]
pub(crate) struct Answers {
    events: mpsc::UnboundedReceiver<Bytes>,
    queued: Arc<AtomicUsize>,
    id: u64,
    pending: Arc<Pending>,
}

impl Answers {
    /// The next bytes of its events.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.events.poll_recv(cx).map(|bytes| {
            bytes.inspect(|bytes| {
                self.queued.fetch_sub(bytes.len(), Ordering::Relaxed);
            })
        })
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        if let Some(pending) = self.pending.lock().as_mut() {
            pending.remove(&self.id);
        }
    }
}

/// Reads the stream to its end.
struct Reader {
    events: SseReader,
    max_queued: usize,
    pending: Arc<Pending>,
    notices: broadcast::Sender<Notice>,
    link: Link,
    endpoint: SameOrigin,
    replies: Arc<Semaphore>,
}

impl Reader {
    async fn run(mut self) {
        let why = loop {
            match self.events.next_event().await {
                Ok(Some(event)) if event.name.is_empty() || event.name == "message" => self.take(&event.data),
                Ok(Some(_)) => {}
                Ok(None) => break "it ended".to_owned(),
                Err(error) => break error.to_string(),
            }
        };
        tracing::debug!(why, "the stream of an upstream is gone");
        // Every answer under way ends with it.
        self.pending.lock().take();
    }

    /// One message: to the request that it is about, or to whoever looks at changes.
    fn take(&self, data: &[u8]) {
        let Some(message) = std::str::from_utf8(data).ok().and_then(|text| RawObject::parse(text).ok()) else {
            tracing::debug!("dropped an event that is no JSON-RPC message");
            return;
        };
        match route::of(&message) {
            Route::Answer(id) | Route::Progress(id) => self.deliver(id, data),
            Route::Notice(notice) => drop(self.notices.send(notice)),
            Route::Current { request } => match (self.only(), request) {
                (Some(id), _) => self.deliver(id, data),
                // Whom it is about cannot be told, so nobody is asked.
                (None, Some(id)) => self.reply(&refusal(&message, id)),
                (None, None) => {}
            },
            Route::Nobody => {}
        }
    }

    /// The request under way, if there is exactly one.
    fn only(&self) -> Option<u64> {
        let pending = self.pending.lock();
        let mut ids = pending.as_ref()?.keys();
        ids.next().copied().filter(|_| ids.next().is_none())
    }

    /// Whoever does not read what is sent for it loses its answer; the others must not wait for it.
    fn deliver(&self, id: u64, data: &[u8]) {
        let mut pending = self.pending.lock();
        let Some(waiting) = pending.as_mut().and_then(|pending| pending.get(&id).cloned()) else { return };
        let event = write_event(data);
        let queued = waiting.queued.fetch_add(event.len(), Ordering::Relaxed) + event.len();
        if (queued > self.max_queued || waiting.events.send(event).is_err())
            && let Some(pending) = pending.as_mut()
        {
            pending.remove(&id);
        }
    }

    fn reply(&self, body: &str) {
        let Ok(permit) = Arc::clone(&self.replies).try_acquire_owned() else { return };
        let (link, endpoint, body) = (self.link.clone(), self.endpoint.clone(), body.to_owned().into_bytes());
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let sent = async move {
            // Nobody waits for what becomes of it.
            if let Ok(response) = link.send(Method::POST, Some(&endpoint), headers, body).await {
                drain(response.into_body()).await;
            }
        };
        tokio::spawn(tokio::time::timeout(ASIDE_TIME, sent).map(move |_| drop(permit)));
    }
}

/// Whether a refused `initialize` may mean that the server speaks the older transport only (specification 2025-03-26,
/// "Transports", "Backwards Compatibility").
pub(crate) fn may_speak_it(status: StatusCode) -> bool {
    status.is_client_error() && !matches!(status.as_u16(), 401 | 403 | 408 | 429)
}
