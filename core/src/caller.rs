//! Who calls: a principal, and what the authentication says of it.

use crate::grant::Subject;
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

    /// Every subject that a Grant could name the caller by: a Grant is the caller's when it names one of them.
    #[must_use]
    pub fn subjects(&self) -> Vec<Subject> {
        let principal = match &self.principal {
            Principal::ServiceAccount { namespace, name } => Subject::ServiceAccount(namespace.clone(), name.clone()),
            Principal::Client(name) => Subject::Client(name.clone()),
            Principal::Loopback => Subject::Loopback,
        };
        let mut subjects = vec![Subject::Anyone, principal];
        subjects.extend(self.groups.iter().cloned().map(Subject::Group));
        subjects.extend(self.tags.iter().cloned().map(Subject::Tag));
        subjects.extend(self.tenant.iter().map(|tenant| Subject::Tenant(tenant.as_str().to_owned())));
        subjects
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subjects_of_a_caller_are_those_that_grants_match() {
        let mut caller = Caller::new(Principal::Client("ci".into()));
        caller.groups.push("ops".into());
        caller.tags.push("night".into());
        caller.tenant = Some(TenantId::parse("acme").unwrap());
        let mine = caller.subjects();
        for text in ["*", "client:ci", "group:ops", "tag:night", "tenant:acme", "client:cd", "group:hr", "(loopback)"] {
            let subject: Subject = text.parse().unwrap();
            assert_eq!(subject.is(&caller), mine.contains(&subject), "{text}");
        }
    }
}
