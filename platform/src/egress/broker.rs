//! The HTTP client for the broker: the one address that the operator set, and a certificate of the one CA beside it.
//!
//! The CA is read again when its file changes; then connections are made anew.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use axum::body::Body;
use http::{Request, Response, Uri, Version, header, uri::Scheme};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

use aperium_core::egress::HostPort;

use super::{
    ClientLimits, EgressError, Resolve as _, SystemResolver,
    connect::BrokerConnector,
    exchange::{EgressBody, Exchange},
};
use crate::seal::{RingError, RingFile};

/// How long resolving the broker's name may take.
pub(super) const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Where the broker is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerAddress(HostPort);

impl BrokerAddress {
    /// `host:port`, as the operator writes it.
    ///
    /// # Errors
    /// [`EgressError::Url`].
    pub fn parse(text: &str) -> Result<Self, EgressError> {
        text.parse().map(Self).map_err(|_| EgressError::Url("the broker's address is no host:port"))
    }
}

/// HTTP/1.1 over TLS to the broker. It reaches nothing else, whatever the request says.
pub struct BrokerClient {
    to: HostPort,
    roots: RingFile<Roots>,
    made: ArcSwapOption<Made>,
    limits: ClientLimits,
}

/// A client and the certificates that it trusts.
struct Made {
    roots: Arc<Roots>,
    exchange: Exchange<BrokerConnector>,
}

/// The CA that the broker's certificate must be of.
struct Roots(Arc<ClientConfig>);

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Roots(..)")
    }
}

impl Roots {
    fn parse(pem: &[u8]) -> Result<Self, RingError> {
        let mut store = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|_| RingError::Certificate)?;
            store.add(certificate).map_err(|_| RingError::Certificate)?;
        }
        if store.is_empty() {
            return Err(RingError::Certificate);
        }
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|_| RingError::Certificate)?
            .with_root_certificates(store)
            .with_no_client_auth();
        Ok(Self(Arc::new(config)))
    }
}

impl BrokerClient {
    /// A client for this address. `ca` is a file with the CA's certificate in PEM; it need not exist yet.
    #[must_use]
    pub fn new(to: BrokerAddress, ca: impl Into<PathBuf>) -> Self {
        let limits = ClientLimits {
            connect_timeout: Duration::from_secs(5),
            // Less than the listener keeps a connection.
            idle_timeout: Duration::from_secs(5),
            max_idle_per_host: 16,
            response_timeout: Duration::from_secs(10),
            ..ClientLimits::default()
        };
        Self { to: to.0, roots: RingFile::new(ca.into(), Roots::parse), made: ArcSwapOption::empty(), limits }
    }

    fn client(&self) -> Result<Arc<Made>, EgressError> {
        let roots = self.roots.ring().ok_or(EgressError::Url("the broker's CA is not there"))?;
        if let Some(made) = self.made.load_full().filter(|made| Arc::ptr_eq(&made.roots, &roots)) {
            return Ok(made);
        }
        let connector = BrokerConnector { tls: Arc::clone(&roots.0), connect_timeout: self.limits.connect_timeout };
        let made = Arc::new(Made { roots, exchange: Exchange::new(connector, &self.limits) });
        self.made.store(Some(Arc::clone(&made)));
        Ok(made)
    }

    /// Sends the request once. Of its URL only path and query count.
    ///
    /// # Errors
    /// [`EgressError`]; ask `before_send()` before anything is tried again.
    pub async fn send(&self, mut request: Request<Body>) -> Result<Response<EgressBody>, EgressError> {
        let path = request.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str).to_owned();
        let uri = Uri::builder().scheme(Scheme::HTTPS).authority(self.to.to_string()).path_and_query(path).build();
        *request.uri_mut() = uri.map_err(|_| EgressError::Url("bad path"))?;
        request.headers_mut().remove(header::HOST);
        *request.version_mut() = Version::HTTP_11;
        let made = self.client()?;
        made.exchange.send(request, &self.to).await
    }
}

impl fmt::Debug for BrokerClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrokerClient").field("to", &self.to).field("ca", &self.roots.path()).finish_non_exhaustive()
    }
}

/// The addresses of the broker. An admin's operator named it, so they are not judged; its certificate is.
pub(super) async fn addresses(target: &HostPort) -> Result<Vec<std::net::SocketAddr>, EgressError> {
    if let Some(address) = target.address() {
        return Ok(vec![(address, target.port()).into()]);
    }
    let host = target.to_string();
    let name = target.name().ok_or(EgressError::Url("no host"))?;
    match tokio::time::timeout(RESOLVE_TIMEOUT, SystemResolver.resolve(name)).await {
        Ok(Ok(found)) => Ok(found.into_iter().map(|address| (address, target.port()).into()).collect()),
        Ok(Err(source)) => Err(EgressError::Resolve { host, source: Arc::new(source) }),
        Err(_) => Err(EgressError::ResolveTimeout { host }),
    }
}
