use super::harness::*;
use serde_json::{Value, json};

async fn gateway(fake: &Fake) -> Gateway {
    Setup::default()
        .url("odoo", fake.address, &json!({ "labels": ["erp"], "tools": { "hide": ["drop"] } }))
        .url("hr", fake.address, &Value::Null)
        .grant("client:agent", &["odoo/tools/search_*"])
        .start()
        .await
}

const TOOLS: [&str; 3] = ["drop", "search_orders", "write_order"];

#[tokio::test]
async fn a_caller_sees_and_calls_what_is_granted_and_nothing_else() {
    let fake = Fake::stateless(&TOOLS).await;
    let gateway = gateway(&fake).await;
    assert_eq!(gateway.tools("/v1/mcp").await, ["odoo_search_orders"]);
    assert_eq!(gateway.tools("/v1/mcp/odoo").await, ["search_orders"]);
    let allowed = gateway.rpc("/v1/mcp", "tools/call", &json!({ "name": "odoo_search_orders" })).await;
    assert!(allowed["result"].is_object());
    assert_eq!(fake.count("tools/call"), 1);
}

#[tokio::test]
async fn m5_a_denied_tool_answers_exactly_as_an_unknown_one() {
    let fake = Fake::stateless(&TOOLS).await;
    let gateway = gateway(&fake).await;
    let ask = async |name: &str| {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": name } });
        let answer = gateway.post("/v1/mcp", &body.to_string()).await;
        let mut headers = answer.headers.clone();
        headers.remove("x-request-id");
        // The only thing that differs is the name, as it was sent.
        headers.remove("content-length");
        (answer.status, headers, answer.text.replace(name, "NAME"))
    };
    let unknown = ask("odoo_no_such_tool").await;
    assert!(unknown.2.contains("-32602") && unknown.2.contains("Unknown tool: NAME"));
    for denied in ["odoo_write_order", "odoo_drop", "hr_search_orders", "hr_nothing", "search_orders", "x_y"] {
        assert_eq!(ask(denied).await, unknown, "{denied}");
    }
    assert_eq!(fake.count("tools/call"), 0);
}

#[tokio::test]
async fn a_connector_without_a_grant_answers_like_one_that_is_not_there() {
    let fake = Fake::stateless(&TOOLS).await;
    let gateway = gateway(&fake).await;
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let mut unknown = gateway.post("/v1/mcp/nothere", list).await;
    let mut ungranted = gateway.post("/v1/mcp/hr", list).await;
    unknown.headers.remove("x-request-id");
    ungranted.headers.remove("x-request-id");
    assert_eq!(unknown.status, 404);
    assert_eq!(unknown, ungranted);
    assert_eq!(gateway.post("/v1/mcp/not-an-id", list).await.status, 404);
}

#[tokio::test]
async fn a_caller_whom_no_grant_matches_gets_403_whatever_it_asks() {
    let fake = Fake::stateless(&TOOLS).await;
    let gateway = gateway(&fake).await;
    for path in ["/v1/mcp", "/v1/mcp/odoo", "/v1/mcp/nothere"] {
        let answer =
            gateway.send(post_as("other-token", path, r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#)).await;
        assert_eq!(
            (answer.status, answer.text.as_str()),
            (403, r#"{"error":"access denied: no role granted"}"#),
            "{path}"
        );
    }
}

#[tokio::test]
async fn m5_labels_groups_and_revocation_count_at_once() {
    let fake = Fake::stateless(&TOOLS).await;
    let mut setup =
        Setup::default().url("odoo", fake.address, &json!({ "labels": ["erp"] })).grant("group:ops", &["label:erp"]);
    let connectors = setup.connectors.clone();
    let grants = std::mem::take(&mut setup.grants);
    setup.grants = grants.clone();
    let gateway = setup.start().await;
    assert_eq!(gateway.tools("/v1/mcp").await.len(), 3);
    let other: Vec<Value> = grants
        .iter()
        .cloned()
        .map(|mut grant| {
            grant["spec"]["connectors"] = json!(["odoo/tools/drop"]);
            grant
        })
        .collect();
    gateway.resources(&connectors, &other).await;
    gateway
        .until(|snapshot| snapshot.catalog.grants.iter().any(|rule| rule.patterns[0].as_str() == "odoo/tools/drop"))
        .await;
    assert_eq!(gateway.tools("/v1/mcp").await, ["odoo_drop"]);
    let revoked = gateway.rpc("/v1/mcp", "tools/call", &json!({ "name": "odoo_search_orders" })).await;
    assert_eq!(revoked["error"]["message"], "Unknown tool: odoo_search_orders");
    gateway.resources(&connectors, &[]).await;
    gateway.until(|snapshot| snapshot.catalog.grants.is_empty()).await;
    assert_eq!(gateway.post("/v1/mcp", "{}").await.status, 403);
}

#[tokio::test]
async fn a_grant_of_another_namespace_reaches_only_its_own_connectors() {
    let fake = Fake::stateless(&["echo"]).await;
    let mut setup = Setup::default()
        .url("odoo", fake.address, &Value::Null)
        .url("hr", fake.address, &Value::Null)
        .grant("client:agent", &["**"]);
    setup.connectors[1]["metadata"]["namespace"] = json!("team");
    setup.grants[0]["metadata"]["namespace"] = json!("team");
    let gateway = setup.start().await;
    assert_eq!(gateway.tools("/v1/mcp").await, ["hr_echo"]);
}

#[tokio::test]
async fn m2_of_two_connectors_with_one_id_the_older_is_served() {
    let fake = Fake::stateless(&["echo"]).await;
    let mut setup = Setup::default().url("young", fake.address, &json!({ "id": "ERP" })).url(
        "old",
        fake.address,
        &json!({ "id": "erp" }),
    );
    setup.connectors[0]["metadata"]["creationTimestamp"] = json!("2026-02-01T00:00:00Z");
    setup.connectors[1]["metadata"]["creationTimestamp"] = json!("2026-01-01T00:00:00Z");
    let connectors = std::mem::take(&mut setup.connectors);
    let gateway = setup.start().await;
    gateway.resources(&connectors, &[]).await;
    gateway.until(|snapshot| snapshot.connectors().len() == 1).await;
    let snapshot = gateway.state.snapshot.load();
    assert_eq!(snapshot.connectors()[0].config.key.name, "old");
    let refused = snapshot.catalog.refused.values().next().unwrap();
    assert_eq!(refused.reason, "Conflicted");
}
