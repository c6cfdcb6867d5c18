//! The body of an upstream's answer, whichever transport it came by.

use super::UpstreamError;
use super::legacy_sse::Answers;
use super::link::Cleaned;
use bytes::Bytes;
use http_body::{Body, Frame};
use std::pin::Pin;
use std::task::{Context, Poll};

/// What an answer is read from.
#[derive(Debug)]
pub(crate) enum UpstreamBody {
    /// The response to the request itself.
    Http(Cleaned),
    /// What came for it on the one stream of the older transport.
    Stream(Answers),
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = UpstreamError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UpstreamError>>> {
        match self.get_mut() {
            Self::Http(body) => Pin::new(body).poll_frame(cx).map_err(|_| UpstreamError::Broken),
            Self::Stream(answers) => answers.poll(cx).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http(body) => body.is_end_stream(),
            Self::Stream(_) => false,
        }
    }
}
