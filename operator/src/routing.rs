//! Accepted Connectors → ConfigMap `aperium-mcp-routing`, one per namespace, for a backend's `envFrom`.
//!
//! Written at most once a second, and only when it changed. It has no owner: a Connector that goes takes its entry
//! with it, and nothing else.

use crate::context::Context;
use crate::names::{BACKEND_TOKENS_DIR, MANAGER, Names, ROUTING, TOKEN_KEY};
use crate::stores::Key;
use aperium_core::id::{ConnectorName, ModuleName};
use aperium_core::module::default_port;
use aperium_core::name::env_suffix;
use aperium_crds::Connector;
use aperium_crds::condition::types;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// The shortest time between two writes of one table.
const PERIOD: Duration = Duration::from_secs(1);
/// The same for a table of more than [`LARGE`] entries: each write costs the API server as much as a hundred others.
const LARGE_PERIOD: Duration = Duration::from_secs(5);
/// Variables above which a table is large.
const LARGE: usize = 400;
/// Every variable of ours starts like this.
const PREFIX: &str = "MCP_SERVER_";

/// Variables by name.
pub type Table = BTreeMap<String, String>;

/// Which tables must be looked at, and what they hold.
#[derive(Debug, Default)]
pub struct Routing {
    state: Mutex<State>,
    marked: Notify,
}

#[derive(Debug, Default)]
struct State {
    marked: BTreeSet<Arc<str>>,
    held: HashMap<String, Table>,
}

impl Routing {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something about a Connector changed.
    pub fn mark(&self, key: &Key) {
        self.state().marked.insert(key.namespace.clone());
        self.marked.notify_one();
    }

    /// Takes what the cluster holds; none: there is no table.
    pub fn holds(&self, namespace: &str, map: Option<ConfigMap>) {
        let ours = |(name, _): &(String, String)| name.starts_with(PREFIX);
        let table = map.map(|map| map.data.unwrap_or_default().into_iter().filter(ours).collect());
        let mut state = self.state();
        let same = state.held.get(namespace) == table.as_ref();
        match table {
            Some(table) => state.held.insert(namespace.to_owned(), table),
            None => state.held.remove(namespace),
        };
        if !same {
            state.marked.insert(namespace.into());
            drop(state);
            self.marked.notify_one();
        }
    }

    fn take(&self) -> (Vec<Arc<str>>, bool) {
        let mut state = self.state();
        let large =
            state.marked.iter().any(|namespace| state.held.get(&**namespace).is_some_and(|held| held.len() > LARGE));
        (std::mem::take(&mut state.marked).into_iter().collect(), large)
    }

    fn held(&self, namespace: &str) -> Option<Table> {
        self.state().held.get(namespace).cloned()
    }
}

/// The variables of one Connector, if backends may route to it.
fn entry(names: &Names, connector: &Connector) -> Option<[(String, String); 4]> {
    let service = connector.spec.service.as_ref()?;
    let accepted = |status: &aperium_crds::ConnectorStatus| {
        status.conditions.iter().any(|condition| condition.type_ == types::ACCEPTED && condition.status == "True")
    };
    if !connector.status.as_ref().is_some_and(accepted) || connector.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let name = ConnectorName::parse(connector.metadata.name.as_deref()?).ok()?;
    let port = match service.port {
        Some(port) => u16::try_from(port).ok()?,
        None => default_port(&ModuleName::parse(&service.module).ok()?),
    };
    let key = service.auth.as_ref().map_or(TOKEN_KEY, |auth| auth.key.as_str());
    let suffix = env_suffix(&name);
    Some([
        (format!("{PREFIX}TRANSPORT_{suffix}"), "http".to_owned()),
        (format!("{PREFIX}URL_{suffix}"), names.service_url(&name, connector.metadata.namespace.as_deref()?, port)),
        (format!("{PREFIX}TIMEOUT_{suffix}"), connector.spec.calls.timeout_seconds.to_string()),
        (format!("{PREFIX}TOKEN_FILE_{suffix}"), format!("{BACKEND_TOKENS_DIR}/{name}/{key}")),
    ])
}

/// The table of a namespace. Two names that give one suffix cannot both be: names have no underscore.
fn table<'a>(names: &Names, namespace: &str, connectors: impl IntoIterator<Item = &'a Connector>) -> Table {
    let own = |connector: &&Connector| connector.metadata.namespace.as_deref() == Some(namespace);
    connectors.into_iter().filter(own).filter_map(|connector| entry(names, connector)).flatten().collect()
}

