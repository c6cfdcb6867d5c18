//! The events of an answer, across the ends of its stream: a server with sessions may close a stream early and let the
//! client take it up again by GET (specification 2025-11-25, "Transports", "Resumability and Redelivery").
//!
//! Nothing is sent a second time: a GET asks for what is still to come.

use super::body::UpstreamBody;
use super::link::{Cleaned, Link};
use super::sse::SseReader;
use super::{Session, UpstreamError};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Method, Response, header};
use std::fmt;
use std::time::Duration;

/// The pause where the server names none, and the bounds of what it may name.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(60));
/// A stream that ends as often without its answer is given up, however much time is left.
const MAX_TIMES: u32 = 1000;

/// The events of one answer.
pub(crate) struct Events {
    reader: SseReader,
    again: Option<Again>,
    taking_up: Option<BoxFuture<'static, Result<SseReader, UpstreamError>>>,
    times: u32,
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("times", &self.times).finish_non_exhaustive()
    }
}

/// All that a GET needs.
#[derive(Debug, Clone)]
struct Again {
    link: Link,
    headers: HeaderMap,
    max_event: usize,
}

impl Events {
    /// The events of a response within a session.
    pub(crate) fn new(body: UpstreamBody, link: &Link, session: &Session, max_event: usize) -> Self {
        let resumable = matches!(session, Session::Legacy { stream: None, .. });
        let again = resumable.then(|| Again { link: link.clone(), headers: session.headers(), max_event });
        Self { reader: SseReader::new(body, max_event), again, taking_up: None, times: 0 }
    }

    /// The events of a response that stands for itself.
    pub(crate) fn of(body: UpstreamBody, max_event: usize) -> Self {
        Self { reader: SseReader::new(body, max_event), again: None, taking_up: None, times: 0 }
    }

    /// The id that the stream gave last.
    pub(crate) fn last_id(&self) -> Option<&str> {
        self.reader.last_id()
    }

    /// The data of the next event; `None` when the stream has ended for good. May be dropped and asked again.
    ///
    /// # Errors
    /// [`UpstreamError::TooLarge`], [`UpstreamError::Broken`], and what a GET says.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<u8>>, UpstreamError> {
        loop {
            if let Some(taking_up) = &mut self.taking_up {
                let outcome = taking_up.await;
                self.taking_up = None;
                self.reader = outcome?;
            }
            let ended = match self.reader.next().await {
                Ok(None) => Ok(None),
                Err(UpstreamError::Broken) => Err(UpstreamError::Broken),
                other => return other,
            };
            let (Some(again), Some(id)) = (&self.again, self.reader.last_id()) else { return ended };
            let Ok(id) = HeaderValue::from_str(id) else { return ended };
            if self.times == MAX_TIMES {
                return ended;
            }
            self.times += 1;
            let pause = self.reader.retry().unwrap_or(PAUSE).clamp(PAUSES.0, PAUSES.1);
            self.taking_up = Some(take_up(again.clone(), id, pause).boxed());
        }
    }
}

async fn take_up(again: Again, last_id: HeaderValue, pause: Duration) -> Result<SseReader, UpstreamError> {
    tokio::time::sleep(pause).await;
    let Again { link, mut headers, max_event } = again;
    headers.insert("last-event-id", last_id);
    let response = stream(&link, headers).await?.ok_or(UpstreamError::Broken)?;
    Ok(SseReader::new(UpstreamBody::Http(response.into_body()), max_event))
}

/// Asks for a stream by GET; `None` where the server offers none.
///
/// # Errors
/// What the link says, [`UpstreamError::Refused`], and [`UpstreamError::Status`] for a server in trouble.
pub(crate) async fn stream(link: &Link, mut headers: HeaderMap) -> Result<Option<Response<Cleaned>>, UpstreamError> {
    headers.insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
    let response = link.send(Method::GET, None, headers, Vec::new()).await?;
    match response.status().as_u16() {
        status @ (401 | 403) => Err(UpstreamError::Refused(status)),
        status @ (429 | 500..) => Err(UpstreamError::Status(status)),
        200 if is_event_stream(response.headers()) => Ok(Some(response)),
        _ => Ok(None),
    }
}

/// Whether a response says that it is a stream of events.
pub(crate) fn is_event_stream(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("text/event-stream")
}
