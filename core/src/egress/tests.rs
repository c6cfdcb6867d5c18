//! Who may reach what: the rules as a table, then every way around them.

use proptest::prelude::*;

use super::*;

const PRIVATE: [&str; 8] =
    ["10.0.0.1", "172.16.0.1", "172.31.255.254", "192.168.1.1", "100.64.0.1", "100.127.255.254", "fc00::1", "fdab::1"];
const PUBLIC: [&str; 3] = ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111"];

fn known() -> EgressRules {
    EgressRules {
        cluster_ranges: Some(vec!["10.42.0.0/16".parse().unwrap(), "5.5.0.0/16".parse().unwrap()]),
        ..EgressRules::default()
    }
}

fn literal(address: &str, port: u16) -> (HostPort, IpAddr) {
    let ip = address.parse().unwrap();
    (HostPort::ip(ip, port), ip)
}

fn judge(rules: &EgressRules, reach: Reach, address: &str) -> &'static str {
    let (target, ip) = literal(address, 443);
    rules.judge_address(reach, &target, ip).map_or_else(Refusal::reason, |()| "Allowed")
}

fn name(rules: &EgressRules, reach: Reach, host: &str) -> Result<Resolution, &'static str> {
    rules.judge_name(reach, &HostPort::new(host, 443).unwrap()).map_err(Refusal::reason)
}

#[test]
fn who_may_reach_a_private_address() {
    let deny = EgressRules { deny_private: true, ..known() };
    let unknown = EgressRules::default();
    let untold = EgressRules { deny_private: true, ..EgressRules::default() };
    let table = [
        (&known(), Reach::Admin, "Allowed"),
        (&known(), Reach::Untrusted, "PrivateAddress"),
        (&deny, Reach::Admin, "PrivateDenied"),
        (&deny, Reach::Untrusted, "PrivateAddress"),
        (&unknown, Reach::Admin, "RangesUnknown"),
        (&unknown, Reach::Untrusted, "PrivateAddress"),
        (&untold, Reach::Admin, "PrivateDenied"),
        (&untold, Reach::Untrusted, "PrivateAddress"),
    ];
    for (rules, reach, verdict) in table {
        for address in PRIVATE {
            assert_eq!(judge(rules, reach, address), verdict, "{address} {reach:?} {rules:?}");
        }
        for address in PUBLIC {
            assert_eq!(judge(rules, reach, address), "Allowed", "{address} {reach:?} {rules:?}");
        }
    }
}

#[test]
fn cluster_ranges_are_denied_even_when_they_are_public() {
    for reach in [Reach::Admin, Reach::Untrusted] {
        assert_eq!(judge(&known(), reach, "5.5.255.255"), "ClusterAddress");
        assert_eq!(judge(&known(), reach, "5.6.0.0"), "Allowed");
    }
    assert_eq!(judge(&known(), Reach::Admin, "10.42.0.1"), "ClusterAddress");
    assert_eq!(judge(&known(), Reach::Admin, "10.43.0.1"), "Allowed");
    assert_eq!(judge(&known(), Reach::Untrusted, "10.42.0.1"), "PrivateAddress");
}

#[test]
fn every_range_but_the_private_ones_is_closed_to_everybody() {
    for range in crate::address::RANGES.iter().filter(|range| range.class != Class::Private) {
        let first: ipnet::IpNet = range.cidr().parse().unwrap();
        for reach in [Reach::Admin, Reach::Untrusted] {
            assert_ne!(judge(&known(), reach, &first.network().to_string()), "Allowed", "{}", range.cidr());
            assert_ne!(judge(&known(), reach, &first.broadcast().to_string()), "Allowed", "{}", range.cidr());
        }
    }
}

#[test]
fn carried_ipv4_addresses_are_judged_by_what_they_are() {
    let table = [
        ("::ffff:169.254.169.254", "MetadataAddress"),
        ("64:ff9b::a9fe:a9fe", "MetadataAddress"),
        ("2002:a9fe:a9fe::1", "MetadataAddress"),
        ("::ffff:127.0.0.1", "LoopbackAddress"),
        ("::ffff:0:127.0.0.1", "LoopbackAddress"),
        ("2001:0:808:808::80ff:fffe", "LoopbackAddress"),
        ("2606:4700::5efe:127.0.0.1", "LoopbackAddress"),
        ("2606:4700::200:5efe:10.42.0.1", "ClusterAddress"),
        ("::ffff:8.8.8.8", "EmbeddedIpv4Address"),
        ("64:ff9b::808:808", "EmbeddedIpv4Address"),
        ("64:ff9b:1::808:808", "EmbeddedIpv4Address"),
        ("2002:808:808::1", "EmbeddedIpv4Address"),
        ("::1", "LoopbackAddress"),
        ("::", "UnspecifiedAddress"),
    ];
    for (address, verdict) in table {
        assert_eq!(judge(&known(), Reach::Admin, address), verdict, "{address}");
    }
    // An ISATAP address under a public prefix carries a private address: as reachable as that one.
    assert_eq!(judge(&known(), Reach::Admin, "2606:4700::5efe:10.0.0.1"), "Allowed");
    assert_eq!(judge(&known(), Reach::Untrusted, "2606:4700::5efe:10.0.0.1"), "PrivateAddress");
}

