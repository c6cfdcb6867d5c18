//! What became of an applied plan: the Deployment's status, read when its resource version has changed, and what the
//! pods' own `/readyz` said last.

use super::plan::{Applied, Plan};
use crate::context::Context;
use crate::readiness::Seen;
use crate::stores::children::ChildKind;
use crate::stores::{Key, version};
use aperium_core::name::child_name;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::api::DynamicObject;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// The Deployment could not be read.
#[derive(Debug, thiserror::Error)]
#[error("failed to read the Deployment")]
pub struct ObserveError(#[source] kube::Error);

/// What was seen.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observed {
    /// The Deployment, if it is there.
    pub deployment: Option<Rollout>,
    /// What the pods said.
    pub pods: Option<Seen>,
}

/// How far a Deployment is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rollout {
    /// Whether its controller has seen the newest spec.
    pub observed: bool,
    /// Pods that there are.
    pub replicas: i32,
    /// Pods that are ready.
    pub ready: i32,
    /// The condition `Available`: its status, reason and message.
    pub available: Option<(bool, String, String)>,
}

/// The status of each Deployment as of a resource version.
#[derive(Debug, Default)]
pub struct Deployments(Mutex<HashMap<Key, (u64, Rollout)>>);

impl Deployments {
    /// Takes the answer to a write.
    pub fn saw(&self, key: &Key, object: &DynamicObject) {
        let status = object.data.get("status").cloned().unwrap_or_default();
        let status: DeploymentStatus = serde_json::from_value(status).unwrap_or_default();
        self.set(key, version(&object.metadata), rollout(&object.metadata, &status));
    }

    fn set(&self, key: &Key, version: u64, rollout: Rollout) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone(), (version, rollout));
    }

    fn get(&self, key: &Key, version: u64) -> Option<Rollout> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(key).filter(|(as_of, _)| *as_of >= version).map(|(_, rollout)| rollout.clone())
    }

    /// Forgets a Deployment.
    pub fn forget(&self, key: &Key) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

/// Looks at the Deployment and at what the pods said.
///
/// # Errors
/// [`ObserveError`].
pub async fn observe(context: &Context, key: &Key, plan: &Plan<Applied>) -> Result<Observed, ObserveError> {
    let child = Key::new(&plan.owner.namespace, &child_name(&plan.owner.name));
    let deployment = match context.stores.children.get(ChildKind::Deployment, &child) {
        None => None,
        Some(known) => match context.deployments.get(&child, known.version) {
            Some(rollout) => Some(rollout),
            None => read(context, &child).await?,
        },
    };
    Ok(Observed { deployment, pods: context.readiness.seen(key) })
}

async fn read(context: &Context, child: &Key) -> Result<Option<Rollout>, ObserveError> {
    let api: Api<Deployment> = Api::namespaced(context.client.clone(), &child.namespace);
    let Some(found) = api.get_opt(&child.name).await.map_err(ObserveError)? else { return Ok(None) };
    let rollout = rollout(&found.metadata, &found.status.unwrap_or_default());
    context.deployments.set(child, version(&found.metadata), rollout.clone());
    Ok(Some(rollout))
}

fn rollout(meta: &ObjectMeta, status: &DeploymentStatus) -> Rollout {
    let available =
        status.conditions.iter().flatten().find(|condition| condition.type_.as_deref() == Some("Available"));
    Rollout {
        observed: status.observed_generation.is_some() && status.observed_generation >= meta.generation,
        replicas: status.replicas.unwrap_or_default(),
        ready: status.ready_replicas.unwrap_or_default(),
        available: available.map(|condition| {
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            (condition.status.as_deref() == Some("True"), text(&condition.reason), text(&condition.message))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(version: &str, ready: i32) -> DynamicObject {
        serde_json::from_value(json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "d", "namespace": "ns", "resourceVersion": version, "generation": 2},
            "status": {"observedGeneration": 2, "replicas": 1, "readyReplicas": ready,
                "conditions": [{"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable"}]},
        }))
        .unwrap()
    }

    #[test]
    fn a_status_is_known_until_a_newer_version_is_seen() {
        let known = Deployments::default();
        let key = Key::new("ns", "d");
        known.saw(&key, &object("7", 1));
        let rollout = known.get(&key, 7).unwrap();
        assert!(rollout.observed && rollout.ready == 1 && rollout.available.unwrap().0);
        assert!(known.get(&key, 8).is_none(), "must be read again");
    }
}
