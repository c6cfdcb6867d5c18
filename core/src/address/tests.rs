//! The table, row by row, against a second list that was written by hand from the registries.

use ipnet::IpNet;
use proptest::prelude::*;

use super::*;

/// Range, reason. More specific rows first.
const EXPECTED: [(&str, &str); 43] = [
    ("0.0.0.0/8", "UnspecifiedAddress"),
    ("10.0.0.0/8", "PrivateAddress"),
    ("100.64.0.0/10", "PrivateAddress"),
    ("127.0.0.0/8", "LoopbackAddress"),
    ("168.63.129.16/32", "ReservedAddress"),
    ("169.254.0.0/16", "LinkLocalAddress"),
    ("172.16.0.0/12", "PrivateAddress"),
    ("192.0.0.0/24", "ReservedAddress"),
    ("192.0.2.0/24", "DocumentationAddress"),
    ("192.31.196.0/24", "ReservedAddress"),
    ("192.52.193.0/24", "ReservedAddress"),
    ("192.88.99.0/24", "ReservedAddress"),
    ("192.168.0.0/16", "PrivateAddress"),
    ("192.175.48.0/24", "ReservedAddress"),
    ("198.18.0.0/15", "BenchmarkAddress"),
    ("198.51.100.0/24", "DocumentationAddress"),
    ("203.0.113.0/24", "DocumentationAddress"),
    ("224.0.0.0/4", "MulticastAddress"),
    ("255.255.255.255/32", "BroadcastAddress"),
    ("240.0.0.0/4", "ReservedAddress"),
    ("::/128", "UnspecifiedAddress"),
    ("::1/128", "LoopbackAddress"),
    ("::/96", "EmbeddedIpv4Address"),
    ("::ffff:0:0/96", "EmbeddedIpv4Address"),
    ("::ffff:0:0:0/96", "EmbeddedIpv4Address"),
    ("64:ff9b::/96", "EmbeddedIpv4Address"),
    ("64:ff9b:1::/48", "EmbeddedIpv4Address"),
    ("100::/64", "ReservedAddress"),
    ("100:0:0:1::/64", "ReservedAddress"),
    ("2001::/32", "EmbeddedIpv4Address"),
    ("2001::/23", "ReservedAddress"),
    ("2001:db8::/32", "DocumentationAddress"),
    ("2002::/16", "EmbeddedIpv4Address"),
    ("2620:4f:8000::/48", "ReservedAddress"),
    ("3fff::/20", "DocumentationAddress"),
    ("5f00::/16", "ReservedAddress"),
    ("fc00::/7", "PrivateAddress"),
    ("fe80::/10", "LinkLocalAddress"),
    ("fec0::/10", "LinkLocalAddress"),
    ("ff00::/8", "MulticastAddress"),
    ("::/3", "ReservedAddress"),
    ("4000::/2", "ReservedAddress"),
    ("8000::/1", "ReservedAddress"),
];

fn expected(address: IpAddr) -> Option<&'static str> {
    let rows = EXPECTED.iter().map(|(range, reason)| (range.parse::<IpNet>().unwrap(), *reason));
    let mut holding: Vec<_> = rows.filter(|(range, _)| range.contains(&address)).collect();
    holding.sort_by_key(|(range, _)| std::cmp::Reverse(range.prefix_len()));
    holding.first().map(|(_, reason)| *reason)
}

fn ends(range: &IpNet) -> (u128, u128) {
    match range {
        IpNet::V4(v4) => (v4.network().to_bits().into(), v4.broadcast().to_bits().into()),
        IpNet::V6(v6) => (v6.network().to_bits(), v6.broadcast().to_bits()),
    }
}

/// The address with this number in the family of `range`, or `None` beyond its ends.
fn number(range: &IpNet, bits: u128) -> Option<IpAddr> {
    match range {
        IpNet::V4(_) => u32::try_from(bits).ok().map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))),
        IpNet::V6(_) => Some(IpAddr::V6(Ipv6Addr::from_bits(bits))),
    }
}

#[test]
fn every_row_denies_its_first_middle_and_last_address_and_ends_there() {
    let mut cases = 0;
    for (text, _) in EXPECTED {
        let range: IpNet = text.parse().unwrap();
        let (first, last) = ends(&range);
        for bits in [first, first + (last - first) / 2, last] {
            let address = number(&range, bits).unwrap();
            assert_eq!(classify(address).map(Class::reason), expected(address), "{address} in {text}");
            assert!(classify(address).is_some(), "{address} in {text}");
            cases += 1;
        }
        for beside in [first.checked_sub(1), last.checked_add(1)].into_iter().flatten() {
            let Some(address) = number(&range, beside) else { continue };
            assert_eq!(classify(address).map(Class::reason), expected(address), "{address} beside {text}");
            cases += 1;
        }
    }
    assert!(cases >= 180, "{cases}");
}

#[test]
fn the_table_has_exactly_the_expected_rows() {
    let row = |range: &str, reason: &'static str| (range.parse::<IpNet>().unwrap(), reason);
    let mut ours: Vec<_> = RANGES.iter().map(|range| row(&range.cidr(), range.class.reason())).collect();
    let mut theirs: Vec<_> = EXPECTED.iter().map(|(range, reason)| row(range, reason)).collect();
    ours.sort_unstable();
    theirs.sort_unstable();
    assert_eq!(ours, theirs);
}