#[test]
fn a_configured_nat64_prefix_is_judged_by_the_address_inside() {
    for prefix in ["64:ff9b::/96", "2606:1::/96"] {
        let rules = EgressRules { nat64_prefixes: vec![prefix.parse().unwrap()], ..known() };
        let inside = |v4: &str| format!("{}{v4}", prefix.trim_end_matches("/96"));
        for (v4, verdict) in [
            ("8.8.8.8", "Allowed"),
            ("127.0.0.1", "LoopbackAddress"),
            ("169.254.169.254", "MetadataAddress"),
            ("10.42.0.1", "ClusterAddress"),
        ] {
            assert_eq!(judge(&rules, Reach::Admin, &inside(v4)), verdict, "{prefix} {v4}");
        }
        assert_eq!(judge(&rules, Reach::Untrusted, &inside("10.0.0.1")), "PrivateAddress");
        assert_eq!(judge(&rules, Reach::Admin, &inside("10.0.0.1")), "Allowed");
    }
}

#[test]
fn what_nothing_opens_stays_closed_although_allow_hosts_names_it() {
    let api: IpAddr = "10.42.0.1".parse().unwrap();
    let all = [
        "169.254.169.254",
        "168.63.129.16",
        "fd00:ec2::254",
        "10.42.0.1",
        "::ffff:10.42.0.1",
        "::ffff:169.254.169.254",
    ];
    let listed = all.iter().map(|ip| HostPort::ip(ip.parse().unwrap(), 443)).collect();
    let rules = EgressRules { allow_hosts: listed, blocked_addresses: vec![api], ..known() };
    for address in all {
        let verdict = judge(&rules, Reach::Admin, address);
        assert!(matches!(verdict, "MetadataAddress" | "BlockedAddress"), "{address} {verdict}");
    }
    let named = |host: &str| EgressRules { allow_hosts: vec![HostPort::new(host, 443).unwrap()], ..known() };
    for host in ["metadata.google.internal", "metadata", "instance-data", "metadata.tencentyun.com"] {
        assert_eq!(name(&named(host), Reach::Admin, host), Err("MetadataAddress"), "{host}");
    }
    for host in [
        "kubernetes",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
        "kubernetes.default.svc.corp.example",
    ] {
        assert_eq!(name(&named(host), Reach::Admin, host), Err("BlockedAddress"), "{host}");
    }
    // A listed name that resolves to the API server or metadata.
    let target = HostPort::new("odoo.erp.svc", 443).unwrap();
    let rules = EgressRules { allow_hosts: vec![target.clone()], blocked_addresses: vec![api], ..known() };
    assert_eq!(rules.judge_address(Reach::Admin, &target, api), Err(Refusal::Blocked));
    assert_eq!(rules.judge_address(Reach::Admin, &target, "169.254.170.2".parse().unwrap()), Err(Refusal::Metadata));
    assert_eq!(rules.judge_address(Reach::Admin, &target, "10.42.0.2".parse().unwrap()), Ok(()));
}

