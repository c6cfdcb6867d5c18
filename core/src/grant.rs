//! Grants: (Caller, grants, Capability) → allowed by which grant, or denied.
//!
//! Deny by default, allow only, additive (blueprint §4 "Grant"). A Grant is compiled once, when the Catalog is
//! built; matching a call walks only the grants whose subjects match the caller.

use crate::caller::{Caller, Principal};
use crate::capability::{Capability, Category};
use crate::id::ConnectorId;
use std::fmt;
use std::str::FromStr;

mod glob;
use glob::Glob;

/// The most characters of a pattern or a subject.
pub const MAX_PATTERN: usize = 256;

/// Why a text is not a pattern or subject.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// Longer than [`MAX_PATTERN`] or empty.
    #[error("a pattern or subject must hold 1 to 256 characters")]
    Length,
    /// A character that the grammar does not have.
    #[error("pattern \"{0}\" may hold only literals, '*' and '**': no [ ] {{ }} ? ! \\ or control characters")]
    Character(String),
    /// More than two slashes, an empty segment, or an unknown category.
    #[error(
        "pattern \"{0}\" is malformed: it must be id/category/resource, id/proxy, id/**, label:<label> or **, \
         with category tools, prompts, resources, templates or proxy"
    )]
    Form(String),
    /// A subject of no known kind.
    #[error(
        "subject \"{0}\" is malformed: it must be *, (loopback), user:<email>, group:<name>, \
         serviceaccount:<namespace>:<name>, client:<name>, tenant:<tenant> or tag:<tag>"
    )]
    Subject(String),
}

/// Which connectors a pattern is about.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Scope {
    /// Every capability of every connector: `**`.
    All,
    /// Every capability of the connectors that carry the label: `label:erp`.
    Label(String),
    /// The connectors whose id matches.
    Id(Glob),
}

/// One pattern of a Grant, compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: Box<str>,
    scope: Scope,
    /// `None`: any category (`id/**`).
    category: Option<Category>,
    /// `None`: any resource.
    resource: Option<Glob>,
}

impl FromStr for Pattern {
    type Err = GrantError;

    fn from_str(text: &str) -> Result<Self, GrantError> {
        if text.is_empty() || text.len() > MAX_PATTERN {
            return Err(GrantError::Length);
        }
        let forbidden = |c: char| c.is_control() || matches!(c, '[' | ']' | '{' | '}' | '?' | '!' | '\\');
        if text.contains(forbidden) {
            return Err(GrantError::Character(text.chars().filter(|c| !c.is_control()).collect()));
        }
        let malformed = || GrantError::Form(text.to_owned());
        let pattern = |scope, category, resource| Self { text: text.into(), scope, category, resource };
        if text == "**" {
            return Ok(pattern(Scope::All, None, None));
        }
        if let Some(label) = text.strip_prefix("label:") {
            if label.is_empty() || label.contains(['/', '*']) {
                return Err(malformed());
            }
            return Ok(pattern(Scope::Label(label.to_owned()), None, None));
        }
        let mut segments = text.splitn(3, '/');
        let (id, category, resource) = (segments.next().unwrap_or_default(), segments.next(), segments.next());
        if id.is_empty() || !id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'*') || id.contains("**") {
            return Err(malformed());
        }
        let scope = Scope::Id(Glob::new(id));
        match (category, resource) {
            (Some("**"), None) => Ok(pattern(scope, None, None)),
            (Some("proxy"), None) => Ok(pattern(scope, Some(Category::Proxy), None)),
            (Some(category), Some(resource)) => {
                let category = match category {
                    "*" => None,
                    known => Some(
                        Category::ALL
                            .into_iter()
                            .find(|c| c.as_str() == known && *c != Category::Proxy)
                            .ok_or_else(malformed)?,
                    ),
                };
                if resource.is_empty()
                    || (resource.contains('/')
                        && category != Some(Category::Resources)
                        && category != Some(Category::Templates))
                {
                    return Err(malformed());
                }
                Ok(pattern(scope, category, Some(Glob::new(resource))))
            }
            _ => Err(malformed()),
        }
    }
}

impl Pattern {
    /// Whether the pattern opens the capability of a connector with these labels.
    #[must_use]
    pub fn opens(&self, wanted: Capability<'_>, labels: &[String]) -> bool {
        self.concerns(wanted.connector, labels)
            && self.category.is_none_or(|category| category == wanted.category)
            && self
                .resource
                .as_ref()
                .is_none_or(|resource| wanted.category != Category::Proxy && resource.matches(wanted.resource))
    }

