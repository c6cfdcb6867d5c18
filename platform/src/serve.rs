//! A listener and a router in; connections served until the token is cancelled, then drained.
//!
//! Unlike `axum::serve` every connection has a deadline for its request head, their number and the size of a head are
//! bounded, a failing `accept` is waited out, and draining ends. And no request is handled whose framing two programs
//! could read in two ways (`guard`).

use std::{
    convert::Infallible,
    future::{self, Future},
    io,
    net::SocketAddr,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use axum::{body::Body, response::Response};
use futures::FutureExt as _;
use http::StatusCode;
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::{Service, ServiceExt as _};

mod accept;
mod chunks;
mod guard;
mod head;
mod refusal;
#[cfg(test)]
mod tests;
mod tls;

use accept::{Accept, Backoff};
use guard::{Guard, Verdict};
pub use refusal::{Refusal, Refusals};
pub use tls::{ServerTls, TlsFilesError};

/// Limits of one listener.
#[derive(Debug, Clone)]
pub struct ServerLimits {
    /// From the connection (or the end of the last response) to the end of the next request head; so it is also how long
    /// a connection may idle.
    pub header_timeout: Duration,
    /// Connections at the same time; further ones wait in the kernel's queue.
    pub max_connections: usize,
    /// Bytes of a request head (request line and headers); at least 8 KiB.
    pub max_head_bytes: usize,
    /// Number of request headers.
    pub max_headers: usize,
    /// How long requests under way may take after the token was cancelled; then their connections are cut.
    pub drain: Duration,
    /// How long a peer may take none of the bytes that are written to it.
    pub write_pause: Duration,
    /// Counts what is refused for its framing.
    pub refusals: Refusals,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(10),
            max_connections: 4096,
            max_head_bytes: 64 * 1024,
            max_headers: 100,
            drain: Duration::from_secs(25),
            write_pause: Duration::from_secs(60),
            refusals: Refusals::default(),
        }
    }
}

/// What can be served: a router, or any service over requests that never fails. Cloned for each request.
pub trait App: Clone + Send + Sync + 'static {
    /// Answers one request.
    fn answer(self, request: Request<Body>) -> impl Future<Output = Response> + Send;
}

impl<S> App for S
where
    S: Service<Request<Body>, Response = Response, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    fn answer(self, request: Request<Body>) -> impl Future<Output = Response> + Send {
        self.oneshot(request).map(|answer| answer.unwrap_or_else(|never| match never {}))
    }
}

/// Serves HTTP/1.1 until `shutdown` is cancelled, then drains and returns.
///
/// Draining closes idle connections and lets requests under way finish for `limits.drain`. A handler that panics answers
/// 500.
///
/// HTTP/2 is off: its detection waits for the client's first bytes without a deadline.
///
/// # Errors
/// None today: a listener that cannot accept is waited for. The type leaves room for one.
pub async fn serve<A: App>(
    listener: TcpListener,
    app: A,
    limits: ServerLimits,
    shutdown: CancellationToken,
) -> io::Result<()> {
    run(listener, app, limits, None, shutdown).await;
    Ok(())
}

/// The same over TLS. The handshake has the time of a request head; without a certificate connections are closed.
///
/// # Errors
/// As [`serve`].
pub async fn serve_tls<A: App>(
    listener: TcpListener,
    tls: ServerTls,
    app: A,
    limits: ServerLimits,
    shutdown: CancellationToken,
) -> io::Result<()> {
    run(listener, app, limits, Some(tls), shutdown).await;
    Ok(())
}

