//! The evaluator against the definition, sentence by sentence; each case has its opposite.

use super::{End, Network, Pod, Port, tcp, udp};
use serde_json::{Value, json};
use std::net::IpAddr;

fn pod(namespace: &str, app: &str) -> Pod {
    Pod {
        namespace: namespace.to_owned(),
        labels: [("app".to_owned(), app.to_owned())].into(),
        ip: "10.244.0.9".parse().unwrap(),
        ports: [("http".to_owned(), 8080)].into(),
    }
}

/// A network with one policy in namespace `a`.
fn network(spec: &Value) -> Network {
    let mut network = Network::default();
    network.add(&[json!({"kind": "NetworkPolicy", "metadata": {"name": "p", "namespace": "a"}, "spec": spec})]);
    network
}

/// Whether `a/web` may be reached on 8080 under a policy that selects it.
fn reached(ingress: &Value, from: End<'_>) -> bool {
    reached_on(ingress, from, tcp(8080))
}

fn reached_on(ingress: &Value, from: End<'_>, port: Port) -> bool {
    let spec = json!({"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Ingress"], "ingress": ingress});
    network(&spec).allows(from, End::Pod(&pod("a", "web")), port)
}

fn address(text: &str) -> End<'static> {
    End::Address(text.parse::<IpAddr>().unwrap())
}

#[test]
fn a_pod_that_no_policy_selects_is_reached_by_everybody() {
    let none = Network::default();
    assert!(none.allows(address("203.0.113.1"), End::Pod(&pod("a", "web")), tcp(1)));
    let other = network(&json!({"podSelector": {"matchLabels": {"app": "db"}}, "policyTypes": ["Ingress"]}));
    assert!(other.allows(address("203.0.113.1"), End::Pod(&pod("a", "web")), tcp(1)));
    assert!(!other.allows(address("203.0.113.1"), End::Pod(&pod("a", "db")), tcp(1)));
}

#[test]
fn a_policy_counts_in_its_own_namespace_only() {
    let all = network(&json!({"podSelector": {}, "policyTypes": ["Ingress"]}));
    assert!(!all.allows(address("203.0.113.1"), End::Pod(&pod("a", "web")), tcp(1)));
    assert!(all.allows(address("203.0.113.1"), End::Pod(&pod("b", "web")), tcp(1)));
}

#[test]
fn a_policy_isolates_only_in_the_directions_it_names() {
    let web = pod("a", "web");
    let out = |spec: &Value| network(spec).allows(End::Pod(&web), address("203.0.113.1"), tcp(443));
    assert!(out(&json!({"podSelector": {}, "policyTypes": ["Ingress"]})));
    assert!(!out(&json!({"podSelector": {}, "policyTypes": ["Egress"]})));
    // Without types, rules for egress make it one for egress; no rules do not.
    assert!(out(&json!({"podSelector": {}})));
    assert!(!out(&json!({"podSelector": {}, "egress": [{"ports": [{"port": 53}]}]})));
}

#[test]
fn an_empty_rule_admits_everybody_and_no_rule_nobody() {
    assert!(reached(&json!([{}]), address("203.0.113.1")));
    assert!(reached(&json!([{"from": [], "ports": []}]), address("203.0.113.1")));
    assert!(!reached(&json!([]), address("203.0.113.1")));
}

