//! The next connection of a listener, whatever happens in between.

use std::{future::Future, io, net::SocketAddr, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    time,
};

/// What yields connections: a listener, or one that fails on purpose in tests.
pub(super) trait Accept: Send {
    fn accept(&mut self) -> impl Future<Output = io::Result<(TcpStream, SocketAddr)>> + Send;
}

impl Accept for TcpListener {
    async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        Self::accept(self).await
    }
}

/// Waiting times after errors of the system: 10 ms, doubled up to 1 s, from the start again after a success.
#[derive(Debug, Default)]
pub(super) struct Backoff(u32);

impl Backoff {
    fn wait(&mut self) -> Duration {
        let wait = Duration::from_millis(10).saturating_mul(1 << self.0.min(7)).min(Duration::from_secs(1));
        self.0 = self.0.saturating_add(1);
        wait
    }

    fn reset(&mut self) {
        self.0 = 0;
    }
}

/// The next connection. An error of a single connection is skipped; one of the system (no file descriptors, no memory)
/// is waited out.
pub(super) async fn next(listener: &mut impl Accept, backoff: &mut Backoff) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                backoff.reset();
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%peer, %error, "nodelay not set");
                }
                return (stream, peer);
            }
            Err(error) if of_one_connection(&error) => {}
            Err(error) => {
                let wait = backoff.wait();
                tracing::error!(%error, wait_ms = wait.as_millis(), "cannot accept connections");
                time::sleep(wait).await;
            }
        }
    }
}

fn of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
