//! The rules of `core::egress` with a resolver beside them: host and port in, addresses that may be dialled out.

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, OnceLock},
    time::Duration,
};

use aperium_core::egress::{EgressRules, HostPort, Reach, Refusal, Resolution};
use arc_swap::ArcSwap;
use url::{Host, Url};

use super::{EgressError, Resolve, SystemResolver, tls};

/// How long a resolver may take.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(5);
/// More addresses than this are no honest answer.
const MAX_ADDRESSES: usize = 256;

/// The egress policy of one process. Cheap to clone; [`EgressPolicy::update`] changes it for all who hold it.
#[derive(Clone)]
pub struct EgressPolicy(Arc<Inner>);

struct Inner {
    rules: ArcSwap<EgressRules>,
    resolver: Box<dyn Resolve>,
    tls: OnceLock<Arc<rustls::ClientConfig>>,
}

/// Why rules make no policy.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// RFC 6052 §2.2 knows six prefix lengths.
    #[error("NAT64 prefix {0} must have a length of 32, 40, 48, 56, 64 or 96")]
    Nat64Prefix(String),
}

impl PolicyError {
    /// `PascalCase` reason.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Nat64Prefix(_) => "InvalidNat64Prefix",
        }
    }
}

/// RFC 6052 §2.2.
fn checked(rules: &EgressRules) -> Result<(), PolicyError> {
    match rules.nat64_prefixes.iter().find(|p| !matches!(p.prefix_len(), 32 | 40 | 48 | 56 | 64 | 96)) {
        Some(odd) => Err(PolicyError::Nat64Prefix(odd.to_string())),
        None => Ok(()),
    }
}

// === impl EgressPolicy ===

impl EgressPolicy {
    /// A policy that resolves names with the system's resolver.
    ///
    /// # Errors
    /// [`PolicyError`] for rules that have no meaning.
    pub fn new(rules: EgressRules) -> Result<Self, PolicyError> {
        Self::with_resolver(rules, SystemResolver)
    }

    /// A policy with a resolver of its own.
    ///
    /// # Errors
    /// [`PolicyError`] for rules that have no meaning.
    pub fn with_resolver(rules: EgressRules, resolver: impl Resolve) -> Result<Self, PolicyError> {
        checked(&rules)?;
        let rules = ArcSwap::from_pointee(rules);
        Ok(Self(Arc::new(Inner { rules, resolver: Box::new(resolver), tls: OnceLock::new() })))
    }

    /// The rules of now.
    #[must_use]
    pub fn rules(&self) -> Arc<EgressRules> {
        self.0.rules.load_full()
    }

    /// Other rules from now on, for every client that was made from this policy. Connections that are open stay.
    ///
    /// # Errors
    /// [`PolicyError`] for rules that have no meaning; those of before hold.
    pub fn update(&self, rules: EgressRules) -> Result<(), PolicyError> {
        checked(&rules)?;
        self.0.rules.store(Arc::new(rules));
        Ok(())
    }

    /// Judges a URL without asking the network: scheme, user information, literal address or name. What its name
    /// resolves to is judged when a connection is made.
    ///
    /// # Errors
    /// [`EgressError::Url`] or [`EgressError::Refused`].
    pub fn check_url(&self, reach: Reach, url: &Url) -> Result<(), EgressError> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(EgressError::Url("the scheme must be http or https"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(EgressError::Url("user information is not allowed"));
        }
        let port = url.port_or_known_default().ok_or(EgressError::Url("no port"))?;
        let target = match url.host() {
            Some(host) => host_port(&host, port)?,
            None => return Err(EgressError::Url("no host")),
        };
        self.check(reach, &target)
    }

    /// Judges a host and port without asking the network.
    ///
    /// # Errors
    /// [`EgressError::Refused`].
    pub fn check(&self, reach: Reach, target: &HostPort) -> Result<(), EgressError> {
        let refused = |refusal| refused(target, refusal);
        let rules = self.rules();
        rules.judge_name(reach, target).map_err(refused)?;
        match target.address() {
            Some(address) => rules.judge_address(reach, target, address).map_err(refused),
            None => Ok(()),
        }
    }

    /// Resolves once and judges every address; one denied address refuses the whole answer.
    pub(super) async fn addresses(&self, reach: Reach, target: &HostPort) -> Result<Vec<SocketAddr>, EgressError> {
        let rules = self.rules();
        let resolution = rules.judge_name(reach, target).map_err(|refusal| refused(target, refusal))?;
        let mut addresses = match (target.address(), target.name(), resolution) {
            (Some(address), ..) => vec![address],
            (.., Resolution::Loopback) => vec![IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)],
            (_, Some(name), Resolution::FullyQualified) => self.ask(target, &format!("{name}.")).await?,
            (_, Some(name), Resolution::AsWritten) => self.ask(target, name).await?,
            (None, None, _) => Vec::new(),
        };
        for address in &addresses {
            rules.judge_address(reach, target, *address).map_err(|refusal| refused(target, refusal))?;
        }
        let mut seen = std::collections::HashSet::new();
        addresses.retain(|address| seen.insert(*address));
        Ok(addresses.into_iter().map(|address| SocketAddr::new(address, target.port())).collect())
    }

    async fn ask(&self, target: &HostPort, name: &str) -> Result<Vec<IpAddr>, EgressError> {
        let host = || target.host();
        let failed = |source| EgressError::Resolve { host: host(), source: Arc::new(source) };
        let answer = tokio::time::timeout(RESOLVE_TIMEOUT, self.0.resolver.resolve(name))
            .await
            .map_err(|_| EgressError::ResolveTimeout { host: host() })?
            .map_err(failed)?;
        match answer.len() {
            0 => Err(failed(io::Error::new(io::ErrorKind::NotFound, "the name has no address"))),
            n if n > MAX_ADDRESSES => Err(failed(io::Error::new(io::ErrorKind::InvalidData, "too many addresses"))),
            _ => Ok(answer),
        }
    }

    /// The same policy with a TLS set-up that is there already.
    #[cfg(test)]
    pub(super) fn with_tls(self, config: Arc<rustls::ClientConfig>) -> Self {
        assert!(self.0.tls.set(config).is_ok(), "the TLS set-up was used already");
        self
    }

    /// The TLS set-up that all HTTP clients of this policy share: the CA certificates are read once per policy.
    pub(super) fn tls(&self) -> Result<Arc<rustls::ClientConfig>, EgressError> {
        if let Some(config) = self.0.tls.get() {
            return Ok(Arc::clone(config));
        }
        let config = tls::client_config(&[b"h2", b"http/1.1"], Vec::new())?;
        Ok(Arc::clone(self.0.tls.get_or_init(|| config)))
    }
}

impl fmt::Debug for EgressPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EgressPolicy").field(&self.rules()).finish()
    }
}

fn refused(target: &HostPort, refusal: Refusal) -> EgressError {
    EgressError::Refused { host: target.to_string(), refusal }
}

/// A parsed URL host and a port as the target of the rules.
pub(super) fn host_port<S: AsRef<str>>(host: &Host<S>, port: u16) -> Result<HostPort, EgressError> {
    match host {
        Host::Ipv4(ip) => Ok(HostPort::ip(IpAddr::V4(*ip), port)),
        Host::Ipv6(ip) => Ok(HostPort::ip(IpAddr::V6(*ip), port)),
        Host::Domain(name) => {
            HostPort::new(name.as_ref(), port).map_err(|_| EgressError::Url("the host is no DNS name"))
        }
    }
}
