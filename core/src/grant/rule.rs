//! One Grant, checked and compiled: where it counts, whom it is for, what it opens, and which role it gives.

use super::pattern::Pattern;
use super::subject::Subject;
use crate::capability::{Capability, Category};
use crate::id::ConnectorId;

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

    pub(super) fn reaches(&self, connector: Granted<'_>) -> bool {
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
