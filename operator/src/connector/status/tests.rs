use super::*;
use crate::connector::observe::Rollout;
use crate::fixtures::{connector, found, names, valid};
use crate::stores::Key;
use aperium_platform::probes::Check;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

fn now() -> Time {
    Time(Timestamp::from_second(1_000).unwrap())
}

fn rollout(available: bool, ready: i32) -> Rollout {
    let reason = if available { "MinimumReplicasAvailable" } else { "MinimumReplicasUnavailable" };
    Rollout { observed: true, replicas: 1, ready, available: Some((available, reason.to_owned(), String::new())) }
}

fn pods(checks: &[(&str, Check)]) -> Seen {
    let checks: std::collections::BTreeMap<String, Check> =
        checks.iter().map(|(name, check)| ((*name).to_owned(), check.clone())).collect();
    let ready = checks.values().all(|check| check.ok);
    let answer = Answer { ready, checks, tools: Some(15), tools_digest: None, names_digest: None };
    Seen { pods: 1, answer: Some(answer), error: None }
}

fn good() -> Seen {
    pods(&[("authToken", Check::ok("")), ("credentials", Check::ok("")), ("toolDiscovery", Check::ok(""))])
}

/// The status of an applied Connector, and its conditions as `Type=Status/Reason`.
fn applied(spec: Value, observed: &Observed, found_more: impl Fn(&mut Referenced)) -> (ConnectorStatus, Vec<String>) {
    let connector = connector(spec, json!({}));
    let mut found = found(&connector);
    found_more(&mut found);
    let names = names();
    let valid = valid(&names, &connector, &found).unwrap();
    let plan = super::super::plan::plan(&names, &valid).applied();
    let status = of(&names, &connector, &Outcome::Applied(&valid, &found, &plan, observed), &now());
    let said = status.conditions.iter().map(|c| format!("{}={}/{}", c.type_, c.status, c.reason)).collect();
    (status, said)
}

#[test]
fn when_everything_holds_the_connector_is_ready() {
    let observed = Observed { deployment: Some(rollout(true, 1)), pods: Some(good()) };
    let (status, said) = applied(json!({}), &observed, |_| {});
    assert_eq!(
        said,
        [
            "Accepted=True/Accepted",
            "ResolvedRefs=True/ResolvedRefs",
            "Available=True/MinimumReplicasAvailable",
            "CredentialsAvailable=True/Ok",
            "ToolsDiscovered=True/Ok",
            "Ready=True/Ready"
        ]
    );
    assert_eq!((status.id.as_deref(), status.tools, status.replicas), (Some("odoo"), Some(15), Some(1)));
    assert_eq!(status.observed_generation, Some(4));
    assert!(status.conditions.iter().all(|condition| condition.observed_generation == Some(4)));
}

#[test]
fn a_failing_check_of_the_pod_is_named_everywhere_it_matters() {
    let failing = pods(&[
        ("authToken", Check::ok("")),
        ("credentials", Check::failed("AuthFailed", "password refused")),
        ("toolDiscovery", Check::ok("")),
    ]);
    let observed = Observed { deployment: Some(rollout(false, 0)), pods: Some(failing) };
    let (status, said) = applied(json!({}), &observed, |_| {});
    assert!(said.contains(&"CredentialsAvailable=False/AuthFailed".to_owned()), "{said:?}");
    assert!(said.contains(&"ToolsDiscovered=True/Ok".to_owned()), "{said:?}");
    let ready = status.conditions.last().unwrap();
    assert!(ready.message.contains("credentials") && ready.message.contains("password refused"), "{}", ready.message);
    let missing = pods(&[("authToken", Check::failed("TokenMissing", "no file"))]);
    let observed = Observed { deployment: Some(rollout(false, 0)), pods: Some(missing) };
    let (_, said) = applied(json!({}), &observed, |_| {});
    assert!(said.contains(&"CredentialsAvailable=False/TokenMissing".to_owned()), "{said:?}");
    assert!(
        said.contains(&"ToolsDiscovered=Unknown/NotReported".to_owned()),
        "what a pod does not say is not so: {said:?}"
    );
}

#[test]
fn nothing_seen_is_unknown_and_never_ready() {
    let (_, said) = applied(json!({}), &Observed::default(), |_| {});
    assert_eq!(
        said[2..],
        [
            "Available=Unknown/Pending",
            "CredentialsAvailable=Unknown/Pending",
            "ToolsDiscovered=Unknown/Pending",
            "Ready=False/Pending"
        ]
    );
    let stale = Rollout { observed: false, ..rollout(true, 1) };
    let (_, said) = applied(json!({}), &Observed { deployment: Some(stale), pods: Some(good()) }, |_| {});
    assert_eq!(said[2], "Available=Unknown/Pending", "the status of an earlier spec says nothing of this one");
}

