//! The token Secret that the operator makes: once, by POST; what is there is kept, its content never read.

use super::apply::WRITE_TIMEOUT;
use super::plan::Owner;
use crate::context::Context;
use crate::names::{MANAGER, Names, TOKEN_KEY};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long a Secret that was there is believed to be there.
const BELIEVED: Duration = Duration::from_secs(600);

/// The token Secret is not there, and could not be made.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// A Secret of that name belongs to somebody else.
    #[error("Secret {0} exists, does not belong to this Connector and does not carry its label")]
    NotOurs(String),
    /// The system gave no random numbers.
    #[error("no random numbers for the service token")]
    Random,
    /// The API server did not take or show it.
    #[error("failed to make the token Secret")]
    Make(#[source] kube::Error),
    /// The API server did not answer in time.
    #[error("the API server did not answer within {} s", WRITE_TIMEOUT.as_secs())]
    Timeout,
}

impl TokenError {
    /// The reason for conditions and metrics.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotOurs(_) => "NameTaken",
            Self::Random => "NoRandomness",
            Self::Make(_) => "MakeTokenFailed",
            Self::Timeout => "Timeout",
        }
    }
}

/// When each Connector's token Secret was last seen, by the Connector's uid.
#[derive(Debug, Default)]
pub struct Seen(Mutex<HashMap<String, Instant>>);

impl Seen {
    fn lately(&self, uid: &str) -> bool {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.get(uid).is_some_and(|at| at.elapsed() < BELIEVED)
    }

    fn now(&self, uid: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(uid.to_owned(), Instant::now());
    }

    /// Forgets a Connector.
    pub fn forget(&self, uid: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }

    /// Forgets what was seen more than half a minute ago: the pods say that there is no token.
    pub fn doubt(&self, uid: &str) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.get(uid).is_some_and(|at| at.elapsed() >= super::dereference::UNSETTLED) {
            seen.remove(uid);
        }
    }
}

/// Makes the Secret unless it is there. A Connector that has a status had one, so it is asked for first: a restart
/// writes nothing.
pub(super) async fn ensure(context: &Context, owner: &Owner, name: &str, seen_before: bool) -> Result<(), TokenError> {
    if context.tokens.lately(&owner.uid) {
        return Ok(());
    }
    let api: Api<Secret> = Api::namespaced(context.client.clone(), &owner.namespace);
    let there = seen_before && is_there(&api, owner, name).await?;
    // 409: it was there before us.
    if !there && !create(context, &api, owner, name).await? {
        is_there(&api, owner, name).await?;
    }
    context.tokens.now(&owner.uid);
    Ok(())
}

async fn is_there(api: &Api<Secret>, owner: &Owner, name: &str) -> Result<bool, TokenError> {
    let found = tokio::time::timeout(WRITE_TIMEOUT, api.get_metadata_opt(name)).await;
    match found.map_err(|_| TokenError::Timeout)?.map_err(TokenError::Make)? {
        None => Ok(false),
        Some(found) if belongs(&found.metadata, owner) => Ok(true),
        Some(_) => Err(TokenError::NotOurs(name.to_owned())),
    }
}

/// Ours, or given to us by its label. One that is being deleted belonged to a Connector of the same name before.
fn belongs(meta: &ObjectMeta, owner: &Owner) -> bool {
    let owned = meta.owner_references.iter().flatten().any(|reference| reference.uid == owner.uid);
    let foreign = meta
        .owner_references
        .iter()
        .flatten()
        .any(|reference| reference.kind == "Connector" && reference.uid != owner.uid);
    let labelled = meta.labels.as_ref().and_then(|labels| labels.get(&Names::secret_label(owner.name.as_str())));
    meta.deletion_timestamp.is_none() && (owned || (!foreign && labelled.is_some_and(|value| value == "true")))
}

/// False when there is one of that name.
async fn create(context: &Context, api: &Api<Secret>, owner: &Owner, name: &str) -> Result<bool, TokenError> {
    let mut secret: Secret = Secret {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        type_: Some("Opaque".to_owned()),
        string_data: Some([(TOKEN_KEY.to_owned(), random_token()?)].into()),
        ..Secret::default()
    };
    let label = Names::secret_label(owner.name.as_str());
    secret.metadata.labels = serde_json::from_value(Names::labels(&owner.name)).ok();
    secret.metadata.labels.get_or_insert_default().insert(label, "true".to_owned());
    secret.metadata.owner_references = serde_json::from_value(json!([owner.reference()])).ok();
    context.metrics.write("Secret", "create");
    let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
    match tokio::time::timeout(WRITE_TIMEOUT, api.create(&params, &secret)).await {
        Err(_) => Err(TokenError::Timeout),
        Ok(Ok(_)) => Ok(true),
        Ok(Err(kube::Error::Api(status))) if status.code == 409 => Ok(false),
        Ok(Err(error)) => Err(TokenError::Make(error)),
    }
}

/// 256 bits, base64url.
fn random_token() -> Result<String, TokenError> {
    let mut bytes = [0_u8; 32];
    SystemRandom::new().fill(&mut bytes).map_err(|_| TokenError::Random)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aperium_core::id::ConnectorName;

    #[test]
    fn tokens_hold_256_bits_and_differ() {
        let (one, two) = (random_token().unwrap(), random_token().unwrap());
        assert_eq!(one.len(), 43);
        assert_ne!(one, two);
    }

    #[test]
    fn a_secret_of_a_former_connector_or_of_somebody_else_is_not_ours() {
        let owner =
            Owner { name: ConnectorName::parse("odoo").unwrap(), namespace: "ns".to_owned(), uid: "new".to_owned() };
        let meta = |value| serde_json::from_value::<ObjectMeta>(value).unwrap();
        let owned_by = |uid: &str| json!([{"apiVersion": "aperium.dev/v1alpha1", "kind": "Connector", "name": "odoo", "uid": uid}]);
        let label = json!({"connector.aperium.dev/odoo": "true"});
        assert!(belongs(&meta(json!({"ownerReferences": owned_by("new")})), &owner));
        assert!(belongs(&meta(json!({"labels": label})), &owner));
        assert!(!belongs(&meta(json!({"labels": label, "ownerReferences": owned_by("old")})), &owner));
        assert!(!belongs(&meta(json!({})), &owner));
    }
}
