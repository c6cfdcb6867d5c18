//! The edges of a Connector's pods: what the operator plans, beside what the chart installs, with the chart's settings.

use super::world::{address, backend, network, part, pod, pod_of, stranger};
use super::{End, Network, Pod, tcp, udp};
use crate::{policy, render, strict};
use aperium_crds::{Settings, structural};
use aperium_operator::{
    connector::{
        dereference::{Referenced, SecretState},
        plan::plan,
        validate::validate,
    },
    names::Names,
};
use serde_json::{Value, json};

/// The port of the `postgres` module.
const SERVICE: super::Port = tcp(8088);
const BROKER: super::Port = tcp(9443);

/// The chart with clients in `apps` and monitoring in `monitoring`, watching `finance` too.
fn chart() -> Vec<Value> {
    let set = "watchNamespaces={finance},settings.services.clientNamespaces={apps},settings.services.monitoringNamespace=monitoring";
    render::objects("aperium", &["--set", set])
}

/// What the operator makes of a Connector `postgres` in a namespace, with the settings of a rendering.
fn children(chart: &[Value], namespace: &str, service: &Value) -> Vec<Value> {
    let text = &render::find(chart, "ConfigMap", "aperium-settings")["data"]["settings.yaml"];
    let settings = Settings::parse(text.as_str().unwrap()).unwrap();
    let names = Names {
        ranges_known: true,
        system_namespace: render::NAMESPACE.to_owned(),
        cluster_domain: "cluster.local".to_owned(),
        egress: settings.egress.clone(),
        settings,
    };
    let mut spec = json!({"module": "postgres", "credentials": {"source": "secret", "secretRef": {"name": "c"}}});
    spec.as_object_mut().unwrap().extend(service.as_object().unwrap().clone());
    let connector = structural::connector(&json!({
        "apiVersion": "aperium.dev/v1alpha1", "kind": "Connector",
        "metadata": {"name": "postgres", "namespace": namespace, "uid": "0b3e4a1c"},
        "spec": {"protocol": "mcp", "service": spec},
    }))
    .unwrap();
    let found = Referenced {
        rival: None,
        token: None,
        credentials: Some(SecretState::Usable),
        secrets: (None, Some("c".to_owned())),
        sharing: Vec::new(),
    };
    let service = connector.spec.service.as_ref().unwrap();
    let valid = validate(&names, &connector, service, &found).unwrap();
    plan(&names, &valid).bodies().cloned().collect()
}

/// The network with both, and the Connector's pod.
fn with(service: &Value) -> (Vec<Value>, Network, Pod) {
    let chart = chart();
    let children = children(&chart, "finance", service);
    let mut network = network(&chart);
    network.add(&children);
    let pod = pod_of(render::find(&children, "Deployment", "aperium-mcp-postgres"), "10.244.0.20");
    (chart, network, pod)
}

#[test]
fn a_service_is_reached_by_gateway_operator_backends_monitoring_and_its_node() {
    let (chart, network, service) = with(&json!({}));
    let gateway = part(&chart, "aperium-gateway");
    let operator = part(&chart, "aperium-operator");
    for (who, from) in [
        ("gateway", End::Pod(&gateway)),
        ("operator", End::Pod(&operator)),
        ("backend", End::Pod(&backend("apps"))),
        ("monitoring", End::Pod(&stranger("monitoring"))),
        ("kubelet", End::OwnNode),
    ] {
        assert!(network.allows(from, End::Pod(&service), SERVICE), "{who}");
    }
}

#[test]
fn a_service_is_reached_by_nobody_else() {
    let (chart, network, service) = with(&json!({}));
    let gateway_labels = part(&chart, "aperium-gateway").labels;
    let impostor = Pod { namespace: "finance".to_owned(), labels: gateway_labels, ..stranger("finance") };
    let other_service =
        pod("finance", &[("app.kubernetes.io/name", "aperium-mcp"), ("app.kubernetes.io/instance", "odoo")]);
    for (who, from) in [
        ("a pod beside it", End::Pod(&stranger("finance"))),
        ("another Connector's pod", End::Pod(&other_service)),
        ("a pod of the client namespace without the label", End::Pod(&stranger("apps"))),
        ("the label in another namespace", End::Pod(&backend("elsewhere"))),
        ("the label beside it, where its namespace is none of the clients'", End::Pod(&backend("finance"))),
        ("the gateway's labels in another namespace", End::Pod(&impostor)),
        ("anything else in the system namespace", End::Pod(&stranger(render::NAMESPACE))),
        ("an address outside", address("203.0.113.7")),
        ("another node", address("192.0.2.1")),
    ] {
        assert!(!network.allows(from, End::Pod(&service), SERVICE), "{who}");
    }
    // And those who may, reach this port only.
    let gateway = part(&chart, "aperium-gateway");
    for port in [tcp(8080), tcp(22), udp(8088)] {
        assert!(!network.allows(End::Pod(&gateway), End::Pod(&service), port), "{port:?}");
    }
}