#[test]
fn a_suspended_connector_says_so() {
    let observed = Observed { deployment: Some(rollout(true, 0)), pods: Some(good()) };
    let (status, said) = applied(json!({"suspend": true}), &observed, |_| {});
    assert!(
        said.contains(&"Available=False/Suspended".to_owned()) && said.contains(&"Ready=False/Suspended".to_owned()),
        "{said:?}"
    );
    assert_eq!(status.tools, None);
}

#[test]
fn secrets_and_sharing_are_said() {
    let observed = Observed::default();
    let (status, said) = applied(json!({}), &observed, |found| {
        found.credentials = Some(SecretState::NotPermitted);
        found.secrets.1 = Some("creds".to_owned());
    });
    assert_eq!(said[1], "ResolvedRefs=False/RefNotPermitted");
    assert!(status.conditions[1].message.contains("creds"));
    let (status, said) = applied(json!({}), &observed, |found| found.sharing = vec![Key::new("team", "slack")]);
    assert_eq!(said[1], "ResolvedRefs=True/SharedTokenWithoutPolicy");
    assert!(status.conditions[1].message.contains("slack"));
}

#[test]
fn an_expected_inventory_is_compared() {
    let observed = |tools, names_digest| {
        let mut pods = good();
        let answer = pods.answer.as_mut().unwrap();
        answer.tools = tools;
        answer.names_digest = names_digest;
        Observed { deployment: Some(rollout(true, 1)), pods: Some(pods) }
    };
    let expected = json!({"tools": {"expected": ["a", "b"]}});
    let says = |observed: &Observed| applied(expected.clone(), observed, |_| {}).1[5].clone();
    assert_eq!(says(&observed(Some(3), None)), "InventoryMatches=False/CountDiffers");
    assert_eq!(says(&observed(Some(2), None)), "InventoryMatches=True/Matches");
    let digest = crate::readiness::names_digest(&["b".to_owned(), "a".to_owned()]);
    assert_eq!(says(&observed(Some(2), Some(digest))), "InventoryMatches=True/Matches");
    let other = crate::readiness::names_digest(&["a".to_owned(), "c".to_owned()]);
    assert_eq!(says(&observed(Some(2), Some(other))), "InventoryMatches=False/NamesDiffer");
    assert_eq!(says(&observed(None, None)), "InventoryMatches=Unknown/Pending");
    let digest = json!({"tools": {"expectedDigest": format!("sha256:{}", "a".repeat(64))}});
    assert_eq!(applied(digest, &observed(Some(2), None), |_| {}).1[5], "InventoryMatches=False/DigestDiffers");
}

#[test]
fn a_refusal_keeps_what_is_known_of_the_pods_and_is_not_ready() {
    let mut connector = connector(json!({"context": 5}), json!({}));
    let observed = Observed { deployment: Some(rollout(true, 1)), pods: Some(good()) };
    connector.status = Some(applied(json!({}), &observed, |_| {}).0);
    let names = names();
    let refusal = valid(&names, &connector, &found(&connector)).unwrap_err();
    let status = of(&names, &connector, &Outcome::Refused(&refusal), &Time(Timestamp::from_second(2_000).unwrap()));
    let get = |kind: &str| status.conditions.iter().find(|condition| condition.type_ == kind).unwrap();
    assert_eq!((get("Accepted").status.as_str(), get("Accepted").reason.as_str()), ("False", "Invalid"));
    assert_eq!(get("Ready").status, "False");
    assert_eq!(get("Available").status, "True", "what ran goes on running");
    assert_eq!(get("Ready").last_transition_time.0.as_second(), 2_000);
    assert_eq!(get("Available").last_transition_time.0.as_second(), 1_000);
}

#[test]
fn conditions_of_others_are_neither_kept_nor_compared() {
    let mut connector = connector(json!({}), json!({}));
    let theirs = condition(types::READ_VERIFIED, Verdict::True, "Read", "", None, now());
    connector.status = Some(ConnectorStatus { conditions: vec![theirs], ..ConnectorStatus::default() });
    assert!(ours(connector.status.as_ref()).conditions.is_empty());
}

#[test]
fn the_same_outcome_says_the_same_whatever_the_time() {
    let observed = Observed { deployment: Some(rollout(true, 1)), pods: Some(good()) };
    let status = applied(json!({}), &observed, |_| {}).0;
    let mut later = status.clone();
    later.conditions.iter_mut().for_each(|condition| condition.last_transition_time = Time(Timestamp::UNIX_EPOCH));
    assert!(unchanged(&status, &later));
    later.tools = Some(3);
    assert!(!unchanged(&status, &later));
}
