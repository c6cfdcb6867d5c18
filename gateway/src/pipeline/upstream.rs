//! One upstream MCP server: what was agreed with it, and requests to it, each sent once.
//!
//! ```text
//! Target, params ──translate──► POST ──link (+ credential)──► upstream
//! caller ◄──relay── JSON or events, ids and progress tokens mapped back ◄──┘
//! ```

use crate::changes::signals::Signals;
use crate::era::{self, Era};
use arc_swap::{ArcSwap, ArcSwapOption};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{Mutex, Notify, Semaphore};

pub(crate) mod about;
pub(crate) mod answer;
mod asking;
pub(crate) mod body;
mod error;
mod forward;
mod input;
pub(crate) mod legacy_sse;
pub(crate) mod link;
pub(crate) mod negotiate;
pub(crate) mod own;
pub(crate) mod relay;
pub(crate) mod resume;
pub(crate) mod sse;
pub(crate) mod translate;

pub(crate) use error::UpstreamError;

use about::About;
use body::UpstreamBody;
use legacy_sse::Connection;
use link::Link;

/// What was agreed with an upstream.
#[derive(Debug, Clone)]
pub(crate) enum Session {
    /// 2026-07-28: nothing to agree on.
    Stateless,
    /// A version with `initialize`, and the session id where the upstream gave one.
    Legacy {
        /// The version.
        version: String,
        /// Its session.
        id: Option<HeaderValue>,
        /// The stream that carries everything, where it speaks the transport of 2024-11-05.
        stream: Option<Arc<Connection>>,
    },
}

impl Session {
    /// The era of the upstream.
    pub(crate) fn era(&self) -> Era {
        match self {
            Self::Stateless => Era::Stateless,
            Self::Legacy { .. } => Era::Legacy,
        }
    }

    /// Whether it is known to be gone: its stream has ended.
    fn ended(&self) -> bool {
        matches!(self, Self::Legacy { stream: Some(stream), .. } if stream.ended())
    }

    /// The headers that tell the upstream what was agreed.
    pub(crate) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(12);
        match self {
            Self::Stateless => {
                headers.insert(era::VERSION_HEADER, HeaderValue::from_static(era::STATELESS));
            }
            Self::Legacy { version, id, .. } => {
                insert(&mut headers, era::VERSION_HEADER, version);
                if let Some(id) = id {
                    headers.insert("mcp-session-id", id.clone());
                }
            }
        }
        headers
    }
}

/// What of the caller's request goes along: ids that tie logs together, and headers that repeat arguments.
#[derive(Debug, Clone, Default)]
pub(crate) struct Along {
    /// `X-Request-Id`, `traceparent`, `tracestate`, `Mcp-Param-*`.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
}

/// Limits of one upstream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Bytes of one answer or event.
    pub(crate) max_answer: usize,
    /// Entries of one list.
    pub(crate) max_tools: usize,
}

/// One upstream. Shared by all requests to it and its poller.
#[derive(Debug)]
pub(crate) struct Upstream {
    /// Tells it from all others, before and after, of this process.
    key: u64,
    link: Link,
    limits: Limits,
    session: ArcSwapOption<Session>,
    about: ArcSwap<About>,
    negotiating: Mutex<()>,
    /// Told whenever something new was agreed.
    agreed: Notify,
    signals: Arc<Signals>,
    next_id: AtomicU64,
    /// How often the shared session was given up.
    renewals: AtomicU64,
    /// Answers to requests of the upstream that no client is asked.
    declined: Arc<Semaphore>,
}