#[test]
fn allow_hosts_opens_the_exact_host_and_port_and_nothing_beside_it() {
    let rules = EgressRules {
        allow_hosts: ["127.0.0.1:5432", "Odoo.ERP.svc.:8069", "[fe80::1]:80", "10.42.0.7:80"]
            .map(|t| t.parse().unwrap())
            .to_vec(),
        ..EgressRules::default()
    };
    let verdict = |reach, host: &str, port, address: &str| {
        let target = HostPort::new(host, port).unwrap();
        let named = rules.judge_name(reach, &target);
        named
            .and_then(|_| rules.judge_address(reach, &target, address.parse().unwrap()))
            .map_or_else(Refusal::reason, |()| "Allowed")
    };
    for reach in [Reach::Admin, Reach::Untrusted] {
        assert_eq!(verdict(reach, "127.0.0.1", 5432, "127.0.0.1"), "Allowed");
        assert_eq!(verdict(reach, "127.0.0.1", 5433, "127.0.0.1"), "LoopbackAddress");
        assert_eq!(verdict(reach, "127.0.0.2", 5432, "127.0.0.2"), "LoopbackAddress");
        assert_eq!(verdict(reach, "odoo.erp.svc", 8069, "10.42.3.4"), "Allowed");
        assert_eq!(verdict(reach, "odoo.erp.svc", 8070, "10.42.3.4"), "LocalName");
        assert_eq!(verdict(reach, "x.odoo.erp.svc", 8069, "10.42.3.4"), "LocalName");
        assert_eq!(verdict(reach, "fe80::1", 80, "fe80::1"), "Allowed");
        assert_eq!(verdict(reach, "10.42.0.7", 80, "10.42.0.7"), "Allowed");
    }
    assert_eq!(rules.judge_name(Reach::Untrusted, &"odoo.erp.svc:8069".parse().unwrap()), Ok(Resolution::AsWritten));
}

#[test]
fn aperium_up_opens_loopback_for_the_admin_except_its_own_ports() {
    let rules = EgressRules {
        loopback: Some(LoopbackOpening { own_ports: vec![8080] }),
        allow_hosts: vec!["127.0.0.1:8080".parse().unwrap(), "0.0.0.0:8080".parse().unwrap()],
        ..known()
    };
    let verdict = |reach, address: &str, port| {
        let (target, ip) = literal(address, port);
        rules.judge_address(reach, &target, ip).map_or_else(Refusal::reason, |()| "Allowed")
    };
    for address in ["127.0.0.1", "127.8.8.8", "::1"] {
        assert_eq!(verdict(Reach::Admin, address, 9000), "Allowed", "{address}");
        assert_eq!(verdict(Reach::Untrusted, address, 9000), "LoopbackAddress", "{address}");
        assert_eq!(verdict(Reach::Admin, address, 8080), "BlockedAddress", "{address}");
    }
    assert_eq!(verdict(Reach::Admin, "0.0.0.0", 8080), "BlockedAddress");
    assert_eq!(verdict(Reach::Admin, "0.0.0.0", 9000), "UnspecifiedAddress");
    assert_eq!(verdict(Reach::Admin, "::ffff:127.0.0.1", 8080), "BlockedAddress");
    assert_eq!(name(&rules, Reach::Admin, "LocalHost."), Ok(Resolution::Loopback));
    assert_eq!(name(&rules, Reach::Untrusted, "localhost"), Err("LocalName"));
    assert_eq!(name(&known(), Reach::Admin, "localhost"), Err("LocalName"));
}

#[test]
fn local_names_are_refused_and_public_names_are_fully_qualified() {
    let local = [
        "localhost",
        "LOCALHOST",
        "localhost.",
        "a.localhost",
        "ip6-localhost",
        "localhost.localdomain",
        "odoo",
        "a.svc",
        "svc",
        "odoo.erp.svc",
        "odoo.erp.svc.cluster.local",
        "cluster.local",
        "x.internal",
        "internal",
        "1.0.0.127.in-addr.arpa",
        "db.localdomain",
    ];
    for host in local {
        assert_eq!(name(&known(), Reach::Admin, host), Err("LocalName"), "{host}");
    }
    for host in ["metadata", "METADATA.google.internal.", "instance-data", "metadata.tencentyun.com"] {
        assert_eq!(name(&known(), Reach::Admin, host), Err("MetadataAddress"), "{host}");
    }
    for host in [
        "example.com",
        "Example.COM.",
        "svc.example.com",
        "mylocalhost.com",
        "odoo.corp.local",
        "notinternal.org",
        "a_b.example.com",
    ] {
        assert_eq!(name(&known(), Reach::Untrusted, host), Ok(Resolution::FullyQualified), "{host}");
    }
}

#[test]
fn port_zero_is_refused() {
    let (target, ip) = literal("8.8.8.8", 0);
    assert_eq!(known().judge_address(Reach::Admin, &target, ip), Err(Refusal::Port));
    assert_eq!(known().judge_name(Reach::Admin, &target), Err(Refusal::Port));
}

