//! Who there is in the cluster that the edges are checked in: one pod of every kind, and some addresses.

use super::{End, Network, Pod};
use crate::render;
use serde_json::Value;
use std::{collections::BTreeMap, net::IpAddr};

/// A pod with the labels and named ports of a Deployment's template.
pub(crate) fn pod_of(deployment: &Value, ip: &str) -> Pod {
    let template = &deployment["spec"]["template"];
    let containers = template["spec"]["containers"].as_array().into_iter().flatten();
    let ports = containers.flat_map(|container| container["ports"].as_array().into_iter().flatten());
    Pod {
        namespace: deployment["metadata"]["namespace"].as_str().expect("namespace").to_owned(),
        labels: serde_json::from_value(template["metadata"]["labels"].clone()).expect("labels"),
        ip: ip.parse().expect("address"),
        ports: ports
            .filter_map(|port| {
                let number = u16::try_from(port["containerPort"].as_u64()?).ok()?;
                Some((port["name"].as_str()?.to_owned(), number))
            })
            .collect(),
    }
}

/// A pod with the given labels.
pub(crate) fn pod(namespace: &str, labels: &[(&str, &str)]) -> Pod {
    let labels: BTreeMap<String, String> = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Pod { namespace: namespace.to_owned(), labels, ip: IpAddr::from([10, 244, 0, 77]), ports: BTreeMap::new() }
}

/// The chart's pods.
pub(crate) fn part(objects: &[Value], name: &str) -> Pod {
    pod_of(render::find(objects, "Deployment", name), "10.244.0.10")
}

/// A pod with the label of backends.
pub(crate) fn backend(namespace: &str) -> Pod {
    pod(namespace, &[("app", "backend"), ("aperium.dev/mcp-client", "true")])
}

/// Anything else that runs there.
pub(crate) fn stranger(namespace: &str) -> Pod {
    pod(namespace, &[("app", "stranger")])
}

/// An address.
pub(crate) fn address(text: &str) -> End<'static> {
    End::Address(text.parse().expect("address"))
}

/// A network with the policies of a rendering.
pub(crate) fn network(objects: &[Value]) -> Network {
    let mut network = Network::default();
    network.add(objects);
    network
}
