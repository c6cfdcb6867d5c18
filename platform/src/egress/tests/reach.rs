//! Who may reach what, by list: the corpus and the edges of every range where private addresses are closed, the
//! default policy row by row, and what a hostile DNS may try. (Redirects: `exchange`; proxies of the environment,
//! rebinding and kept connections: `exchange` and `guard`.)

use super::{canary::Canary, *};
use aperium_core::address::RANGES;
use ipnet::IpNet;
use std::net::{Ipv4Addr, Ipv6Addr};

fn closed() -> EgressRules {
    EgressRules { deny_private: true, ..known() }
}

fn external(rules: EgressRules, reach: Reach, dns: &Dns) -> ExternalClient {
    ExternalClient::new(EgressPolicy::with_resolver(rules, dns.clone()).unwrap(), reach).unwrap()
}

/// Every URL of the corpus, as settings read it and as a request carries it, on the canary's own port and under a DNS
/// that leads every name to the canary.
#[tokio::test]
async fn no_url_of_the_corpus_reaches_the_canary() {
    let canary = Canary::ok().await;
    let port = canary.address.port();
    let dns = Dns::answering([&["127.0.0.1"]]);
    for reach in [Reach::Admin, Reach::Untrusted] {
        let client = external(closed(), reach, &dns);
        let (mut lines, mut sent, mut open) = (0, 0, Vec::new());
        for line in include_str!("ssrf_urls.txt").lines() {
            lines += 1;
            let read = url::Url::parse(line).ok().filter(|url| url.has_host()).map(|mut url| {
                let _ = url.set_port(Some(port));
                url.to_string()
            });
            for uri in [read.as_deref(), Some(line)].into_iter().flatten().filter_map(|text| text.parse().ok()) {
                let mut request = get("http://x.example/");
                *request.uri_mut() = uri;
                sent += 1;
                if !client.send(request).await.is_err_and(|error| error.refused() && error.before_send()) {
                    open.push(line);
                }
            }
        }
        assert_eq!(lines, 259);
        assert!(sent > 250, "{sent}");
        assert!(open.is_empty(), "{reach:?}: {open:?}");
    }
    assert_eq!(canary.connections(), 0);
    // The canary is alive, and the DNS leads there.
    let client = external(open_loopback(), Reach::Admin, &dns);
    client.send(get(&format!("http://any.example.com:{port}/"))).await.unwrap();
    assert_eq!(canary.connections(), 1);
}

fn ends(range: &IpNet) -> (u128, u128) {
    match range {
        IpNet::V4(v4) => (v4.network().to_bits().into(), v4.broadcast().to_bits().into()),
        IpNet::V6(v6) => (v6.network().to_bits(), v6.broadcast().to_bits()),
    }
}

fn number(range: &IpNet, bits: u128) -> Option<IpAddr> {
    match range {
        IpNet::V4(_) => u32::try_from(bits).ok().map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))),
        IpNet::V6(_) => Some(IpAddr::V6(Ipv6Addr::from_bits(bits))),
    }
}

/// First, middle and last address of each range: as a literal and behind a name. One beside: as the ranges say.
#[tokio::test]
async fn every_edge_of_every_range_is_refused_as_literal_and_behind_a_name() {
    let ranges: Vec<IpNet> = RANGES.iter().map(|range| range.cidr().parse().unwrap()).collect();
    let mut cases = 0;
    for range in &ranges {
        let (first, last) = ends(range);
        for address in [first, first + (last - first) / 2, last].map(|bits| number(range, bits).unwrap()) {
            let text = address.to_string();
            let dns = Dns::answering([&[text.as_str()]]);
            let literal = if address.is_ipv6() { format!("[{text}]") } else { text.clone() };
            for reach in [Reach::Admin, Reach::Untrusted] {
                let client = external(closed(), reach, &dns);
                for host in [literal.as_str(), "name.example.com"] {
                    let error = client.send(get(&format!("http://{host}:9/"))).await.unwrap_err();
                    assert!(error.refused() && error.before_send(), "{host} {text} {reach:?}: {error:?}");
                    cases += 1;
                }
            }
        }
        let policy = policy(closed());
        for beside in [first.checked_sub(1), last.checked_add(1)].into_iter().flatten() {
            let Some(address) = number(range, beside) else { continue };
            let inside = ranges.iter().any(|other| other.contains(&address));
            let refused = policy.check(Reach::Admin, &HostPort::ip(address, 443)).is_err();
            // Public addresses that carry a private one are refused as well, but none of those is a neighbour.
            assert_eq!(refused, inside, "{address} beside {range}");
            cases += 1;
        }
    }
    assert!(cases >= 500, "{cases}");
}

