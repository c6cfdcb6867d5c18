//! Plan<Prepared> → Plan<Applied>: the token Secret, then every object that is not as planned, then the removal of
//! what is no longer planned.
//!
//! An object is as planned when its hash annotation is that of the plan and our managedFields entry still holds
//! every planned leaf: then nothing is read or written. Order: what a pod mounts or needs comes before the
//! Deployment, so that a pod never starts twice.

use super::plan::{Applied, Object, Owner, Plan, Prepared};
use super::token;
use crate::context::Context;
use crate::names::MANAGER;
use crate::stores::children::{Child, ChildKind};
use crate::stores::{Key, fields};
use aperium_core::name::child_name;
use futures::future::join_all;
use kube::Api;
use kube::api::{DeleteParams, DynamicObject, Patch, PatchParams, Preconditions};
use std::time::Duration;

/// The longest that one write may take.
pub(super) const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// A write failed, or must not be made.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// An object of that name belongs to somebody else; it is left alone.
    #[error("{kind:?} {name} exists and does not belong to this Connector")]
    NotOurs {
        /// Its kind.
        kind: ChildKind,
        /// Its name.
        name: String,
    },
    /// The API server refused what was planned: the spec asks for something that it does not take.
    #[error("the API server refuses the {kind:?}: {message}")]
    Refused {
        /// Its kind.
        kind: ChildKind,
        /// What the API server says.
        message: String,
    },
    /// The operator lacks the right, or the namespace its quota.
    #[error("the API server forbids the {kind:?}: {message}")]
    Forbidden {
        /// Its kind.
        kind: ChildKind,
        /// What the API server says.
        message: String,
    },
    /// An object could not be applied.
    #[error("failed to apply the {kind:?}")]
    Apply {
        /// Its kind.
        kind: ChildKind,
        /// Why.
        #[source]
        source: kube::Error,
    },
    /// An object could not be removed.
    #[error("failed to remove the {kind:?}")]
    Prune {
        /// Its kind.
        kind: ChildKind,
        /// Why.
        #[source]
        source: kube::Error,
    },
    /// The API server did not answer in time.
    #[error("the API server did not answer within {} s", WRITE_TIMEOUT.as_secs())]
    Timeout,
    /// The token Secret could not be made.
    #[error(transparent)]
    Token(#[from] token::TokenError),
}

impl ApplyError {
    /// The reason for conditions and metrics.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotOurs { .. } => "NameTaken",
            Self::Refused { .. } => "Refused",
            Self::Forbidden { .. } => "Forbidden",
            Self::Apply { .. } => "ApplyFailed",
            Self::Prune { .. } => "PruneFailed",
            Self::Timeout => "Timeout",
            Self::Token(error) => error.reason(),
        }
    }

    /// Whether it will still be so after a moment, so that the status should say it.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        matches!(
            self,
            Self::NotOurs { .. }
                | Self::Refused { .. }
                | Self::Forbidden { .. }
                | Self::Token(token::TokenError::NotOurs(_))
        )
    }
}

/// Brings the cluster to the plan.
///
/// # Errors
/// The first [`ApplyError`]; what was applied before it stays and is found unchanged the next time.
pub async fn apply(context: &Context, plan: Plan<Prepared>, seen_before: bool) -> Result<Plan<Applied>, ApplyError> {
    let token = async {
        match plan.token.as_ref().filter(|token| token.generated) {
            Some(token) => {
                token::ensure(context, &plan.owner, &token.secret, seen_before).await.map_err(ApplyError::from)
            }
            None => Ok(()),
        }
    };
    // What a pod needs can be made at the same time; none of these waits for another. All end before an error is told:
    // a write that was sent is one whose answer is wanted.
    let deployment = plan.objects.iter().position(|object| object.kind == ChildKind::Deployment);
    let (first, then) = plan.objects.split_at(deployment.unwrap_or(plan.objects.len()));
    let needed = join_all(first.iter().map(|object| bring(context, &plan.owner, object)));
    let (token, needed) = futures::join!(token, needed);
    token?;
    needed.into_iter().collect::<Result<(), _>>()?;
    for object in then {
        bring(context, &plan.owner, object).await?;
    }
    prune(context, &plan).await?;
    Ok(plan.applied())
}

/// Writes one object unless it is as planned.
async fn bring(context: &Context, owner: &Owner, object: &Object) -> Result<(), ApplyError> {
    let known = context.stores.children.get(object.kind, &object.key);
    if known.as_ref().is_some_and(|known| as_planned(known, object, &owner.uid)) {
        return Ok(());
    }
    write(context, owner, object, known.as_ref()).await
}

