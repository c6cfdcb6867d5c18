//! Grants → their statuses: whether they count, and which Connectors they reach.
//!
//! One look at all of them whenever a Grant or the identity of a Connector changed, at most once a second.

use crate::context::Context;
use crate::events::{self, Notice};
use crate::names::STATUS_MANAGER;
use crate::stores::grants::{Held, meta};
use aperium_core::grant::{GrantError, Pattern, Subject};
use aperium_core::id::{ConnectorId, ConnectorName};
use aperium_core::name::effective_id;
use aperium_crds::condition::{Verdict, condition, reasons, same, settle, types};
use aperium_crds::grant::Role;
use aperium_crds::{Grant, GrantSpec, GrantStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::{Patch, PatchParams};
use kube::core::DeserializeGuard;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The shortest time between two looks.
const PERIOD: Duration = Duration::from_secs(1);
/// When a write failed.
const AGAIN: Duration = Duration::from_secs(10);
/// The most ids in a status.
const MAX_MATCHED: usize = 64;

/// Why a Grant does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GrantRefusal {
    /// A subject is malformed.
    #[error("spec.subjects: {0}")]
    Subject(#[source] GrantError),
    /// A pattern is malformed.
    #[error("{field}: {source}")]
    Pattern {
        /// The field.
        field: &'static str,
        /// Why.
        #[source]
        source: GrantError,
    },
    /// Something that counts in the system namespace only.
    #[error("{0} counts in the system namespace only")]
    NotAllowedHere(&'static str),
}

impl GrantRefusal {
    /// The reason of `Accepted=False`.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Subject(_) | Self::Pattern { .. } => reasons::INVALID,
            Self::NotAllowedHere(_) => reasons::NOT_ALLOWED_HERE,
        }
    }
}

/// A Connector as Grants see it.
#[derive(Debug, Clone)]
pub struct Target {
    namespace: String,
    id: ConnectorId,
    labels: Vec<String>,
}

/// Checks a Grant and compiles its patterns, deprecated spellings among them.
///
/// # Errors
/// The first [`GrantRefusal`].
pub fn patterns(spec: &GrantSpec, system: bool) -> Result<Vec<Pattern>, GrantRefusal> {
    let subjects: Vec<Subject> =
        spec.subjects.iter().map(|subject| subject.parse()).collect::<Result<_, _>>().map_err(GrantRefusal::Subject)?;
    if !system {
        let reserved = [
            (spec.role != Role::User, "role"),
            (spec.register, "register"),
            (spec.read_metrics, "readMetrics"),
            (subjects.iter().any(|subject| matches!(subject, Subject::Tenant(_))), "subject \"tenant:\""),
        ];
        if let Some((_, what)) = reserved.into_iter().find(|(used, _)| *used) {
            return Err(GrantRefusal::NotAllowedHere(what));
        }
    }
    let mut all = Vec::new();
    for (field, entries, category) in [
        ("spec.connectors", &spec.connectors, None),
        ("spec.mcpTools", &spec.mcp_tools, Some("tools")),
        ("spec.mcpResources", &spec.mcp_resources, Some("resources")),
        ("spec.mcpTemplates", &spec.mcp_templates, Some("templates")),
    ] {
        for entry in entries {
            let text = match (category, entry.split_once('/')) {
                (Some(category), Some((id, rest))) => format!("{id}/{category}/{rest}"),
                _ => entry.clone(),
            };
            all.push(text.parse().map_err(|source| GrantRefusal::Pattern { field, source })?);
        }
    }
    Ok(all)
}

/// The fields of a Grant that are spelled in a deprecated way.
fn deprecated(spec: &GrantSpec) -> Vec<&'static str> {
    let fields =
        [("mcpTools", &spec.mcp_tools), ("mcpResources", &spec.mcp_resources), ("mcpTemplates", &spec.mcp_templates)];
    fields.into_iter().filter(|(_, entries)| !entries.is_empty()).map(|(name, _)| name).collect()
}

