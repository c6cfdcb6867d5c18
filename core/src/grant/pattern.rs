//! What a Grant opens: text → a pattern, compiled, that opens a capability or does not. Pure.

use super::glob::Glob;
use super::{GrantError, MAX_PATTERN};
use crate::capability::{Capability, Category};
use crate::id::ConnectorId;
use std::fmt;
use std::str::FromStr;

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

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
