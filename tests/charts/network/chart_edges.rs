//! The edges of the chart's own pods, allowed and denied.

use super::world::{address, backend, network, part, pod, stranger};
use super::{End, Pod, tcp, udp};
use crate::render;
use serde_json::Value;

const PUBLIC: super::Port = tcp(8080);
const IN_CLUSTER: super::Port = tcp(8081);
const ADMIN: super::Port = tcp(9090);
const BROKER: super::Port = tcp(9443);

fn with(file: &str) -> Vec<Value> {
    render::with_file("aperium", &render::chart("aperium").join(format!("ci/{file}-values.yaml")))
}

/// A pod of a Connector, as the operator labels it.
fn service(namespace: &str) -> Pod {
    let mut service = pod(
        namespace,
        &[
            ("app.kubernetes.io/name", "aperium-mcp"),
            ("app.kubernetes.io/instance", "postgres"),
            ("app.kubernetes.io/managed-by", "aperium-operator"),
        ],
    );
    service.ports.insert("http".to_owned(), 8088);
    service
}

#[test]
fn the_public_port_is_open_to_all_unless_somebody_is_named() {
    let objects = render::defaults();
    let (open, gateway) = (network(objects), part(objects, "aperium-gateway"));
    assert!(open.allows(address("203.0.113.7"), End::Pod(&gateway), PUBLIC));
    assert!(open.allows(End::Pod(&stranger("elsewhere")), End::Pod(&gateway), PUBLIC));

    let objects = with("egress");
    let (named, gateway) = (network(&objects), part(&objects, "aperium-gateway"));
    assert!(named.allows(End::Pod(&stranger("ingress")), End::Pod(&gateway), PUBLIC));
    assert!(!named.allows(End::Pod(&stranger("elsewhere")), End::Pod(&gateway), PUBLIC));
    assert!(!named.allows(address("203.0.113.7"), End::Pod(&gateway), PUBLIC));
}

#[test]
fn the_in_cluster_port_is_for_labelled_pods_of_the_client_namespaces() {
    let objects = render::defaults();
    let (network, gateway) = (network(objects), part(objects, "aperium-gateway"));
    assert!(network.allows(End::Pod(&backend(render::NAMESPACE)), End::Pod(&gateway), IN_CLUSTER));
    for denied in [stranger(render::NAMESPACE), backend("apps"), service(render::NAMESPACE)] {
        assert!(!network.allows(End::Pod(&denied), End::Pod(&gateway), IN_CLUSTER), "{denied:?}");
    }
    assert!(!network.allows(address("203.0.113.7"), End::Pod(&gateway), IN_CLUSTER));
}

#[test]
fn client_namespaces_are_those_that_the_settings_name() {
    let objects = with("namespaces");
    let (network, gateway) = (network(&objects), part(&objects, "aperium-gateway"));
    assert!(network.allows(End::Pod(&backend("apps")), End::Pod(&gateway), IN_CLUSTER));
    for denied in [stranger("apps"), backend(render::NAMESPACE), backend("finance")] {
        assert!(!network.allows(End::Pod(&denied), End::Pod(&gateway), IN_CLUSTER), "{denied:?}");
    }
}

#[test]
fn the_broker_is_for_services_of_the_watched_namespaces_and_for_delegates() {
    let objects = with("namespaces");
    let (network, gateway) = (network(&objects), part(&objects, "aperium-gateway"));
    for allowed in [service(render::NAMESPACE), service("finance"), service("research"), backend("apps")] {
        assert!(network.allows(End::Pod(&allowed), End::Pod(&gateway), BROKER), "{allowed:?}");
    }
    for denied in [service("elsewhere"), stranger("finance"), stranger("apps"), backend("elsewhere")] {
        assert!(!network.allows(End::Pod(&denied), End::Pod(&gateway), BROKER), "{denied:?}");
    }
    assert!(!network.allows(address("203.0.113.7"), End::Pod(&gateway), BROKER));
}

