//! What is known of a remote Connector → its status. Pure.

use crate::catalog::Refused;
use crate::pipeline::credential::Condition as Credential;
use crate::snapshot::{Entry, Health, Kind};
use aperium_crds::condition::{self, Verdict, condition, reasons, types};
use aperium_crds::connector::Protocol;
use aperium_crds::{Connector, ConnectorStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use std::collections::BTreeSet;

/// A condition without its generation and time.
struct Said {
    kind: &'static str,
    verdict: Verdict,
    reason: &'static str,
    message: String,
}

/// The status of a Connector with a `url`.
pub(crate) fn of(
    connector: &Connector,
    entry: Option<&Entry>,
    refused: Option<&Refused>,
    now: &Time,
) -> ConnectorStatus {
    let mut said = vec![accepted(refused)];
    let mcp = entry.filter(|entry| entry.config.protocol == Protocol::Mcp);
    if let Some(entry) = entry {
        said.extend(references(entry));
        said.extend(credentials(entry));
    }
    if let Some(entry) = mcp {
        said.push(discovered(entry));
        said.extend(inventory(connector, entry));
    }
    said.push(ready(&said, refused));
    let generation = connector.metadata.generation;
    let conditions: Vec<Condition> = said
        .iter()
        .map(|said| condition(said.kind, said.verdict, said.reason, &said.message, generation, now.clone()))
        .collect();
    let before = connector.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let registered = mcp.filter(|entry| entry.registered());
    ConnectorStatus {
        id: entry.map(|entry| entry.config.id.to_string()),
        observed_generation: generation,
        url: connector.spec.url.clone().filter(|_| entry.is_some()),
        tools: mcp
            .map(|entry| if entry.registered() { i32::try_from(entry.tools().len()).unwrap_or(i32::MAX) } else { 0 }),
        tools_digest: registered.map(|entry| entry.tools().digest.clone()),
        conditions: condition::settle(before, conditions),
        ..ConnectorStatus::default()
    }
}

/// Whether it says something new. Times do not count.
pub(crate) fn differs(before: Option<&ConnectorStatus>, now: &ConnectorStatus) -> bool {
    before.is_none_or(|before| {
        let plain = |status: &ConnectorStatus| ConnectorStatus { conditions: Vec::new(), ..status.clone() };
        plain(before) != plain(now) || !condition::same(&before.conditions, &now.conditions)
    })
}

fn accepted(refused: Option<&Refused>) -> Said {
    let (verdict, reason, message) = match refused {
        Some(refused) if refused.reason != reasons::SUSPENDED => {
            (Verdict::False, refused.reason, refused.message.clone())
        }
        _ => (Verdict::True, reasons::ACCEPTED, "the Connector is served".to_owned()),
    };
    Said { kind: types::ACCEPTED, verdict, reason, message }
}

/// Whether the Secret that it refers to is there and may be used; nothing where it refers to none.
fn references(entry: &Entry) -> Option<Said> {
    let (verdict, reason, message) = match entry.credential.remote()?.condition() {
        Credential::Unresolved(why) if why.reason == reasons::PENDING => (Verdict::Unknown, why.reason, why.message),
        Credential::Unresolved(why) => (Verdict::False, why.reason, why.message),
        _ => (Verdict::True, reasons::RESOLVED_REFS, "the Secret is there and may be used".to_owned()),
    };
    Some(Said { kind: types::RESOLVED_REFS, verdict, reason, message })
}

/// Whether the credential works, as far as anything says so: a fixed one of an HTTP API is never tried by the gateway.
fn credentials(entry: &Entry) -> Option<Said> {
    let http = entry.config.protocol == Protocol::Http;
    let (verdict, reason, message) = match (entry.credential.remote()?.condition(), &entry.health) {
        (Credential::Failed(error), _) => (Verdict::False, error.reason(), error.to_string()),
        (Credential::Pending, _) => (Verdict::Unknown, reasons::PENDING, "no access token was fetched yet".to_owned()),
        (
            Credential::Inserted | Credential::Fetched,
            Health::Unavailable { reason: reason @ "AuthFailed", inside, .. },
        ) => (Verdict::False, *reason, inside.clone()),
        (Credential::Inserted | Credential::Fetched, Health::Registered) if !http => {
            (Verdict::True, "CredentialsAccepted", "the upstream accepts the credential".to_owned())
        }
        (Credential::Fetched, _) if http => (Verdict::True, "TokenFetched", "there is an access token".to_owned()),
        _ => return None,
    };
    Some(Said { kind: types::CREDENTIALS_AVAILABLE, verdict, reason, message })
}

fn discovered(entry: &Entry) -> Said {
    let (verdict, reason, message) = match &entry.health {
        Health::Pending => (Verdict::Unknown, reasons::PENDING, "not asked yet".to_owned()),
        Health::Unavailable { reason, inside, .. } => (Verdict::False, *reason, inside.clone()),
        Health::Registered => registered(entry),
    };
    Said { kind: types::TOOLS_DISCOVERED, verdict, reason, message }
}

fn registered(entry: &Entry) -> (Verdict, &'static str, String) {
    let mut listed = format!("{} tools are listed", entry.tools().len());
    if !entry.tools().malformed.is_empty() {
        let left_out = entry.tools().malformed.iter().take(16).map(|(name, why)| format!("{name} ({why})"));
        listed = format!("{listed}; left out: {}", left_out.collect::<Vec<_>>().join(", "));
    }
    let count = entry.offers.quarantined().count();
    if count == 0 {
        return (Verdict::True, "Discovered", listed);
    }
    let held = entry.offers.quarantined().take(16).map(|(kind, name, hash)| match kind {
        Kind::Tools => format!("{name} ({hash})"),
        kind => format!("{} {name} ({hash})", kind.noun()),
    });
    let held: Vec<String> = held.collect();
    let message =
        format!("{listed}; {count} are in quarantine because their texts carry hidden characters: {}", held.join(", "));
    (Verdict::True, "Quarantined", message)
}

fn inventory(connector: &Connector, entry: &Entry) -> Option<Said> {
    let expected = &connector.spec.tools;
    if (expected.expected.is_empty() && expected.expected_digest.is_none()) || !entry.registered() {
        return None;
    }
    let found: BTreeSet<&str> = entry.tools().iter().map(|tool| &*tool.name).collect();
    let wanted: BTreeSet<&str> = expected.expected.iter().map(String::as_str).collect();
    let names = |names: Vec<&&str>| names.into_iter().take(16).copied().collect::<Vec<_>>().join(", ");
    let (missing, surplus) = (names(wanted.difference(&found).collect()), names(found.difference(&wanted).collect()));
    let (verdict, reason, message) = if !wanted.is_empty() && (!missing.is_empty() || !surplus.is_empty()) {
        (Verdict::False, "InventoryDiffers", format!("missing: [{missing}]; not expected: [{surplus}]"))
    } else if expected.expected_digest.as_ref().is_some_and(|digest| *digest != entry.tools().digest) {
        (Verdict::False, "DigestDiffers", format!("the digest is {}", entry.tools().digest))
    } else {
        (Verdict::True, "InventoryMatches", "the tools are those that were expected".to_owned())
    };
    Some(Said { kind: types::INVENTORY_MATCHES, verdict, reason, message })
}

/// The first that does not hold says why.
fn ready(said: &[Said], refused: Option<&Refused>) -> Said {
    let (verdict, reason, message) = match (refused, said.iter().find(|said| said.verdict != Verdict::True)) {
        (Some(refused), _) => (Verdict::False, refused.reason, refused.message.clone()),
        (None, Some(open)) => (Verdict::False, open.reason, open.message.clone()),
        (None, None) => (Verdict::True, reasons::READY, "the Connector can be used".to_owned()),
    };
    Said { kind: types::READY, verdict, reason, message }
}

#[cfg(test)]
mod tests;
