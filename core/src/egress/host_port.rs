//! `host:port` as text in, a normalised pair out: names in lower case without a trailing dot, IP addresses as numbers.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

use serde::{Deserialize, Serialize};

/// A host (name or IP address) and a port, normalised so that equal targets compare equal.
///
/// Text form: `name:port`, `192.0.2.1:port`, `[2001:db8::1]:port`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostPort {
    host: Host,
    port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Host {
    Ip(IpAddr),
    Name(Box<str>),
}

/// Why a text is no `host:port`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostPortError {
    /// No port, or none between 1 and 65535.
    #[error("expected host:port with a port between 1 and 65535")]
    Port,
    /// The host is neither an IP address nor a DNS name.
    #[error("expected a DNS name, an IPv4 address or an IPv6 address in brackets before the port")]
    Host,
}

impl HostPortError {
    /// `PascalCase` reason.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Port => "InvalidPort",
            Self::Host => "InvalidHost",
        }
    }
}

impl HostPort {
    /// Reads `host:port`. Names may hold letters, digits, `-`, `_` and `.`; a name whose last label is a number is
    /// refused unless it is a dotted IPv4 address, because resolvers read such names as addresses.
    ///
    /// # Errors
    /// [`HostPortError`].
    pub fn parse(text: &str) -> Result<Self, HostPortError> {
        let (host, port) = text.rsplit_once(':').ok_or(HostPortError::Port)?;
        let digits_only = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
        let port: u16 = port.parse().ok().filter(|port| *port != 0 && digits_only).ok_or(HostPortError::Port)?;
        match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(v6) => Ok(Self::ip(IpAddr::V6(v6.parse::<Ipv6Addr>().map_err(|_| HostPortError::Host)?), port)),
            None => Self::new(host, port)
                .ok()
                .filter(|target| !host.contains(':') && target.port == port)
                .ok_or(HostPortError::Host),
        }
    }

    /// A host without brackets and a port that came separately (port 0 is kept; the rules refuse it).
    ///
    /// # Errors
    /// [`HostPortError::Host`].
    pub fn new(host: &str, port: u16) -> Result<Self, HostPortError> {
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok(Self::ip(ip, port));
        }
        let name = host.strip_suffix('.').unwrap_or(host);
        if let Ok(ip) = name.parse::<IpAddr>() {
            return Ok(Self::ip(ip, port));
        }
        if is_name(name) {
            Ok(Self { host: Host::Name(name.to_ascii_lowercase().into()), port })
        } else {
            Err(HostPortError::Host)
        }
    }

    /// An address and a port.
    #[must_use]
    pub const fn ip(ip: IpAddr, port: u16) -> Self {
        Self { host: Host::Ip(ip), port }
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The address, when the host is one.
    #[must_use]
    pub const fn address(&self) -> Option<IpAddr> {
        match &self.host {
            Host::Ip(ip) => Some(*ip),
            Host::Name(_) => None,
        }
    }

    /// The name, when the host is one: lower case, no trailing dot.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match &self.host {
            Host::Ip(_) => None,
            Host::Name(name) => Some(name),
        }
    }

    /// The host as it stands in a URL: IPv6 in brackets.
    #[must_use]
    pub fn host(&self) -> String {
        match &self.host {
            Host::Ip(IpAddr::V6(ip)) => format!("[{ip}]"),
            Host::Ip(ip) => ip.to_string(),
            Host::Name(name) => name.to_string(),
        }
    }
}

fn is_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    let number = last.bytes().all(|b| b.is_ascii_digit())
        || last.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("0x"))
            && last[2..].bytes().all(|b| b.is_ascii_hexdigit());
    (1..=253).contains(&name.len()) && name.split('.').all(label) && !number
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host(), self.port)
    }
}

impl TryFrom<String> for HostPort {
    type Error = HostPortError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<HostPort> for String {
    fn from(target: HostPort) -> Self {
        target.to_string()
    }
}

impl std::str::FromStr for HostPort {
    type Err = HostPortError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}