    /// Whether the pattern is about the connector at all.
    #[must_use]
    pub fn concerns(&self, id: &ConnectorId, labels: &[String]) -> bool {
        match &self.scope {
            Scope::All => true,
            Scope::Label(label) => labels.iter().any(|l| l == label),
            Scope::Id(glob) => glob.matches(id.as_str()),
        }
    }

    /// The pattern as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Who a Grant is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    /// `*`: every authenticated caller.
    Anyone,
    /// `(loopback)`: the person at the machine, under `aperium up`.
    Loopback,
    /// `user:<email>`.
    User(String),
    /// `group:<name>`.
    Group(String),
    /// `serviceaccount:<namespace>:<name>`.
    ServiceAccount(String, String),
    /// `client:<static token's name>`.
    Client(String),
    /// `tenant:<tenant>`.
    Tenant(String),
    /// `tag:<tag>`.
    Tag(String),
}

impl FromStr for Subject {
    type Err = GrantError;

    fn from_str(text: &str) -> Result<Self, GrantError> {
        if text.is_empty() || text.len() > MAX_PATTERN {
            return Err(GrantError::Length);
        }
        let malformed = || GrantError::Subject(text.chars().filter(|c| !c.is_control()).collect());
        if text.contains(char::is_control) {
            return Err(malformed());
        }
        match text {
            "*" => return Ok(Self::Anyone),
            "(loopback)" => return Ok(Self::Loopback),
            _ => {}
        }
        let (kind, name) = text.split_once(':').ok_or_else(malformed)?;
        if name.is_empty() {
            return Err(malformed());
        }
        let name_of = name.to_owned();
        match kind {
            "user" => Ok(Self::User(name_of)),
            "group" => Ok(Self::Group(name_of)),
            "client" => Ok(Self::Client(name_of)),
            "tenant" => Ok(Self::Tenant(name_of)),
            "tag" => Ok(Self::Tag(name_of)),
            "serviceaccount" => match name.split_once(':') {
                Some((ns, sa)) if !ns.is_empty() && !sa.is_empty() && !sa.contains(':') => {
                    Ok(Self::ServiceAccount(ns.to_owned(), sa.to_owned()))
                }
                _ => Err(malformed()),
            },
            _ => Err(malformed()),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anyone => f.write_str("*"),
            Self::Loopback => f.write_str("(loopback)"),
            Self::User(name) => write!(f, "user:{name}"),
            Self::Group(name) => write!(f, "group:{name}"),
            Self::ServiceAccount(namespace, name) => write!(f, "serviceaccount:{namespace}:{name}"),
            Self::Client(name) => write!(f, "client:{name}"),
            Self::Tenant(name) => write!(f, "tenant:{name}"),
            Self::Tag(name) => write!(f, "tag:{name}"),
        }
    }
}

impl Subject {
    /// Whether the subject is the caller.
    #[must_use]
    pub fn is(&self, caller: &Caller) -> bool {
        match (self, &caller.principal) {
            (Self::Anyone, _) | (Self::Loopback, Principal::Loopback) => true,
            (Self::ServiceAccount(ns, sa), Principal::ServiceAccount { namespace, name }) => {
                ns == namespace && sa == name
            }
            (Self::Client(wanted), Principal::Client(name)) => wanted == name,
            (Self::User(wanted), _) => caller.person().is_some_and(|person| person == wanted),
            (Self::Group(group), _) => caller.groups.contains(group),
            (Self::Tag(tag), _) => caller.tags.contains(tag),
            (Self::Tenant(tenant), _) => caller.tenant.as_ref().is_some_and(|t| t.as_str() == tenant),
            _ => false,
        }
    }
}

/// What a caller may do beyond the capabilities (blueprint §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Role {
    /// The default.
    #[default]
    User,
    /// Reads the audit trail.
    Auditor,
    /// Administers the gateway.
    Admin,
}

impl Role {
    /// The word of a Grant.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Auditor => "auditor",
            Self::Admin => "admin",
        }
    }
}

/// Which connectors a Grant can reach at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// A Grant in the system namespace: all watched namespaces.
    Everywhere,
    /// A Grant elsewhere: only the Connectors of its own namespace.
    Namespace(String),
}

