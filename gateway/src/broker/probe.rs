//! Probes are pushed: a service learns from the gateway whether a tenant's credential works, with a lease for that one
//! tenant, at the start of a pod, after a save, and every 30 s for the next tenant in turn.
//!
//! A pod that does not answer is asked again at the next look; one that answers has its turn, whatever it said.

use super::Broker;
use super::mint::Who;
use crate::catalog::{Place, ResourceKey};
use crate::pipeline::upstream::link::Link;
use crate::snapshot::{Entry, Snapshot};
use aperium_core::id::{ConnectorName, RequestId, TenantId};
use aperium_platform::body;
use aperium_platform::egress::{ClusterClient, ClusterEndpoint};
use aperium_platform::lease::PROBE;
use aperium_platform::probes::Check;
use arc_swap::ArcSwap;
use axum::body::Body;
use futures::stream::{self, StreamExt as _};
use http::{Method, Request, StatusCode, Uri};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, ListParams};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How often is looked for new pods and new versions.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// How often a pod hears of the next tenant.
const TURN: Duration = Duration::from_secs(30);
/// How long a pod may take: it asks its upstream.
const LIMIT: Duration = Duration::from_secs(15);
/// Probes at the same time.
const CONCURRENT: usize = 16;
/// The largest answer of a pod.
const MAX_ANSWER: usize = 16 * 1024;
/// Who calls when nobody does.
const PROBER: &str = "aperium-gateway";
/// Only what the operator made is asked.
const OWN: &str = "app.kubernetes.io/managed-by=aperium-operator";

/// Where the pods of a service are found.
pub(crate) enum Where {
    /// One per service: the address that calls go to.
    Links,
    /// The EndpointSlices of these namespaces, whether a pod is ready or not; `leads`: whether this replica asks.
    Slices { client: kube::Client, namespaces: Vec<String>, leads: watch::Receiver<bool> },
}

/// Pushes probes until it is dropped.
pub(crate) struct Prober {
    broker: Arc<Broker>,
    snapshot: Arc<ArcSwap<Snapshot>>,
    place: Where,
    client: ClusterClient,
    turns: HashMap<(ResourceKey, String), Turns>,
}

/// Whose turn it is in one pod.
#[derive(Debug, Default)]
struct Turns {
    next: Option<Instant>,
    last: Option<TenantId>,
    told: BTreeMap<TenantId, u64>,
}

/// One probe to be sent.
struct Due {
    pod: (ResourceKey, String),
    endpoint: ClusterEndpoint,
    entry: Arc<Entry>,
    tenant: TenantId,
    version: u64,
}

type Found = HashMap<ResourceKey, Vec<(String, ClusterEndpoint)>>;

impl Prober {
    /// Nothing is asked yet.
    pub(crate) fn new(broker: Arc<Broker>, snapshot: Arc<ArcSwap<Snapshot>>, place: Where) -> Self {
        Self { broker, snapshot, place, client: ClusterClient::new(), turns: HashMap::new() }
    }

