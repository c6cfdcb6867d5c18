use super::*;
use crate::discovery::list::Listing;
use crate::discovery::pulse::Pulse;
use crate::fixtures;
use crate::metrics::Metrics;
use crate::pipeline::credential::Credential;
use crate::pipeline::upstream::link::Link;
use crate::pipeline::upstream::{Limits, Upstream};
use crate::snapshot::{Kind, Offers};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;

fn connector(tools: &Value) -> Connector {
    let spec = json!({ "protocol": "mcp", "url": "https://example.com/mcp", "tools": tools });
    serde_json::from_value(json!({ "apiVersion": "aperium.dev/v1alpha1", "kind": "Connector", "metadata": { "name": "odoo", "generation": 3 }, "spec": spec })).unwrap()
}

fn entry(health: Health, definitions: &[&str]) -> Entry {
    let mut listing = Listing::default();
    *listing.lists.of_mut(Kind::Tools) = definitions.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
    let config = fixtures::remote("odoo");
    Entry {
        upstream: Upstream::new(Link::Absent(String::new()), Limits { max_answer: 1, max_tools: 1 }),
        credential: Credential::Nothing,
        people: None,
        offers: Arc::new(Offers::build(&config, &listing)),
        meter: Metrics::new().meter("odoo"),
        pulse: Pulse::new(),
        config,
        health,
    }
}

fn at(second: i64) -> Time {
    Time(Timestamp::from_second(second).unwrap())
}

fn said(status: &ConnectorStatus) -> Vec<(&str, &str, &str)> {
    status.conditions.iter().map(|c| (c.type_.as_str(), c.status.as_str(), c.reason.as_str())).collect()
}

#[test]
fn a_registered_connector_is_ready_with_its_tools() {
    let status = of(&connector(&json!({})), Some(&entry(Health::Registered, &[r#"{"name":"a"}"#])), None, &at(1));
    assert_eq!(
        said(&status),
        [("Accepted", "True", "Accepted"), ("ToolsDiscovered", "True", "Discovered"), ("Ready", "True", "Ready")]
    );
    assert_eq!((status.id.as_deref(), status.tools, status.observed_generation), (Some("odoo"), Some(1), Some(3)));
    assert!(status.tools_digest.unwrap().starts_with("sha256:"));
    assert_eq!(status.url.as_deref(), Some("https://example.com/mcp"));
}

#[test]
fn an_http_connector_is_ready_without_tools() {
    let mut entry = entry(Health::Registered, &[]);
    entry.config.protocol = Protocol::Http;
    let status = of(&connector(&json!({})), Some(&entry), None, &at(1));
    assert_eq!(said(&status), [("Accepted", "True", "Accepted"), ("Ready", "True", "Ready")]);
    assert_eq!((status.tools, status.tools_digest), (None, None));
}

#[test]
fn what_is_wrong_is_said_in_ready_too() {
    let down = Health::Unavailable {
        reason: "ConnectFailed",
        outside: "x".into(),
        inside: "cannot connect to example.com:443".into(),
    };
    let status = of(&connector(&json!({})), Some(&entry(down, &[])), None, &at(1));
    assert_eq!(
        said(&status)[1..],
        [("ToolsDiscovered", "False", "ConnectFailed"), ("Ready", "False", "ConnectFailed")]
    );
    assert_eq!((status.tools, status.tools_digest), (Some(0), None));
    let refused = Refused { reason: reasons::UNSUPPORTED_VALUE, message: "no".into() };
    let status = of(&connector(&json!({})), None, Some(&refused), &at(1));
    assert_eq!(said(&status), [("Accepted", "False", "UnsupportedValue"), ("Ready", "False", "UnsupportedValue")]);
    let suspended = Refused { reason: reasons::SUSPENDED, message: "spec.suspend is set".into() };
    let status = of(&connector(&json!({})), None, Some(&suspended), &at(1));
    assert_eq!(said(&status), [("Accepted", "True", "Accepted"), ("Ready", "False", "Suspended")]);
}

#[test]
fn an_inventory_is_held_against_what_was_found() {
    let with = |tools: Value, found: &[&str]| {
        let status = of(&connector(&tools), Some(&entry(Health::Registered, found)), None, &at(1));
        let inventory = status.conditions.iter().find(|c| c.type_ == "InventoryMatches").unwrap().clone();
        (inventory.status, inventory.reason, inventory.message)
    };
    let (a, b) = (r#"{"name":"a"}"#, r#"{"name":"b"}"#);
    assert_eq!(with(json!({ "expected": ["a"] }), &[a]).0, "True");
    let (status, reason, message) = with(json!({ "expected": ["a", "c"] }), &[a, b]);
    assert_eq!((status.as_str(), reason.as_str()), ("False", "InventoryDiffers"));
    assert!(message.contains("missing: [c]") && message.contains("not expected: [b]"), "{message}");
    let digest = format!("sha256:{}", "0".repeat(64));
    assert_eq!(with(json!({ "expectedDigest": digest }), &[a]).1, "DigestDiffers");
}

#[test]
fn a_status_is_written_only_when_it_says_something_new() {
    let mut connector = connector(&json!({}));
    let first = of(&connector, Some(&entry(Health::Registered, &[])), None, &at(1));
    assert!(differs(None, &first));
    connector.status = Some(first.clone());
    let same = of(&connector, Some(&entry(Health::Registered, &[])), None, &at(99));
    assert!(!differs(connector.status.as_ref(), &same));
    assert_eq!(same.conditions, first.conditions, "the times of unchanged conditions stay");
    let more = of(&connector, Some(&entry(Health::Registered, &[r#"{"name":"a"}"#])), None, &at(99));
    assert!(differs(connector.status.as_ref(), &more));
}

#[test]
fn what_is_left_out_is_said_with_its_reason() {
    let bad = r#"{"name":"bad","inputSchema":{"properties":{"a":{"type":"number","x-mcp-header":"A"}}}}"#;
    let status = of(&connector(&json!({})), Some(&entry(Health::Registered, &[bad])), None, &at(1));
    let message = &status.conditions[1].message;
    assert!(message.starts_with("0 tools are listed; left out: bad (x-mcp-header"), "{message}");
}
