//! Resources and settings → the Catalog, the only configuration that the gateway reads. Pure.
//!
//! A Connector or Grant that cannot be taken is left out with its reason; the others are not affected.

use aperium_core::grant::GrantRule;
use aperium_core::id::{ConnectorId, TenantId};
use aperium_core::name::Prefixing;
use aperium_crds::connector::Protocol;
use aperium_crds::{Connector, Grant, Settings};
use http::Uri;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub(crate) mod auth;
pub(crate) mod connectors;
mod grants;

pub(crate) use auth::{Auth, PerUser, Scheme};

/// Namespace and name of a resource.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResourceKey {
    /// The namespace; the system namespace for a folder.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl fmt::Display for ResourceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// All configuration. Swapped whole, never changed.
#[derive(Debug)]
pub(crate) struct Catalog {
    /// The connectors that are served, sorted by id.
    pub(crate) connectors: Vec<ConnectorConfig>,
    /// Those that are not, and why.
    pub(crate) refused: BTreeMap<ResourceKey, Refused>,
    /// The grants that count.
    pub(crate) grants: Arc<[GrantRule]>,
    /// The settings file.
    pub(crate) settings: Arc<Settings>,
    /// What it was built from, the refused ones among them.
    pub(crate) resources: Resources,
}

/// Why a resource is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refused {
    /// A reason of `crds::condition::reasons`.
    pub(crate) reason: &'static str,
    /// For people.
    pub(crate) message: String,
}

/// One connector as it is served.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ConnectorConfig {
    /// Its resource.
    pub(crate) key: ResourceKey,
    /// Its uid, where an API server gave one.
    pub(crate) uid: Option<String>,
    /// Its effective id.
    pub(crate) id: ConnectorId,
    /// Its name for people.
    pub(crate) display_name: Option<String>,
    /// What it is for; visible to all users.
    pub(crate) description: Option<String>,
    /// Guidance for models, a string or an object; visible to all authenticated callers.
    pub(crate) context: Option<serde_json::Value>,
    /// The entry of the verified registry that it was made from.
    pub(crate) provider: Option<String>,
    /// What it speaks: an `http` connector has no tools, and is reached by its proxy path alone.
    pub(crate) protocol: Protocol,
    /// Labels for grants.
    pub(crate) labels: Vec<String>,
    /// How its tools are exposed.
    pub(crate) prefixing: Prefixing,
    /// Tools that are neither listed nor callable.
    pub(crate) hide: BTreeSet<String>,
    /// Read tools that may be tried once more.
    pub(crate) retryable: BTreeSet<String>,
    /// Hashes of quarantined tools that an admin has accepted.
    pub(crate) accepted_hashes: BTreeSet<String>,
    /// Limit of one call.
    pub(crate) call_timeout: Duration,
    /// Between two polls.
    pub(crate) period: Duration,
    /// Limit of one poll.
    pub(crate) poll_timeout: Duration,
    /// Where it is.
    pub(crate) place: Place,
    /// How the gateway authenticates there; none for services, and for remote servers that let anyone in.
    pub(crate) auth: Option<Auth>,
}

/// Where a connector is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Place {
    /// A managed service.
    Service {
        /// A token Secret of the customer's own: name and key.
        token: Option<(String, String)>,
        /// Whose credentials it uses.
        whose: Whose,
    },
    /// A remote MCP server, or the base URL of an HTTP API.
    Url(Uri),
    /// A remote MCP server that registered itself: only what `registration.allowHosts` lists is reached.
    Registered(Uri),
}

/// Whose credentials a managed service uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Whose {
    /// Those of the platform, by a lease for each call; else mounted ones.
    pub(crate) platform: bool,
    /// The one tenant that it serves.
    pub(crate) tenant: Option<TenantId>,
}

/// What a Catalog is built from.
#[derive(Debug, Clone, Default)]
pub struct Resources {
    /// All Connectors.
    pub connectors: Vec<Arc<Connector>>,
    /// All Grants.
    pub grants: Vec<Arc<Grant>>,
}

impl Catalog {
    /// Builds it. `system_namespace` is where grants count everywhere; resources without a namespace count as there.
    pub(crate) fn build(resources: &Resources, settings: Arc<Settings>, system_namespace: &str) -> Self {
        let (connectors, refused) = connectors::take(&resources.connectors, system_namespace);
        let grants = grants::take(&resources.grants, system_namespace).into();
        Self { connectors, refused, grants, settings, resources: resources.clone() }
    }

    /// A Connector as it was given. Those of a folder may have no namespace: they count as in the system namespace,
    /// which is that of the key.
    pub(crate) fn connector(&self, key: &ResourceKey) -> Option<&Arc<Connector>> {
        let is_it = |connector: &&Arc<Connector>| {
            let metadata = &connector.metadata;
            key_of(metadata.namespace.as_deref(), metadata.name.as_deref(), &key.namespace) == *key
        };
        self.resources.connectors.iter().find(is_it)
    }

    /// A Grant as it was given.
    pub(crate) fn grant(&self, key: &ResourceKey) -> Option<&Arc<Grant>> {
        let is_it = |grant: &&Arc<Grant>| {
            let metadata = &grant.metadata;
            key_of(metadata.namespace.as_deref(), metadata.name.as_deref(), &key.namespace) == *key
        };
        self.resources.grants.iter().find(is_it)
    }
}

/// The key of a resource; a folder's resources may have no namespace.
pub(crate) fn key_of(namespace: Option<&str>, name: Option<&str>, system_namespace: &str) -> ResourceKey {
    ResourceKey {
        namespace: namespace.unwrap_or(system_namespace).to_owned(),
        name: name.unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests;
