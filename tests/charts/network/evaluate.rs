//! The evaluator.

use super::selector::selects;
use super::{End, Network, Pod, Port};
use ipnet::IpNet;
use k8s_openapi::api::networking::v1::{IPBlock, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::Value;
use std::{collections::BTreeMap, net::IpAddr};

/// The label that every namespace has with its own name.
const NAME: &str = "kubernetes.io/metadata.name";

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Ingress,
    Egress,
}

// === impl Network ===

impl Network {
    /// Takes the NetworkPolicies out of rendered objects.
    pub(crate) fn add(&mut self, objects: &[Value]) {
        for object in objects.iter().filter(|object| object["kind"] == "NetworkPolicy") {
            self.policies.push(serde_json::from_value(object.clone()).expect("a NetworkPolicy"));
        }
    }

    /// Gives a namespace a label besides its name.
    pub(crate) fn label_namespace(&mut self, namespace: &str, key: &str, value: &str) {
        self.namespaces.entry(namespace.to_owned()).or_default().insert(key.to_owned(), value.to_owned());
    }

    /// Whether a connection can be opened: its source may send it and its destination may receive it.
    pub(crate) fn allows(&self, from: End<'_>, to: End<'_>, port: Port) -> bool {
        if matches!(from, End::OwnNode) || matches!(to, End::OwnNode) {
            return true;
        }
        let sent = match from {
            End::Pod(pod) => self.admits(pod, Direction::Egress, to, to, port),
            _ => true,
        };
        let received = match to {
            End::Pod(pod) => self.admits(pod, Direction::Ingress, from, to, port),
            _ => true,
        };
        sent && received
    }

    /// Whether the policies of one pod admit a connection with `other`; `to` is where named ports are looked up.
    fn admits(&self, pod: &Pod, direction: Direction, other: End<'_>, to: End<'_>, port: Port) -> bool {
        let mut isolated = false;
        for policy in self.policies.iter().filter(|policy| applies(policy, pod, direction)) {
            isolated = true;
            let namespace = policy.metadata.namespace.as_deref().expect("a NetworkPolicy is in a namespace");
            let spec = policy.spec.as_ref().expect("a NetworkPolicy has a spec");
            let admitted = match direction {
                Direction::Ingress => spec.ingress.iter().flatten().any(|rule| {
                    self.peers(rule.from.as_deref(), namespace, other) && ports(rule.ports.as_deref(), to, port)
                }),
                Direction::Egress => spec.egress.iter().flatten().any(|rule| {
                    self.peers(rule.to.as_deref(), namespace, other) && ports(rule.ports.as_deref(), to, port)
                }),
            };
            if admitted {
                return true;
            }
        }
        !isolated
    }

    /// No list, or an empty one, means everybody.
    fn peers(&self, peers: Option<&[NetworkPolicyPeer]>, policy_namespace: &str, other: End<'_>) -> bool {
        let peers = peers.unwrap_or_default();
        peers.is_empty() || peers.iter().any(|peer| self.is_peer(peer, policy_namespace, other))
    }

    fn is_peer(&self, peer: &NetworkPolicyPeer, policy_namespace: &str, other: End<'_>) -> bool {
        if let Some(block) = &peer.ip_block {
            // Pods have addresses too: network plugins match them, and the conformance tests expect it.
            return match other {
                End::Pod(pod) => in_block(block, pod.ip),
                End::Address(address) => in_block(block, address),
                End::OwnNode => true,
            };
        }
        let End::Pod(pod) = other else { return false };
        let namespace = match &peer.namespace_selector {
            Some(selector) => selects(selector, &self.labels_of(&pod.namespace)),
            None => pod.namespace == policy_namespace,
        };
        namespace && peer.pod_selector.as_ref().is_none_or(|selector| selects(selector, &pod.labels))
    }

    fn labels_of(&self, namespace: &str) -> BTreeMap<String, String> {
        let mut labels = self.namespaces.get(namespace).cloned().unwrap_or_default();
        labels.insert(NAME.to_owned(), namespace.to_owned());
        labels
    }
}

/// Whether a policy isolates a pod in a direction.
fn applies(policy: &NetworkPolicy, pod: &Pod, direction: Direction) -> bool {
    let Some(spec) = &policy.spec else { return false };
    let covered = match spec.policy_types.as_deref() {
        Some(types) if !types.is_empty() => types.iter().any(|name| match direction {
            Direction::Ingress => name == "Ingress",
            Direction::Egress => name == "Egress",
        }),
        // Without types: ingress always, egress where there are rules for it.
        _ => direction == Direction::Ingress || spec.egress.as_ref().is_some_and(|rules| !rules.is_empty()),
    };
    let selected = spec.pod_selector.as_ref().is_none_or(|selector| selects(selector, &pod.labels));
    covered && selected && policy.metadata.namespace.as_deref() == Some(&pod.namespace)
}

/// No list, or an empty one, means every port.
fn ports(ports: Option<&[NetworkPolicyPort]>, to: End<'_>, port: Port) -> bool {
    let ports = ports.unwrap_or_default();
    ports.is_empty() || ports.iter().any(|rule| is_port(rule, to, port))
}

fn is_port(rule: &NetworkPolicyPort, to: End<'_>, port: Port) -> bool {
    if rule.protocol.as_deref().unwrap_or("TCP") != port.protocol {
        return false;
    }
    match &rule.port {
        None => true,
        Some(IntOrString::Int(first)) => {
            let last = rule.end_port.unwrap_or(*first);
            (*first..=last).contains(&i32::from(port.number))
        }
        // A name is one of the destination pod's; nothing else has named ports.
        Some(IntOrString::String(name)) => match to {
            End::Pod(pod) => pod.ports.get(name) == Some(&port.number),
            _ => false,
        },
    }
}

fn in_block(block: &IPBlock, address: IpAddr) -> bool {
    let within =
        |range: &str| range.parse::<IpNet>().unwrap_or_else(|_| panic!("no range: {range}")).contains(&address);
    within(&block.cidr) && !block.except.iter().flatten().any(|range| within(range))
}
