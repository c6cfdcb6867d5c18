//! The bytes of one connection: counted on their way in, cut off at a limit.
//!
//! PostgreSQL sends a row as one message of up to 1 GiB and the driver keeps a message whole in memory. The limit makes
//! the connection fail instead; whoever runs a statement starts the count anew with [`Budget::refill`].

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// The most bytes that one batch of rows may bring.
pub(super) const LIMIT: u64 = 16 * 1024 * 1024;

/// How many bytes may still come in.
#[derive(Debug, Clone)]
pub(super) struct Budget(Arc<Count>);

#[derive(Debug)]
struct Count {
    left: AtomicU64,
    overdrawn: AtomicBool,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self(Arc::new(Count { left: AtomicU64::new(LIMIT), overdrawn: AtomicBool::new(false) }))
    }

    /// Starts the count anew.
    pub(super) fn refill(&self) {
        self.0.left.store(LIMIT, Ordering::Relaxed);
    }

    /// Whether the connection was cut off here. The driver only says that it is closed.
    pub(super) fn overdrawn(&self) -> bool {
        self.0.overdrawn.load(Ordering::Relaxed)
    }

    /// Takes bytes; one connection has one reader, so nobody else takes in between.
    fn take(&self, bytes: u64) -> io::Result<()> {
        let left = self.0.left.load(Ordering::Relaxed);
        if bytes > left {
            self.0.overdrawn.store(true, Ordering::Relaxed);
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.left.store(left - bytes, Ordering::Relaxed);
        Ok(())
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
        Poll::Ready(self.budget.take(came))
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
