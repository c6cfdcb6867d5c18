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
    /// A person or program that an OIDC issuer vouches for.
    User {
        /// The issuer, spelled as in the settings.
        issuer: String,
        /// What the issuer knows it by, for good.
        subject: String,
    },
    /// A person whose name and password the settings know.
    Local(String),
    /// A person that a delegate names; the gateway has not seen a token of theirs.
    Named(String),
    /// A person at the machine that `aperium up` runs on.
    Loopback,
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ServiceAccount { namespace, name } => write!(f, "serviceaccount:{namespace}:{name}"),
            Self::Client(name) => write!(f, "client:{name}"),
            // Neither an issuer nor a scheme holds '#', so that no two callers are written alike.
            Self::User { issuer, subject } => write!(f, "oidc:{issuer}#{subject}"),
            Self::Local(name) => write!(f, "local:{name}"),
            Self::Named(name) => write!(f, "user:{name}"),
            Self::Loopback => f.write_str("(loopback)"),
        }
    }
}

/// An authenticated caller. Only authentication makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Who it is.
    pub principal: Principal,
    /// The e-mail of a person, only where the issuer says that it has verified it.
    pub email: Option<String>,
    /// The groups that the authentication names.
    pub groups: Vec<String>,
    /// The tags that the settings give to a static client.
    pub tags: Vec<String>,
    /// The tenant, where the caller has one.
    pub tenant: Option<TenantId>,
    /// The delegate that sent the request on the caller's behalf. Both must be allowed what is asked for, and neither
    /// is admin or auditor.
    pub delegate: Option<Box<Caller>>,
}

impl Caller {
    /// A caller without groups, tags or tenant.
    #[must_use]
    pub fn new(principal: Principal) -> Self {
        Self { principal, email: None, groups: Vec::new(), tags: Vec::new(), tenant: None, delegate: None }
    }

    /// What `user:` in a Grant is compared with: a verified e-mail, or the name that the settings or a delegate give.
    #[must_use]
    pub fn person(&self) -> Option<&str> {
        match &self.principal {
            Principal::User { .. } => self.email.as_deref(),
            Principal::Local(name) | Principal::Named(name) => Some(name),
            _ => None,
        }
    }

    /// Every subject that a Grant could name the caller by: a Grant is the caller's when it names one of them.
    #[must_use]
    pub fn subjects(&self) -> Vec<Subject> {
        let principal = match &self.principal {
            Principal::ServiceAccount { namespace, name } => {
                Some(Subject::ServiceAccount(namespace.clone(), name.clone()))
            }
            Principal::Client(name) => Some(Subject::Client(name.clone())),
            Principal::User { .. } | Principal::Local(_) | Principal::Named(_) => {
                self.person().map(|name| Subject::User(name.to_owned()))
            }
            Principal::Loopback => Some(Subject::Loopback),
        };
        let mut subjects = vec![Subject::Anyone];
        subjects.extend(principal);
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

    #[test]
    fn a_user_is_whoever_the_issuer_has_verified_the_email_of() {
        let user: Subject = "user:alice@example.com".parse().unwrap();
        let principal = |subject: &str| Principal::User { issuer: "https://id".into(), subject: subject.into() };
        let mut caller = Caller::new(principal("alice@example.com"));
        assert!(!user.is(&caller), "a subject is no e-mail");
        caller.email = Some("alice@example.com".into());
        assert!(user.is(&caller) && caller.subjects().contains(&user));
        let mut client = Caller::new(Principal::Client("ci".into()));
        client.email = Some("alice@example.com".into());
        assert!(!user.is(&client), "only persons have one");
        for named in [Principal::Named("alice@example.com".into()), Principal::Local("alice@example.com".into())] {
            assert!(user.is(&Caller::new(named)));
        }
        assert_ne!(principal("a").to_string(), Principal::Named("https://id#a".into()).to_string());
    }
}
