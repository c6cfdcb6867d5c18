//! Condition types and reasons, as constants, and the time-blind comparison that keeps a status still.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// The types of condition.
pub mod types {
    /// The spec is valid and taken.
    pub const ACCEPTED: &str = "Accepted";
    /// Everything that the spec refers to is there and may be used.
    pub const RESOLVED_REFS: &str = "ResolvedRefs";
    /// The Deployment is available.
    pub const AVAILABLE: &str = "Available";
    /// The credentials work against the upstream.
    pub const CREDENTIALS_AVAILABLE: &str = "CredentialsAvailable";
    /// The tools were discovered.
    pub const TOOLS_DISCOVERED: &str = "ToolsDiscovered";
    /// The tools are those that were expected.
    pub const INVENTORY_MATCHES: &str = "InventoryMatches";
    /// A representative read succeeded.
    pub const READ_VERIFIED: &str = "ReadVerified";
    /// An approved write succeeded.
    pub const WRITE_VERIFIED: &str = "WriteVerified";
    /// The cluster's own ranges are not known, so private addresses are closed.
    pub const RANGES_UNKNOWN: &str = "RangesUnknown";
    /// The connector can be used.
    pub const READY: &str = "Ready";
}

/// Reasons that more than one step gives. Each step's own reasons are at its error enum.
pub mod reasons {
    /// The spec is valid and taken.
    pub const ACCEPTED: &str = "Accepted";
    /// The spec is invalid.
    pub const INVALID: &str = "Invalid";
    /// The spec asks for what this version does not do.
    pub const UNSUPPORTED_VALUE: &str = "UnsupportedValue";
    /// An older Connector has the id.
    pub const CONFLICTED: &str = "Conflicted";
    /// The setting does not count outside the system namespace.
    pub const NOT_ALLOWED_HERE: &str = "NotAllowedHere";
    /// The pod template breaks the rules.
    pub const POD_TEMPLATE_INVALID: &str = "PodTemplateInvalid";
    /// Everything referred to is there.
    pub const RESOLVED_REFS: &str = "ResolvedRefs";
    /// A Secret is missing.
    pub const SECRET_NOT_FOUND: &str = "SecretNotFound";
    /// A Secret does not carry the Connector's label.
    pub const REF_NOT_PERMITTED: &str = "RefNotPermitted";
    /// Not known yet.
    pub const PENDING: &str = "Pending";
    /// The Connector is suspended.
    pub const SUSPENDED: &str = "Suspended";
    /// All that must hold holds.
    pub const READY: &str = "Ready";
}

/// A condition's verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It holds.
    True,
    /// It does not.
    False,
    /// Not known.
    Unknown,
}

impl Verdict {
    /// The status text of the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl From<bool> for Verdict {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

/// A condition of now. [`settle`] gives it the time of its last change.
#[must_use]
pub fn condition(
    kind: &str,
    verdict: Verdict,
    reason: &str,
    message: &str,
    generation: Option<i64>,
    now: Time,
) -> Condition {
    Condition {
        type_: kind.to_owned(),
        status: verdict.as_str().to_owned(),
        reason: reason.to_owned(),
        // The API's own limit for a condition's message.
        message: message.chars().take(32_768).collect(),
        observed_generation: generation,
        last_transition_time: now,
    }
}

/// Gives each new condition the transition time of the old one where the status did not change.
#[must_use]
pub fn settle(old: &[Condition], mut new: Vec<Condition>) -> Vec<Condition> {
    for condition in &mut new {
        if let Some(before) = old.iter().find(|o| o.type_ == condition.type_ && o.status == condition.status) {
            condition.last_transition_time = before.last_transition_time.clone();
        }
    }
    new
}

/// Whether two lists of conditions say the same, whatever their times.
#[must_use]
pub fn same(a: &[Condition], b: &[Condition]) -> bool {
    let said =
        |c: &Condition| (c.type_.clone(), c.status.clone(), c.reason.clone(), c.message.clone(), c.observed_generation);
    a.len() == b.len() && a.iter().all(|x| b.iter().any(|y| said(x) == said(y)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64, verdict: Verdict) -> Condition {
        condition("Ready", verdict, "R", "m", Some(1), Time(k8s_openapi::jiff::Timestamp::from_second(second).unwrap()))
    }

    #[test]
    fn a_transition_time_changes_only_with_the_status() {
        let old = [at(1, Verdict::True)];
        assert_eq!(settle(&old, vec![at(2, Verdict::True)]), old);
        assert_eq!(settle(&old, vec![at(2, Verdict::False)]), [at(2, Verdict::False)]);
    }

    #[test]
    fn conditions_are_compared_without_their_times() {
        assert!(same(&[at(1, Verdict::True)], &[at(2, Verdict::True)]));
        assert!(!same(&[at(1, Verdict::True)], &[at(1, Verdict::False)]));
        assert!(!same(&[at(1, Verdict::True)], &[]));
    }
}
