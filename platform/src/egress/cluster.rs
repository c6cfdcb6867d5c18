//! The HTTP client for what the operator (or `aperium up`) itself started: an endpoint and a request in, the response out.

use std::time::Duration;

use axum::body::Body;
use http::{Request, Response, Uri, Version, header, uri::Scheme};

use super::{
    ClientLimits, ClusterEndpoint, EgressError,
    connect::ClusterConnector,
    exchange::{EgressBody, Exchange},
};

/// HTTP/1.1 client with one keep-alive pool. It reaches nothing but a [`ClusterEndpoint`].
#[derive(Debug, Clone)]
pub struct ClusterClient {
    exchange: Exchange<ClusterConnector>,
}

impl Default for ClusterClient {
    fn default() -> Self {
        Self::new()
    }
}

impl ClusterClient {
    /// A client with limits for the neighbourhood: 5 s to connect; idle connections are dropped after 5 s, well before
    /// the services drop them, so that a request never meets a connection that is just being closed.
    #[must_use]
    pub fn new() -> Self {
        Self::with_limits(&ClientLimits {
            connect_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(5),
            max_idle_per_host: 64,
            ..ClientLimits::default()
        })
    }

    /// The same with other limits.
    #[must_use]
    pub fn with_limits(limits: &ClientLimits) -> Self {
        let connector = ClusterConnector { connect_timeout: limits.connect_timeout };
        Self { exchange: Exchange::new(connector, limits) }
    }

    /// Sends the request once. Of its URL only path and query count; address and `Host` header are the endpoint's.
    ///
    /// # Errors
    /// [`EgressError`]; ask `before_send()` before anything is tried again.
    pub async fn send(
        &self,
        to: &ClusterEndpoint,
        mut request: Request<Body>,
    ) -> Result<Response<EgressBody>, EgressError> {
        let path = request.uri().path_and_query().cloned();
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = Some(to.authority().clone());
        parts.path_and_query = Some(path.unwrap_or_else(|| http::uri::PathAndQuery::from_static("/")));
        *request.uri_mut() = Uri::from_parts(parts).map_err(|_| EgressError::Url("bad path"))?;
        request.headers_mut().insert(header::HOST, to.host_header().clone());
        *request.version_mut() = Version::HTTP_11;
        self.exchange.send(request, to.target()).await
    }
}
