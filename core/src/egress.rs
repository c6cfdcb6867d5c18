//! Who may reach which address: the egress rules in, allowed or refused with a reason out.
//!
//! ```text
//! host, port ──judge_name────► refused │ resolve as fully qualified │ resolve as written (allowHosts)
//! address    ──judge_address─► refused │ allowed
//! ```
//! Order of judgement for an address (and for every IPv4 address it carries): metadata, then the addresses that nobody
//! may open (API server, gateway), then `allowHosts`, then the range table, then the cluster's own ranges.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv6Net};
use serde::{Deserialize, Serialize};

use crate::address::{self, Class};

mod facts;
mod host_port;
mod name;
#[cfg(test)]
mod tests;

pub use facts::ClusterFacts;
pub use host_port::{HostPort, HostPortError};
pub use name::NameClass;

/// On whose word a connection is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reach {
    /// An admin wrote the host (`spec.url`) or stored it with a credential: private ranges may be reached.
    Admin,
    /// Anything that came from outside (OAuth metadata, JWKS, a URL that an upstream told us): public addresses only.
    Untrusted,
}

/// What may be reached. The default is the strictest: cluster ranges unknown, so every private range is closed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct EgressRules {
    /// Closes private ranges (RFC 1918, ULA, CGNAT) for admins too.
    pub deny_private: bool,
    /// Exact `host:port` pairs that are reachable although their address or name is denied. Never opens metadata
    /// services, `blockedAddresses` or the own ports of `loopback`.
    pub allow_hosts: Vec<HostPort>,
    /// The cluster's pod, service and node ranges; they may be public ranges. `None`: unknown, all private ranges closed.
    pub cluster_ranges: Option<Vec<IpNet>>,
    /// Addresses that nothing opens: the API server and the gateway.
    pub blocked_addresses: Vec<IpAddr>,
    /// NAT64 prefixes of the network (RFC 6052): their addresses are judged by the IPv4 address inside. Without an entry
    /// every NAT64 address is denied.
    pub nat64_prefixes: Vec<Ipv6Net>,
    /// Set by `aperium up` alone: loopback may be reached by an admin's own URL, except the ports listed.
    pub loopback: Option<LoopbackOpening>,
}

/// How far loopback is open under `aperium up`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct LoopbackOpening {
    /// The ports that this process listens on; nothing opens them.
    pub own_ports: Vec<u16>,
}

/// Why a host or address was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// A cloud's metadata service, by address or name.
    Metadata,
    /// The API server, the gateway itself, or a port of this process.
    Blocked,
    /// A private address, and `denyPrivate` is set.
    PrivateDenied,
    /// A private address on the word of an untrusted source.
    PrivateUntrusted,
    /// A private address while the cluster's ranges are not known.
    RangesUnknown,
    /// An address of the cluster's pods, services or nodes.
    ClusterRange,
    /// An address of a range that is no public internet.
    Range(Class),
    /// A name that only has a meaning on this host or in this network or cluster.
    LocalName(NameClass),
    /// Port 0.
    Port,
}

/// How an admitted name is resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// As a fully qualified name (with a trailing dot), so that a search list cannot turn it into another one.
    FullyQualified,
    /// As written: `allowHosts` names it, and in-cluster names need the search list.
    AsWritten,
    /// `localhost` where loopback is open: 127.0.0.1 and ::1 without asking anybody.
    Loopback,
}

// === impl Refusal ===

impl Refusal {
    /// `PascalCase` reason for conditions, events and metric labels.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Metadata => "MetadataAddress",
            Self::Blocked => "BlockedAddress",
            Self::PrivateDenied => "PrivateDenied",
            Self::PrivateUntrusted => "PrivateAddress",
            Self::RangesUnknown => "RangesUnknown",
            Self::ClusterRange => "ClusterAddress",
            Self::Range(class) => class.reason(),
            Self::LocalName(_) => "LocalName",
            Self::Port => "InvalidPort",
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Metadata => "metadata service",
            Self::Blocked => "API server or Aperium's own address",
            Self::PrivateDenied => "private address, closed by egress.denyPrivate",
            Self::PrivateUntrusted => "private address, not named by an admin",
            Self::RangesUnknown => "private address while the cluster's ranges are unknown",
            Self::ClusterRange => "address of the cluster itself",
            Self::Range(class) => match class {
                Class::Private => "private address",
                Class::Loopback => "loopback address",
                Class::LinkLocal => "link-local address",
                Class::Multicast => "multicast address",
                Class::Unspecified => "unspecified address",
                Class::Broadcast => "broadcast address",
                Class::Documentation => "documentation address",
                Class::Benchmark => "benchmark address",
                Class::Reserved => "reserved address",
                Class::EmbeddedV4 => "IPv6 form of an IPv4 address",
            },
            Self::LocalName(class) => class.describe(),
            Self::Port => "port 0",
        })
    }
}