/// Keeps the tables until the token is cancelled.
pub async fn run(context: Arc<Context>, stop: CancellationToken) {
    let mut period = PERIOD;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = context.routing.marked.notified() => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(period) => {}
        }
        let (namespaces, large) = context.routing.take();
        period = if large { LARGE_PERIOD } else { PERIOD };
        for namespace in namespaces {
            if let Err(error) = bring(&context, &namespace).await {
                tracing::warn!(%error, namespace = &*namespace, "the routing table could not be written");
                context.routing.mark(&Key { namespace, name: "".into() });
            }
        }
    }
}

async fn bring(context: &Context, namespace: &str) -> Result<(), kube::Error> {
    let names = context.names.load();
    let connectors = context.stores.connectors.all();
    let wanted = table(&names, namespace, connectors.iter().map(|connector| &**connector));
    let held = context.routing.held(namespace);
    if held.as_ref() == Some(&wanted) || (held.is_none() && wanted.is_empty()) {
        return Ok(());
    }
    let api: Api<ConfigMap> = Api::namespaced(context.client.clone(), namespace);
    let body = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": ROUTING, "namespace": namespace, "labels": {
            "app.kubernetes.io/part-of": "aperium", "app.kubernetes.io/managed-by": MANAGER,
        }},
        "data": wanted,
    });
    context.metrics.write("configmaps", "apply");
    let written = api.patch(ROUTING, &PatchParams::apply(MANAGER).force(), &Patch::Apply(&body)).await?;
    let foreign: serde_json::Map<String, Value> = written
        .data
        .iter()
        .flatten()
        .filter(|(name, _)| name.starts_with(PREFIX) && !wanted.contains_key(*name))
        .map(|(name, _)| (name.clone(), Value::Null))
        .collect();
    // A variable of ours that somebody else wrote would send a backend, with its token, to wherever they like.
    let written = if foreign.is_empty() {
        written
    } else {
        tracing::warn!(namespace, variables = foreign.len(), "foreign variables are removed from the routing table");
        context.metrics.write("configmaps", "patch");
        api.patch(ROUTING, &PatchParams::default(), &Patch::Merge(json!({"data": foreign}))).await?
    };
    context.routing.holds(namespace, Some(written));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names {
            system_namespace: "aperium-system".to_owned(),
            cluster_domain: "cluster.local".to_owned(),
            settings: Default::default(),
            egress: Default::default(),
            ranges_known: true,
        }
    }

    fn connector(name: &str, accepted: &str) -> Connector {
        serde_json::from_value(json!({
            "apiVersion": "aperium.dev/v1alpha1", "kind": "Connector", "metadata": {"name": name, "namespace": "ns"},
            "spec": {"protocol": "mcp", "calls": {"timeoutSeconds": 12}, "service": {"module": "google_workspace"}},
            "status": {"conditions": [{"type": "Accepted", "status": accepted, "reason": "R", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]},
        }))
        .unwrap()
    }

    #[test]
    fn a_connector_has_four_variables_named_after_it() {
        let table = table(&names(), "ns", [&connector("google-workspace", "True")]);
        let expected = [
            ("MCP_SERVER_TIMEOUT_GOOGLE_WORKSPACE", "12"),
            ("MCP_SERVER_TOKEN_FILE_GOOGLE_WORKSPACE", "/var/run/aperium/tokens/google-workspace/mcp_auth_token"),
            ("MCP_SERVER_TRANSPORT_GOOGLE_WORKSPACE", "http"),
            ("MCP_SERVER_URL_GOOGLE_WORKSPACE", "http://aperium-mcp-google-workspace.ns.svc.cluster.local:8090/mcp"),
        ];
        assert_eq!(table.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn only_accepted_connectors_of_the_namespace_are_routed_to() {
        assert!(table(&names(), "ns", [&connector("a", "False")]).is_empty());
        assert!(table(&names(), "other", [&connector("a", "True")]).is_empty());
    }

    #[test]
    fn a_foreign_edit_marks_the_table_and_its_own_write_does_not() {
        let routing = Routing::default();
        let map = |value: &str| ConfigMap {
            data: Some([("MCP_SERVER_URL_A".to_owned(), value.to_owned())].into()),
            ..ConfigMap::default()
        };
        routing.holds("ns", Some(map("x")));
        assert_eq!(routing.take().0.len(), 1);
        routing.holds("ns", Some(map("x")));
        assert!(routing.take().0.is_empty());
        routing.holds("ns", Some(map("evil")));
        assert_eq!(routing.take().0.len(), 1);
    }
}
