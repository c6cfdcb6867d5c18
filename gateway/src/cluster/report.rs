//! What the gateway knows of remote Connectors → their status, written by the leader and only when it changes.

use super::lease::Ended;
use crate::catalog::key_of;
use crate::state::State;
use crate::status;
use aperium_crds::{Connector, ConnectorStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Our field manager.
const MANAGER: &str = "aperium-gateway";
/// The least time between two rounds: changes that come together are written together.
const ROUND: Duration = Duration::from_secs(1);
/// A round without a change: what could not be written is tried again.
const QUIET: Duration = Duration::from_secs(30);
const LIMIT: Duration = Duration::from_secs(10);

/// Writes status for as long as it leads.
pub(super) struct Reporter {
    pub(super) client: Client,
    pub(super) state: Arc<State>,
    pub(super) connectors: watch::Receiver<Vec<Arc<Connector>>>,
    pub(super) leads: watch::Receiver<bool>,
    pub(super) snapshots: watch::Receiver<()>,
    pub(super) system_namespace: String,
}

impl Reporter {
    /// Runs until it is dropped.
    pub(super) async fn run(mut self) -> Ended {
        loop {
            if *self.leads.borrow_and_update() {
                self.round().await;
            }
            tokio::time::sleep(ROUND).await;
            let woken = tokio::select! {
                changed = self.snapshots.changed() => changed,
                changed = self.leads.changed() => changed,
                changed = self.connectors.changed() => changed,
                () = tokio::time::sleep(QUIET) => Ok(()),
            };
            if woken.is_err() {
                return Ended::Stopped;
            }
        }
    }

    async fn round(&mut self) {
        let connectors = self.connectors.borrow_and_update().clone();
        let snapshot = self.state.snapshot.load_full();
        for connector in connectors.iter().filter(|connector| connector.spec.url.is_some()) {
            let metadata = &connector.metadata;
            let key = key_of(metadata.namespace.as_deref(), metadata.name.as_deref(), &self.system_namespace);
            let entry = snapshot.connectors().iter().find(|entry| entry.config.key == key);
            let refused = snapshot.catalog.refused.get(&key);
            if entry.is_none() && refused.is_none() {
                // Seen by the watch, not yet by the Manager.
                continue;
            }
            let wanted = status::of(connector, entry.map(AsRef::as_ref), refused, &Time(Timestamp::now()));
            if status::differs(connector.status.as_ref(), &wanted) {
                self.write(connector, &wanted).await;
            }
        }
    }

    async fn write(&self, connector: &Connector, status: &ConnectorStatus) {
        let metadata = &connector.metadata;
        let (Some(namespace), Some(name)) = (&metadata.namespace, &metadata.name) else { return };
        let api: Api<Connector> = Api::namespaced(self.client.clone(), namespace);
        let patch = json!({
            "apiVersion": "aperium.dev/v1alpha1",
            "kind": "Connector",
            // The uid: a namesake that was made anew has a status of its own.
            "metadata": { "name": name, "uid": metadata.uid },
            "status": status,
        });
        let params = PatchParams::apply(MANAGER).force();
        match tokio::time::timeout(LIMIT, api.patch_status(name, &params, &Patch::Apply(&patch))).await {
            Ok(Ok(_)) => tracing::debug!(connector = name, "status written"),
            Ok(Err(kube::Error::Api(answer))) if answer.code == 404 || answer.code == 409 => {}
            Ok(Err(error)) => tracing::warn!(connector = name, %error, "status cannot be written"),
            Err(_) => tracing::warn!(connector = name, "status cannot be written in time"),
        }
    }
}
