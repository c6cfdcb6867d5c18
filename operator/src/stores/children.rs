//! Metadata of the objects that the operator made, in a compact form: about 200 bytes each.
//!
//! Objects of the same names that others made are remembered too, so that the operator never takes them over.

use super::{Key, fields, version};
use crate::names::{APPLIED_HASH, MANAGER};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::ApiResource;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// The kinds of children that are watched, in the order in which they are applied.
///
/// What a pod needs comes before the Deployment. The token Secret is not among them: watching it would need the right to list Secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ChildKind {
    /// `v1/ServiceAccount`.
    ServiceAccount,
    /// `networking.k8s.io/v1/NetworkPolicy`.
    NetworkPolicy,
    /// `v1/Service`.
    Service,
    /// `apps/v1/Deployment`.
    Deployment,
    /// `policy/v1/PodDisruptionBudget`.
    PodDisruptionBudget,
    /// `autoscaling/v2/HorizontalPodAutoscaler`.
    HorizontalPodAutoscaler,
}

impl ChildKind {
    /// All kinds, in the order in which they are applied.
    pub const ALL: [Self; 6] = [
        Self::ServiceAccount,
        Self::NetworkPolicy,
        Self::Service,
        Self::Deployment,
        Self::PodDisruptionBudget,
        Self::HorizontalPodAutoscaler,
    ];

    /// Group, version, kind, plural.
    #[must_use]
    pub fn names(self) -> (&'static str, &'static str, &'static str, &'static str) {
        match self {
            Self::ServiceAccount => ("", "v1", "ServiceAccount", "serviceaccounts"),
            Self::NetworkPolicy => ("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies"),
            Self::Service => ("", "v1", "Service", "services"),
            Self::Deployment => ("apps", "v1", "Deployment", "deployments"),
            Self::PodDisruptionBudget => ("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets"),
            Self::HorizontalPodAutoscaler => {
                ("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
            }
        }
    }

    /// How the API calls the kind.
    #[must_use]
    pub fn resource(self) -> ApiResource {
        let (group, version, kind, plural) = self.names();
        let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
        ApiResource {
            group: group.into(),
            version: version.into(),
            api_version,
            kind: kind.into(),
            plural: plural.into(),
        }
    }
}

/// What is remembered of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    /// Its uid.
    pub uid: Box<str>,
    /// Its resource version.
    pub version: u64,
    /// The uid of its controller, if it has one.
    pub owner: Option<Box<str>>,
    /// The hash of what was applied last, from the annotation.
    pub applied: Option<Box<str>>,
    /// Our managedFields entry, shared between like objects.
    pub fields: Option<Arc<str>>,
    /// Whether it is being deleted.
    pub deleting: bool,
}

impl Child {
    /// Whether the object is the Connector's: controlled by it, or by nobody while we own fields of it.
    #[must_use]
    pub fn is_of(&self, connector_uid: &str) -> bool {
        match &self.owner {
            Some(owner) => **owner == *connector_uid,
            None => self.fields.is_some(),
        }
    }
}

/// The store of children.
#[derive(Debug, Default)]
pub struct Children {
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    children: HashMap<(ChildKind, Key), Child>,
    fields: HashSet<Arc<str>>,
}

impl State {
    /// One copy of each managedFields entry. Entries that nobody holds are dropped when the set has doubled.
    fn share(&mut self, fields: String) -> Arc<str> {
        if let Some(known) = self.fields.get(fields.as_str()) {
            return known.clone();
        }
        if self.fields.len() >= 64 && self.fields.len().is_power_of_two() {
            self.fields.retain(|entry| Arc::strong_count(entry) > 1);
        }
        let fields: Arc<str> = fields.into();
        self.fields.insert(fields.clone());
        fields
    }
}