#[test]
fn monitoring_reaches_a_service_only_where_it_is_named() {
    let chart = render::defaults();
    let children = children(chart, render::NAMESPACE, &json!({}));
    let mut network = network(chart);
    network.add(&children);
    let service = pod_of(render::find(&children, "Deployment", "aperium-mcp-postgres"), "10.244.0.20");
    assert!(!network.allows(End::Pod(&stranger("monitoring")), End::Pod(&service), SERVICE));
    assert!(network.allows(End::Pod(&part(chart, "aperium-gateway")), End::Pod(&service), SERVICE));
    assert!(network.allows(End::Pod(&backend(render::NAMESPACE)), End::Pod(&service), SERVICE));
}

#[test]
fn a_service_with_ranges_reaches_names_the_broker_and_these_ranges_only() {
    let (chart, network, service) =
        with(&json!({"networkPolicy": {"egressCIDRs": ["198.51.100.0/24", "2001:db8:1::/48"]}}));
    let gateway = part(&chart, "aperium-gateway");
    let dns = stranger("kube-system");
    for port in [udp(53), tcp(53), udp(5353)] {
        assert!(network.allows(End::Pod(&service), End::Pod(&dns), port), "{port:?}");
    }
    assert!(network.allows(End::Pod(&service), End::Pod(&gateway), BROKER));
    for inside in ["198.51.100.9", "2001:db8:1::9"] {
        assert!(network.allows(End::Pod(&service), address(inside), tcp(5432)), "{inside}");
    }
    for outside in ["203.0.113.7", "198.51.101.1", "2001:db8:2::9", "169.254.169.254", "10.96.0.1"] {
        assert!(!network.allows(End::Pod(&service), address(outside), tcp(443)), "{outside}");
    }
    let other_service =
        pod("finance", &[("app.kubernetes.io/name", "aperium-mcp"), ("app.kubernetes.io/instance", "odoo")]);
    for other in [stranger("finance"), other_service, stranger("elsewhere"), backend("apps"), dns] {
        assert!(!network.allows(End::Pod(&service), End::Pod(&other), tcp(8080)), "{other:?}");
    }
    for port in [tcp(8080), tcp(8081), tcp(9090)] {
        assert!(!network.allows(End::Pod(&service), End::Pod(&gateway), port), "{port:?}");
    }
    // The broker's port of anybody else is not the broker.
    assert!(!network.allows(End::Pod(&service), End::Pod(&stranger(render::NAMESPACE)), BROKER));
}

#[test]
fn a_service_without_ranges_may_reach_any_address_because_the_guard_decides() {
    let (chart, network, service) = with(&json!({}));
    assert!(network.allows(End::Pod(&service), address("203.0.113.7"), tcp(443)));
    assert!(network.allows(End::Pod(&service), address("10.1.2.3"), tcp(5432)));
    // What others say still holds: they let nobody in but those they name.
    let gateway = part(&chart, "aperium-gateway");
    assert!(network.allows(End::Pod(&service), End::Pod(&gateway), BROKER));
    for port in [tcp(8081), tcp(9090)] {
        assert!(!network.allows(End::Pod(&service), End::Pod(&gateway), port), "{port:?}");
    }
}

#[test]
fn a_connector_without_a_policy_is_open_and_that_is_what_its_owner_asked_for() {
    let (_, network, service) = with(&json!({"networkPolicy": {"enabled": false}}));
    assert!(network.allows(address("203.0.113.7"), End::Pod(&service), SERVICE));
}

#[test]
fn what_the_operator_makes_obeys_the_rules_that_the_chart_obeys() {
    let service = json!({"autoscaling": {"minReplicas": 2, "maxReplicas": 4}});
    let children = children(&chart(), "finance", &service);
    let kinds: Vec<&str> = children.iter().map(|child| child["kind"].as_str().unwrap()).collect();
    for kind in
        ["ServiceAccount", "NetworkPolicy", "Service", "Deployment", "PodDisruptionBudget", "HorizontalPodAutoscaler"]
    {
        assert!(kinds.contains(&kind), "{kinds:?}");
    }
    for child in &children {
        assert_eq!(strict::faults(child), Vec::<String>::new());
        assert_eq!(child["metadata"]["labels"]["app.kubernetes.io/managed-by"], "aperium-operator");
    }
    let deployment = render::find(&children, "Deployment", "aperium-mcp-postgres");
    assert_eq!(policy::faults(deployment), Vec::<String>::new());
    assert_eq!(deployment["spec"]["template"]["spec"]["automountServiceAccountToken"], false);
}

/// The canary: with one label less in the operator's policy the edges must move, or these tests would prove nothing.
#[test]
fn a_policy_that_forgets_a_label_lets_the_wrong_ones_in() {
    let chart = chart();
    let mut children = children(&chart, "finance", &json!({}));
    let service = pod_of(render::find(&children, "Deployment", "aperium-mcp-postgres"), "10.244.0.20");
    for child in children.iter_mut().filter(|child| child["kind"] == "NetworkPolicy") {
        for peer in child["spec"]["ingress"][0]["from"].as_array_mut().unwrap() {
            peer.as_object_mut().unwrap().remove("podSelector");
        }
    }
    let mut network = network(&chart);
    network.add(&children);
    for let_in in [stranger("apps"), stranger(render::NAMESPACE)] {
        assert!(network.allows(End::Pod(&let_in), End::Pod(&service), SERVICE), "{let_in:?}");
    }
    assert!(!network.allows(End::Pod(&stranger("elsewhere")), End::Pod(&service), SERVICE));
}
