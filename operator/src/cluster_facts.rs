//! Nodes, Service ranges and the API server's addresses → the facts that the egress guard needs.
//!
//! Asked at start and every ten minutes by the leader, published in ConfigMap `aperium-cluster` of every watched namespace: the pods and
//! the gateway mount it and follow it, so that a new node costs nobody a restart.
//!
//! Needs a small ClusterRole: nodes and ServiceCIDRs exist only cluster-wide. Without it the ranges stay unknown, and
//! private addresses closed.

use crate::context::Context;
use crate::names::MANAGER;
use crate::settings::Fixed;
use aperium_core::egress::ClusterFacts;
use ipnet::IpNet;
use k8s_openapi::api::core::v1::{ConfigMap, Node, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::ServiceCIDR;
use kube::api::{ListParams, ObjectMeta, Patch, PatchParams};
use kube::{Api, Client};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long known facts hold.
const PERIOD: Duration = Duration::from_secs(600);
/// When unknown ones are asked for again.
const RETRY: Duration = Duration::from_secs(60);
/// How long all questions together may take.
const LIMIT: Duration = Duration::from_secs(10);
/// Nodes asked for in one page.
const PAGE: u32 = 500;
/// Where the API server publishes itself.
const API_SERVER: (&str, &str) = ("default", "kubernetes");

/// Why the facts could not be found or published.
#[derive(Debug, thiserror::Error)]
pub enum FactsError {
    /// The nodes could not be listed.
    #[error("listing the nodes failed")]
    Nodes(#[source] kube::Error),
    /// The Service ranges could not be listed.
    #[error("listing the Service ranges failed")]
    ServiceRanges(#[source] kube::Error),
    /// The API server's own Service could not be read.
    #[error("reading the API server's own Service failed")]
    ApiServer(#[source] kube::Error),
    /// The facts could not be written as JSON.
    #[error("writing the facts as JSON failed")]
    Write(#[source] serde_json::Error),
    /// The API server did not answer in time.
    #[error("the API server did not answer in time")]
    Timeout,
    /// The ConfigMap could not be read or applied.
    #[error("publishing the facts failed")]
    Publish(#[source] kube::Error),
}

/// Asks and publishes once, and notes in the settings' completion whether the ranges are known. Called before the first
/// reconcile, so that a restart finds what it left.
pub async fn refresh(context: &Context, fixed: &Fixed) -> Duration {
    if context.names.load().settings.egress.cluster_ranges.is_some() {
        return PERIOD; // the settings know, and the ClusterRole need not be there
    }
    match tokio::time::timeout(LIMIT, ask(context)).await.unwrap_or(Err(FactsError::Timeout)) {
        Ok(facts) => {
            let known = facts.cluster_ranges.is_some();
            if !known {
                tracing::warn!(
                    "the ranges of the cluster are unknown: private addresses stay closed until the settings give egress.clusterRanges"
                );
            }
            fixed.ranges_known(known);
            if known { PERIOD } else { RETRY }
        }
        Err(error) => {
            tracing::warn!(error = %anyhow::Error::new(error), "the facts of the cluster could not be found");
            RETRY
        }
    }
}

/// Keeps the facts until the token is cancelled. When the ranges become known, every Connector is looked at again.
pub async fn run(context: Arc<Context>, fixed: Fixed, mut next: Duration, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(next) => {}
        }
        next = refresh(&context, &fixed).await;
        let names = fixed.names(context.names.load().settings.clone());
        if **context.names.load() != names {
            context.names.store(Arc::new(names));
            for key in context.stores.connectors.keys() {
                context.queue.add(key);
            }
        }
    }
}

async fn ask(context: &Context) -> Result<ClusterFacts, FactsError> {
    let facts = discover(&context.client).await?;
    for namespace in &context.namespaces {
        publish(&context.client, namespace, &facts).await?;
    }
    Ok(facts)
}

/// Asks the cluster: the first question that is not answered is an error.
async fn discover(client: &Client) -> Result<ClusterFacts, FactsError> {
    let nodes = nodes(client).await?;
    let services = Api::<ServiceCIDR>::all(client.clone()).list(&ListParams::default()).await;
    let services = services.map_err(FactsError::ServiceRanges)?.items;
    let blocked = api_server(client).await?;
    Ok(ClusterFacts { cluster_ranges: ranges(&nodes, &services), blocked_addresses: blocked.into_iter().collect() })
}

async fn nodes(client: &Client) -> Result<Vec<Node>, FactsError> {
    let api = Api::<Node>::all(client.clone());
    let (mut nodes, mut page) = (Vec::new(), ListParams::default().limit(PAGE));
    loop {
        let listed = api.list(&page).await.map_err(FactsError::Nodes)?;
        nodes.extend(listed.items);
        match listed.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => return Ok(nodes),
        }
    }
}

/// All ranges, or nothing: half of them would open the other half.
fn ranges(nodes: &[Node], services: &[ServiceCIDR]) -> Option<Vec<IpNet>> {
    let mut found: BTreeSet<IpNet> = BTreeSet::new();
    for node in nodes {
        let pods: Vec<&String> = node.spec.iter().flat_map(|spec| spec.pod_cidrs.iter().flatten()).collect();
        if pods.is_empty() {
            return None; // the network plugin gives pods their addresses itself: only an admin knows its ranges
        }
        for range in pods {
            found.insert(range.parse().ok()?);
        }
        for address in node.status.iter().flat_map(|status| status.addresses.iter().flatten()) {
            if matches!(address.type_.as_str(), "InternalIP" | "ExternalIP") {
                found.insert(IpNet::from(address.address.parse::<IpAddr>().ok()?));
            }
        }
    }
    let before = found.len();
    for range in services.iter().flat_map(|service| service.spec.iter().flat_map(|spec| spec.cidrs.iter().flatten())) {
        found.insert(range.parse().ok()?);
    }
    let complete = !nodes.is_empty() && found.len() > before;
    complete.then(|| IpNet::aggregate(&found.into_iter().collect()))
}

async fn api_server(client: &Client) -> Result<BTreeSet<IpAddr>, FactsError> {
    let (namespace, name) = API_SERVER;
    let service =
        Api::<Service>::namespaced(client.clone(), namespace).get_opt(name).await.map_err(FactsError::ApiServer)?;
    let slice = Api::<EndpointSlice>::namespaced(client.clone(), namespace)
        .get_opt(name)
        .await
        .map_err(FactsError::ApiServer)?;
    let cluster_ips = service.and_then(|service| service.spec).and_then(|spec| spec.cluster_ips).unwrap_or_default();
    let endpoints =
        slice.into_iter().flat_map(|slice| slice.endpoints.unwrap_or_default()).flat_map(|endpoint| endpoint.addresses);
    Ok(cluster_ips.into_iter().chain(endpoints).filter_map(|address| address.parse().ok()).collect())
}

/// Writes the ConfigMap where it says something else.
async fn publish(client: &Client, namespace: &str, facts: &ClusterFacts) -> Result<(), FactsError> {
    let text = serde_json::to_string(facts).map_err(FactsError::Write)?;
    let api = Api::<ConfigMap>::namespaced(client.clone(), namespace);
    let there = api.get_opt(ClusterFacts::CONFIG_MAP).await.map_err(FactsError::Publish)?;
    if there.and_then(|map| map.data).is_some_and(|data| data.get(ClusterFacts::KEY) == Some(&text)) {
        return Ok(());
    }
    let labels = [("app.kubernetes.io/part-of", "aperium"), ("app.kubernetes.io/managed-by", MANAGER)];
    let map = ConfigMap {
        metadata: ObjectMeta {
            name: Some(ClusterFacts::CONFIG_MAP.to_owned()),
            labels: Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
            ..ObjectMeta::default()
        },
        data: Some([(ClusterFacts::KEY.to_owned(), text)].into()),
        ..ConfigMap::default()
    };
    let params = PatchParams::apply(MANAGER).force();
    api.patch(ClusterFacts::CONFIG_MAP, &params, &Patch::Apply(&map)).await.map(drop).map_err(FactsError::Publish)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn node(pods: &[&str], address: &str) -> Node {
        serde_json::from_value(json!({
            "metadata": {"name": "n"}, "spec": {"podCIDRs": pods},
            "status": {"addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": "n"}]},
        }))
        .unwrap()
    }

    fn service(range: &str) -> ServiceCIDR {
        serde_json::from_value(json!({"metadata": {"name": "kubernetes"}, "spec": {"cidrs": [range]}})).unwrap()
    }

    #[test]
    fn pods_services_and_nodes_are_all_ranges_of_the_cluster() {
        let found = ranges(
            &[node(&["10.244.0.0/24"], "10.0.0.7"), node(&["10.244.1.0/24"], "10.0.0.8")],
            &[service("10.96.0.0/16")],
        );
        let found: Vec<String> = found.unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(found, ["10.0.0.7/32", "10.0.0.8/32", "10.96.0.0/16", "10.244.0.0/23"]);
    }

    #[test]
    fn half_an_answer_is_no_answer() {
        assert_eq!(
            ranges(&[node(&["10.244.0.0/24"], "10.0.0.7"), node(&[], "10.0.0.8")], &[service("10.96.0.0/16")]),
            None
        );
        assert_eq!(ranges(&[node(&["10.244.0.0/24"], "10.0.0.7")], &[]), None);
        assert_eq!(ranges(&[], &[service("10.96.0.0/16")]), None);
        assert_eq!(ranges(&[node(&["not a range"], "10.0.0.7")], &[service("10.96.0.0/16")]), None);
    }
}
