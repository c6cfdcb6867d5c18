//! The bytes of one connection: counted on their way in, cut off at a limit.
//!
//! PostgreSQL sends a row as one message of up to 1 GiB and the driver keeps a message whole in memory. The limit makes
//! the connection fail instead; whoever runs a statement starts the count anew with [`Budget::refill`].

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// The most bytes that one batch of rows may bring.
pub(super) const LIMIT: u64 = 16 * 1024 * 1024;

/// The limit was reached.
#[derive(Debug, thiserror::Error)]
#[error("more than {0} bytes")]
pub(super) struct TooMuch(pub(super) u64);

/// How many bytes may still come in.
#[derive(Debug, Clone)]
pub(super) struct Budget(Arc<AtomicU64>);

impl Budget {
    pub(super) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(LIMIT)))
    }

    /// Starts the count anew.
    pub(super) fn refill(&self) {
        self.0.store(LIMIT, Ordering::Relaxed);
    }
}

/// A TCP connection under a budget.
#[derive(Debug)]
pub(super) struct Metered {
    inner: TcpStream,
    budget: Budget,
}

impl Metered {
    pub(super) fn new(inner: TcpStream, budget: Budget) -> Self {
        Self { inner, budget }
    }
}

impl AsyncRead for Metered {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        std::task::ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        let came = (buf.filled().len() - before) as u64;
        // One connection has one reader: nobody else takes from the budget in between.
        let left = self.budget.0.load(Ordering::Relaxed);
        if came > left {
            return Poll::Ready(Err(io::Error::other(TooMuch(LIMIT))));
        }
        self.budget.0.fetch_sub(came, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Metered {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