// === impl EgressRules ===

impl EgressRules {
    /// May this name be asked for at all, and how is it resolved? Its addresses are judged afterwards, each by itself.
    ///
    /// # Errors
    /// [`Refusal`] for metadata names, the API server's names, and local names that `allowHosts` does not list.
    pub fn judge_name(&self, reach: Reach, target: &HostPort) -> Result<Resolution, Refusal> {
        if target.port() == 0 {
            return Err(Refusal::Port);
        }
        let Some(name) = target.name() else { return Ok(Resolution::AsWritten) };
        let class = name::classify(name);
        match class {
            Some(NameClass::Metadata) => Err(Refusal::Metadata),
            Some(NameClass::ApiServer) => Err(Refusal::Blocked),
            _ if self.opened(target) => Ok(Resolution::AsWritten),
            Some(NameClass::Localhost) if reach == Reach::Admin && self.loopback.is_some() => Ok(Resolution::Loopback),
            Some(class) => Err(Refusal::LocalName(class)),
            None => Ok(Resolution::FullyQualified),
        }
    }

    /// May `target` be reached at `address` (its own literal, or one of the addresses its name resolved to)?
    ///
    /// # Errors
    /// [`Refusal`] with the first rule that closes the address or an IPv4 address it carries.
    pub fn judge_address(&self, reach: Reach, target: &HostPort, address: IpAddr) -> Result<(), Refusal> {
        if target.port() == 0 {
            return Err(Refusal::Port);
        }
        let IpAddr::V6(v6) = address else { return self.judge_one(reach, target, address) };
        if let Some(inner) = self.nat64_prefixes.iter().find_map(|prefix| address::nat64_v4(prefix, v6)) {
            self.judge_hard(target, address)?;
            return self.judge_one(reach, target, IpAddr::V4(inner));
        }
        // The inner address first: its reason says more than "carries an IPv4 address".
        for inner in address::embedded_v4(v6).into_iter().flatten() {
            self.judge_inner(reach, target, v6, inner)?;
        }
        self.judge_one(reach, target, address)
    }

    /// The IPv4 address that an IPv6 address carries: `::` and `::1` are no carriers of 0.0.0.0 and 0.0.0.1.
    fn judge_inner(&self, reach: Reach, target: &HostPort, v6: Ipv6Addr, inner: Ipv4Addr) -> Result<(), Refusal> {
        if v6.is_loopback() || v6.is_unspecified() { Ok(()) } else { self.judge_one(reach, target, IpAddr::V4(inner)) }
    }

    fn judge_one(&self, reach: Reach, target: &HostPort, address: IpAddr) -> Result<(), Refusal> {
        self.judge_hard(target, address)?;
        if self.opened(target) {
            return Ok(());
        }
        match address::classify(address) {
            None => self.judge_cluster(address),
            Some(Class::Loopback) if reach == Reach::Admin && self.loopback.is_some() => Ok(()),
            Some(Class::Private) => self.judge_private(reach, address),
            Some(class) => Err(Refusal::Range(class)),
        }
    }

    /// What nothing opens.
    fn judge_hard(&self, target: &HostPort, address: IpAddr) -> Result<(), Refusal> {
        if address::is_metadata(address) {
            return Err(Refusal::Metadata);
        }
        let own_port = self.loopback.as_ref().is_some_and(|open| open.own_ports.contains(&target.port()))
            && matches!(address::classify(address), Some(Class::Loopback | Class::Unspecified));
        if own_port || self.blocked_addresses.contains(&address) { Err(Refusal::Blocked) } else { Ok(()) }
    }

    fn judge_private(&self, reach: Reach, address: IpAddr) -> Result<(), Refusal> {
        match reach {
            Reach::Untrusted => Err(Refusal::PrivateUntrusted),
            Reach::Admin if self.deny_private => Err(Refusal::PrivateDenied),
            Reach::Admin if self.cluster_ranges.is_none() => Err(Refusal::RangesUnknown),
            Reach::Admin => self.judge_cluster(address),
        }
    }

    fn judge_cluster(&self, address: IpAddr) -> Result<(), Refusal> {
        let inside = self.cluster_ranges.iter().flatten().any(|range| range.contains(&address));
        if inside { Err(Refusal::ClusterRange) } else { Ok(()) }
    }

    /// Is this exact host and port listed in `allowHosts`?
    #[must_use]
    pub fn opened(&self, target: &HostPort) -> bool {
        self.allow_hosts.contains(target)
    }
}
