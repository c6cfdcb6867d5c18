//! Host and port in, connected TCP stream out: the dialer for protocols other than HTTP, and what the HTTP clients use.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use aperium_core::egress::{HostPort, Reach};
use tokio::{net::TcpStream, time};

use super::{EgressError, EgressPolicy};

/// How many addresses of one answer are tried.
const MAX_TRIES: usize = 4;
/// Limit for the whole of dialling one host.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Opens guarded TCP connections for protocols other than HTTP, such as PostgreSQL.
#[derive(Debug, Clone)]
pub struct GuardedDialer {
    policy: EgressPolicy,
    reach: Reach,
    connect_timeout: Duration,
}

impl GuardedDialer {
    /// A dialer for hosts that were named on the word of `reach`; dialling takes at most 10 s.
    #[must_use]
    pub fn new(policy: EgressPolicy, reach: Reach) -> Self {
        Self { policy, reach, connect_timeout: CONNECT_TIMEOUT }
    }

    /// The same with another limit for dialling one host (resolving has its own limit of 5 s).
    #[must_use]
    pub fn with_connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// Resolves once, judges every address, and connects to a judged one. `host` is a name or an IP address (IPv6 with
    /// or without brackets).
    ///
    /// # Errors
    /// [`EgressError`]; `before_send()` holds for all of them.
    pub async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, EgressError> {
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        let target =
            HostPort::new(bare, port).map_err(|_| EgressError::Url("the host is no DNS name or IP address"))?;
        self.dial(&target).await
    }

    pub(super) async fn dial(&self, target: &HostPort) -> Result<TcpStream, EgressError> {
        let addresses = self.policy.addresses(self.reach, target).await?;
        dial_any(&target.to_string(), &addresses, self.connect_timeout).await
    }
}

/// Tries the judged addresses in order; together they have `limit`, shared evenly among those not tried yet.
pub(super) async fn dial_any(host: &str, addresses: &[SocketAddr], limit: Duration) -> Result<TcpStream, EgressError> {
    let end = time::Instant::now() + limit;
    let tries = addresses.len().min(MAX_TRIES);
    let mut last = EgressError::ConnectTimeout { host: host.to_owned() };
    for (index, address) in addresses.iter().take(tries).enumerate() {
        let left = end.saturating_duration_since(time::Instant::now());
        let share = left / u32::try_from(tries - index).unwrap_or(1);
        last = match time::timeout(share, connect(*address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(source)) => EgressError::Connect { host: host.to_owned(), source: Arc::new(source) },
            Err(_) => EgressError::ConnectTimeout { host: host.to_owned() },
        };
    }
    Err(last)
}

#[expect(clippy::disallowed_methods, reason = "the one place where connections are opened; the address was judged")]
async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    // TCP can connect a socket to itself when nobody listens and the ephemeral port happens to match.
    if stream.local_addr()? == address {
        return Err(io::Error::new(io::ErrorKind::ConnectionRefused, "connected to itself"));
    }
    stream.set_nodelay(true)?;
    Ok(stream)
}