/// The status of now.
#[must_use]
pub fn status(grant: &Grant, system_namespace: &str, targets: &[Target], now: &Time) -> GrantStatus {
    let namespace = grant.metadata.namespace.as_deref().unwrap_or_default();
    let system = namespace == system_namespace;
    let compiled = patterns(&grant.spec, system);
    let (verdict, reason, message) = match &compiled {
        Ok(_) => (Verdict::True, reasons::ACCEPTED, deprecation(&grant.spec)),
        Err(refusal) => (Verdict::False, refusal.reason(), refusal.to_string()),
    };
    let mut matched: Vec<String> = targets
        .iter()
        .filter(|target| system || target.namespace == namespace)
        .filter(|target| compiled.iter().flatten().any(|pattern| pattern.concerns(&target.id, &target.labels)))
        .map(|target| target.id.to_string())
        .collect();
    matched.sort();
    matched.dedup();
    matched.truncate(MAX_MATCHED);
    let generation = grant.metadata.generation;
    let accepted = condition(types::ACCEPTED, verdict, reason, &message, generation, now.clone());
    let old = grant.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    GrantStatus {
        observed_generation: generation,
        matched_connectors: matched,
        conditions: settle(old, vec![accepted]),
    }
}

fn deprecation(spec: &GrantSpec) -> String {
    match deprecated(spec).as_slice() {
        [] => String::new(),
        fields => format!("{} deprecated: use `connectors` with <id>/<category>/<name>", fields.join(", ")),
    }
}

fn unchanged(old: Option<&GrantStatus>, new: &GrantStatus) -> bool {
    old.is_some_and(|old| {
        old.observed_generation == new.observed_generation
            && old.matched_connectors == new.matched_connectors
            && same(&old.conditions, &new.conditions)
    })
}

/// What somebody may want to know about the change.
fn notice(grant: &Grant, new: &GrantStatus) -> Option<Notice> {
    let before = grant.status.as_ref().and_then(|status| status.conditions.first());
    let now = new.conditions.first()?;
    if before.is_some_and(|before| {
        before.status == now.status && before.reason == now.reason && before.message == now.message
    }) {
        return None;
    }
    match now.status.as_str() {
        "True" if now.message.is_empty() => None,
        "True" => Some(events::event(true, "DeprecatedField", "Reconcile", &now.message)),
        _ => Some(events::event(true, &now.reason, "Reconcile", &now.message)),
    }
}

/// Keeps the statuses until the token is cancelled.
pub async fn run(context: Arc<Context>, stop: CancellationToken) {
    let mut again = false;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = context.grants.notified() => {}
            () = tokio::time::sleep(AGAIN), if again => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PERIOD) => {}
        }
        again = false;
        let names = context.names.load_full();
        let targets = targets(&context);
        let now = Time(Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_else(|_| Timestamp::now()));
        for held in context.stores.grants.all() {
            if let Err(error) = look(&context, &held, &names.system_namespace, &targets, &now).await {
                tracing::warn!(%error, grant = meta(&held).name.as_deref(), "a Grant's status could not be written");
                again = true;
            }
        }
    }
}

/// Connectors that hold the id they claim.
fn targets(context: &Context) -> Vec<Target> {
    let mut targets = Vec::new();
    for connector in context.stores.connectors.all() {
        let name = connector.metadata.name.as_deref().and_then(|name| ConnectorName::parse(name).ok());
        let id = name.and_then(|name| effective_id(connector.spec.id.as_deref(), &name).ok());
        let key = crate::stores::Key::of(&connector.metadata);
        if let Some(id) = id.filter(|_| context.stores.connectors.older_rival(&key).is_none()) {
            targets.push(Target { namespace: key.namespace.to_string(), id, labels: connector.spec.labels.clone() });
        }
    }
    targets
}

async fn look(context: &Context, held: &Held, system: &str, targets: &[Target], now: &Time) -> Result<(), kube::Error> {
    match held {
        Ok(grant) => {
            let new = status(grant, system, targets, now);
            if unchanged(grant.status.as_ref(), &new) {
                return Ok(());
            }
            write(context, &grant.metadata, &new).await?;
            if let Some(notice) = notice(grant, &new) {
                context.events.publish(notice, "Grant", &grant.metadata);
            }
            Ok(())
        }
        Err((meta, error)) => {
            tracing::warn!(grant = meta.name.as_deref(), %error, "a Grant cannot be read");
            Ok(())
        }
    }
}

