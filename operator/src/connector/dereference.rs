//! What a Connector refers to, looked up: rival claims to its id, and its Secrets.
//!
//! Rivals come from the store, Secrets by GET of their metadata; their content is never read. What was found is
//! remembered, so that a reconcile without news reads nothing.

use crate::context::Context;
use crate::names::{Names, SHARED_TOKEN_POLICY};
use crate::stores::Key;
use aperium_crds::Connector;
use aperium_crds::connector::Service;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long an answer that everything is there is believed.
const SETTLED: Duration = Duration::from_secs(600);
/// How long any other answer is believed (blueprint §4: asked again every 30 s).
pub const UNSETTLED: Duration = Duration::from_secs(30);

/// A lookup failed.
#[derive(Debug, thiserror::Error)]
pub enum DereferenceError {
    /// The API server did not say whether a Secret is there.
    #[error("failed to read the metadata of Secret {secret}")]
    ReadSecret {
        /// Its name.
        secret: String,
        /// Why.
        #[source]
        source: kube::Error,
    },
}

impl DereferenceError {
    /// The reason for metrics.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        "ReadSecretFailed"
    }
}

/// Whether a Secret may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretState {
    /// It is there and carries the Connector's label.
    Usable,
    /// It is not there.
    Missing,
    /// It is there and does not carry the label.
    NotPermitted,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Referenced {
    /// The older Connector that has the same id.
    pub rival: Option<Key>,
    /// The state of `service.auth.existingSecret`, where one is given.
    pub token: Option<SecretState>,
    /// The state of `service.credentials.secretRef`, where one is given.
    pub credentials: Option<SecretState>,
    /// The names of these two.
    pub secrets: (Option<String>, Option<String>),
    /// Other Connectors that share the token Secret although it names no policy.
    pub sharing: Vec<Key>,
}

impl Referenced {
    /// The name of the credentials' Secret.
    #[must_use]
    pub fn credentials_secret(&self) -> Option<&str> {
        self.secrets.1.as_deref()
    }

    /// Whether all Secrets may be used.
    #[must_use]
    pub fn usable(&self) -> bool {
        [self.token, self.credentials].into_iter().flatten().all(|state| state == SecretState::Usable)
    }
}

/// What was found of Secrets, by Connector uid.
#[derive(Debug, Default)]
pub struct Memory(Mutex<HashMap<String, Remembered>>);

#[derive(Debug, Clone)]
struct Remembered {
    generation: Option<i64>,
    at: Instant,
    token: Option<Found>,
    credentials: Option<Found>,
}

#[derive(Debug, Clone, Copy)]
struct Found {
    state: SecretState,
    policy: bool,
}

impl Memory {
    fn get(&self, uid: &str, generation: Option<i64>) -> Option<Remembered> {
        let memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let remembered = memory.get(uid)?;
        let usable = |found: &Option<Found>| found.is_none_or(|found| found.state == SecretState::Usable);
        let settled = usable(&remembered.token) && usable(&remembered.credentials);
        let believed = if settled { SETTLED } else { UNSETTLED };
        // A little less, so that whoever comes back after exactly that long asks again.
        let fresh = remembered.at.elapsed() + Duration::from_secs(1) < believed;
        (remembered.generation == generation && fresh).then(|| remembered.clone())
    }

    fn set(&self, uid: &str, remembered: Remembered) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(uid.to_owned(), remembered);
    }

    /// Forgets a Connector, because it is gone or its pods say that a Secret is not what was remembered.
    pub fn forget(&self, uid: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }

    /// Forgets what is older than half a minute.
    pub fn doubt(&self, uid: &str) {
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if memory.get(uid).is_some_and(|remembered| remembered.at.elapsed() >= UNSETTLED) {
            memory.remove(uid);
        }
    }
}

