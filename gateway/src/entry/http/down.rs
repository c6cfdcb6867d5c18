//! The upstream's body → the caller's, piece by piece, up to the cap.

use super::Record;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::{Sleep, sleep};

/// Bytes of a response that are passed on: 50 MiB (seed 002, "Response size limit").
pub(super) const CAP: u64 = 50 * 1024 * 1024;

/// How long an upstream may pause within a body. Streams of events say something more often.
const PAUSE: Duration = Duration::from_secs(300);

/// Why a body ends early. The caller's connection is then cut, so that half a body never looks like a whole one.
#[derive(Debug, thiserror::Error)]
pub(super) enum DownError<E> {
    /// The upstream broke off.
    #[error("the upstream's body broke off")]
    Broken(#[source] E),
    /// It holds more than the cap, and its length was not known before.
    #[error("the upstream's body holds more than {CAP} bytes")]
    TooLarge,
    /// It has paused for too long.
    #[error("the upstream's body paused for too long")]
    Slow,
}

/// The upstream's body. Trailers stay here.
#[derive(Debug)]
pub(super) struct Down<B: Body> {
    inner: B,
    /// Bytes that may still come.
    left: u64,
    /// The length was announced: `left` is then what will come, cut at the cap.
    known: bool,
    ended: bool,
    pause: Option<Pin<Box<Sleep>>>,
    record: Record,
}

impl<B: Body> Down<B> {
    /// Wraps a body with its announced length.
    pub(super) fn new(inner: B, length: Option<u64>, record: Record) -> Self {
        let left = length.unwrap_or(CAP).min(CAP);
        Self { inner, left, known: length.is_some(), ended: false, pause: None, record }
    }

    fn end<T>(&mut self, outcome: &'static str, value: T) -> Poll<T> {
        self.ended = true;
        self.record.end(outcome);
        Poll::Ready(value)
    }
}

impl<B> Body for Down<B>
where
    B: Body<Data = Bytes> + Unpin,
{
    type Data = Bytes;
    type Error = DownError<B::Error>;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        loop {
            if self.ended {
                return Poll::Ready(None);
            }
            let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(cx) else {
                let pause = self.pause.get_or_insert_with(|| Box::pin(sleep(PAUSE)));
                ready!(pause.as_mut().poll(cx));
                return self.end("upstream_slow", Some(Err(DownError::Slow)));
            };
            self.pause = None;
            let mut data = match frame {
                None => return self.end("ok", None),
                Some(Err(error)) => return self.end("upstream_broken", Some(Err(DownError::Broken(error)))),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => data,
                    Err(_trailers) => continue,
                },
            };
            let more = data.len() as u64 > self.left;
            if more && !self.known {
                return self.end("too_large", Some(Err(DownError::TooLarge)));
            }
            if more {
                data.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
            }
            self.left -= data.len() as u64;
            if self.known && self.left == 0 {
                let outcome = if more || !self.inner.is_end_stream() { "truncated" } else { "ok" };
                return self.end(outcome, Some(Ok(Frame::data(data))));
            }
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.known { SizeHint::with_exact(self.left) } else { self.inner.size_hint() }
    }
}

impl<B: Body> Drop for Down<B> {
    fn drop(&mut self) {
        // A body without a byte is never polled.
        if !self.ended && self.inner.is_end_stream() {
            self.record.end("ok");
        }
    }
}