    /// Runs until the token is cancelled.
    pub(crate) async fn run(mut self, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.look() => {}
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    async fn look(&mut self) {
        let snapshot = self.snapshot.load_full();
        let services: Vec<Arc<Entry>> =
            snapshot.connectors().iter().filter(|entry| is_probed(entry)).cloned().collect();
        if services.is_empty() {
            return;
        }
        let Some(found) = self.pods(&services).await else { return };
        self.turns.retain(|(key, pod), _| found.get(key).is_some_and(|pods| pods.iter().any(|(name, _)| name == pod)));
        let mut due = Vec::new();
        for entry in services {
            let Ok(holders) = self.broker.credentials.holders(&entry.config.id).await else { continue };
            for (pod, endpoint) in found.get(&entry.config.key).into_iter().flatten() {
                let pod = (entry.config.key.clone(), pod.clone());
                let turns = self.turns.entry(pod.clone()).or_default();
                due.extend(turns.due(&holders, Instant::now()).into_iter().map(|(tenant, version)| Due {
                    pod: pod.clone(),
                    endpoint: endpoint.clone(),
                    entry: Arc::clone(&entry),
                    tenant,
                    version,
                }));
            }
        }
        let (broker, client) = (&self.broker, &self.client);
        let sent: Vec<(Due, bool)> = stream::iter(due)
            .map(|due| async move {
                let answered = tokio::time::timeout(LIMIT, send(broker, client, &due)).await.unwrap_or_default();
                (due, answered)
            })
            .buffer_unordered(CONCURRENT)
            .collect()
            .await;
        for (due, _) in sent.into_iter().filter(|(_, answered)| *answered) {
            if let Some(turns) = self.turns.get_mut(&due.pod) {
                turns.done(due.tenant, due.version, Instant::now());
            }
        }
    }

    /// The pods of each service; `None`: another replica asks them, or nobody knows where they are.
    async fn pods(&self, services: &[Arc<Entry>]) -> Option<Found> {
        match &self.place {
            Where::Links => Some(services.iter().filter_map(|entry| by_link(entry)).collect()),
            Where::Slices { client, namespaces, leads } => {
                if !*leads.borrow() {
                    return None;
                }
                let mut found = Found::new();
                for namespace in namespaces {
                    match slices(client, namespace, services).await {
                        Ok(more) => found.extend(more),
                        Err(error) => {
                            tracing::warn!(namespace, %error, "the pods of services are not known");
                            return None;
                        }
                    }
                }
                Some(found)
            }
        }
    }
}

/// Whether its tenants' credentials are probed from here: those of a single tenant are by the pod itself.
fn is_probed(entry: &Entry) -> bool {
    matches!(&entry.config.place, Place::Service { whose, .. } if whose.platform && whose.tenant.is_none())
}

/// The pods of one service, whether they are ready or not.
pub(super) async fn pods_of(
    client: Option<&kube::Client>,
    entry: &Arc<Entry>,
) -> Result<Vec<ClusterEndpoint>, kube::Error> {
    let key = &entry.config.key;
    let found = match client {
        Some(client) => slices(client, &key.namespace, std::slice::from_ref(entry)).await?,
        None => by_link(entry).into_iter().collect(),
    };
    Ok(found.into_values().flatten().map(|(_, endpoint)| endpoint).collect())
}

fn by_link(entry: &Entry) -> Option<(ResourceKey, Vec<(String, ClusterEndpoint)>)> {
    let Link::Service { endpoint, .. } = entry.upstream.link() else { return None };
    Some((entry.config.key.clone(), vec![(endpoint.to_string(), endpoint.clone())]))
}

async fn slices(client: &kube::Client, namespace: &str, services: &[Arc<Entry>]) -> Result<Found, kube::Error> {
    let own = ListParams::default().labels(OWN);
    let owned = Api::<Service>::namespaced(client.clone(), namespace).list(&own).await?.items;
    let slices = Api::<EndpointSlice>::namespaced(client.clone(), namespace).list(&own).await?.items;
    let mut found = Found::new();
    for entry in services.iter().filter(|entry| entry.config.key.namespace == namespace) {
        let Ok(name) = ConnectorName::parse(&entry.config.key.name) else { continue };
        let uid = entry.config.uid.as_deref().unwrap_or_default();
        let child = aperium_core::name::child_name(&name);
        let service = owned.iter().find(|service| service.metadata.name.as_deref() == Some(&child));
        // The Service must be the Connector's, and the slice that Service's.
        let Some(service) = service.filter(|service| ClusterEndpoint::from_service(service, uid).is_ok()) else {
            continue;
        };
        let uid = service.metadata.uid.as_deref().unwrap_or_default();
        let pods = slices
            .iter()
            .filter_map(|slice| ClusterEndpoint::from_endpoint_slice(slice, &name, uid).ok())
            .flatten()
            .map(|pod| (pod.pod.unwrap_or_else(|| pod.endpoint.to_string()), pod.endpoint))
            .collect();
        found.insert(entry.config.key.clone(), pods);
    }
    Ok(found)
}

/// Sends one probe. Whether the pod has answered it.
async fn send(broker: &Broker, client: &ClusterClient, due: &Due) -> bool {
    let Due { entry, tenant, endpoint, pod, version } = due;
    let connector = &entry.config.id;
    let request_id = RequestId::accept(None);
    let mut request = Request::new(Body::empty());
    *request.method_mut() = Method::POST;
    let mut uri = Uri::from_static("/probe");
    let who = Who { tenant: tenant.clone(), user: PROBER.to_owned(), delegate: None, request: request_id.clone() };
    let lease = broker.lease(&entry.config, PROBE, who).await;
    let inserted = entry.credential.insert(request.headers_mut(), &mut uri).await;
    let (Ok((name, lease)), Ok(_)) = (lease, inserted) else { return false };
    request.headers_mut().insert(name, lease);
    *request.uri_mut() = uri;
    let response = match client.send(endpoint, request).await {
        Ok(response) => response,
        Err(error) => {
            tracing::debug!(%connector, pod = pod.1, %error, "a pod could not be probed");
            return false;
        }
    };
    if response.status() != StatusCode::OK {
        tracing::warn!(%request_id, %connector, pod = pod.1, status = response.status().as_u16(), "a pod refused a probe");
        return false;
    }
    let body = body::read(Body::new(response.into_body()), MAX_ANSWER, LIMIT).await.unwrap_or_default();
    let Ok(check) = serde_json::from_slice::<Check>(&body) else { return false };
    tracing::debug!(%request_id, %connector, %tenant, pod = pod.1, ok = check.ok, reason = check.reason, "probed");
    // Why it could not be kept is in the log; the next probe says it again.
    let _ = broker.credentials.checked((tenant, connector), *version, &check).await;
    true
}

impl Turns {
    /// Who is to be probed: everybody whose credential was saved since, and the next one when it is time.
    fn due(&mut self, holders: &[(TenantId, u64)], now: Instant) -> Vec<(TenantId, u64)> {
        self.told.retain(|tenant, _| holders.iter().any(|(holder, _)| holder == tenant));
        let started = self.next.is_some();
        if !started {
            // What was saved before the pod was seen has its turn; only what comes later is new.
            self.told = holders.iter().cloned().collect();
        }
        let saved = |(tenant, version): &&(TenantId, u64)| self.told.get(tenant) != Some(version);
        let mut due: Vec<(TenantId, u64)> = holders.iter().filter(saved).cloned().collect();
        if self.next.is_none_or(|next| next <= now) {
            let after = self.last.as_ref().and_then(|last| holders.iter().find(|(tenant, _)| tenant > last));
            due.extend(
                after.or(holders.first()).filter(|next| !due.contains(next)).cloned().into_iter().collect::<Vec<_>>(),
            );
        }
        due
    }