/// One Grant, checked and compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantRule {
    /// `<namespace>/<name>`, for audit and logs.
    pub name: String,
    /// Where it counts.
    pub reach: Reach,
    /// Who it is for.
    pub subjects: Vec<Subject>,
    /// The role it gives.
    pub role: Role,
    /// What it opens.
    pub patterns: Vec<Pattern>,
    /// Whether `/metrics` may be read on the public listener.
    pub read_metrics: bool,
    /// Whether dynamic registration may be used.
    pub register: bool,
}

impl GrantRule {
    /// Whether the Grant counts where the connector lives, and one of its patterns is about it.
    #[must_use]
    pub fn concerns(&self, connector: Granted<'_>) -> bool {
        self.reaches(connector) && self.patterns.iter().any(|p| p.concerns(connector.id, connector.labels))
    }

    /// Whether the Grant opens the capability, whoever it is for.
    #[must_use]
    pub fn opens(&self, connector: Granted<'_>, category: Category, resource: &str) -> bool {
        let wanted = Capability { connector: connector.id, category, resource };
        self.reaches(connector) && self.patterns.iter().any(|p| p.opens(wanted, connector.labels))
    }

    fn reaches(&self, connector: Granted<'_>) -> bool {
        match &self.reach {
            Reach::Everywhere => true,
            Reach::Namespace(own) => own == connector.namespace,
        }
    }
}

/// A connector as the grants see it.
#[derive(Debug, Clone, Copy)]
pub struct Granted<'a> {
    /// Its id.
    pub id: &'a ConnectorId,
    /// The namespace it lives in.
    pub namespace: &'a str,
    /// Its labels.
    pub labels: &'a [String],
}

/// The grants that concern one caller: what it may see and use.
#[derive(Debug, Clone)]
pub struct CallerGrants<'a> {
    rules: Vec<&'a GrantRule>,
}

/// No Grant matches the caller at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("access denied: no role granted")]
pub struct NoGrant;

impl<'a> CallerGrants<'a> {
    /// Picks the grants whose subjects match the caller.
    ///
    /// # Errors
    /// [`NoGrant`] when none does: the caller gets 403, whatever it asks for.
    pub fn of(caller: &Caller, rules: impl IntoIterator<Item = &'a GrantRule>) -> Result<Self, NoGrant> {
        let rules: Vec<_> = rules.into_iter().filter(|rule| rule.subjects.iter().any(|s| s.is(caller))).collect();
        if rules.is_empty() { Err(NoGrant) } else { Ok(Self { rules }) }
    }

    /// The grant that allows the capability, if one does.
    #[must_use]
    pub fn allowing(&self, connector: Granted<'_>, category: Category, resource: &str) -> Option<&'a GrantRule> {
        self.rules().find(|rule| rule.opens(connector, category, resource))
    }

    /// Whether any grant is about the connector at all.
    #[must_use]
    pub fn concern(&self, connector: Granted<'_>) -> bool {
        self.rules().any(|rule| rule.concerns(connector))
    }

    /// The highest role that the grants give.
    #[must_use]
    pub fn role(&self) -> Role {
        self.rules.iter().map(|rule| rule.role).max().unwrap_or_default()
    }

    /// Whether a grant opens `/metrics`.
    #[must_use]
    pub fn read_metrics(&self) -> bool {
        self.rules.iter().any(|rule| rule.read_metrics)
    }

    /// Every grant that opens the capability, with the first of its patterns that does.
    pub fn opening<'s>(
        &'s self,
        connector: Granted<'s>,
        category: Category,
        resource: &'s str,
    ) -> impl Iterator<Item = (&'a GrantRule, &'a Pattern)> + 's {
        let wanted = Capability { connector: connector.id, category, resource };
        self.rules().filter(move |rule| rule.reaches(connector)).filter_map(move |rule| {
            rule.patterns.iter().find(|pattern| pattern.opens(wanted, connector.labels)).map(|pattern| (rule, pattern))
        })
    }

    /// Picks the grants that name one of the subjects: what somebody who is all of these may see and use.
    pub fn of_subjects(subjects: &[Subject], rules: impl IntoIterator<Item = &'a GrantRule>) -> Self {
        Self { rules: rules.into_iter().filter(|rule| rule.subjects.iter().any(|s| subjects.contains(s))).collect() }
    }

    /// All grants, whomever they are for.
    pub fn all(rules: impl IntoIterator<Item = &'a GrantRule>) -> Self {
        Self { rules: rules.into_iter().collect() }
    }

    /// The grants, in their order.
    pub fn rules(&self) -> impl Iterator<Item = &'a GrantRule> + '_ {
        self.rules.iter().copied()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests;