async fn write(context: &Context, meta: &ObjectMeta, status: &GrantStatus) -> Result<(), kube::Error> {
    let (namespace, name) = (meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default());
    let api: Api<DeserializeGuard<Grant>> = Api::namespaced(context.client.clone(), namespace);
    let body = json!({
        "apiVersion": "aperium.dev/v1alpha1", "kind": "Grant",
        "metadata": {"name": name, "namespace": namespace, "uid": meta.uid},
        "status": status,
    });
    context.metrics.write("grants/status", "apply");
    match api.patch_status(name, &PatchParams::apply(STATUS_MANAGER).force(), &Patch::Apply(&body)).await {
        Ok(written) => {
            context.stores.grants.offer(written);
            Ok(())
        }
        Err(kube::Error::Api(answer)) if matches!(answer.code, 404 | 409) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(namespace: &str, spec: &serde_json::Value) -> Grant {
        serde_json::from_value(json!({
            "apiVersion": "aperium.dev/v1alpha1", "kind": "Grant",
            "metadata": {"name": "g", "namespace": namespace, "generation": 3}, "spec": spec,
        }))
        .unwrap()
    }

    fn target(namespace: &str, id: &str, labels: &[&str]) -> Target {
        Target {
            namespace: namespace.to_owned(),
            id: ConnectorId::parse(id).unwrap(),
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        }
    }

    fn of(grant: &Grant) -> GrantStatus {
        let targets = [target("sys", "odoo", &["erp"]), target("team", "slack", &[]), target("team", "odooTest", &[])];
        status(grant, "sys", &targets, &Time(Timestamp::UNIX_EPOCH))
    }

    #[test]
    fn in_the_system_namespace_a_grant_reaches_every_namespace_and_elsewhere_its_own() {
        let spec = json!({"subjects": ["*"], "connectors": ["**"]});
        assert_eq!(of(&grant("sys", &spec)).matched_connectors, ["odoo", "odooTest", "slack"]);
        assert_eq!(of(&grant("team", &spec)).matched_connectors, ["odooTest", "slack"]);
        let label = json!({"subjects": ["*"], "connectors": ["label:erp"]});
        assert_eq!(of(&grant("sys", &label)).matched_connectors, ["odoo"]);
        assert!(of(&grant("team", &label)).matched_connectors.is_empty());
    }

    #[test]
    fn what_counts_in_the_system_namespace_only_is_refused_elsewhere() {
        for spec in [
            json!({"subjects": ["user:a@b.c"], "role": "admin"}),
            json!({"subjects": ["user:a@b.c"], "role": "auditor"}),
            json!({"subjects": ["user:a@b.c"], "register": true}),
            json!({"subjects": ["user:a@b.c"], "readMetrics": true}),
            json!({"subjects": ["tenant:acme"], "connectors": ["**"]}),
        ] {
            assert_eq!(of(&grant("team", &spec)).conditions[0].reason, "NotAllowedHere", "{spec}");
            assert_eq!(of(&grant("sys", &spec)).conditions[0].status, "True", "{spec}");
        }
    }

    #[test]
    fn deprecated_spellings_are_folded_and_said() {
        let grant = grant(
            "sys",
            &json!({"subjects": ["*"], "mcpTools": ["odoo/search_*"], "mcpResources": ["slack/file:///a"]}),
        );
        let status = of(&grant);
        assert_eq!(status.matched_connectors, ["odoo", "slack"]);
        let notice = notice(&grant, &status).unwrap();
        assert_eq!((notice.reason.as_str(), notice.warning), ("DeprecatedField", true));
        assert!(notice.note.contains("mcpTools, mcpResources"), "{}", notice.note);
    }

    #[test]
    fn a_malformed_pattern_is_refused_and_reaches_nothing() {
        let status = of(&grant("sys", &json!({"subjects": ["*"], "connectors": ["**", "odoo/[a]/x"]})));
        assert_eq!(status.conditions[0].reason, "Invalid");
        assert!(status.matched_connectors.is_empty());
    }

    #[test]
    fn a_status_that_says_the_same_is_not_written_again() {
        let mut grant = grant("sys", &json!({"subjects": ["*"], "connectors": ["**"]}));
        let status = of(&grant);
        assert!(!unchanged(None, &status));
        grant.status = Some(status.clone());
        assert!(unchanged(grant.status.as_ref(), &of(&grant)));
        assert!(notice(&grant, &status).is_none());
    }
}
