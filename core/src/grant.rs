//! Grants: (Caller, grants, Capability) → allowed by which grant, or denied.
//!
//! Deny by default, allow only, additive (blueprint §4 "Grant"). A Grant is compiled once, when the Catalog is
//! built; matching a call walks only the grants whose subjects match the caller.

use crate::caller::Caller;
use crate::capability::{Capability, Category};

mod glob;
mod pattern;
mod rule;
mod subject;

pub use pattern::Pattern;
pub use rule::{GrantRule, Granted, Reach, Role};
pub use subject::Subject;

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

#[cfg(test)]
mod tests;
