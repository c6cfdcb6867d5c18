//! The caller's head and body → those of the request to the upstream.

use super::{METHODS, ProxyError, request_id};
use crate::pipeline::upstream::UpstreamError;
use crate::trail;
use aperium_core::header_rules;
use axum::body::Body;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use std::collections::HashSet;
use std::ops::DerefMut;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep, timeout_at};

/// How long a caller may pause within a body.
const PAUSE: Duration = Duration::from_secs(30);

/// The headers for the upstream. `carries_secret`: a credential will be inserted, so the answer must stay readable for
/// the mask that covers it.
///
/// # Errors
/// [`ProxyError::Upgrade`], and [`ProxyError::Method`] where a header asks for a method that is not passed on.
pub(super) fn head(parts: &Parts, carries_secret: bool) -> Result<HeaderMap, ProxyError> {
    let headers = &parts.headers;
    // An offer of HTTP/2, which some clients make to everybody, may be passed over (RFC 9110 §7.8).
    if headers.get_all(header::UPGRADE).iter().any(|protocol| protocol != "h2c") {
        return Err(ProxyError::Upgrade);
    }
    let connection = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let nominated: HashSet<String> = header_rules::nominated(connection).collect();
    let mut head = HeaderMap::with_capacity(headers.len() + 4);
    for (name, value) in headers {
        if header_rules::overrides_method(name.as_str())
            && !METHODS.iter().any(|method| value.as_bytes().eq_ignore_ascii_case(method.as_str().as_bytes()))
        {
            return Err(ProxyError::Method);
        }
        if header_rules::passes_up(name.as_str()) && !nominated.contains(name.as_str()) {
            head.append(name, value.clone());
        }
    }
    if let Ok(id) = HeaderValue::from_str(request_id(parts)) {
        head.insert("x-request-id", id);
    }
    if let Some(ours) = trail::traceparent() {
        head.insert("traceparent", ours);
    }
    if carries_secret {
        head.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }
    Ok(head)
}

/// What is known of a body on its way, for whoever waits for the answer.
#[derive(Debug)]
pub(super) struct Upload {
    started: Instant,
    /// Milliseconds from the start to the last piece of the body.
    last: AtomicU64,
    failed: OnceLock<ProxyError>,
}

impl Upload {
    /// Waits for the answer: at most `limit` after the last piece of the body has gone.
    ///
    /// # Errors
    /// [`ProxyError`]: that of the body where it was the body that failed.
    pub(super) async fn within<T>(
        &self,
        limit: Duration,
        mut answer: Pin<impl DerefMut<Target = impl Future<Output = Result<T, UpstreamError>>>>,
    ) -> Result<T, ProxyError> {
        loop {
            let end = self.moved() + limit;
            match timeout_at(end, answer.as_mut()).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => return Err(self.failed.get().cloned().unwrap_or_else(|| error.into())),
                Err(_) if self.moved() + limit > end => {}
                Err(_) => return Err(ProxyError::Timeout),
            }
        }
    }

    fn moved(&self) -> Instant {
        self.started + Duration::from_millis(self.last.load(Ordering::Relaxed))
    }

    fn moves(&self) {
        let passed = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(passed, Ordering::Relaxed);
    }
}

/// Why a body ends early. The upstream's connection is then cut: it must never take half a body for a whole one.
#[derive(Debug, thiserror::Error)]
pub(super) enum UpError {
    /// The caller is gone, or its framing is broken.
    #[error("the caller's body broke off")]
    Broken(#[source] axum::Error),
    /// It holds too much, or it pauses for too long.
    #[error(transparent)]
    Refused(ProxyError),
}

/// The caller's body, piece by piece, nothing held. Trailers stay here: they would be headers that nobody looked at.
#[derive(Debug)]
pub(super) struct Up {
    inner: Body,
    left: u64,
    limit: u64,
    pause: Option<Pin<Box<Sleep>>>,
    upload: Arc<Upload>,
}

impl Up {
    /// Wraps a body; `None` for one that is empty. One that announces too much is refused before any of it is read.
    ///
    /// # Errors
    /// [`ProxyError::TooLarge`].
    pub(super) fn wrap(body: Body, limit: u64) -> Result<(Option<Body>, Arc<Upload>), ProxyError> {
        let upload = Arc::new(Upload { started: Instant::now(), last: AtomicU64::new(0), failed: OnceLock::new() });
        if body.is_end_stream() {
            return Ok((None, upload));
        }
        if body.size_hint().lower() > limit {
            return Err(ProxyError::TooLarge(limit));
        }
        let up = Self { inner: body, left: limit, limit, pause: None, upload: Arc::clone(&upload) };
        Ok((Some(Body::new(up)), upload))
    }

    fn refuse(&self, error: ProxyError) -> Option<Result<Frame<Bytes>, UpError>> {
        let _ = self.upload.failed.set(error.clone());
        Some(Err(UpError::Refused(error)))
    }
}

impl HttpBody for Up {
    type Data = Bytes;
    type Error = UpError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UpError>>> {
        loop {
            let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(cx) else {
                let pause = self.pause.get_or_insert_with(|| Box::pin(sleep(PAUSE)));
                ready!(pause.as_mut().poll(cx));
                return Poll::Ready(self.refuse(ProxyError::Slow));
            };
            self.pause = None;
            self.upload.moves();
            let data = match frame {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(UpError::Broken(error)))),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => data,
                    Err(_trailers) => continue,
                },
            };
            let Some(left) = self.left.checked_sub(data.len() as u64) else {
                let limit = self.limit;
                return Poll::Ready(self.refuse(ProxyError::TooLarge(limit)));
            };
            self.left = left;
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