#[test]
fn neighbours_of_denied_ranges_that_are_public_stay_reachable() {
    let public = [
        "1.0.0.0",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "168.63.129.15",
        "168.63.129.17",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "191.255.255.255",
        "192.0.1.0",
        "192.0.3.0",
        "192.31.195.255",
        "192.31.197.0",
        "192.52.192.255",
        "192.52.194.0",
        "192.88.98.255",
        "192.88.100.0",
        "192.167.255.255",
        "192.169.0.0",
        "192.175.47.255",
        "192.175.49.0",
        "198.17.255.255",
        "198.20.0.0",
        "198.51.99.255",
        "198.51.101.0",
        "203.0.112.255",
        "203.0.114.0",
        "223.255.255.255",
        "8.8.8.8",
        "1.1.1.1",
        "2000::",
        "2000:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "2001:200::",
        "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff",
        "2001:db9::",
        "2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "2003::",
        "2620:4f:7fff:ffff:ffff:ffff:ffff:ffff",
        "2620:4f:8001::",
        "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "3fff:1000::",
        "2606:4700:4700::1111",
        "2a00:1450:4001:82a::200e",
    ];
    for address in public {
        assert_eq!(classify(address.parse().unwrap()), None, "{address}");
    }
}

#[test]
fn embedded_addresses_are_unwrapped() {
    let cases: [(&str, &[&str]); 16] = [
        ("::ffff:127.0.0.1", &["127.0.0.1"]),
        ("::127.0.0.1", &["127.0.0.1"]),
        ("::ffff:0:10.1.2.3", &["10.1.2.3"]),
        ("64:ff9b::169.254.169.254", &["169.254.169.254"]),
        ("2002:7f00:1::", &["127.0.0.1"]),
        ("2002:a9fe:a9fe:1::1", &["169.254.169.254"]),
        // Server 8.8.8.8, client 127.0.0.1 with every bit inverted.
        ("2001:0:808:808:0:0:80ff:fffe", &["8.8.8.8", "127.0.0.1"]),
        ("2606:4700::5efe:10.0.0.1", &["10.0.0.1"]),
        ("2606:4700::200:5efe:127.0.0.1", &["127.0.0.1"]),
        ("fe80::5efe:192.168.0.1", &["192.168.0.1"]),
        ("2606:4700:4700::1111", &[]),
        ("2001:db8::1", &[]),
        ("2001:1::1", &[]),
        ("64:ff9b:1::7f00:1", &[]),
        ("2606:4700::100:5efe:127.0.0.1", &[]),
        ("fd00::1", &[]),
    ];
    for (address, inner) in cases {
        let found: Vec<_> =
            embedded_v4(address.parse().unwrap()).into_iter().flatten().map(|ip| ip.to_string()).collect();
        assert_eq!(found, inner, "{address}");
    }
}

/// The six rows of RFC 6052 §2.4, Table 1.
#[test]
fn nat64_prefixes_of_all_lengths_are_read() {
    let rows = [
        ("2001:db8::/32", "2001:db8:c000:221::"),
        ("2001:db8:100::/40", "2001:db8:1c0:2:21::"),
        ("2001:db8:122::/48", "2001:db8:122:c000:2:2100::"),
        ("2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"),
        ("2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100::"),
        ("2001:db8:122:344::/96", "2001:db8:122:344::192.0.2.33"),
    ];
    for (prefix, address) in rows {
        let inner = nat64_v4(&prefix.parse().unwrap(), address.parse().unwrap());
        assert_eq!(inner, Some(Ipv4Addr::new(192, 0, 2, 33)), "{prefix}");
        assert_eq!(nat64_v4(&prefix.parse().unwrap(), "2606::1".parse().unwrap()), None);
    }
    assert_eq!(nat64_v4(&"2001:db8::/33".parse().unwrap(), "2001:db8::1".parse().unwrap()), None);
}

#[test]
fn metadata_addresses_are_known_one_by_one() {
    let all = [
        "169.254.169.254",
        "169.254.170.2",
        "169.254.170.23",
        "fd00:ec2::254",
        "fd00:ec2::23",
        "fd20:ce::254",
        "100.100.100.200",
        "192.0.0.192",
        "168.63.129.16",
    ];
    for address in all {
        assert!(is_metadata(address.parse().unwrap()), "{address}");
    }
    assert_eq!(METADATA_ADDRESSES.len(), all.len());
    assert!(!is_metadata("169.254.169.253".parse().unwrap()));
}

proptest! {
    #[test]
    fn any_v4_address_is_classified_as_the_second_list_says(bits: u32) {
        let address = IpAddr::V4(Ipv4Addr::from_bits(bits));
        prop_assert_eq!(classify(address).map(Class::reason), expected(address));
    }

    #[test]
    fn any_v6_address_is_classified_as_the_second_list_says(bits: u128, row in 0..EXPECTED.len(), near in 0u8..32) {
        // Half of the cases lie in or near a row: its prefix with random bits behind.
        let range: IpNet = EXPECTED[row].0.parse().unwrap();
        let v6 = match range {
            IpNet::V6(v6) => Ipv6Addr::from_bits(v6.network().to_bits() ^ (bits >> v6.prefix_len().saturating_sub(near % 4).min(127))),
            IpNet::V4(_) => Ipv6Addr::from_bits(bits),
        };
        prop_assert_eq!(classify(IpAddr::V6(v6)).map(Class::reason), expected(IpAddr::V6(v6)));
    }
}
