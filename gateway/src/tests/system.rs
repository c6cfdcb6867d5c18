//! The system connector, and what connectors say of themselves before the first call.

use super::harness::*;
use crate::era::Era;
use serde_json::{Value, json};

fn setup(fake: &Fake) -> Setup {
    let http = |description: &str| json!({ "protocol": "http", "description": description, "context": { "docs": "/openapi.json" } });
    Setup::default()
        .url("zeta", fake.address, &http("The zeta API"))
        .url("billing", fake.address, &http("Invoices"))
        .url(
            "odoo",
            fake.address,
            &json!({ "displayName": "Odoo ERP", "description": "Orders", "context": "Amounts are in EUR." }),
        )
}

async fn call(gateway: &Gateway, path: &str, name: &str, arguments: &Value) -> Value {
    gateway.rpc(path, "tools/call", &json!({ "name": name, "arguments": arguments })).await
}

#[tokio::test]
async fn the_http_connectors_that_a_caller_may_proxy_to_are_listed_by_a_tool() {
    let fake = Fake::stateless(&["echo"]).await;
    let gateway = setup(&fake).grant("client:agent", &["aperture/**", "billing/proxy", "odoo/**"]).start().await;
    assert_eq!(gateway.tools("/v1/mcp").await, ["aperture_list_connectors", "odoo_echo"], "in the order of ids");
    assert_eq!(gateway.tools("/v1/mcp/aperture").await, ["list_connectors"]);
    for (path, name) in [("/v1/mcp", "aperture_list_connectors"), ("/v1/mcp/aperture", "list_connectors")] {
        let answer = call(&gateway, path, name, &json!({})).await;
        let billing = json!({ "id": "billing", "description": "Invoices", "context": { "docs": "/openapi.json" }, "base_path": "/v1/connectors/billing/" });
        assert_eq!(answer["result"]["structuredContent"], json!({ "connectors": [billing] }), "{answer}");
        let text: Value = serde_json::from_str(answer["result"]["content"][0]["text"].as_str().unwrap()).unwrap();
        assert_eq!(text, answer["result"]["structuredContent"]);
    }
    let wrong = call(&gateway, "/v1/mcp", "aperture_list_connectors", &json!({ "x": 1 })).await;
    assert_eq!(wrong["result"]["structuredContent"]["code"], "invalid_argument");
    let stateless = stateless_post("/v1/mcp", "tools/call", &json!({ "name": "aperture_list_connectors" }));
    assert_eq!(gateway.send(stateless).await.json()["result"]["resultType"], "complete");
    assert_eq!(fake.count("tools/call"), 0);
}

#[tokio::test]
async fn the_system_connector_is_granted_like_any_other() {
    let fake = Fake::stateless(&["echo"]).await;
    for (patterns, seen) in [
        (&["odoo/**", "billing/**"][..], false),
        (&["aperture/tools/other"], false),
        (&["aperture/tools/list_*"], true),
        (&["label:system"], true),
        (&["**"], true),
    ] {
        let gateway = setup(&fake).grant("client:agent", patterns).start().await;
        assert_eq!(
            gateway.tools("/v1/mcp").await.contains(&"aperture_list_connectors".to_owned()),
            seen,
            "{patterns:?}"
        );
        let answer = call(&gateway, "/v1/mcp", "aperture_list_connectors", &json!({})).await;
        assert_eq!(answer["result"].is_object(), seen, "{patterns:?}");
        if !seen {
            assert_eq!(answer["error"]["message"], "Unknown tool: aperture_list_connectors");
        }
    }
    let mut elsewhere = setup(&fake).grant("client:agent", &["**"]);
    elsewhere.grants[0]["metadata"]["namespace"] = json!("team");
    let gateway = elsewhere.start().await;
    assert!(gateway.tools("/v1/mcp").await.is_empty(), "only Grants of the system namespace reach it");
}

#[tokio::test]
async fn without_an_http_connector_there_is_nothing_to_list() {
    let fake = Fake::stateless(&["echo"]).await;
    let gateway = Setup::default().url("odoo", fake.address, &json!({})).grant("client:agent", &["**"]).start().await;
    assert_eq!(gateway.post("/v1/connectors/aperture/x", "{}").await.status, 403, "nothing to proxy to");
    assert_eq!(gateway.tools("/v1/mcp").await, ["odoo_echo"]);
    assert!(gateway.tools("/v1/mcp/aperture").await.is_empty());
    let answer = call(&gateway, "/v1/mcp", "aperture_list_connectors", &json!({})).await;
    assert_eq!(answer["error"]["code"], -32602);
}

#[tokio::test]
async fn instructions_tell_each_caller_of_the_connectors_that_it_sees() {
    let mut offering = Offering::new(Era::Legacy);
    offering.instructions = Some("Search before you write.");
    let fake = offering.start().await;
    let gateway = setup(&fake).grant("client:agent", &["odoo/**", "billing/proxy"]).start().await;
    let initialize =
        json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "c", "version": "1" } });
    let said = gateway.rpc("/v1/mcp", "initialize", &initialize).await["result"]["instructions"].clone();
    let said = said.as_str().unwrap();
    assert!(said.contains("\n\nbilling:\nInvoices\nContext: {\"docs\":\"/openapi.json\"}"), "{said}");
    assert!(said.contains(
        "odoo (Odoo ERP):\nOrders\nContext: Amounts are in EUR.\nIt says of itself: Search before you write."
    ));
    assert!(!said.contains("zeta"), "not granted");
    let discover = gateway.send(stateless_post("/v1/mcp/odoo", "server/discover", &json!({}))).await.json();
    let one = discover["result"]["instructions"].as_str().unwrap();
    assert!(one.contains("Orders") && !one.contains("billing"), "{one}");
}

#[tokio::test]
async fn instructions_are_bounded_and_hostile_ones_are_left_out() {
    let mut hostile = Offering::new(Era::Legacy);
    hostile.instructions = Some("be\u{202e}good");
    let fake = hostile.start().await;
    let mut setup = Setup::default().grant("client:agent", &["**"]);
    for at in 0..40 {
        setup = setup.url(&format!("c{at:02}"), fake.address, &json!({ "description": "é".repeat(900) }));
    }
    let gateway = setup.start().await;
    let discover = gateway.send(stateless_post("/v1/mcp", "server/discover", &json!({}))).await.json();
    let said = discover["result"]["instructions"].as_str().unwrap();
    assert!(said.len() < 17 * 1024 && said.contains("more connectors are not described here."), "{}", said.len());
    assert!(!said.contains("good"));
}

#[tokio::test]
async fn a_server_without_completion_has_nothing_to_propose() {
    let mut offering = Offering::new(Era::Legacy);
    offering.capabilities = json!({ "prompts": {} });
    let fake = offering.start().await;
    let gateway = Setup::default().url("odoo", fake.address, &json!({})).grant("client:agent", &["**"]).start().await;
    let params =
        json!({ "ref": { "type": "ref/prompt", "name": "odoo_review" }, "argument": { "name": "code", "value": "" } });
    let answer = gateway.rpc("/v1/mcp", "completion/complete", &params).await;
    assert_eq!(answer["result"]["completion"]["values"], json!([]));
    assert_eq!(fake.count("completion/complete"), 0);
}
