//! Whom a Grant is for: text → a subject, which is the caller or is not. Pure.

use super::{GrantError, MAX_PATTERN};
use crate::caller::{Caller, Principal};
use std::fmt;
use std::str::FromStr;

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
