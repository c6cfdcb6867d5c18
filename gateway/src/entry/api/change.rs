//! A body and a name → a checked change, written, and served before the answer is sent.

use super::{Answer, Asker, no_content, ok};
use crate::catalog::ResourceKey;
use crate::error::Failure;
use crate::snapshot::Snapshot;
use crate::state::State;
use crate::writer::check::check;
use crate::writer::{Change, Kind, Object, WriteError, Writer};
use aperium_crds::structural::{self, Faults};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use utoipa::{IntoParams, ToSchema};

/// What a resource shall be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// Where it is; without it, the system namespace.
    #[serde(default)]
    pub(super) namespace: Option<String>,
    /// For a new Connector: the name of the resource, if it shall not be the id in lower case.
    #[serde(default)]
    pub(super) name: Option<String>,
    /// The version that was read; without it, the resource must be new.
    #[serde(default)]
    version: Option<String>,
    /// What it shall say, as in a manifest.
    pub(super) spec: Value,
}

/// What names the resource to be deleted.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Unwanted {
    /// Where it is; without it, the system namespace.
    #[serde(default)]
    pub(super) namespace: Option<String>,
    /// The version that was read.
    #[serde(default)]
    version: Option<String>,
}

/// What was written.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Written {
    namespace: String,
    name: String,
    /// What the next change must name.
    version: Option<String>,
}

/// Checks and writes what a resource shall be.
pub(super) async fn put(gateway: &State, asker: &Asker, kind: Kind, key: ResourceKey, wanted: Wanted) -> Answer {
    let manifest = json!({
        "apiVersion": "aperium.dev/v1alpha1",
        "kind": kind.as_str(),
        "metadata": { "name": key.name, "namespace": key.namespace },
        "spec": wanted.spec,
    });
    let object = object(kind, &manifest).map_err(|faults| Failure::Invalid(faults.to_string()))?;
    let new = wanted.version.is_none();
    let change = Change { kind, key, version: wanted.version, object: Some(object) };
    let version = make(gateway, asker, &change).await?;
    let ResourceKey { namespace, name } = change.key;
    let mut answer = ok(&Written { namespace, name, version })?;
    if new {
        *answer.status_mut() = StatusCode::CREATED;
    }
    Ok(answer)
}

/// Deletes a resource.
pub(super) async fn delete(gateway: &State, asker: &Asker, kind: Kind, key: ResourceKey, wanted: Unwanted) -> Answer {
    make(gateway, asker, &Change { kind, key, version: wanted.version, object: None }).await?;
    Ok(no_content())
}

fn object(kind: Kind, manifest: &Value) -> Result<Object, Faults> {
    Ok(match kind {
        Kind::Connector => Object::Connector(Box::new(structural::connector(manifest)?)),
        Kind::Grant => Object::Grant(Box::new(structural::grant(manifest)?)),
    })
}

/// One change after the other: two that are fine alone could together lock everybody out.
async fn make(gateway: &State, asker: &Asker, change: &Change) -> Result<Option<String>, Failure> {
    let _one = gateway.changing.lock().await;
    let snapshot = still_admin(gateway, asker)?;
    let caller = &asker.view.identity().caller;
    let namespace = gateway.access.load().namespace().to_owned();
    if matches!(gateway.writer, Writer::Folder(_) | Writer::Document(_)) && change.key.namespace != namespace {
        return Err(Failure::Invalid(format!("there is one namespace here: {namespace}")));
    }
    check(&snapshot.catalog, change, caller, &namespace).map_err(Failure::Invalid)?;
    let (kind, resource, by) = (change.kind.as_str(), change.key.to_string(), caller.principal.to_string());
    match gateway.writer.write(change).await {
        Ok(version) => {
            let deleted = change.object.is_none();
            tracing::info!(kind, resource, by, deleted, "resource changed through the API");
            served(gateway, change, version.as_deref()).await;
            Ok(version)
        }
        Err(error) => {
            tracing::warn!(kind, resource, by, reason = error.reason(), %error, "resource not changed");
            Err(failure(kind, &change.key.name, error))
        }
    }
}

/// What is served now, for a caller who has had to wait.
///
/// # Errors
/// [`Failure::NoRole`], [`Failure::NotAdmin`]: somebody has taken the role away meanwhile.
pub(super) fn still_admin(gateway: &State, asker: &Asker) -> Result<Arc<Snapshot>, Failure> {
    let snapshot = gateway.snapshot.load_full();
    let view = snapshot.view(asker.view.identity()).map_err(|_| Failure::NoRole)?;
    if view.is_admin() { Ok(snapshot) } else { Err(Failure::NotAdmin) }
}

fn failure(kind: &str, name: &str, error: WriteError) -> Failure {
    let message = format!("{kind} \"{name}\": {error}");
    match error {
        WriteError::ReadOnly(_) | WriteError::Stale | WriteError::Exists | WriteError::Fixed(_) => {
            Failure::Conflict(message)
        }
        WriteError::Missing => Failure::NotFound,
        WriteError::Invalid(_) => Failure::Invalid(message),
        WriteError::Unavailable(inside) => {
            Failure::Unavailable { outside: "the configuration cannot be changed at the moment", inside }
        }
    }
}

/// How long an answer waits until what was written is served; a watch may take longer, and loses nothing by it.
const PATIENCE: Duration = Duration::from_secs(2);

async fn served(gateway: &State, change: &Change, version: Option<&str>) {
    let wait = async {
        while !is_served(gateway, change, version) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let _ = tokio::time::timeout(PATIENCE, wait).await;
}

fn is_served(gateway: &State, change: &Change, version: Option<&str>) -> bool {
    let snapshot = gateway.snapshot.load();
    let found = match change.kind {
        Kind::Connector => snapshot.catalog.connector(&change.key).map(|connector| &connector.metadata),
        Kind::Grant => snapshot.catalog.grant(&change.key).map(|grant| &grant.metadata),
    };
    match (&change.object, found) {
        (None, found) => found.is_none(),
        (Some(_), Some(metadata)) => metadata.resource_version.as_deref() == version,
        (Some(_), None) => false,
    }
}
