//! The range table: every range that is not plain public unicast, with its class and where it is defined.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Class;

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub struct Range {
    first: Bits,
    prefix: u8,
    /// What the range is.
    pub class: Class,
    /// The document that defines it.
    pub defined_in: &'static str,
}

#[derive(Debug, Clone, Copy)]
enum Bits {
    V4(u32),
    V6(u128),
}

impl Range {
    const fn v4(first: [u8; 4], prefix: u8, class: Class, defined_in: &'static str) -> Self {
        Self { first: Bits::V4(u32::from_be_bytes(first)), prefix, class, defined_in }
    }

    const fn v6(first: [u16; 8], prefix: u8, class: Class, defined_in: &'static str) -> Self {
        let [a, b, c, d, e, f, g, h] = first;
        let bits = Ipv6Addr::new(a, b, c, d, e, f, g, h).to_bits();
        Self { first: Bits::V6(bits), prefix, class, defined_in }
    }

    /// Does the address lie in this range? An IPv4 address lies in IPv4 rows alone, an IPv6 address in IPv6 rows alone.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.first, address) {
            (Bits::V4(first), IpAddr::V4(a)) => same_prefix_v4(first, a.to_bits(), self.prefix),
            (Bits::V6(first), IpAddr::V6(a)) => same_prefix_v6(first, a.to_bits(), self.prefix),
            _ => false,
        }
    }

    /// The range in CIDR notation, for listings.
    #[must_use]
    pub fn cidr(&self) -> String {
        match self.first {
            Bits::V4(first) => format!("{}/{}", Ipv4Addr::from_bits(first), self.prefix),
            Bits::V6(first) => format!("{}/{}", Ipv6Addr::from_bits(first), self.prefix),
        }
    }
}

fn same_prefix_v4(first: u32, address: u32, prefix: u8) -> bool {
    (first ^ address).checked_shr(32 - u32::from(prefix)).unwrap_or(0) == 0
}

fn same_prefix_v6(first: u128, address: u128, prefix: u8) -> bool {
    (first ^ address).checked_shr(128 - u32::from(prefix)).unwrap_or(0) == 0
}

use Class::{
    Benchmark, Broadcast, Documentation, EmbeddedV4, LinkLocal, Loopback, Multicast, Private, Reserved, Unspecified,
};

/// The table. Rows that lie inside another row come first; the first row that holds an address decides.
///
/// Sources: the IANA special-purpose registries (RFC 6890 and updates) and, for the `Reserved` IPv6 blocks at the end,
/// the IANA IPv6 address space registry: only 2000::/3 is global unicast.
pub const RANGES: &[Range] = &[
    Range::v4([0, 0, 0, 0], 8, Unspecified, "RFC 791 §3.2"),
    Range::v4([10, 0, 0, 0], 8, Private, "RFC 1918"),
    Range::v4([100, 64, 0, 0], 10, Private, "RFC 6598"),
    Range::v4([127, 0, 0, 0], 8, Loopback, "RFC 1122 §3.2.1.3"),
    Range::v4([168, 63, 129, 16], 32, Reserved, "Azure wire server"),
    Range::v4([169, 254, 0, 0], 16, LinkLocal, "RFC 3927"),
    Range::v4([172, 16, 0, 0], 12, Private, "RFC 1918"),
    Range::v4([192, 0, 0, 0], 24, Reserved, "RFC 6890 §2.1"),
    Range::v4([192, 0, 2, 0], 24, Documentation, "RFC 5737"),
    Range::v4([192, 31, 196, 0], 24, Reserved, "RFC 7535"),
    Range::v4([192, 52, 193, 0], 24, Reserved, "RFC 7450"),
    Range::v4([192, 88, 99, 0], 24, Reserved, "RFC 7526"),
    Range::v4([192, 168, 0, 0], 16, Private, "RFC 1918"),
    Range::v4([192, 175, 48, 0], 24, Reserved, "RFC 7534"),
    Range::v4([198, 18, 0, 0], 15, Benchmark, "RFC 2544"),
    Range::v4([198, 51, 100, 0], 24, Documentation, "RFC 5737"),
    Range::v4([203, 0, 113, 0], 24, Documentation, "RFC 5737"),
    Range::v4([224, 0, 0, 0], 4, Multicast, "RFC 1112"),
    Range::v4([255, 255, 255, 255], 32, Broadcast, "RFC 919"),
    Range::v4([240, 0, 0, 0], 4, Reserved, "RFC 1112 §4"),
    Range::v6([0, 0, 0, 0, 0, 0, 0, 0], 128, Unspecified, "RFC 4291 §2.5.2"),
    Range::v6([0, 0, 0, 0, 0, 0, 0, 1], 128, Loopback, "RFC 4291 §2.5.3"),
    Range::v6([0, 0, 0, 0, 0, 0, 0, 0], 96, EmbeddedV4, "RFC 4291 §2.5.5.1"),
    Range::v6([0, 0, 0, 0, 0, 0xffff, 0, 0], 96, EmbeddedV4, "RFC 4291 §2.5.5.2"),
    Range::v6([0, 0, 0, 0, 0xffff, 0, 0, 0], 96, EmbeddedV4, "RFC 2765"),
    Range::v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96, EmbeddedV4, "RFC 6052"),
    Range::v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48, EmbeddedV4, "RFC 8215"),
    Range::v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64, Reserved, "RFC 6666 discard"),
    Range::v6([0x100, 0, 0, 1, 0, 0, 0, 0], 64, Reserved, "RFC 9780 dummy"),
    Range::v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32, EmbeddedV4, "RFC 4380 Teredo"),
    Range::v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, Reserved, "RFC 2928"),
    Range::v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, Documentation, "RFC 3849"),
    Range::v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, EmbeddedV4, "RFC 3056 6to4"),
    Range::v6([0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0], 48, Reserved, "RFC 7534"),
    Range::v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, Documentation, "RFC 9637"),
    Range::v6([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16, Reserved, "RFC 9602 SRv6"),
    Range::v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, Private, "RFC 4193"),
    Range::v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, LinkLocal, "RFC 4291 §2.5.6"),
    Range::v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, LinkLocal, "RFC 3879 site-local"),
    Range::v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, Multicast, "RFC 4291 §2.7"),
    // Everything else outside 2000::/3.
    Range::v6([0, 0, 0, 0, 0, 0, 0, 0], 3, Reserved, "IANA: not global unicast"),
    Range::v6([0x4000, 0, 0, 0, 0, 0, 0, 0], 2, Reserved, "IANA: not global unicast"),
    Range::v6([0x8000, 0, 0, 0, 0, 0, 0, 0], 1, Reserved, "IANA: not global unicast"),
];