#[test]
fn metrics_are_for_the_monitoring_namespace_and_probes_for_the_own_node() {
    for (objects, monitored) in [(with("monitoring"), true), (render::defaults().to_vec(), false)] {
        let network = network(&objects);
        for name in ["aperium-gateway", "aperium-operator"] {
            let part = part(&objects, name);
            assert_eq!(network.allows(End::Pod(&stranger("monitoring")), End::Pod(&part), ADMIN), monitored, "{name}");
            assert!(!network.allows(End::Pod(&stranger("elsewhere")), End::Pod(&part), ADMIN), "{name}");
            assert!(!network.allows(End::Pod(&backend(render::NAMESPACE)), End::Pod(&part), ADMIN), "{name}");
            assert!(network.allows(End::OwnNode, End::Pod(&part), ADMIN), "{name}");
        }
    }
}

#[test]
fn monitoring_reaches_no_other_port() {
    let objects = with("monitoring");
    let (network, gateway) = (network(&objects), part(&objects, "aperium-gateway"));
    for port in [IN_CLUSTER, BROKER] {
        assert!(!network.allows(End::Pod(&stranger("monitoring")), End::Pod(&gateway), port));
    }
}

#[test]
fn the_operator_reaches_names_the_api_server_and_services_and_nothing_else() {
    let objects = with("namespaces");
    let (network, operator) = (network(&objects), part(&objects, "aperium-operator"));
    let dns = stranger("kube-system");
    for port in [udp(53), tcp(53), udp(5353)] {
        assert!(network.allows(End::Pod(&operator), End::Pod(&dns), port));
    }
    for port in [tcp(443), tcp(6443)] {
        assert!(network.allows(End::Pod(&operator), address("192.0.2.10"), port));
    }
    assert!(network.allows(End::Pod(&operator), End::Pod(&service("finance")), tcp(8088)));
    for denied in [service("elsewhere"), stranger("finance"), backend("apps")] {
        assert!(!network.allows(End::Pod(&operator), End::Pod(&denied), tcp(8088)), "{denied:?}");
    }
    assert!(!network.allows(End::Pod(&operator), address("203.0.113.7"), tcp(8080)));
    assert!(!network.allows(End::Pod(&operator), address("169.254.169.254"), tcp(80)));
}

#[test]
fn nobody_but_monitoring_opens_a_connection_to_the_operator() {
    let objects = render::defaults();
    let (network, operator) = (network(objects), part(objects, "aperium-operator"));
    for port in [tcp(8080), ADMIN, tcp(22)] {
        assert!(!network.allows(End::Pod(&part(objects, "aperium-gateway")), End::Pod(&operator), port));
        assert!(!network.allows(address("203.0.113.7"), End::Pod(&operator), port));
    }
}

#[test]
fn the_gateway_reaches_what_its_guard_lets_it_unless_ranges_are_named() {
    let objects = render::defaults();
    let (open, gateway) = (network(objects), part(objects, "aperium-gateway"));
    assert!(open.allows(End::Pod(&gateway), address("203.0.113.7"), tcp(443)));

    let objects = with("egress");
    let (named, gateway) = (network(&objects), part(&objects, "aperium-gateway"));
    for allowed in ["198.51.100.9", "2001:db8::9"] {
        assert!(named.allows(End::Pod(&gateway), address(allowed), tcp(443)), "{allowed}");
    }
    assert!(named.allows(End::Pod(&gateway), End::Pod(&service(render::NAMESPACE)), tcp(8088)));
    assert!(named.allows(End::Pod(&gateway), address("10.0.0.1"), tcp(6443)), "the API server");
    assert!(named.allows(End::Pod(&gateway), End::Pod(&stranger("kube-system")), udp(53)));
    for denied in ["203.0.113.7", "10.0.0.1", "169.254.169.254"] {
        assert!(!named.allows(End::Pod(&gateway), address(denied), tcp(443)), "{denied}");
    }
    assert!(!named.allows(End::Pod(&gateway), address("10.0.0.16"), tcp(6443)), "beside the API server");
    assert!(!named.allows(End::Pod(&gateway), End::Pod(&stranger(render::NAMESPACE)), tcp(8088)));
    // The operator's API server is the same.
    let operator = part(&objects, "aperium-operator");
    assert!(named.allows(End::Pod(&operator), address("10.0.0.1"), tcp(6443)));
    assert!(!named.allows(End::Pod(&operator), address("10.0.0.1"), tcp(443)));
}

#[test]
fn without_policies_of_ours_everything_is_open() {
    let objects = with("no-network-policies");
    assert!(network(&objects).allows(address("203.0.113.7"), End::Pod(&part(&objects, "aperium-gateway")), ADMIN));
}