impl Children {
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }
    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what a watch or the answer to a write says. False when it says nothing new.
    pub fn offer(&self, kind: ChildKind, meta: &ObjectMeta) -> bool {
        let key = (kind, Key::of(meta));
        let version = version(meta);
        let fields = fields::ours(meta, MANAGER);
        let mut state = self.write();
        if state.children.get(&key).is_some_and(|known| version != 0 && known.version >= version) {
            return false;
        }
        let owner = meta.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
        let child = Child {
            uid: meta.uid.as_deref().unwrap_or_default().into(),
            version,
            owner: owner.map(|owner| owner.uid.as_str().into()),
            applied: meta.annotations.as_ref().and_then(|all| all.get(APPLIED_HASH)).map(|hash| hash.as_str().into()),
            fields: fields.map(|fields| state.share(fields)),
            deleting: meta.deletion_timestamp.is_some(),
        };
        state.children.insert(key, child);
        true
    }

    /// The object is gone. False when a newer one of that name is known already.
    pub fn gone(&self, kind: ChildKind, key: &Key, uid: Option<&str>) -> bool {
        let mut state = self.write();
        let key = (kind, key.clone());
        let same = state.children.get(&key).is_some_and(|known| uid.is_none_or(|uid| *known.uid == *uid));
        if same {
            state.children.remove(&key);
        }
        same
    }

    /// What is known of an object.
    #[must_use]
    pub fn get(&self, kind: ChildKind, key: &Key) -> Option<Child> {
        self.read().children.get(&(kind, key.clone())).cloned()
    }

    /// A listing of one kind in one namespace is complete: what it did not hold is gone. The names of these.
    pub fn listed(&self, kind: ChildKind, namespace: &str, seen: &HashSet<Key>) -> Vec<Key> {
        let mut state = self.write();
        let lost: Vec<Key> = state
            .children
            .keys()
            .filter(|(k, key)| *k == kind && *key.namespace == *namespace && !seen.contains(key))
            .map(|(_, key)| key.clone())
            .collect();
        for key in &lost {
            state.children.remove(&(kind, key.clone()));
        }
        lost
    }

    /// How many objects are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.read().children.len()
    }

    /// Whether none is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn meta(version: &str, uid: &str) -> ObjectMeta {
        serde_json::from_value(json!({
            "name": "aperium-mcp-odoo", "namespace": "ns", "uid": uid, "resourceVersion": version,
            "annotations": {APPLIED_HASH: "h"},
            "ownerReferences": [{"apiVersion": "aperium.dev/v1alpha1", "kind": "Connector", "name": "odoo", "uid": "c", "controller": true}],
            "managedFields": [{"manager": MANAGER, "operation": "Apply", "fieldsV1": {"f:spec": {}}}],
        }))
        .unwrap()
    }

    #[test]
    fn the_newer_version_wins_whatever_the_order() {
        let store = Children::default();
        assert!(store.offer(ChildKind::Service, &meta("5", "u")));
        assert!(!store.offer(ChildKind::Service, &meta("5", "u")), "the watch repeats our own write");
        assert!(!store.offer(ChildKind::Service, &meta("4", "u")));
        assert!(store.offer(ChildKind::Service, &meta("6", "u")));
        let child = store.get(ChildKind::Service, &Key::new("ns", "aperium-mcp-odoo")).unwrap();
        assert_eq!((child.version, child.applied.as_deref()), (6, Some("h")));
        assert!(child.is_of("c") && !child.is_of("d"));
    }

    #[test]
    fn like_objects_share_their_managed_fields() {
        let store = Children::default();
        let mut other = meta("5", "u2");
        other.name = Some("aperium-mcp-slack".to_owned());
        store.offer(ChildKind::Service, &meta("5", "u"));
        store.offer(ChildKind::Service, &other);
        let fields = |name: &str| store.get(ChildKind::Service, &Key::new("ns", name)).unwrap().fields.unwrap();
        assert!(Arc::ptr_eq(&fields("aperium-mcp-odoo"), &fields("aperium-mcp-slack")));
    }

    #[test]
    fn a_late_deletion_does_not_remove_the_successor() {
        let store = Children::default();
        store.offer(ChildKind::Service, &meta("9", "new"));
        let key = Key::new("ns", "aperium-mcp-odoo");
        assert!(!store.gone(ChildKind::Service, &key, Some("old")));
        assert!(store.gone(ChildKind::Service, &key, Some("new")));
        assert!(store.is_empty());
    }

    #[test]
    fn what_a_listing_does_not_hold_is_gone() {
        let store = Children::default();
        store.offer(ChildKind::Service, &meta("5", "u"));
        assert!(store.listed(ChildKind::Deployment, "ns", &HashSet::new()).is_empty());
        assert!(store.listed(ChildKind::Service, "other", &HashSet::new()).is_empty());
        assert_eq!(store.listed(ChildKind::Service, "ns", &HashSet::new()).len(), 1);
        assert_eq!(store.len(), 0);
    }

    #[test]
    fn an_object_without_an_owner_is_ours_only_if_we_own_fields_of_it() {
        let store = Children::default();
        let mut foreign = meta("5", "u");
        foreign.owner_references = None;
        foreign.managed_fields = None;
        store.offer(ChildKind::Service, &foreign);
        assert!(!store.get(ChildKind::Service, &Key::new("ns", "aperium-mcp-odoo")).unwrap().is_of("c"));
    }
}