/// Looks everything up.
///
/// # Errors
/// [`DereferenceError`]: the API server cannot be asked.
pub async fn dereference(
    context: &Context,
    key: &Key,
    connector: &Connector,
    service: &Service,
) -> Result<Referenced, DereferenceError> {
    let token_name = service.auth.as_ref().map(|auth| auth.existing_secret.clone());
    let credentials_name = service.credentials.secret_ref.as_ref().map(|secret| secret.name.clone());
    let uid = connector.metadata.uid.as_deref().unwrap_or_default();
    let generation = connector.metadata.generation;
    let found = match context.secrets.get(uid, generation) {
        Some(remembered) => remembered,
        None => {
            let token = look_up(context, key, token_name.as_deref()).await?;
            let credentials = look_up(context, key, credentials_name.as_deref()).await?;
            let found = Remembered { generation, at: Instant::now(), token, credentials };
            if token.is_some() || credentials.is_some() {
                context.secrets.set(uid, found.clone());
            }
            found
        }
    };
    let shared = token_name.as_deref().filter(|_| found.token.is_some_and(|found| !found.policy));
    Ok(Referenced {
        rival: context.stores.connectors.older_rival(key),
        token: found.token.map(|found| found.state),
        credentials: found.credentials.map(|found| found.state),
        sharing: shared.map(|secret| context.stores.connectors.sharing_token(key, secret)).unwrap_or_default(),
        secrets: (token_name, credentials_name),
    })
}

async fn look_up(context: &Context, key: &Key, secret: Option<&str>) -> Result<Option<Found>, DereferenceError> {
    let Some(secret) = secret else { return Ok(None) };
    let api: Api<Secret> = Api::namespaced(context.client.clone(), &key.namespace);
    let meta = api
        .get_metadata_opt(secret)
        .await
        .map_err(|source| DereferenceError::ReadSecret { secret: secret.to_owned(), source })?;
    Ok(Some(judge(meta.map(|found| found.metadata).as_ref(), &key.name)))
}

fn judge(meta: Option<&ObjectMeta>, connector: &str) -> Found {
    let Some(meta) = meta else { return Found { state: SecretState::Missing, policy: false } };
    let label = meta.labels.as_ref().and_then(|labels| labels.get(&Names::secret_label(connector)));
    let policy = meta.annotations.as_ref().and_then(|annotations| annotations.get(SHARED_TOKEN_POLICY));
    let state =
        if label.is_some_and(|value| value == "true") { SecretState::Usable } else { SecretState::NotPermitted };
    Found { state, policy: policy.is_some_and(|policy| !policy.trim().is_empty()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn meta(labels: &serde_json::Value) -> ObjectMeta {
        serde_json::from_value(json!({"name": "s", "labels": labels})).unwrap()
    }

    #[test]
    fn only_a_secret_with_the_connectors_own_label_is_usable() {
        let state = |labels| judge(Some(&meta(&labels)), "odoo").state;
        assert_eq!(state(json!({"connector.aperium.dev/odoo": "true"})), SecretState::Usable);
        assert_eq!(state(json!({"connector.aperium.dev/odoo": "false"})), SecretState::NotPermitted);
        assert_eq!(state(json!({"connector.aperium.dev/slack": "true"})), SecretState::NotPermitted);
        assert_eq!(state(json!({})), SecretState::NotPermitted);
        assert_eq!(judge(None, "odoo").state, SecretState::Missing);
    }

    #[tokio::test(start_paused = true)]
    async fn an_unsettled_answer_is_believed_for_half_a_minute_and_a_settled_one_for_ten() {
        let memory = Memory::default();
        let found = |state| Some(Found { state, policy: false });
        let remember = |uid: &str, state| {
            memory.set(
                uid,
                Remembered { generation: Some(1), at: Instant::now(), token: found(state), credentials: None },
            );
        };
        remember("missing", SecretState::Missing);
        remember("usable", SecretState::Usable);
        assert!(memory.get("missing", Some(1)).is_some());
        assert!(memory.get("usable", Some(2)).is_none(), "another generation may refer to another Secret");
        tokio::time::advance(UNSETTLED).await;
        assert!(memory.get("missing", Some(1)).is_none());
        assert!(memory.get("usable", Some(1)).is_some());
        memory.doubt("usable");
        assert!(memory.get("usable", Some(1)).is_none());
    }
}