async fn run<A: App>(
    mut listener: impl Accept,
    app: A,
    limits: ServerLimits,
    tls: Option<ServerTls>,
    shutdown: CancellationToken,
) {
    let builder = Arc::new(builder(&limits));
    let limits = Arc::new(limits);
    let slots = Arc::new(Semaphore::new(limits.max_connections));
    let connections = TaskTracker::new();
    let cut = CancellationToken::new();
    let mut backoff = Backoff::default();
    loop {
        let next = async {
            let slot = Arc::clone(&slots).acquire_owned().await;
            (slot, accept::next(&mut listener, &mut backoff).await)
        };
        let (slot, (stream, peer)) = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            next = next => next,
        };
        let connection =
            Connection { app: app.clone(), builder: Arc::clone(&builder), limits: Arc::clone(&limits), peer };
        let (tls, shutdown, cut) = (tls.clone(), shutdown.clone(), cut.clone());
        connections.spawn(async move {
            let _slot = slot;
            let serving = async {
                match tls {
                    None => connection.serve(stream, shutdown).await,
                    Some(tls) => connection.serve_tls(stream, &tls, shutdown).await,
                }
            };
            tokio::select! {
                () = serving => {}
                () = cut.cancelled() => {}
            }
        });
    }
    drop(listener);
    connections.close();
    if time::timeout(limits.drain, connections.wait()).await.is_err() {
        tracing::warn!(connections = connections.len(), "drain deadline passed, cutting connections");
        cut.cancel();
        connections.wait().await;
    }
}

impl ServerLimits {
    fn of_stream(&self) -> guard::Limits {
        guard::Limits {
            head_bytes: self.max_head_bytes.max(8 * 1024),
            headers: self.max_headers,
            write_pause: self.write_pause,
        }
    }
}

fn builder(limits: &ServerLimits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(limits.max_head_bytes.max(8 * 1024))
        .max_headers(limits.max_headers);
    builder
}

struct Connection<A> {
    app: A,
    builder: Arc<http1::Builder>,
    limits: Arc<ServerLimits>,
    peer: SocketAddr,
}

impl<A: App> Connection<A> {
    async fn serve_tls(self, stream: TcpStream, tls: &ServerTls, shutdown: CancellationToken) {
        let Some(config) = tls.config() else { return };
        let handshake = TlsAcceptor::from(config).accept(stream);
        let shaken = tokio::select! {
            () = shutdown.cancelled() => return,
            shaken = time::timeout(self.limits.header_timeout, handshake) => shaken,
        };
        match shaken {
            Ok(Ok(stream)) => self.serve(stream, shutdown).await,
            Ok(Err(error)) => tracing::debug!(peer = %self.peer, %error, "TLS handshake failed"),
            Err(_) => tracing::debug!(peer = %self.peer, "TLS handshake took too long"),
        }
    }

    async fn serve<S>(self, stream: S, shutdown: CancellationToken)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { app, builder, limits, peer } = self;
        let verdict = Arc::new(Verdict::default());
        let guarded = Guard::new(stream, limits.of_stream(), Arc::clone(&verdict));
        let service = service_fn(move |request: Request<Incoming>| {
            let refused = verdict.of_next();
            if let Some(refusal) = refused {
                limits.refusals.count(refusal);
                tracing::debug!(%peer, reason = refusal.reason(), "request refused for its framing");
            }
            // On the heap, and once: hyper keeps room for the future of a request as long as the connection is open.
            let answering: Pin<Box<dyn Future<Output = Response> + Send>> = match refused {
                None => Box::pin(caught(app.clone().answer(request.map(Body::new)))),
                Some(refusal) => Box::pin(future::ready(refusal.respond())),
            };
            answering.map(Ok::<_, Infallible>)
        });
        let connection = builder.serve_connection(TokioIo::new(guarded), service);
        tokio::pin!(connection);
        let outcome = tokio::select! {
            outcome = connection.as_mut() => outcome,
            () = shutdown.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = outcome {
            tracing::debug!(%peer, %error, "connection ended with an error");
        }
    }
}

/// A handler that panics has said nothing yet; what it had in hand is dropped with it.
///
/// Made of combinators: an `async fn` would have room for the future twice, as its argument and as what it waits for.
fn caught(answering: impl Future<Output = Response>) -> impl Future<Output = Response> {
    AssertUnwindSafe(answering).catch_unwind().map(|caught| {
        caught.unwrap_or_else(|_| {
            tracing::error!("a handler panicked");
            let mut response = Response::default();
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
        })
    })
}