    fn done(&mut self, tenant: TenantId, version: u64, now: Instant) {
        self.told.insert(tenant.clone(), version);
        self.last = Some(tenant);
        self.next = Some(now + TURN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holders(of: &[(&str, u64)]) -> Vec<(TenantId, u64)> {
        of.iter().map(|(tenant, version)| (TenantId::parse(tenant).unwrap(), *version)).collect()
    }

    #[test]
    fn each_tenant_has_its_turn_and_a_saved_one_at_once() {
        let (mut turns, now) = (Turns::default(), Instant::now());
        let all = holders(&[("a", 1), ("b", 1), ("c", 1)]);
        let mut at = now;
        let mut seen = Vec::new();
        for _ in 0..4 {
            let due = turns.due(&all, at);
            assert_eq!(due.len(), 1, "{due:?}");
            assert_eq!(turns.due(&all, at), due, "until it is answered");
            turns.done(due[0].0.clone(), due[0].1, at);
            assert!(turns.due(&all, at + TURN / 2).is_empty());
            seen.push(due[0].0.to_string());
            at += TURN;
        }
        assert_eq!(seen, ["a", "b", "c", "a"]);
        turns.done(all[0].0.clone(), 1, at);
        let saved = holders(&[("a", 1), ("b", 2), ("d", 1)]);
        assert_eq!(turns.due(&saved, at), holders(&[("b", 2), ("d", 1)]));
        assert!(turns.due(&[], at + TURN).is_empty());
    }
}
