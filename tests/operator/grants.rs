//! The status of Grants.

use crate::bed::{Bed, condition, connector};

#[test]
fn a_grant_says_what_it_reaches_and_whether_it_counts() {
    let bed = Bed::new("grants");
    let team = bed.cluster.namespace("grants-team");
    bed.give_rights(team.name());
    let both = format!("{},{}", bed.name(), team.name());
    let _operator = bed.operator_with(&["--leader-elect", "false", "--namespaces", &both]);
    let grant = |name: &str, spec: &str| {
        format!("{{apiVersion: aperium.dev/v1alpha1, kind: Grant, metadata: {{name: {name}}}, spec: {{{spec}}}}}")
    };
    bed.apply(&connector("erp", ""));
    bed.cluster.apply_in(team.name(), &connector("chat", ""));
    bed.apply(&grant("all", "subjects: [\"*\"], connectors: [\"**\"]"));
    bed.eventually("grant", "all", "reaches both", |found| {
        found["status"]["matchedConnectors"] == serde_json::json!(["chat", "erp"])
    });
    bed.apply(&grant("old", "subjects: [\"*\"], mcpTools: [\"erp/search_*\"]"));
    let old = bed.eventually("grant", "old", "is accepted", |found| condition(found, "Accepted")["status"] == "True");
    assert_eq!(old["status"]["matchedConnectors"], serde_json::json!(["erp"]));
    assert!(condition(&old, "Accepted")["message"].as_str().unwrap().contains("mcpTools"));
    bed.cluster.apply_in(team.name(), &grant("admins", "subjects: [\"user:a@example.com\"], role: admin"));
    bed.cluster.apply_in(team.name(), &grant("own", "subjects: [\"*\"], connectors: [\"**\"]"));
    let in_team = |name: &str| bed.cluster.kubectl(&["--namespace", team.name(), "get", "grant", name, "-o", "json"]);
    let of = |name: &str, wanted: &str| {
        aperium_tests::wait::until_blocking(wanted, crate::bed::LIMIT, || {
            let found: serde_json::Value = serde_json::from_str(&in_team(name)).unwrap();
            (condition(&found, "Accepted")["reason"] == wanted).then_some(found)
        })
    };
    of("admins", "NotAllowedHere");
    assert_eq!(of("own", "Accepted")["status"]["matchedConnectors"], serde_json::json!(["chat"]));
    bed.kubectl(&["delete", "connector", "erp"]);
    bed.eventually("grant", "all", "reaches what is left", |found| {
        found["status"]["matchedConnectors"] == serde_json::json!(["chat"])
    });
}