#[test]
fn rules_add_up_and_so_do_policies() {
    let two = json!([{"from": [{"podSelector": {"matchLabels": {"app": "x"}}}]}, {"ports": [{"port": 8080}]}]);
    assert!(reached(&two, address("203.0.113.1")));
    let mut network = network(&json!({"podSelector": {}, "policyTypes": ["Ingress"]}));
    let second = json!({"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]});
    network.add(&[json!({"kind": "NetworkPolicy", "metadata": {"name": "q", "namespace": "a"}, "spec": second})]);
    assert!(network.allows(address("203.0.113.1"), End::Pod(&pod("a", "web")), tcp(1)));
}

#[test]
fn a_pod_selector_alone_means_pods_of_the_same_namespace() {
    let from_app = |app: &str| json!([{"from": [{"podSelector": {"matchLabels": {"app": app}}}]}]);
    assert!(reached(&from_app("client"), End::Pod(&pod("a", "client"))));
    assert!(!reached(&from_app("client"), End::Pod(&pod("a", "other"))));
    assert!(!reached(&from_app("client"), End::Pod(&pod("b", "client"))));
    assert!(!reached(&from_app("client"), address("10.244.0.9")));
}

#[test]
fn a_namespace_selector_alone_means_all_pods_of_these_namespaces() {
    let from_b = || json!([{"from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "b"}}}]}]);
    assert!(reached(&from_b(), End::Pod(&pod("b", "any"))));
    assert!(!reached(&from_b(), End::Pod(&pod("a", "any"))));
    assert!(!reached(&from_b(), address("10.244.0.9")));
}

#[test]
fn both_selectors_in_one_entry_must_hold_and_in_two_one_suffices() {
    let namespace = json!({"matchLabels": {"team": "x"}});
    let client = json!({"matchLabels": {"app": "client"}});
    let allowed = |from: Value, pod_of: &Pod| {
        let mut network = network(&json!({"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"from": from}]}));
        network.label_namespace("b", "team", "x");
        network.allows(End::Pod(pod_of), End::Pod(&pod("a", "web")), tcp(1))
    };
    let together = json!([{"namespaceSelector": namespace, "podSelector": client}]);
    assert!(allowed(together.clone(), &pod("b", "client")));
    assert!(!allowed(together.clone(), &pod("b", "other")));
    assert!(!allowed(together, &pod("c", "client")));
    let apart = json!([{"namespaceSelector": namespace}, {"podSelector": client}]);
    assert!(allowed(apart.clone(), &pod("b", "other")));
    assert!(allowed(apart.clone(), &pod("a", "client")));
    assert!(!allowed(apart, &pod("c", "client")));
}

#[test]
fn a_block_holds_its_addresses_without_the_exceptions() {
    let from = || json!([{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}]}]);
    assert!(reached(&from(), address("10.2.3.4")));
    assert!(!reached(&from(), address("10.1.3.4")));
    assert!(!reached(&from(), address("11.0.0.1")));
    assert!(!reached(&from(), address("2001:db8::1")));
    // A pod has an address as well.
    assert!(reached(&from(), End::Pod(&pod("z", "any"))));
    assert!(reached(&json!([{"from": [{"ipBlock": {"cidr": "2001:db8::/32"}}]}]), address("2001:db8::1")));
}

#[test]
fn ports_are_numbers_ranges_or_names_of_the_destination() {
    let on = |ports: Value, port: Port| reached_on(&json!([{"ports": ports}]), address("203.0.113.1"), port);
    assert!(on(json!([{"port": 8080}]), tcp(8080)) && !on(json!([{"port": 8080}]), tcp(8081)));
    assert!(!on(json!([{"port": 53}]), udp(53)), "the protocol is TCP unless it says otherwise");
    assert!(on(json!([{"protocol": "UDP", "port": 53}]), udp(53)));
    assert!(on(json!([{"protocol": "TCP"}]), tcp(1)) && !on(json!([{"protocol": "TCP"}]), udp(1)));
    let range = || json!([{"port": 8000, "endPort": 8100}]);
    assert!(on(range(), tcp(8000)) && on(range(), tcp(8100)) && !on(range(), tcp(8101)) && !on(range(), tcp(7999)));
    assert!(on(json!([{"port": "http"}]), tcp(8080)) && !on(json!([{"port": "http"}]), tcp(8081)));
    assert!(!on(json!([{"port": "admin"}]), tcp(8080)));
}

#[test]
fn a_connection_needs_the_leave_of_both_ends() {
    let (client, web) = (pod("a", "client"), pod("a", "web"));
    let sends = |egress: Value| json!({"podSelector": {"matchLabels": {"app": "client"}}, "policyTypes": ["Egress"], "egress": egress});
    assert!(network(&sends(json!([{"ports": [{"port": "http"}]}]))).allows(
        End::Pod(&client),
        End::Pod(&web),
        tcp(8080)
    ));
    assert!(!network(&sends(json!([]))).allows(End::Pod(&client), End::Pod(&web), tcp(8080)));
    let mut closed = network(&sends(json!([{}])));
    closed.add(&[json!({"kind": "NetworkPolicy", "metadata": {"name": "q", "namespace": "a"},
        "spec": {"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Ingress"]}})]);
    assert!(!closed.allows(End::Pod(&client), End::Pod(&web), tcp(8080)));
}

#[test]
fn the_own_node_always_passes() {
    assert!(reached(&json!([]), End::OwnNode));
    assert!(!reached(&json!([]), address("192.0.2.1")), "another node is an address like any other");
}

/// The canary: a policy that means less than it seems to. A list item too many turns "these pods in that namespace" into
/// "that namespace, and these pods here"; an evaluator that missed it would pass everything else above.
#[test]
fn a_stray_dash_in_a_policy_is_found() {
    let namespace = json!({"matchLabels": {"kubernetes.io/metadata.name": "apps"}});
    let client = json!({"matchLabels": {"aperium.dev/mcp-client": "true"}});
    let stranger = pod("apps", "stranger");
    let meant = json!([{"from": [{"namespaceSelector": namespace, "podSelector": client}]}]);
    assert!(!reached(&meant, End::Pod(&stranger)));
    let written = json!([{"from": [{"namespaceSelector": namespace}, {"podSelector": client}]}]);
    assert!(reached(&written, End::Pod(&stranger)), "the evaluator must see that the stranger gets in");
}
