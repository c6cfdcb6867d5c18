//! What the operator remembers of the cluster, fed by watches and by the answers to its own writes.
//!
//! The newer resource version wins, so that the answer to a write counts before the watch repeats it: the next
//! reconcile then sees its own work and writes nothing.

pub mod children;
pub mod connectors;
pub mod fields;
pub mod grants;
pub mod slices;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::fmt;
use std::sync::Arc;

/// A namespace and a name in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The namespace.
    pub namespace: Arc<str>,
    /// The name.
    pub name: Arc<str>,
}

impl Key {
    /// A key of these two.
    #[must_use]
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }

    /// The key of an object.
    #[must_use]
    pub fn of(meta: &ObjectMeta) -> Self {
        Self::new(meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The resource version as a number, comparable within one kind; 0 when it is none.
#[must_use]
pub fn version(meta: &ObjectMeta) -> u64 {
    meta.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or_default()
}

/// All stores.
#[derive(Debug, Default)]
pub struct Stores {
    /// Connectors, in full.
    pub connectors: connectors::Connectors,
    /// Objects that the operator made, by metadata.
    pub children: children::Children,
    /// EndpointSlices of the operator's Services.
    pub slices: slices::Slices,
    /// Grants, in full.
    pub grants: grants::Grants,
}
