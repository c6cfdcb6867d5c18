//! Grants → compiled rules. A Grant with a malformed subject or pattern counts for nothing at all: half a Grant would
//! be a policy that nobody wrote.

use super::key_of;
use aperium_core::grant::{GrantError, GrantRule, Pattern, Reach, Role, Subject};
use aperium_crds::grant::{Grant, GrantSpec, Role as SpecRole};
use std::sync::Arc;

/// Compiles the grants that count, in the order of their names.
pub(super) fn take(grants: &[Arc<Grant>], system_namespace: &str) -> Vec<GrantRule> {
    let mut rules: Vec<GrantRule> = grants.iter().filter_map(|grant| one(grant, system_namespace)).collect();
    rules.sort_by(|a, b| a.name.cmp(&b.name));
    rules
}

fn one(grant: &Grant, system_namespace: &str) -> Option<GrantRule> {
    let key = key_of(grant.metadata.namespace.as_deref(), grant.metadata.name.as_deref(), system_namespace);
    let system = key.namespace == system_namespace;
    let compiled = subjects(&grant.spec).and_then(|subjects| Ok((subjects, patterns(&grant.spec)?)));
    let (mut subjects, patterns) = match compiled {
        Ok(compiled) => compiled,
        Err(error) => {
            tracing::warn!(grant = %key, %error, "Grant does not count: it is malformed");
            return None;
        }
    };
    let role = match grant.spec.role {
        SpecRole::User => Role::User,
        SpecRole::Auditor => Role::Auditor,
        SpecRole::Admin => Role::Admin,
    };
    let (read_metrics, register) = (grant.spec.read_metrics, grant.spec.register);
    if system {
        return Some(GrantRule {
            name: key.to_string(),
            reach: Reach::Everywhere,
            subjects,
            role,
            patterns,
            read_metrics,
            register,
        });
    }
    // Outside the system namespace a Grant opens Connectors of its own namespace, and nothing else (blueprint §4).
    subjects.retain(|subject| !matches!(subject, Subject::Tenant(_)));
    if subjects.is_empty() {
        tracing::warn!(grant = %key, "Grant does not count: its subjects count in the system namespace only");
        return None;
    }
    let reach = Reach::Namespace(key.namespace.clone());
    Some(GrantRule {
        name: key.to_string(),
        reach,
        subjects,
        role: Role::User,
        patterns,
        read_metrics: false,
        register: false,
    })
}

fn subjects(spec: &GrantSpec) -> Result<Vec<Subject>, GrantError> {
    spec.subjects.iter().map(|subject| subject.parse()).collect()
}

fn patterns(spec: &GrantSpec) -> Result<Vec<Pattern>, GrantError> {
    let deprecated =
        [("tools", &spec.mcp_tools), ("resources", &spec.mcp_resources), ("templates", &spec.mcp_templates)];
    let folded = deprecated.into_iter().flat_map(|(category, entries)| {
        entries.iter().map(move |entry| match entry.split_once('/') {
            Some((id, rest)) => format!("{id}/{category}/{rest}"),
            None => entry.clone(),
        })
    });
    spec.connectors.iter().cloned().chain(folded).map(|pattern| pattern.parse()).collect()
}
