//! The stream that a client of the older era opens with GET: messages that no request of its own has asked for.

use crate::catalog::ResourceKey;
use crate::snapshot::Identity;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::mpsc;

/// Messages that may wait for a slow client; with one more, its stream is closed, and it opens another.
const QUEUE: usize = 64;

/// One open stream.
#[derive(Debug)]
pub(crate) struct OpenStream {
    /// Who listens.
    pub(crate) identity: Arc<Identity>,
    /// The connector of `/v1/mcp/<id>`; none: all of them.
    pub(crate) only: Option<ResourceKey>,
    /// Since when.
    pub(crate) opened: Instant,
    sender: std::sync::Mutex<Option<mpsc::Sender<Bytes>>>,
}

impl OpenStream {
    /// A stream and the end that the client's response reads from.
    pub(crate) fn new(identity: Arc<Identity>, only: Option<ResourceKey>) -> (Arc<Self>, mpsc::Receiver<Bytes>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let sender = std::sync::Mutex::new(Some(sender));
        (Arc::new(Self { identity, only, opened: Instant::now(), sender }), receiver)
    }

    /// Sends one JSON-RPC notification. False when the client is gone, or so slow that it was let go.
    pub(crate) fn send(&self, message: &[u8]) -> bool {
        let event = crate::pipeline::upstream::sse::write_event(message);
        let mut sender = self.sender.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let sent = sender.as_ref().is_some_and(|sender| sender.try_send(event).is_ok());
        if !sent {
            *sender = None;
        }
        sent
    }

    /// Ends the stream: another one has taken its place, or the session has ended.
    pub(crate) fn close(&self) {
        *self.sender.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = None;
    }

    /// Whether somebody still reads.
    pub(crate) fn is_open(&self) -> bool {
        let sender = self.sender.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        sender.as_ref().is_some_and(|sender| !sender.is_closed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aperium_core::caller::{Caller, Principal};

    #[tokio::test]
    async fn a_client_that_does_not_read_is_let_go() {
        let (stream, mut receiver) = OpenStream::new(Identity::new(Caller::new(Principal::Loopback)), None);
        for _ in 0..QUEUE {
            assert!(stream.send(b"{}"));
        }
        assert!(stream.is_open());
        assert!(!stream.send(b"{}"));
        assert!(!stream.is_open());
        for _ in 0..QUEUE {
            assert!(receiver.recv().await.is_some());
        }
        assert!(receiver.recv().await.is_none(), "the stream ends after what was queued");
    }
}
