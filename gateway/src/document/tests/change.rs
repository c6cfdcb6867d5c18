//! Connectors and Grants of a document, changed one by one in its text.

use super::store::bed;
use crate::catalog::ResourceKey;
use crate::writer::{Change, Kind, Object, WriteError};
use aperium_crds::structural;
use serde_json::{Value, json};

const TEXT: &str = r#"{
  // by hand
  "flags": {"connectors": {"value": true}},
  "mcp": {"servers": {"old": {"url": "https://old.example"}}},
  "connectors": {"servers": {
    "jira": {"protocol": "http", "url": "https://jira.example", "auth": {"type": "basic", "username": "bob", "password": "hunter2"}},
  }},
  "grants": [
    {"src": ["ann@example.com"], "app": {"tailscale.com/cap/aperture": [{"role": "admin"}, {"connectors": ["**"]}]}},
    {"src": ["group:ops"], "app": {"tailscale.com/cap/aperture": [{"connectors": ["jira/proxy"]}]}}, // ops
  ],
}"#;

fn change(kind: Kind, name: &str, version: Option<&str>, spec: Option<&Value>) -> Change {
    let object = spec.map(|spec| {
        let manifest = json!({ "apiVersion": "aperium.dev/v1alpha1", "kind": kind.as_str(), "metadata": { "name": name }, "spec": spec });
        match kind {
            Kind::Connector => Object::Connector(Box::new(structural::connector(&manifest).unwrap())),
            Kind::Grant => Object::Grant(Box::new(structural::grant(&manifest).unwrap())),
        }
    });
    let key = ResourceKey { namespace: "system".into(), name: name.into() };
    Change { kind, key, version: version.map(str::to_owned), object }
}

#[test]
fn a_connector_keeps_its_secret_and_moves_out_of_the_older_section() {
    let bed = bed(TEXT);
    let version = |name: &str| {
        let resources = bed.store.current().reading.folder.resources.clone();
        resources
            .connectors
            .iter()
            .find(|c| c.metadata.name.as_deref() == Some(name))
            .and_then(|c| c.metadata.resource_version.clone())
    };
    let spec = json!({
        "protocol": "http", "url": "https://jira.example", "description": "new",
        "auth": { "type": "basic", "basic": { "secretRef": { "name": "jira-auth" } } },
    });
    let stale = bed.store.write(&change(Kind::Connector, "jira", Some("x"), Some(&spec)));
    assert!(matches!(stale, Err(WriteError::Stale)));
    bed.store.write(&change(Kind::Connector, "jira", version("jira").as_deref(), Some(&spec))).unwrap();
    let text = std::fs::read_to_string(&bed.path).unwrap();
    assert!(
        text.contains("hunter2") && text.contains("\"bob\"") && text.contains("\"new\"") && text.contains("// by hand"),
        "{text}"
    );
    // Elsewhere the secret must be given again.
    let mut moved = spec;
    moved["url"] = json!("https://evil.example");
    let refused =
        bed.store.write(&change(Kind::Connector, "jira", version("jira").as_deref(), Some(&moved))).unwrap_err();
    assert!(refused.to_string().contains("must be given again"), "{refused}");
    let spec = json!({ "protocol": "mcp", "url": "https://old.example", "labels": ["x"] });
    bed.store.write(&change(Kind::Connector, "old", version("old").as_deref(), Some(&spec))).unwrap();
    let text = std::fs::read_to_string(&bed.path).unwrap();
    assert!(text.contains("\"mcp\": {\"servers\": {}}") && text.contains("\"labels\""), "{text}");
    bed.store.write(&change(Kind::Connector, "old", version("old").as_deref(), None)).unwrap();
    assert!(matches!(bed.store.write(&change(Kind::Connector, "old", None, None)), Err(WriteError::Missing)));
}

#[test]
fn a_grant_is_changed_where_it_stands() {
    let bed = bed(TEXT);
    let version = |name: &str| {
        let resources = bed.store.current().reading.folder.resources.clone();
        resources
            .grants
            .iter()
            .find(|g| g.metadata.name.as_deref() == Some(name))
            .and_then(|g| g.metadata.resource_version.clone())
    };
    let write =
        |name: &str, spec: Option<&Value>| bed.store.write(&change(Kind::Grant, name, version(name).as_deref(), spec));
    write("grant-2-1", Some(&json!({ "subjects": ["group:dev"], "connectors": ["jira/**"] }))).unwrap();
    // One of several capabilities of an entry; its subjects are those of the others.
    write("grant-1-2", Some(&json!({ "subjects": ["user:ann@example.com"], "connectors": ["old/**"] }))).unwrap();
    let shared = write("grant-1-2", Some(&json!({ "subjects": ["*"], "connectors": ["**"] }))).unwrap_err();
    assert!(shared.to_string().contains("shares its subjects"), "{shared}");
    write("extra", Some(&json!({ "subjects": ["tag:ci"], "register": true }))).unwrap();
    let text = std::fs::read_to_string(&bed.path).unwrap();
    assert!(
        text.contains("group:dev") && text.contains("old/**") && text.contains("\"extra\"") && text.contains("// ops"),
        "{text}"
    );
    write("extra", None).unwrap();
    write("grant-2-1", None).unwrap();
    write("grant-1-2", None).unwrap();
    let grants = bed.store.current().reading.folder.resources.grants.clone();
    assert_eq!(grants.len(), 1);
    // The last admin stays.
    assert!(write("grant-1-1", None).unwrap_err().to_string().contains("role:admin"));
    assert!(matches!(write("none", None), Err(WriteError::Missing)));
}
