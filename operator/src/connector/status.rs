//! What was found, applied and observed → the Connector's status and its conditions. Pure; [`super::report`] writes.

use super::apply::ApplyError;
use super::dereference::{Referenced, SecretState};
use super::observe::{Observed, Rollout};
use super::plan::{Applied, Plan};
use super::validate::{Refusal, ValidatedConnector};
use crate::names::{Names, SHARED_TOKEN_POLICY};
use crate::readiness::{Answer, Seen};
use aperium_crds::condition::{Verdict, condition, reasons, same, settle, types};
use aperium_crds::connector::Tools;
use aperium_crds::{Connector, ConnectorStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// The conditions that the operator writes. Others belong to whoever verified them.
const OURS: [&str; 8] = [
    types::ACCEPTED,
    types::RESOLVED_REFS,
    types::AVAILABLE,
    types::CREDENTIALS_AVAILABLE,
    types::TOOLS_DISCOVERED,
    types::INVENTORY_MATCHES,
    types::RANGES_UNKNOWN,
    types::READY,
];

/// How a reconcile ended.
#[derive(Debug)]
pub enum Outcome<'a> {
    /// The spec is not taken.
    Refused(&'a Refusal),
    /// The spec is taken, and cannot be carried out.
    Failed(&'a ValidatedConnector<'a>, &'a Referenced, &'a ApplyError),
    /// Everything is applied. Only a plan that was applied can say so.
    Applied(&'a ValidatedConnector<'a>, &'a Referenced, &'a Plan<Applied>, &'a Observed),
}

/// One condition before it is settled against the old ones.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Said {
    kind: &'static str,
    verdict: Verdict,
    reason: String,
    message: String,
}

fn said(kind: &'static str, verdict: Verdict, reason: &str, message: impl Into<String>) -> Said {
    Said { kind, verdict, reason: reason.to_owned(), message: message.into() }
}

/// The operator's part of a status.
#[must_use]
pub fn ours(status: Option<&ConnectorStatus>) -> ConnectorStatus {
    let mut status = status.cloned().unwrap_or_default();
    status.conditions.retain(|condition| OURS.contains(&condition.type_.as_str()));
    status
}

/// Whether two statuses say the same, whatever their times.
#[must_use]
pub fn unchanged(old: &ConnectorStatus, new: &ConnectorStatus) -> bool {
    let plain = |status: &ConnectorStatus| ConnectorStatus { conditions: Vec::new(), ..status.clone() };
    plain(old) == plain(new) && same(&old.conditions, &new.conditions)
}

/// The status of now. Conditions of an earlier generation stay where this reconcile learned nothing about them.
#[must_use]
pub fn of(names: &Names, connector: &Connector, outcome: &Outcome<'_>, now: &Time) -> ConnectorStatus {
    let old = ours(connector.status.as_ref());
    let mut status = old.clone();
    status.observed_generation = connector.metadata.generation;
    let mut news = match outcome {
        Outcome::Refused(refusal) => {
            vec![said(types::ACCEPTED, Verdict::False, refusal.reason(), refusal.to_string())]
        }
        Outcome::Failed(valid, found, error) => {
            status.id = Some(valid.id().to_string());
            let failed = said(types::AVAILABLE, Verdict::False, error.reason(), error.to_string());
            vec![accepted(valid), resolved(found), failed]
        }
        Outcome::Applied(valid, found, _, observed) => {
            describe(&mut status, names, valid, observed);
            let mut all = vec![accepted(valid), resolved(found), available(valid, observed)];
            all.extend(told_by_pods(valid, observed));
            all.extend(inventory(&valid.spec.tools, observed));
            all.extend((!names.ranges_known).then(ranges_unknown));
            status.conditions.clear();
            all
        }
    };
    news.push(ready(&news));
    let generation = connector.metadata.generation;
    let news: Vec<Condition> = news
        .iter()
        .map(|said| condition(said.kind, said.verdict, &said.reason, &said.message, generation, now.clone()))
        .collect();
    status.conditions.retain(|kept| !news.iter().any(|new| new.type_ == kept.type_));
    status.conditions.extend(settle(&old.conditions, news));
    status.conditions.sort_by_key(|condition| OURS.iter().position(|kind| *kind == condition.type_));
    status
}

fn describe(status: &mut ConnectorStatus, names: &Names, valid: &ValidatedConnector<'_>, observed: &Observed) {
    status.id = Some(valid.id().to_string());
    status.url = Some(names.service_url(&valid.name, valid.namespace, valid.port));
    status.selector = Some(Names::selector_text(&valid.name));
    status.replicas = Some(observed.deployment.as_ref().map_or(0, |rollout| rollout.replicas));
    let answer = observed.pods.as_ref().and_then(|pods| pods.answer.as_ref()).filter(|_| !valid.spec.suspend);
    status.tools = answer.and_then(|answer| answer.tools);
    status.tools_digest = answer.and_then(|answer| answer.tools_digest.clone());
}

/// Only there while it is so; `Ready` does not depend on it.
fn ranges_unknown() -> Said {
    let message = "private addresses are closed: set egress.clusterRanges in the settings";
    said(types::RANGES_UNKNOWN, Verdict::True, types::RANGES_UNKNOWN, message)
}

fn accepted(valid: &ValidatedConnector<'_>) -> Said {
    let unknown = if valid.spec.suspend { "the Connector is suspended" } else { "" };
    said(types::ACCEPTED, Verdict::True, reasons::ACCEPTED, unknown)
}

fn resolved(found: &Referenced) -> Said {
    let unusable = [(found.token, &found.secrets.0), (found.credentials, &found.secrets.1)];
    for (state, name) in unusable {
        let name = name.as_deref().unwrap_or_default();
        match state {
            Some(SecretState::Missing) => {
                let message = format!("Secret {name} does not exist");
                return said(types::RESOLVED_REFS, Verdict::False, reasons::SECRET_NOT_FOUND, message);
            }
            Some(SecretState::NotPermitted) => {
                let message =
                    format!("Secret {name} does not carry the label connector.aperium.dev/<connector>: \"true\"");
                return said(types::RESOLVED_REFS, Verdict::False, reasons::REF_NOT_PERMITTED, message);
            }
            Some(SecretState::Usable) | None => {}
        }
    }
    if !found.sharing.is_empty() {
        let others = found.sharing.iter().take(8).map(|key| key.name.to_string()).collect::<Vec<_>>().join(", ");
        let secret = found.secrets.0.as_deref().unwrap_or_default();
        let message =
            format!("token Secret {secret} is shared with {others} and has no annotation {SHARED_TOKEN_POLICY}");
        return said(types::RESOLVED_REFS, Verdict::True, SHARED_TOKEN, message);
    }
    said(types::RESOLVED_REFS, Verdict::True, reasons::RESOLVED_REFS, "")
}

/// Reason of `ResolvedRefs` where a token is shared without a documented policy: it works, and somebody should act.
pub const SHARED_TOKEN: &str = "SharedTokenWithoutPolicy";

fn available(valid: &ValidatedConnector<'_>, observed: &Observed) -> Said {
    let say = |verdict, reason: &str, message: String| said(types::AVAILABLE, verdict, reason, message);
    if valid.spec.suspend {
        return say(Verdict::False, reasons::SUSPENDED, "the Connector is suspended: it has no pods".to_owned());
    }
    match &observed.deployment {
        Some(Rollout { observed: true, available: Some((true, reason, _)), replicas, .. }) if *replicas > 0 => {
            say(Verdict::True, reason, String::new())
        }
        Some(Rollout { observed: true, available: Some((true, ..)), .. }) => {
            say(Verdict::False, "NoReplicas", "the Connector is scaled to 0".to_owned())
        }
        Some(Rollout { observed: true, available: Some((false, reason, _)), ready, replicas }) => {
            let failing = failing_checks(observed.pods.as_ref());
            say(Verdict::False, reason, format!("{ready} of {replicas} pods are ready{failing}"))
        }
        _ => say(Verdict::Unknown, reasons::PENDING, "the Deployment was applied and has no status yet".to_owned()),
    }
}

/// `: /readyz: credentials: AuthFailed: …` for the first failing check.
fn failing_checks(pods: Option<&Seen>) -> String {
    match pods {
        Some(Seen { answer: Some(answer), .. }) => answer
            .failing()
            .map(|(name, check)| format!(": /readyz: {name}: {}: {}", check.reason, check.message))
            .unwrap_or_default(),
        Some(Seen { error: Some(error), .. }) => format!(": {error}"),
        _ => String::new(),
    }
}

/// What only the pods know: whether the credentials work and the tools are there.
fn told_by_pods(valid: &ValidatedConnector<'_>, observed: &Observed) -> Vec<Said> {
    let both = |verdict, reason: &str, message: &str| {
        vec![
            said(types::CREDENTIALS_AVAILABLE, verdict, reason, message),
            said(types::TOOLS_DISCOVERED, verdict, reason, message),
        ]
    };
    if valid.spec.suspend {
        return both(Verdict::Unknown, reasons::SUSPENDED, "the Connector is suspended");
    }
    match &observed.pods {
        None => both(Verdict::Unknown, reasons::PENDING, "no pod was asked yet"),
        Some(Seen { answer: None, error, .. }) => {
            both(Verdict::Unknown, "PodUnreachable", error.as_deref().unwrap_or("no pod answers /readyz"))
        }
        Some(Seen { answer: Some(answer), .. }) => vec![
            // The token is a credential too: without it nobody can call the service.
            from_checks(types::CREDENTIALS_AVAILABLE, answer, &["authToken", "credentials"]),
            from_checks(types::TOOLS_DISCOVERED, answer, &["toolDiscovery"]),
        ],
    }
}

fn from_checks(kind: &'static str, answer: &Answer, names: &[&str]) -> Said {
    for name in names {
        match answer.checks.get(*name) {
            None => return said(kind, Verdict::Unknown, "NotReported", format!("/readyz says nothing about {name}")),
            Some(check) if !check.ok => {
                return said(kind, Verdict::False, &check.reason, format!("/readyz: {name}: {}", check.message));
            }
            Some(_) => {}
        }
    }
    said(kind, Verdict::True, "Ok", "")
}

/// Only where an inventory is expected.
fn inventory(expected: &Tools, observed: &Observed) -> Option<Said> {
    if expected.expected.is_empty() && expected.expected_digest.is_none() {
        return None;
    }
    let say = |verdict, reason: &str, message: String| Some(said(types::INVENTORY_MATCHES, verdict, reason, message));
    let answer = observed.pods.as_ref().and_then(|pods| pods.answer.as_ref());
    let Some(answer) = answer.filter(|answer| answer.tools.is_some()) else {
        return say(Verdict::Unknown, reasons::PENDING, "the tools are not discovered yet".to_owned());
    };
    let found = answer.tools.unwrap_or_default();
    let wanted = i32::try_from(expected.expected.len()).unwrap_or(i32::MAX);
    if wanted > 0 && found != wanted {
        return say(Verdict::False, "CountDiffers", format!("{wanted} tools are expected, {found} were discovered"));
    }
    let names = crate::readiness::names_digest(&expected.expected);
    if wanted > 0 && answer.names_digest.as_ref().is_some_and(|digest| *digest != names) {
        return say(Verdict::False, "NamesDiffer", "the names of the tools are not those of tools.expected".to_owned());
    }
    match &expected.expected_digest {
        Some(digest) if answer.tools_digest.as_ref() != Some(digest) => {
            let found = answer.tools_digest.as_deref().unwrap_or("none");
            say(Verdict::False, "DigestDiffers", format!("the digest of the tools is {found}"))
        }
        _ => say(Verdict::True, "Matches", String::new()),
    }
}

/// Everything that must hold, holds; else the first that does not.
fn ready(all: &[Said]) -> Said {
    let blocking = |wanted: fn(Verdict) -> bool| all.iter().find(|said| wanted(said.verdict));
    let first =
        blocking(|verdict| verdict == Verdict::False).or_else(|| blocking(|verdict| verdict == Verdict::Unknown));
    match first {
        None => said(types::READY, Verdict::True, reasons::READY, ""),
        Some(first) => {
            let message = if first.message.is_empty() {
                first.kind.to_owned()
            } else {
                format!("{}: {}", first.kind, first.message)
            };
            said(types::READY, Verdict::False, &first.reason, message)
        }
    }
}

#[cfg(test)]
mod tests;