impl Upstream {
    /// An upstream that nothing is known about yet.
    pub(crate) fn new(link: Link, limits: Limits) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Arc::new(Self {
            key: NEXT.fetch_add(1, Ordering::Relaxed),
            link,
            limits,
            session: ArcSwapOption::empty(),
            about: ArcSwap::default(),
            negotiating: Mutex::new(()),
            agreed: Notify::new(),
            signals: Signals::new(),
            next_id: AtomicU64::new(1),
            renewals: AtomicU64::new(0),
            declined: Arc::new(Semaphore::new(own::MAX_DECLINED)),
        })
    }

    /// Tells it from all other upstreams of this process.
    pub(crate) fn key(&self) -> u64 {
        self.key
    }

    /// Its limits.
    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    /// A JSON-RPC id that this process has not used towards this upstream.
    pub(crate) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// What was agreed with it; asks it where nothing was yet. One question at a time, however many callers wait.
    ///
    /// # Errors
    /// [`UpstreamError`].
    pub(crate) async fn session(&self) -> Result<Arc<Session>, UpstreamError> {
        match self.known() {
            Some(session) => Ok(session),
            // On the heap: it is for one request of many.
            None => Box::pin(self.agree()).await,
        }
    }

    async fn agree(&self) -> Result<Arc<Session>, UpstreamError> {
        let _one = self.negotiating.lock().await;
        if let Some(session) = self.known() {
            return Ok(session);
        }
        let (session, about) = negotiate::session(self).await?;
        let session = Arc::new(session);
        self.about.store(Arc::new(about));
        self.session.store(Some(Arc::clone(&session)));
        self.agreed.notify_waiters();
        Ok(session)
    }

    /// What it said of itself when the version was last agreed on.
    pub(crate) fn about(&self) -> Arc<About> {
        self.about.load_full()
    }

    /// What was agreed with it, if anything.
    pub(crate) fn known(&self) -> Option<Arc<Session>> {
        self.session.load_full().filter(|session| !session.ended())
    }

    /// Waits until something else was agreed with it than the given session.
    pub(crate) async fn other_session(&self, than: Option<&Arc<Session>>) -> Arc<Session> {
        loop {
            let agreed = self.agreed.notified();
            if let Some(session) = self.known()
                && !than.is_some_and(|than| Arc::ptr_eq(than, &session))
            {
                return session;
            }
            agreed.await;
        }
    }

    /// What it and those who follow its resources have to tell each other.
    pub(crate) fn signals(&self) -> &Arc<Signals> {
        &self.signals
    }

    /// How it is reached.
    pub(crate) fn link(&self) -> &Link {
        &self.link
    }

    /// Forgets what was agreed, so that the next request asks again. Another session than the given one is kept.
    pub(crate) fn forget(&self, session: &Arc<Session>) {
        let before =
            self.session.rcu(|current| current.as_ref().filter(|current| !Arc::ptr_eq(current, session)).cloned());
        if before.is_some_and(|before| Arc::ptr_eq(&before, session)) {
            self.renewals.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// How often the shared session was given up. An upstream that has lost it, because it was started again, has lost
    /// its clients' own ones as well, and not every server says so with the 404 that it owes.
    pub(crate) fn renewals(&self) -> u64 {
        self.renewals.load(Ordering::Acquire)
    }

    /// Sends one message, once.
    ///
    /// # Errors
    /// [`UpstreamError::Refused`] for 401 and 403, [`UpstreamError::SessionEnded`] for 404 within a session, and what
    /// the link says. Other statuses are the caller's to judge.
    pub(crate) async fn post(
        &self,
        session: &Arc<Session>,
        message: Post<'_>,
    ) -> Result<Response<UpstreamBody>, UpstreamError> {
        let headers = message.headers(session);
        let response = match &**session {
            Session::Legacy { stream: Some(stream), .. } => stream.post(&self.link, headers, message.body).await?,
            _ => self.link.send(Method::POST, None, headers, message.body).await?.map(UpstreamBody::Http),
        };
        match (response.status(), &**session) {
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) => {
                Err(UpstreamError::Refused(response.status().as_u16()))
            }
            (StatusCode::NOT_FOUND, Session::Legacy { id: Some(_), .. }) => {
                self.forget(session);
                Err(UpstreamError::SessionEnded)
            }
            _ => Ok(response),
        }
    }

    /// Tells a legacy upstream that nobody waits for the answer any more. Closing the connection says so to others.
    pub(crate) fn cancel(self: &Arc<Self>, session: &Arc<Session>, id: u64) {
        if session.era() == Era::Stateless {
            return;
        }
        let body = format!(r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id}}}}}"#);
        self.tell(session, body.into_bytes(), None);
    }
}

/// One message on its way.
#[derive(Debug)]
pub(crate) struct Post<'a> {
    /// The JSON-RPC message.
    pub(crate) body: Vec<u8>,
    /// Its method.
    pub(crate) method: &'a str,
    /// The name that the stateless protocol repeats in a header.
    pub(crate) name: Option<&'a str>,
    /// What of the caller's request goes along.
    pub(crate) along: &'a Along,
}

impl Post<'_> {
    /// Made from nothing: no header of a caller is in here unless it is named in [`Along`].
    fn headers(&self, session: &Session) -> HeaderMap {
        let mut headers = session.headers();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        for (name, value) in &self.along.headers {
            headers.append(name, value.clone());
        }
        if session.era() == Era::Stateless {
            insert(&mut headers, era::METHOD_HEADER, self.method);
            if let Some(name) = self.name {
                insert(&mut headers, era::NAME_HEADER, &era::encode(name));
            }
        }
        headers
    }
}

fn insert(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