#[test]
fn host_and_port_are_read_strictly_and_compared_by_meaning() {
    let same = [("Example.com.:80", "example.com:80"), ("[::0:1]:80", "[::1]:80"), ("10.0.0.1:080", "10.0.0.1:80")];
    for (one, other) in same {
        assert_eq!(one.parse::<HostPort>().unwrap(), other.parse().unwrap());
    }
    let bad = [
        "",
        "a",
        "a:",
        ":80",
        "a:0",
        "a:65536",
        "a:-1",
        "a:+1",
        "a b:1",
        "::1:80",
        "[::1]",
        "[::1:80",
        "[::1%eth0]:80",
        "a@b:1",
        "a/b:1",
        "*:80",
        "*.corp:80",
        "-a:1",
        "a..b:1",
        "127.1:80",
        "2130706433:80",
        "0x7f000001:80",
        "0177.0.0.1:80",
        "1.2.3.4.5:80",
        "a.0x1:80",
        "é:80",
        "..:80",
    ];
    for text in bad {
        assert!(text.parse::<HostPort>().is_err(), "{text}");
    }
}

#[test]
fn rules_read_from_settings_and_refuse_what_they_do_not_know() {
    let text = r#"{"denyPrivate":true,"allowHosts":["odoo.corp:8069"],"clusterRanges":["10.0.0.0/8","fd00::/8"],
        "blockedAddresses":["10.96.0.1"],"nat64Prefixes":["64:ff9b::/96"],"loopback":{"ownPorts":[8080]}}"#;
    let rules: EgressRules = serde_json::from_str(text).unwrap();
    assert!(rules.deny_private && rules.cluster_ranges.as_ref().unwrap().len() == 2);
    assert_eq!(serde_json::from_str::<EgressRules>(&serde_json::to_string(&rules).unwrap()).unwrap(), rules);
    assert_eq!(serde_json::from_str::<EgressRules>("{}").unwrap(), EgressRules::default());
    for bad in [
        r#"{"allowAll":true}"#,
        r#"{"allowHosts":["odoo.corp"]}"#,
        r#"{"clusterRanges":["10.0.0.0"]}"#,
        r#"{"blockedAddresses":["x"]}"#,
    ] {
        assert!(serde_json::from_str::<EgressRules>(bad).is_err(), "{bad}");
    }
}

proptest! {
    /// Whatever the address: untrusted never reaches more than an admin, and denyPrivate never opens anything.
    #[test]
    fn stricter_settings_never_open_anything(bits: u128, v4: bool) {
        let ip = if v4 { IpAddr::V4(Ipv4Addr::from_bits(bits as u32)) } else { IpAddr::V6(Ipv6Addr::from_bits(bits)) };
        let target = HostPort::ip(ip, 443);
        let admin = known().judge_address(Reach::Admin, &target, ip).is_ok();
        prop_assert!(admin || known().judge_address(Reach::Untrusted, &target, ip).is_err());
        for stricter in [EgressRules { deny_private: true, ..known() }, EgressRules { blocked_addresses: vec![ip], ..known() }] {
            prop_assert!(admin || stricter.judge_address(Reach::Admin, &target, ip).is_err());
        }
    }

    /// A carrier of a denied address is denied, whatever the form.
    #[test]
    fn no_form_of_an_ipv4_address_opens_what_the_address_itself_does_not(bits: u32, form in 0usize..7) {
        let v4 = Ipv4Addr::from_bits(bits);
        let (h, l) = ((bits >> 16) as u16, bits as u16);
        let v6 = [
            Ipv6Addr::new(0, 0, 0, 0, 0, 0, h, l), Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, h, l),
            Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, h, l), Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, h, l),
            Ipv6Addr::new(0x2002, h, l, 0, 0, 0, 0, 1), Ipv6Addr::new(0x2001, 0, 0x808, 0x808, 0, 0, !h, !l),
            Ipv6Addr::new(0x2606, 0, 0, 0, 0, 0x5efe, h, l),
        ][form];
        for reach in [Reach::Admin, Reach::Untrusted] {
            let plain = known().judge_address(reach, &HostPort::ip(v4.into(), 443), v4.into());
            let carried = known().judge_address(reach, &HostPort::ip(v6.into(), 443), v6.into());
            prop_assert!(plain.is_ok() || carried.is_err(), "{} {}", v4, v6);
        }
    }

    #[test]
    fn reading_a_host_never_panics_and_reads_back(text in "[-_.:\\[\\]a-zA-Z0-9@%]{0,40}") {
        if let Ok(target) = HostPort::parse(&text) {
            prop_assert_eq!(HostPort::parse(&target.to_string()), Ok(target));
        }
    }
}
