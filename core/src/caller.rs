//! Who calls: a principal, and what the authentication says of it.

use crate::id::TenantId;
use std::fmt;

/// How a caller was authenticated, with the name that this way gives.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Principal {
    /// A Kubernetes ServiceAccount whose token the API server reviewed.
    ServiceAccount {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// A static platform token, named in the settings.
    Client(String),
    /// A person at the machine that `aperium up` runs on.
    Loopback,
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ServiceAccount { namespace, name } => write!(f, "serviceaccount:{namespace}:{name}"),
            Self::Client(name) => write!(f, "client:{name}"),
            Self::Loopback => f.write_str("(loopback)"),
        }
    }
}

/// An authenticated caller. Only authentication makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Who it is.
    pub principal: Principal,
    /// The groups that the authentication names.
    pub groups: Vec<String>,
    /// The tags that the settings give to a static client.
    pub tags: Vec<String>,
    /// The tenant, where the caller has one.
    pub tenant: Option<TenantId>,
}

impl Caller {
    /// A caller without groups, tags or tenant.
    #[must_use]
    pub fn new(principal: Principal) -> Self {
        Self { principal, groups: Vec::new(), tags: Vec::new(), tenant: None }
    }
}
