//! What kind of address is this? IP address in, the row of the range table it lies in out.
//!
//! The table is data: one row per range with the class that decides who may reach it. IPv6 addresses that carry an
//! IPv4 address (mapped, compatible, translated, NAT64, 6to4, Teredo, ISATAP) are unwrapped by [`embedded_v4`], so that
//! the rules judge the inner address as well. Who may reach what is decided in [`crate::egress`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::Ipv6Net;

mod table;
#[cfg(test)]
mod tests;

pub use table::{RANGES, Range};

/// Why a range is not the public internet.
///
/// `Private` is the one class that an admin's own URL may reach; all others are closed to everybody unless
/// `egress.allowHosts` names the exact host and port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// RFC 1918, unique local and carrier-grade NAT addresses: on-premises systems live there.
    Private,
    /// This host.
    Loopback,
    /// Link-local (and the deprecated site-local) addresses.
    LinkLocal,
    /// Multicast.
    Multicast,
    /// The unspecified address and "this network".
    Unspecified,
    /// The limited broadcast address.
    Broadcast,
    /// Documentation prefixes.
    Documentation,
    /// Benchmarking prefixes.
    Benchmark,
    /// Reserved, unassigned or special-purpose ranges that are no unicast internet.
    Reserved,
    /// IPv6 ranges whose addresses carry an IPv4 address.
    EmbeddedV4,
}

impl Class {
    /// `PascalCase` reason for conditions, events and metric labels.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Private => "PrivateAddress",
            Self::Loopback => "LoopbackAddress",
            Self::LinkLocal => "LinkLocalAddress",
            Self::Multicast => "MulticastAddress",
            Self::Unspecified => "UnspecifiedAddress",
            Self::Broadcast => "BroadcastAddress",
            Self::Documentation => "DocumentationAddress",
            Self::Benchmark => "BenchmarkAddress",
            Self::Reserved => "ReservedAddress",
            Self::EmbeddedV4 => "EmbeddedIpv4Address",
        }
    }
}

/// Addresses under which clouds serve instance metadata and credentials. Never reachable, whatever the settings say.
///
/// AWS (instance, ECS task, EKS pod identity), Google Compute Engine, Azure (instance metadata shares 169.254.169.254;
/// the wire server has a public address), Alibaba, Oracle.
pub const METADATA_ADDRESSES: [IpAddr; 9] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 23)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
];

/// The class of an address as it stands, or `None` for a public unicast address. Embedded addresses are not unwrapped.
#[must_use]
pub fn classify(address: IpAddr) -> Option<Class> {
    RANGES.iter().find(|range| range.contains(address)).map(|range| range.class)
}

/// Is this one of [`METADATA_ADDRESSES`]?
#[must_use]
pub fn is_metadata(address: IpAddr) -> bool {
    METADATA_ADDRESSES.contains(&address)
}

/// The IPv4 addresses that an IPv6 address carries by a well-known form (none, one, or two for Teredo).
#[must_use]
pub fn embedded_v4(address: Ipv6Addr) -> [Option<Ipv4Addr>; 2] {
    let s = address.segments();
    let v4 = |high: u16, low: u16| Some(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)));
    match s {
        // Compatible ::/96, mapped ::ffff:0:0/96 (RFC 4291), translated ::ffff:0:0:0/96 (RFC 2765).
        [0, 0, 0, 0, 0, 0 | 0xffff, ..] | [0, 0, 0, 0, 0xffff, 0, ..] => [v4(s[6], s[7]), None],
        // NAT64 well-known prefix 64:ff9b::/96 (RFC 6052).
        [0x64, 0xff9b, 0, 0, 0, 0, ..] => [v4(s[6], s[7]), None],
        // 6to4 (RFC 3056).
        [0x2002, high, low, ..] => [v4(high, low), None],
        // Teredo (RFC 4380): the server as it is, the client inverted.
        [0x2001, 0, ..] => [v4(s[2], s[3]), v4(!s[6], !s[7])],
        // ISATAP (RFC 5214): interface identifier 0:5efe or 200:5efe under any prefix.
        [.., 0 | 0x200, 0x5efe, _, _] => [v4(s[6], s[7]), None],
        _ => [None, None],
    }
}

/// The IPv4 address that an address of an operator-chosen NAT64 prefix carries (RFC 6052 §2.2).
///
/// `None` when the address is not under the prefix or the prefix length is none of 32, 40, 48, 56, 64 and 96.
#[must_use]
pub fn nat64_v4(prefix: &Ipv6Net, address: Ipv6Addr) -> Option<Ipv4Addr> {
    if !prefix.contains(&address) {
        return None;
    }
    let o = address.octets();
    // Octet 8 (bits 64-71) is reserved and skipped.
    let inner = match prefix.prefix_len() {
        32 => [o[4], o[5], o[6], o[7]],
        40 => [o[5], o[6], o[7], o[9]],
        48 => [o[6], o[7], o[9], o[10]],
        56 => [o[7], o[9], o[10], o[11]],
        64 => [o[9], o[10], o[11], o[12]],
        96 => [o[12], o[13], o[14], o[15]],
        _ => return None,
    };
    Some(Ipv4Addr::from(inner))
}