/// Columns: an admin's word under the defaults, with denyPrivate, with unknown cluster ranges; anybody else's word
/// under the defaults; both with the host in allowHosts; both where loopback is open (`aperium up`).
const POLICY: [(&str, &str); 32] = [
    ("8.8.8.8", "11111111"),
    ("2606:4700::1111", "11111111"),
    // Private: for an admin's own word alone, and only while the cluster's own ranges are known.
    ("10.1.2.3", "10001110"),
    ("172.16.0.1", "10001110"),
    ("192.168.1.1", "10001110"),
    ("100.64.0.1", "10001110"),
    ("fd00::1", "10001110"),
    // The cluster's own.
    ("10.42.0.9", "00001100"),
    // Never by default, whoever asks.
    ("127.0.0.1", "00001110"),
    ("127.255.255.254", "00001110"),
    ("::1", "00001110"),
    ("169.254.1.1", "00001100"),
    ("fe80::1", "00001100"),
    ("0.0.0.0", "00001100"),
    ("::", "00001100"),
    ("224.0.0.1", "00001100"),
    ("ff02::1", "00001100"),
    ("255.255.255.255", "00001100"),
    ("192.0.2.1", "00001100"),
    ("2001:db8::1", "00001100"),
    ("198.18.0.1", "00001100"),
    ("240.0.0.1", "00001100"),
    ("::ffff:10.1.2.3", "00001100"),
    ("::ffff:127.0.0.1", "00001100"),
    ("64:ff9b::10.1.2.3", "00001100"),
    ("2002:a01:203::", "00001100"),
    // Nothing opens these: metadata, the API server, the gateway.
    ("169.254.169.254", "00000000"),
    ("100.100.100.200", "00000000"),
    ("168.63.129.16", "00000000"),
    ("fd00:ec2::254", "00000000"),
    ("::ffff:169.254.169.254", "00000000"),
    ("9.9.9.9", "00000000"),
];

#[test]
fn the_policy_row_by_row() {
    let api_server = vec!["9.9.9.9".parse().unwrap()];
    for (address, row) in POLICY {
        let address: IpAddr = address.parse().unwrap();
        let target = HostPort::ip(address, 443);
        let base = EgressRules { blocked_addresses: api_server.clone(), ..known() };
        let listed = EgressRules { allow_hosts: vec![target.clone()], ..base.clone() };
        let up = EgressRules { loopback: Some(LoopbackOpening::default()), ..base.clone() };
        let columns = [
            (Reach::Admin, base.clone()),
            (Reach::Admin, EgressRules { deny_private: true, ..base.clone() }),
            (Reach::Admin, EgressRules { cluster_ranges: None, ..base.clone() }),
            (Reach::Untrusted, base),
            (Reach::Admin, listed.clone()),
            (Reach::Untrusted, listed),
            (Reach::Admin, up.clone()),
            (Reach::Untrusted, up),
        ];
        let found: String = columns
            .into_iter()
            .map(|(reach, rules)| if policy(rules).check(reach, &target).is_ok() { '1' } else { '0' })
            .collect();
        assert_eq!(found, row, "{address}");
    }
}

/// Names that allowHosts opens, and what stays closed beside them: another port, another name, metadata.
#[test]
fn allow_hosts_opens_exact_names_and_no_metadata() {
    let listed = ["pg.erp.svc:5432", "metadata.google.internal:80", "localhost:8185"];
    let rules = EgressRules { allow_hosts: listed.iter().map(|host| host.parse().unwrap()).collect(), ..known() };
    let policy = policy(rules);
    let open = |host: &str, port| policy.check(Reach::Untrusted, &HostPort::new(host, port).unwrap()).is_ok();
    assert!(open("pg.erp.svc", 5432) && open("PG.erp.SVC", 5432) && open("localhost", 8185));
    for (host, port) in
        [("pg.erp.svc", 5433), ("pg2.erp.svc", 5432), ("metadata.google.internal", 80), ("localhost", 80)]
    {
        assert!(!open(host, port), "{host}:{port}");
    }
}

#[tokio::test]
async fn a_dns_that_changes_its_mind_opens_nothing() {
    // One bad address among a hundred refuses all of them, wherever it stands.
    for at in [0, 50, 99] {
        let mut many: Vec<String> = (0..100).map(|n| format!("8.8.4.{n}")).collect();
        many[at] = "192.168.0.1".to_owned();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let client = external(known(), Reach::Untrusted, &Dns::answering([many.as_slice()]));
        assert_eq!(client.send(get("http://many.example.com/")).await.unwrap_err().reason(), "PrivateAddress", "{at}");
    }
    // Whatever a chain of aliases ends in, the last answer is what counts.
    let client = external(closed(), Reach::Admin, &Dns::answering([&["8.8.8.8", "fd12::1"]]));
    assert_eq!(client.send(get("http://alias.example.com/")).await.unwrap_err().reason(), "PrivateDenied");
    // A life of zero: good for the first connection, something else for the second.
    let canary = Canary::start(vec![super::canary::Reply::Hang]).await;
    let dns = Dns::answering([&["127.0.0.1"], &["169.254.169.254"]]);
    let client = external(open_loopback(), Reach::Admin, &dns);
    let url = format!("http://ttl0.example.com:{}/", canary.address.port());
    assert!(!client.send(get(&url)).await.unwrap_err().refused());
    assert_eq!(client.send(get(&url)).await.unwrap_err().reason(), "MetadataAddress");
    assert_eq!((canary.connections(), dns.asked().len()), (1, 2), "each connection is resolved and judged once");
}
