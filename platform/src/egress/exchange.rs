//! One request in, one response head out, over connections that are kept: each request is sent once.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use aperium_core::egress::HostPort;
use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response, StatusCode, uri::Scheme};
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper_util::{
    client::legacy::{Client, Error as ClientError},
    rt::{TokioExecutor, TokioTimer},
};
use std::error::Error as _;
use tokio::time;

use super::{
    ClientLimits, EgressError,
    connect::Connector,
    driven::{DrivenBody, Driver},
};

/// A larger request, or one that is still being written, has a connection with a task of its own: the answer may come
/// before the request has gone out, and whoever reads the answer slowly must not hold the request up.
const DRIVEN_BYTES: u64 = 64 * 1024;

/// The connections of one client.
#[derive(Clone)]
pub(super) struct Exchange<C> {
    /// For small requests without TLS: what most of our own services get.
    driver: Driver<C>,
    /// For all others: HTTP/2 carries many requests at a time, which nobody's request can drive alone.
    client: Client<C, Body>,
    response_timeout: Duration,
}

impl<C> fmt::Debug for Exchange<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exchange(..)")
    }
}

/// The body of a response as it comes from the network.
pub struct EgressBody(From);

enum From {
    Driven(DrivenBody),
    Shared(Incoming),
}

impl<C: Connector> Exchange<C> {
    /// No retries, bounded response heads.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where HTTP clients are built, over guarded connectors alone"
    )]
    pub(super) fn new(connector: C, limits: &ClientLimits) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(limits.idle_timeout)
            .pool_max_idle_per_host(limits.max_idle_per_host)
            .http1_max_buf_size(limits.response_head_bytes)
            .http1_max_headers(limits.response_headers)
            .http2_max_header_list_size(u32::try_from(limits.response_head_bytes).unwrap_or(u32::MAX))
            .http2_keep_alive_interval(Duration::from_secs(20))
            .http2_keep_alive_timeout(Duration::from_secs(10))
            .retry_canceled_requests(false)
            .build(connector.clone());
        Self { driver: Driver::new(connector, limits), client, response_timeout: limits.response_timeout }
    }

    /// Sends it. Errors of the connector come back as they were, everything later as "may have been sent".
    pub(super) async fn send(
        &self,
        request: Request<Body>,
        target: &HostPort,
    ) -> Result<Response<EgressBody>, EgressError> {
        let plain = request.uri().scheme() == Some(&Scheme::HTTP);
        let small = request.body().size_hint().exact().is_some_and(|bytes| bytes <= DRIVEN_BYTES);
        let sent = async {
            if plain && small {
                return Ok(self.driver.send(request, target).await?.map(From::Driven));
            }
            let response = self.client.request(request).await.map_err(|error| classify(error, target))?;
            Ok(response.map(From::Shared))
        };
        let response = match time::timeout(self.response_timeout, sent).await {
            Ok(outcome) => outcome?.map(EgressBody),
            Err(_) => return Err(EgressError::Timeout { host: target.to_string() }),
        };
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(EgressError::Upgrade { host: target.to_string() });
        }
        Ok(response)
    }
}

fn classify(error: ClientError, target: &HostPort) -> EgressError {
    let source = error.source();
    if let Some(dialled) = source.and_then(|source| source.downcast_ref::<EgressError>()) {
        return dialled.clone();
    }
    // hyper says "canceled" only when it hands the request back untouched; every other error may come after a write.
    let untouched =
        source.and_then(|source| source.downcast_ref::<hyper::Error>()).is_some_and(hyper::Error::is_canceled);
    let (host, source) = (target.to_string(), Arc::new(error));
    if untouched { EgressError::Unsent { host, source } } else { EgressError::Send { host, source } }
}

impl fmt::Debug for EgressBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EgressBody(..)")
    }
}

impl hyper::body::Body for EgressBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.get_mut().0 {
            From::Driven(body) => Pin::new(body).poll_frame(cx),
            From::Shared(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            From::Driven(body) => body.is_end_stream(),
            From::Shared(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            From::Driven(body) => body.size_hint(),
            From::Shared(body) => body.size_hint(),
        }
    }
}
