use super::*;
use aperium_core::grant::Reach;
use aperium_crds::condition::reasons;
use aperium_crds::structural;
use serde_json::{Value, json};

fn connector(name: &str, extra: &Value) -> Arc<Connector> {
    let mut spec = json!({ "protocol": "mcp", "url": "https://example.com/mcp?x=1" });
    for (field, value) in extra.as_object().unwrap() {
        spec[field] = value.clone();
    }
    // Through serde alone: what a schema would refuse must be refused here as well.
    let manifest = json!({ "apiVersion": "aperium.dev/v1alpha1", "kind": "Connector", "metadata": { "name": name, "namespace": "system" }, "spec": spec });
    Arc::new(serde_json::from_value(manifest).unwrap())
}

fn build(connectors: Vec<Arc<Connector>>, grants: Vec<Arc<Grant>>) -> Catalog {
    Catalog::build(&Resources { connectors, grants }, Arc::default(), "system")
}

fn reason(name: &str, extra: &Value) -> &'static str {
    let catalog = build(vec![connector(name, extra)], Vec::new());
    assert!(catalog.connectors.is_empty());
    catalog.refused.values().next().unwrap().reason
}

#[test]
fn an_http_connector_is_served_at_its_base_url() {
    let catalog = build(
        vec![connector("github", &json!({ "protocol": "http", "url": "https://api.github.com/v3" }))],
        Vec::new(),
    );
    let config = &catalog.connectors[0];
    assert_eq!(config.protocol, Protocol::Http);
    assert_eq!(config.place, Place::Url("https://api.github.com/v3".parse().unwrap()));
}

#[test]
fn what_a_schema_would_have_caught_is_refused_all_the_same() {
    for (name, extra) in [
        ("a", json!({ "id": "tailscale" })),
        ("a", json!({ "id": "a-b" })),
        ("Bad_Name", json!({})),
        ("aperture", json!({})),
        ("a", json!({ "context": 5 })),
        ("a", json!({ "url": "ftp://example.com" })),
        ("a", json!({ "url": "https://user:secret@example.com" })),
        ("a", json!({ "url": "https://example.com/#x" })),
        ("a", json!({ "url": "nonsense" })),
        ("a", json!({ "service": { "module": "odoo" } })),
        ("a", json!({ "protocol": "http", "url": null, "service": { "module": "odoo" } })),
    ] {
        assert_eq!(reason(name, &extra), reasons::INVALID, "{name} {extra}");
    }
}

#[test]
fn a_suspended_connector_keeps_its_id_and_serves_nothing() {
    let old = connector("old", &json!({ "id": "erp", "suspend": true }));
    let young = connector("young", &json!({ "id": "ERP" }));
    let catalog = build(vec![young, old], Vec::new());
    assert!(catalog.connectors.is_empty());
    let reasons: Vec<&str> = catalog.refused.values().map(|refused| refused.reason).collect();
    assert_eq!(reasons, [reasons::SUSPENDED, reasons::CONFLICTED]);
}

#[test]
fn defaults_and_limits_reach_the_configuration() {
    let extra = json!({ "calls": { "timeoutSeconds": 7, "retryableReadTools": ["r"] }, "tools": { "hide": ["h"] } });
    let catalog = build(vec![connector("a-b", &extra)], Vec::new());
    let config = &catalog.connectors[0];
    assert_eq!((config.id.as_str(), config.prefixing), ("ab", Prefixing::Always));
    assert_eq!(
        (config.call_timeout, config.period, config.poll_timeout),
        (Duration::from_secs(7), Duration::from_secs(5), Duration::from_secs(4))
    );
    assert!(config.hide.contains("h") && config.retryable.contains("r"));
    assert_eq!(config.place, Place::Url("https://example.com/mcp?x=1".parse().unwrap()));
}

fn grant(namespace: &str, spec: &Value) -> Arc<Grant> {
    let manifest = json!({ "apiVersion": "aperium.dev/v1alpha1", "kind": "Grant", "metadata": { "name": "g", "namespace": namespace }, "spec": spec });
    Arc::new(structural::grant(&manifest).unwrap())
}

#[test]
fn outside_the_system_namespace_a_grant_gives_no_power() {
    let spec = json!({ "subjects": ["tenant:acme", "client:ci"], "role": "admin", "connectors": ["**"], "readMetrics": true, "register": true });
    let catalog = build(Vec::new(), vec![grant("team", &spec)]);
    let rule = &catalog.grants[0];
    assert_eq!(rule.reach, Reach::Namespace("team".into()));
    assert_eq!((rule.role, rule.read_metrics, rule.register), (aperium_core::grant::Role::User, false, false));
    assert_eq!(rule.subjects.len(), 1, "tenant: does not count there");
    let only_tenant = json!({ "subjects": ["tenant:acme"], "connectors": ["**"] });
    assert!(build(Vec::new(), vec![grant("team", &only_tenant)]).grants.is_empty());
    let system = build(Vec::new(), vec![grant("system", &spec)]);
    assert_eq!((&system.grants[0].reach, system.grants[0].subjects.len()), (&Reach::Everywhere, 2));
}

#[test]
fn deprecated_spellings_are_folded_and_a_malformed_grant_counts_for_nothing() {
    let spec = json!({ "subjects": ["*"], "mcpTools": ["odoo/search_*"], "mcpResources": ["local/files://x"] });
    let catalog = build(Vec::new(), vec![grant("system", &spec)]);
    let patterns: Vec<&str> = catalog.grants[0].patterns.iter().map(|pattern| pattern.as_str()).collect();
    assert_eq!(patterns, ["odoo/tools/search_*", "local/resources/files://x"]);
    let mut malformed = (*grant("system", &spec)).clone();
    malformed.spec.connectors = vec!["**".into(), "odoo/[x]/y".into()];
    assert!(build(Vec::new(), vec![Arc::new(malformed)]).grants.is_empty());
}
