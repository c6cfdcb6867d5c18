//! A status that says something new → the Connector's status, by server-side apply of the operator's own fields, and
//! an event for each change that somebody may want to know of.

use super::status::{self, Outcome};
use crate::context::Context;
use crate::names::STATUS_MANAGER;
use crate::stores::Key;
use crate::{events, stores};
use aperium_crds::condition::{Verdict, condition, reasons, types};
use aperium_crds::{Connector, ConnectorStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::{Patch, PatchParams};
use kube::core::DeserializeGuard;
use serde_json::json;
use std::time::Duration;

/// The longest that the write may take.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The status could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The API server did not take it.
    #[error("failed to write the status")]
    Write(#[source] kube::Error),
    /// The API server did not answer in time.
    #[error("the API server did not answer within {} s", TIMEOUT.as_secs())]
    Timeout,
}

/// Writes the status if it says something new.
///
/// # Errors
/// [`ReportError`].
pub async fn report(context: &Context, connector: &Connector, outcome: &Outcome<'_>) -> Result<(), ReportError> {
    let names = context.names.load();
    // The store may hold a newer status than the object that this reconcile began with: its own last write.
    let key = Key::of(&connector.metadata);
    let newest = match context.stores.connectors.get(&key) {
        Some(stores::connectors::Held::Connector(held)) if held.metadata.uid == connector.metadata.uid => {
            held.status.clone()
        }
        _ => connector.status.clone(),
    };
    let base = Connector { status: newest, ..connector.clone() };
    let old = status::ours(base.status.as_ref());
    let new = status::of(&names, &base, outcome, &now());
    let ready = new.conditions.iter().any(|condition| condition.type_ == types::READY && condition.status == "True");
    context.routing.mark(&key);
    context.metrics.ready(&key, ready);
    if status::unchanged(&old, &new) {
        return Ok(());
    }
    write(context, &connector.metadata, &new).await?;
    for event in events::of_conditions(&old.conditions, &new.conditions) {
        context.events.publish(event, "Connector", &connector.metadata);
    }
    Ok(())
}

/// Says of an object that it cannot be read as a Connector.
///
/// # Errors
/// [`ReportError`].
pub async fn malformed(context: &Context, meta: &ObjectMeta, error: &str) -> Result<(), ReportError> {
    let now = now();
    let said = |kind| condition(kind, Verdict::False, reasons::INVALID, error, meta.generation, now.clone());
    let status = ConnectorStatus {
        observed_generation: meta.generation,
        conditions: vec![said(types::ACCEPTED), said(types::READY)],
        ..ConnectorStatus::default()
    };
    write(context, meta, &status).await
}

/// Gives up a status that is another's from now on, all but the generation: the API server takes no empty status.
///
/// # Errors
/// [`ReportError`].
pub async fn release(context: &Context, connector: &Connector) -> Result<(), ReportError> {
    context.routing.mark(&Key::of(&connector.metadata));
    let observed_generation = connector.metadata.generation;
    write(context, &connector.metadata, &ConnectorStatus { observed_generation, ..ConnectorStatus::default() }).await
}

async fn write(context: &Context, meta: &ObjectMeta, status: &ConnectorStatus) -> Result<(), ReportError> {
    let (namespace, name) = (meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default());
    let api: Api<DeserializeGuard<Connector>> = Api::namespaced(context.client.clone(), namespace);
    let body = json!({
        "apiVersion": "aperium.dev/v1alpha1", "kind": "Connector",
        // With the uid a successor of the same name is never given its predecessor's status.
        "metadata": {"name": name, "namespace": namespace, "uid": meta.uid},
        "status": status,
    });
    context.metrics.write("connectors/status", "apply");
    let params = PatchParams::apply(STATUS_MANAGER).force();
    let written = tokio::time::timeout(TIMEOUT, api.patch_status(name, &params, &Patch::Apply(&body))).await;
    match written.map_err(|_| ReportError::Timeout)? {
        Ok(written) => {
            context.stores.connectors.offer(written);
            Ok(())
        }
        // 404 and 409: the Connector is gone, or another one of that name; the watch will say so.
        Err(kube::Error::Api(answer)) if matches!(answer.code, 404 | 409) => Ok(()),
        Err(error) => Err(ReportError::Write(error)),
    }
}

/// The API's times have whole seconds.
fn now() -> Time {
    let second = Timestamp::now().as_second();
    Time(Timestamp::from_second(second).unwrap_or_else(|_| Timestamp::now()))
}
