//! The connectors below hyper's pool: the scheme and authority of a checked URL in, a stream out.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use aperium_core::egress::HostPort;
use http::{Uri, uri::Scheme};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::{net::TcpStream, time};
use tokio_rustls::TlsConnector;

use super::{EgressError, GuardedDialer, broker, dial, policy, stream::EgressStream};

pub(super) type Connecting = Pin<Box<dyn Future<Output = Result<TokioIo<EgressStream>, EgressError>> + Send>>;

/// What dials: one of the three below.
pub(super) trait Connector:
    tower::Service<Uri, Response = TokioIo<EgressStream>, Error = EgressError, Future = Connecting>
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl Connector for ExternalConnector {}
impl Connector for ClusterConnector {}
impl Connector for BrokerConnector {}

/// Dials any host through the guard, with TLS for https.
#[derive(Clone)]
pub(super) struct ExternalConnector {
    pub(super) dialer: GuardedDialer,
    pub(super) tls: Arc<ClientConfig>,
    pub(super) handshake_timeout: Duration,
}

/// Dials the literal address of a cluster endpoint, which was checked when the endpoint was made.
#[derive(Clone)]
pub(super) struct ClusterConnector {
    pub(super) connect_timeout: Duration,
}

/// Dials the broker, with TLS and the certificates of its own CA alone.
#[derive(Clone)]
pub(super) struct BrokerConnector {
    pub(super) tls: Arc<ClientConfig>,
    pub(super) connect_timeout: Duration,
}

/// Scheme and target of an absolute URL without user information. The host is read as browsers do (WHATWG), so that
/// `0x7f.1` is the address it stands for.
pub(super) fn target_of(uri: &Uri) -> Result<(Scheme, HostPort), EgressError> {
    let scheme = uri.scheme().filter(|s| **s == Scheme::HTTP || **s == Scheme::HTTPS);
    let scheme = scheme.ok_or(EgressError::Url("the scheme must be http or https"))?.clone();
    let authority = uri.authority().ok_or(EgressError::Url("no host"))?;
    if authority.as_str().contains('@') {
        return Err(EgressError::Url("user information is not allowed"));
    }
    let port = match authority.as_str().strip_prefix(authority.host()) {
        Some("") if scheme == Scheme::HTTPS => 443,
        Some("") => 80,
        Some(rest) => rest.strip_prefix(':').and_then(|port| port.parse().ok()).ok_or(EgressError::Url("bad port"))?,
        None => return Err(EgressError::Url("bad authority")),
    };
    let host = url::Host::parse(authority.host()).map_err(|_| EgressError::Url("bad host"))?;
    Ok((scheme, policy::host_port(&host, port)?))
}

// === impl ExternalConnector ===

impl ExternalConnector {
    async fn connect(self, uri: Uri) -> Result<TokioIo<EgressStream>, EgressError> {
        let (scheme, target) = target_of(&uri)?;
        let tcp = self.dialer.dial(&target).await?;
        if scheme == Scheme::HTTP {
            return Ok(TokioIo::new(EgressStream::Plain(tcp)));
        }
        shake_hands(self.tls, &target, tcp, self.handshake_timeout).await
    }
}

/// TLS over a connection, for the name or address that was asked for.
async fn shake_hands(
    tls: Arc<ClientConfig>,
    target: &HostPort,
    tcp: TcpStream,
    limit: Duration,
) -> Result<TokioIo<EgressStream>, EgressError> {
    let name = match (target.address(), target.name()) {
        (Some(address), _) => ServerName::IpAddress(address.into()),
        (None, Some(name)) => ServerName::try_from(name.to_owned()).map_err(|_| EgressError::Url("bad host"))?,
        (None, None) => return Err(EgressError::Url("no host")),
    };
    let host = target.to_string();
    match time::timeout(limit, TlsConnector::from(tls).connect(name, tcp)).await {
        Ok(Ok(tls)) => Ok(TokioIo::new(EgressStream::Tls(Box::new(tls)))),
        Ok(Err(source)) => Err(EgressError::Tls { host, source: Arc::new(source) }),
        Err(_) => Err(EgressError::Tls { host, source: Arc::new(io::ErrorKind::TimedOut.into()) }),
    }
}

impl tower::Service<Uri> for BrokerConnector {
    type Response = TokioIo<EgressStream>;
    type Error = EgressError;
    type Future = Connecting;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let Self { tls, connect_timeout } = self.clone();
        Box::pin(async move {
            let (_, target) = target_of(&uri)?;
            let addresses = broker::addresses(&target).await?;
            let tcp = dial::dial_any(&target.to_string(), &addresses, connect_timeout).await?;
            shake_hands(tls, &target, tcp, connect_timeout).await
        })
    }
}

impl tower::Service<Uri> for ExternalConnector {
    type Response = TokioIo<EgressStream>;
    type Error = EgressError;
    type Future = Connecting;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}

impl tower::Service<Uri> for ClusterConnector {
    type Response = TokioIo<EgressStream>;
    type Error = EgressError;
    type Future = Connecting;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let limit = self.connect_timeout;
        Box::pin(async move {
            let (_, target) = target_of(&uri)?;
            let address = target.address().ok_or(EgressError::Url("a cluster endpoint is an address"))?;
            let address = SocketAddr::new(address, target.port());
            let tcp = dial::dial_any(&target.to_string(), &[address], limit).await?;
            Ok(TokioIo::new(EgressStream::Plain(tcp)))
        })
    }
}
