//! Who reaches the pods and what they reach (blueprint §9, "NetworkPolicy edges").
//!
//! The kubelet's probes need no rule: traffic from a pod's own node is allowed by the API's definition.

use crate::connector::validate::ValidatedConnector;
use crate::names::{BROKER_PORT, CLIENT_LABEL, Names};
use serde_json::{Value, json};

/// The label that every namespace has with its own name.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

pub(super) fn of(names: &Names, valid: &ValidatedConnector<'_>) -> Value {
    json!({"spec": {
        "podSelector": {"matchLabels": Names::selector(&valid.name)},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"from": callers(names), "ports": [{"protocol": "TCP", "port": "http"}]}],
        "egress": egress(names, &valid.service.network_policy.egress_cidrs),
    }})
}

fn callers(names: &Names) -> Value {
    let system = &names.system_namespace;
    let services = &names.settings.services;
    let mut callers = vec![part(system, "aperium-gateway"), part(system, "aperium-operator")];
    for namespace in &services.client_namespaces {
        callers.push(json!({
            "namespaceSelector": {"matchLabels": {NAMESPACE_NAME: namespace}},
            "podSelector": {"matchLabels": {CLIENT_LABEL: "true"}},
        }));
    }
    if !services.monitoring_namespace.is_empty() {
        callers.push(json!({"namespaceSelector": {"matchLabels": {NAMESPACE_NAME: services.monitoring_namespace}}}));
    }
    Value::Array(callers)
}

/// A part of Aperium itself.
fn part(system: &str, name: &str) -> Value {
    json!({
        "namespaceSelector": {"matchLabels": {NAMESPACE_NAME: system}},
        "podSelector": {"matchLabels": {"app.kubernetes.io/name": name}},
    })
}

fn egress(names: &Names, cidrs: &[String]) -> Value {
    // A policy sees the port of the pod behind the DNS Service: 53, or 5353 where DNS runs without privileges.
    let dns = |port: u16| [json!({"protocol": "UDP", "port": port}), json!({"protocol": "TCP", "port": port})];
    let dns = [dns(53), dns(5353)].concat();
    let mut rules = vec![
        json!({"ports": dns}),
        json!({
            "to": [part(&names.system_namespace, "aperium-gateway")],
            "ports": [{"protocol": "TCP", "port": BROKER_PORT}],
        }),
    ];
    if cidrs.is_empty() {
        // Any address: which system a connector talks to is not known here; the egress guard in the pod decides.
        rules.push(json!({}));
    } else {
        rules.push(json!({"to": cidrs.iter().map(|cidr| json!({"ipBlock": {"cidr": cidr}})).collect::<Vec<_>>()}));
    }
    Value::Array(rules)
}