fn as_planned(known: &Child, object: &Object, uid: &str) -> bool {
    known.owner.as_deref() == Some(uid)
        && !known.deleting
        && known.applied.as_deref() == Some(object.hash.as_str())
        && known.fields.as_deref().is_some_and(|held| fields::hold(held, &object.body))
}

async fn write(context: &Context, owner: &Owner, object: &Object, known: Option<&Child>) -> Result<(), ApplyError> {
    let kind = object.kind;
    let not_ours = || ApplyError::NotOurs { kind, name: object.key.name.to_string() };
    if known.is_some_and(|known| !known.is_of(&owner.uid) || known.deleting) {
        return Err(not_ours());
    }
    if let Some(message) = context.refusals.of(kind, &object.key, &object.hash) {
        return Err(ApplyError::Refused { kind, message });
    }
    // Force takes fields back from whoever took them from our object. On an object that is not known yet it would
    // take over what somebody else has just made under that name.
    let mut params = PatchParams::apply(MANAGER);
    if known.is_some() {
        params = params.force();
    }
    let api: Api<DynamicObject> = Api::namespaced_with(context.client.clone(), &object.key.namespace, &kind.resource());
    context.metrics.write(kind.names().2, "apply");
    let patch = Patch::Apply(&object.body);
    let written = api.patch(&object.key.name, &params, &patch);
    match tokio::time::timeout(WRITE_TIMEOUT, written).await {
        Err(_) => Err(ApplyError::Timeout),
        Ok(Ok(written)) => {
            let meta = &written.metadata;
            let owned = meta.owner_references.iter().flatten().any(|reference| reference.uid == owner.uid);
            context.stores.children.offer(kind, meta);
            if kind == ChildKind::Deployment {
                context.deployments.saw(&object.key, &written);
            }
            if owned { Ok(()) } else { Err(not_ours()) }
        }
        Ok(Err(kube::Error::Api(status))) if status.code == 409 && known.is_none() => Err(not_ours()),
        Ok(Err(kube::Error::Api(status))) if status.code == 403 => {
            Err(ApplyError::Forbidden { kind, message: status.message.chars().take(1024).collect() })
        }
        // 400 and 422: the same body will be refused again. 404: the namespace is gone, or going.
        Ok(Err(kube::Error::Api(status))) if matches!(status.code, 400 | 422) => {
            let message: String = status.message.chars().take(1024).collect();
            context.refusals.add(kind, &object.key, &object.hash, &message);
            Err(ApplyError::Refused { kind, message })
        }
        Ok(Err(source)) => Err(ApplyError::Apply { kind, source }),
    }
}

/// Removes children of this Connector that are not planned.
async fn prune(context: &Context, plan: &Plan<Prepared>) -> Result<(), ApplyError> {
    let key = Key::new(&plan.owner.namespace, &child_name(&plan.owner.name));
    for kind in ChildKind::ALL.into_iter().rev() {
        if plan.objects.iter().any(|object| object.kind == kind) {
            continue;
        }
        let Some(known) = context.stores.children.get(kind, &key) else { continue };
        if known.owner.as_deref() != Some(plan.owner.uid.as_str()) || known.deleting {
            continue;
        }
        let api: Api<DynamicObject> = Api::namespaced_with(context.client.clone(), &key.namespace, &kind.resource());
        // The uid: what took its place in the meantime is not ours to remove.
        let params = DeleteParams::background()
            .preconditions(Preconditions { uid: Some(known.uid.to_string()), ..Preconditions::default() });
        context.metrics.write(kind.names().2, "delete");
        match tokio::time::timeout(WRITE_TIMEOUT, api.delete(&key.name, &params)).await {
            Err(_) => return Err(ApplyError::Timeout),
            Ok(Ok(_)) => {}
            // 404: gone already. 409: another object has taken the name.
            Ok(Err(kube::Error::Api(status))) if matches!(status.code, 404 | 409) => {}
            Ok(Err(source)) => return Err(ApplyError::Prune { kind, source }),
        }
        context.stores.children.gone(kind, &key, Some(&known.uid));
        tracing::info!(kind = kind.names().2, object = %key, "removed: it is no longer planned");
    }
    Ok(())
}

/// Whether the Connector has children besides its token Secret.
#[must_use]
pub fn has_children(context: &Context, owner: &Owner) -> bool {
    let key = Key::new(&owner.namespace, &child_name(&owner.name));
    let ours = |kind| {
        context.stores.children.get(kind, &key).is_some_and(|child| child.owner.as_deref() == Some(owner.uid.as_str()))
    };
    ChildKind::ALL.into_iter().any(ours)
}
