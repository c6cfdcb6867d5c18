//! The HTTP client for everything outside the operator's hands: a request with an absolute URL in, the response out.

use std::{sync::Arc, time::Duration};

use aperium_core::egress::{HostPort, Reach};
use arc_swap::ArcSwapOption;
use axum::body::Body;
use http::{
    Method, Request, Response, Uri, Version, header,
    uri::{Authority, Parts, PathAndQuery, Scheme},
};

use super::{
    EgressError, EgressPolicy, GuardedDialer,
    connect::{self, ExternalConnector},
    dial::CONNECT_TIMEOUT,
    exchange::{EgressBody, Exchange},
};

/// Limits of an HTTP client. All of them have an end; none is "unlimited".
#[derive(Debug, Clone)]
pub struct ClientLimits {
    /// For dialling one host, all its addresses together, and again for the TLS handshake.
    pub connect_timeout: Duration,
    /// From the request being handed over to the response head. A backstop: callers have their own call timeouts.
    pub response_timeout: Duration,
    /// Bytes of a response head (status line and headers); at least 8 KiB. The buffer is read in steps, so up to twice
    /// as much may pass.
    pub response_head_bytes: usize,
    /// Number of response headers.
    pub response_headers: usize,
    /// How long an idle connection is kept.
    pub idle_timeout: Duration,
    /// How many idle connections are kept per scheme, host and port.
    pub max_idle_per_host: usize,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            connect_timeout: CONNECT_TIMEOUT,
            response_timeout: Duration::from_secs(300),
            response_head_bytes: 64 * 1024,
            response_headers: 100,
            idle_timeout: Duration::from_secs(30),
            max_idle_per_host: 256,
        }
    }
}

/// HTTP client for URLs that people or other systems wrote. Cheap to clone; one keep-alive pool per `new`.
///
/// A kept-alive connection is used on although the name may resolve to something else by now: its address was judged
/// when it was opened.
#[derive(Debug, Clone)]
pub struct ExternalClient {
    policy: EgressPolicy,
    reach: Reach,
    exchange: Exchange<ExternalConnector>,
    /// The origin of the last request: a client nearly always speaks to one.
    last: Arc<ArcSwapOption<Origin>>,
}

/// Scheme and authority of a URL: as they were written, and as the rules read them. Nothing is judged by it yet.
#[derive(Debug)]
struct Origin {
    scheme: Scheme,
    written: Authority,
    target: HostPort,
    authority: Authority,
}

impl ExternalClient {
    /// A client for URLs on the word of `reach`, with the default limits.
    ///
    /// # Errors
    /// [`EgressError::TlsSetup`] when the system has no CA certificates.
    pub fn new(policy: EgressPolicy, reach: Reach) -> Result<Self, EgressError> {
        Self::with_limits(policy, reach, &ClientLimits::default())
    }

    /// The same with other limits.
    ///
    /// # Errors
    /// [`EgressError::TlsSetup`] when the system has no CA certificates.
    pub fn with_limits(policy: EgressPolicy, reach: Reach, limits: &ClientLimits) -> Result<Self, EgressError> {
        let connector = ExternalConnector {
            dialer: GuardedDialer::new(policy.clone(), reach).with_connect_timeout(limits.connect_timeout),
            tls: policy.tls()?,
            handshake_timeout: limits.connect_timeout,
        };
        let exchange = Exchange::new(connector, limits);
        Ok(Self { policy, reach, exchange, last: Arc::default() })
    }

    /// Sends the request once and returns whatever head comes back, redirects included. The `Host` header is always
    /// that of the URL.
    ///
    /// # Errors
    /// [`EgressError`]; ask `before_send()` before anything is tried again.
    pub async fn send(&self, mut request: Request<Body>) -> Result<Response<EgressBody>, EgressError> {
        let origin = self.origin(request.uri())?;
        self.policy.check(self.reach, &origin.target)?;
        if request.method() == Method::CONNECT {
            return Err(EgressError::Url("CONNECT is not sent"));
        }
        *request.uri_mut() = origin.url(request.uri())?;
        request.headers_mut().remove(header::HOST);
        *request.version_mut() = Version::HTTP_11;
        self.exchange.send(request, &origin.target).await
    }

    fn origin(&self, uri: &Uri) -> Result<Arc<Origin>, EgressError> {
        if let Some(last) = &*self.last.load()
            && last.is_of(uri)
        {
            return Ok(Arc::clone(last));
        }
        let origin = Arc::new(Origin::read(uri)?);
        self.last.store(Some(Arc::clone(&origin)));
        Ok(origin)
    }
}

impl Origin {
    fn read(uri: &Uri) -> Result<Self, EgressError> {
        let (scheme, target) = connect::target_of(uri)?;
        let written = uri.authority().ok_or(EgressError::Url("no host"))?.clone();
        let default = if scheme == Scheme::HTTPS { 443 } else { 80 };
        let authority = if target.port() == default { target.host() } else { target.to_string() };
        let authority = authority.parse().map_err(|_| EgressError::Url("bad URL"))?;
        Ok(Self { scheme, written, target, authority })
    }

    /// To the letter: what is written in another way is read anew.
    fn is_of(&self, uri: &Uri) -> bool {
        uri.scheme() == Some(&self.scheme)
            && uri.authority().is_some_and(|authority| authority.as_str() == self.written.as_str())
    }

    /// The URL with its host as the rules read it, so that pool key, Host header, SNI and judgement are about one host.
    fn url(&self, uri: &Uri) -> Result<Uri, EgressError> {
        let mut parts = Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/")));
        Uri::from_parts(parts).map_err(|_| EgressError::Url("bad URL"))
    }
}
