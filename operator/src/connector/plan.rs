//! A validated Connector → every object it shall have, in the order in which they are applied. Cannot fail.

pub mod pod_template;

mod deployment;
mod hpa;
mod network_policy;
mod pdb;
mod service;
mod service_account;

use super::validate::{Token, ValidatedConnector};
use crate::names::{APPLIED_HASH, Names};
use crate::stores::Key;
use crate::stores::children::ChildKind;
use aperium_core::id::ConnectorName;
use aperium_core::name::child_name;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::marker::PhantomData;

/// A plan that was not applied yet.
#[derive(Debug)]
pub enum Prepared {}
/// A plan whose every object is in the cluster as planned.
#[derive(Debug)]
pub enum Applied {}

/// All children of one Connector. `Plan<Applied>` can only be had from [`super::apply::apply`].
#[derive(Debug)]
pub struct Plan<State> {
    pub(super) owner: Owner,
    pub(super) token: Option<Token>,
    pub(super) objects: Vec<Object>,
    state: PhantomData<State>,
}

/// The Connector as its children see it.
#[derive(Debug, Clone)]
pub struct Owner {
    /// Its resource name.
    pub name: ConnectorName,
    /// Its namespace.
    pub namespace: String,
    /// Its uid.
    pub uid: String,
}

/// One object of a plan.
#[derive(Debug)]
pub struct Object {
    /// Its kind.
    pub kind: ChildKind,
    /// Its namespace and name.
    pub key: Key,
    /// The hash of what is planned, as in the annotation.
    pub hash: String,
    /// What is applied: only fields that the operator owns.
    pub body: Value,
}

impl Owner {
    /// The owner reference of every child: deleting the Connector deletes them.
    #[must_use]
    pub fn reference(&self) -> Value {
        json!({
            "apiVersion": "aperium.dev/v1alpha1", "kind": "Connector", "name": self.name.as_str(), "uid": self.uid,
            "controller": true, "blockOwnerDeletion": true,
        })
    }
}

impl Plan<Prepared> {
    /// The plan of a Connector that shall have no children.
    #[must_use]
    pub fn empty(owner: Owner) -> Self {
        Self { owner, token: None, objects: Vec::new(), state: PhantomData }
    }

    /// Only [`super::apply`] may say that a plan was applied.
    pub(super) fn applied(self) -> Plan<Applied> {
        Plan { owner: self.owner, token: self.token, objects: self.objects, state: PhantomData }
    }
}

impl<State> Plan<State> {
    /// The objects as they are applied, in that order: for checks of what they mean.
    pub fn bodies(&self) -> impl Iterator<Item = &Value> {
        self.objects.iter().map(|object| &object.body)
    }
}

/// Plans all objects.
#[must_use]
pub fn plan(names: &Names, valid: &ValidatedConnector<'_>) -> Plan<Prepared> {
    let owner = Owner { name: valid.name.clone(), namespace: valid.namespace.to_owned(), uid: valid.uid.to_owned() };
    let replicas = valid.replicas();
    let autoscaling = valid.service.autoscaling.as_ref().filter(|_| !valid.spec.suspend);
    let most = autoscaling.map_or(replicas.unwrap_or_default(), |autoscaling| autoscaling.max_replicas);

    let mut parts = vec![(ChildKind::ServiceAccount, service_account::of(names))];
    if valid.service.network_policy.enabled {
        parts.push((ChildKind::NetworkPolicy, network_policy::of(names, valid)));
    }
    parts.push((ChildKind::Service, service::of(valid)));
    parts.push((ChildKind::Deployment, deployment::of(valid, replicas)));
    if most > 1 {
        parts.push((ChildKind::PodDisruptionBudget, pdb::of(valid)));
    }
    if let Some(autoscaling) = autoscaling {
        parts.push((ChildKind::HorizontalPodAutoscaler, hpa::of(valid, autoscaling)));
    }
    let objects = parts.into_iter().map(|(kind, part)| object(&owner, kind, part)).collect();
    Plan { owner, token: Some(valid.token.clone()), objects, state: PhantomData }
}

/// Completes what a part says with what all children have in common.
fn object(owner: &Owner, kind: ChildKind, mut body: Value) -> Object {
    let resource = kind.resource();
    let name = child_name(&owner.name);
    body["apiVersion"] = json!(resource.api_version);
    body["kind"] = json!(resource.kind);
    body["metadata"] = json!({
        "name": name, "namespace": owner.namespace,
        "labels": Names::labels(&owner.name),
        "ownerReferences": [owner.reference()],
    });
    let hash = hash(&body);
    body["metadata"]["annotations"] = json!({APPLIED_HASH: hash});
    Object { kind, key: Key::new(&owner.namespace, &name), hash, body }
}

/// 128 bits of SHA-256 over the object as JSON; maps are sorted, so equal objects have equal hashes.
fn hash(body: &Value) -> String {
    let mut sorted = body.clone();
    sorted.sort_all_objects();
    let digest = Sha256::digest(sorted.to_string());
    hex::encode(digest.get(..16).unwrap_or_default())
}

#[cfg(test)]
mod tests;
