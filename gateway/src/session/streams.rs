//! The stream that a client of the older era opens with GET: from here it can only be ended.

use std::sync::Arc;
use tokio_util::sync::{CancellationToken, DropGuard};

/// One open stream.
#[derive(Debug)]
pub(crate) struct OpenStream(CancellationToken);

/// What the client's response holds: it hears of the end, and its own end is heard.
#[derive(Debug)]
pub(crate) struct Held {
    ended: CancellationToken,
    _left: DropGuard,
}

impl OpenStream {
    /// A stream and what its response holds.
    pub(crate) fn new() -> (Arc<Self>, Held) {
        let ended = CancellationToken::new();
        (Arc::new(Self(ended.clone())), Held { _left: ended.clone().drop_guard(), ended })
    }

    /// Ends the stream: another one has taken its place, or the session has ended.
    pub(crate) fn close(&self) {
        self.0.cancel();
    }

    /// Whether somebody still reads.
    pub(crate) fn is_open(&self) -> bool {
        !self.0.is_cancelled()
    }
}

impl Held {
    /// Waits until the stream is ended.
    pub(crate) async fn ended(&self) {
        self.ended.cancelled().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn both_sides_hear_of_the_end() {
        let (stream, held) = OpenStream::new();
        assert!(stream.is_open());
        drop(held);
        assert!(!stream.is_open(), "the client has left");
        let (stream, held) = OpenStream::new();
        stream.close();
        held.ended().await;
    }
}
