//! NetworkPolicies and two ends of a connection in; allowed or denied out, as Kubernetes defines it.
//!
//! <https://kubernetes.io/docs/concepts/services-networking/network-policies/>: a pod is isolated in a direction only if
//! some policy of its namespace selects it for that direction; then exactly what some rule admits passes. A connection
//! needs the leave of both ends. Traffic between a pod and its own node always passes, which is how the kubelet probes.
//!
//! The test bed's network does not enforce policies, so their meaning is checked here, over the rendered objects.

mod chart_edges;
mod evaluate;
mod evaluate_tests;
mod selector;
mod service_edges;
mod world;

use k8s_openapi::api::networking::v1::NetworkPolicy;
use std::{collections::BTreeMap, net::IpAddr};

/// The policies of a cluster and the labels of its namespaces.
#[derive(Debug, Default)]
pub(crate) struct Network {
    policies: Vec<NetworkPolicy>,
    namespaces: BTreeMap<String, BTreeMap<String, String>>,
}

/// A pod, as policies see it.
#[derive(Debug, Clone)]
pub(crate) struct Pod {
    pub(crate) namespace: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) ip: IpAddr,
    /// Named ports of its containers.
    pub(crate) ports: BTreeMap<String, u16>,
}

/// One end of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) enum End<'a> {
    /// A pod.
    Pod(&'a Pod),
    /// Something else, inside or outside the cluster.
    Address(IpAddr),
    /// The node on which the other end runs: the kubelet.
    OwnNode,
}

/// A port of the destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Port {
    pub(crate) protocol: &'static str,
    pub(crate) number: u16,
}

/// A TCP port.
pub(crate) const fn tcp(number: u16) -> Port {
    Port { protocol: "TCP", number }
}

/// A UDP port.
pub(crate) const fn udp(number: u16) -> Port {
    Port { protocol: "UDP", number }
}
