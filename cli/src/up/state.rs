//! The gateway's own `/readyz` → what is known of each connector.

use aperium_core::id::ConnectorName;
use aperium_core::name::effective_id;
use aperium_gateway::Resources;
use aperium_platform::egress::{ClusterClient, ClusterEndpoint};
use axum::body::Body;
use http_body_util::{BodyExt as _, Limited};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// More than any folder's connectors need.
const MAX_BYTES: usize = 4 * 1024 * 1024;
const PAUSE: Duration = Duration::from_millis(50);

/// One connector, as the banner shows it.
pub(crate) struct ConnectorState {
    pub(crate) id: String,
    pub(crate) module: Option<String>,
    /// Number of tools, or why there are none.
    pub(crate) tools: Result<usize, String>,
}

#[derive(Deserialize)]
struct Readyz {
    connectors: BTreeMap<String, Told>,
}

#[derive(Deserialize, Default)]
struct Told {
    available: bool,
    #[serde(default)]
    tools: usize,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    message: String,
}

impl Told {
    /// A first answer of the upstream, good or bad, was seen.
    fn settled(&self) -> bool {
        self.reason != "Pending"
    }
}

/// The states, once the gateway is ready and every connector was asked, or the limit is over.
pub(crate) async fn settled(probes: SocketAddr, resources: &Resources, limit: Duration) -> Vec<ConnectorState> {
    let deadline = tokio::time::Instant::now() + limit;
    let client = ClusterClient::new();
    let wanted = resources.connectors.iter().filter(|connector| !connector.spec.suspend).count();
    loop {
        let (ready, told) = ask(&client, probes).await.unwrap_or_default();
        let complete = ready && told.len() >= wanted && told.values().all(Told::settled);
        if complete || tokio::time::Instant::now() >= deadline {
            return describe(resources, told);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Whether the gateway is ready, its database above all, and what it says of each connector.
async fn ask(client: &ClusterClient, probes: SocketAddr) -> Option<(bool, BTreeMap<String, Told>)> {
    let endpoint = ClusterEndpoint::local(probes).ok()?;
    let request = http::Request::get("/readyz").body(Body::empty()).ok()?;
    let response = client.send(&endpoint, request).await.ok()?;
    let ready = response.status().is_success();
    let body = Limited::new(response.into_body(), MAX_BYTES).collect().await.ok()?.to_bytes();
    serde_json::from_slice(&body).ok().map(|readyz: Readyz| (ready, readyz.connectors))
}

fn describe(resources: &Resources, mut told: BTreeMap<String, Told>) -> Vec<ConnectorState> {
    let mut states = Vec::new();
    for connector in &resources.connectors {
        let name = connector.metadata.name.as_deref().unwrap_or_default();
        let id = ConnectorName::parse(name).and_then(|name| effective_id(connector.spec.id.as_deref(), &name));
        let Ok(id) = id else { continue };
        let tools = match told.remove(id.as_str()) {
            _ if connector.spec.suspend => Err("suspended".to_owned()),
            Some(told) if told.available => Ok(told.tools),
            Some(Told { message, reason, .. }) => Err(if message.is_empty() { reason } else { message }),
            None => Err("not served: see the log".to_owned()),
        };
        let module = connector.spec.service.as_ref().map(|service| service.module.clone());
        states.push(ConnectorState { id: id.to_string(), module, tools });
    }
    states
}
