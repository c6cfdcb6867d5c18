use super::harness::*;
use serde_json::{Value, json};

/// A stateless upstream with one tool that wants its region in a header.
async fn upstream() -> Fake {
    let tools = json!([{ "name": "run", "inputSchema": { "type": "object", "properties": {
        "region": { "type": "string", "x-mcp-header": "Region" }, "sql": { "type": "string" },
    } } }]);
    Fake::start(move |seen: Seen| {
        let tools = tools.clone();
        async move { stateless(&seen, &tools) }
    })
    .await
}

async fn gateway(fake: &Fake) -> Gateway {
    Setup::default().url("odoo", fake.address, &Value::Null).grant("client:agent", &["**"]).start().await
}

fn call(headers: &[(&'static str, &'static str)]) -> axum::extract::Request {
    let params = json!({ "name": "odoo_run", "arguments": { "region": "eu north", "sql": "select 1" } });
    let mut request = stateless_post("/v1/mcp", "tools/call", &params);
    for (name, value) in headers {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    request
}

#[tokio::test]
async fn an_argument_that_a_header_must_repeat_is_repeated_and_unknown_headers_go_along() {
    let fake = upstream().await;
    let gateway = gateway(&fake).await;
    let answer = gateway.send(call(&[("mcp-param-region", "=?base64?ZXUgbm9ydGg=?="), ("mcp-param-own", "x")])).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let seen = fake.last("tools/call");
    assert_eq!(seen.headers["mcp-param-region"], "eu north");
    assert_eq!(seen.headers["mcp-param-own"], "x");
    assert_eq!(seen.headers.get_all("mcp-param-region").iter().count(), 1);
}

#[tokio::test]
async fn m6_a_call_whose_header_is_missing_or_says_something_else_is_refused_before_anything_is_sent() {
    let fake = upstream().await;
    let gateway = gateway(&fake).await;
    for headers in [
        &[][..],
        &[("mcp-param-region", "us")],
        &[("mcp-param-region", "=?base64?ZXUgbm9ydGg?=")],
        &[("mcp-param-region", "eu north"), ("mcp-param-region", "eu north")],
    ] {
        let answer = gateway.send(call(headers)).await;
        assert_eq!((answer.status, answer.code()), (400, -32020), "{headers:?}: {}", answer.text);
        assert_eq!(answer.json()["id"], "a");
    }
    assert_eq!(fake.count("tools/call"), 0);
}

#[tokio::test]
async fn the_headers_are_made_for_callers_who_know_nothing_of_them() {
    let fake = upstream().await;
    let gateway = gateway(&fake).await;
    let params = json!({ "name": "odoo_run", "arguments": { "region": "é" } });
    assert!(gateway.rpc("/v1/mcp", "tools/call", &params).await["result"].is_object());
    assert_eq!(fake.last("tools/call").headers["mcp-param-region"], "=?base64?w6k=?=");
    let params = json!({ "name": "odoo_run", "arguments": { "region": null } });
    assert!(gateway.rpc("/v1/mcp", "tools/call", &params).await["result"].is_object());
    assert!(!fake.last("tools/call").headers.contains_key("mcp-param-region"));
}
