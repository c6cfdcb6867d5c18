//! One line for every request: who, what, by which Grant, with which outcome, and nothing that must not be there.

use super::harness::*;
use axum::response::{IntoResponse as _, Response};
use http::HeaderValue;
use serde_json::{Value, json};

impl Lines {
    /// The lines of the access log.
    pub(super) fn access(&self) -> Vec<Value> {
        let text = self.text();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["target"] == "aperium::access").collect()
    }

    fn last(&self) -> Value {
        self.access().pop().unwrap()
    }
}

fn says(line: &Value, facts: &Value) {
    for (name, fact) in facts.as_object().unwrap() {
        assert_eq!(&line[name], fact, "{name} of {line}");
    }
}

#[tokio::test]
async fn m4_a_call_is_one_line_with_caller_tool_grant_and_outcome() {
    let fake = Fake::stateless(&["search", "delete"]).await;
    let gateway = Setup::default()
        .url("odoo", fake.address, &Value::Null)
        .grant("client:agent", &["odoo/tools/search"])
        .start()
        .await;
    let (lines, _guard) = Lines::here();
    let mut request = post(
        "/v1/mcp",
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"odoo_search","arguments":{"q":"canary"}}}"#,
    );
    request.headers_mut().insert("x-request-id", HeaderValue::from_static("request-1"));
    gateway.send(request).await;
    let line = lines.last();
    says(
        &line,
        &json!({
            "request_id": "request-1", "principal": "client:agent", "endpoint": "mcp", "http_method": "POST",
            "method": "tools/call", "connector": "odoo", "name": "search", "decision": "allowed",
            "grant": "aperium-system/g0", "outcome": "ok", "status": 200,
        }),
    );
    assert!(line["took_ms"].is_u64());
    gateway.rpc("/v1/mcp", "tools/call", &json!({ "name": "odoo_delete" })).await;
    says(&lines.last(), &json!({ "decision": "denied", "outcome": "unknown_tool", "connector": null, "name": null }));
    gateway.rpc("/v1/mcp", "tools/list", &json!({})).await;
    says(&lines.last(), &json!({ "method": "tools/list", "outcome": "ok" }));
    assert_eq!(lines.access().len(), 3, "one line a request");
    assert!(!lines.text().contains("canary") && !lines.text().contains(TOKEN), "{}", lines.text());
}

#[tokio::test]
async fn a_proxied_request_is_one_line_without_its_path() {
    let origin = Origin::start(|_| async { "hello".into_response() }).await;
    let gateway = Setup::default()
        .http("github", origin.address, "", &Value::Null)
        .grant("client:agent", &["github/proxy"])
        .start()
        .await;
    let (lines, _guard) = Lines::here();
    gateway.send(ask("GET", "/v1/connectors/github/users/canary?token=canary")).await;
    says(
        &lines.last(),
        &json!({ "endpoint": "proxy", "http_method": "GET", "connector": "github", "outcome": "ok", "status": 200 }),
    );
    gateway.send(ask("GET", "/v1/connectors/other/canary")).await;
    says(&lines.last(), &json!({ "decision": "denied", "outcome": "denied", "status": 403 }));
    gateway.send(ask("GET", "/v1/connectors/github/../canary")).await;
    says(&lines.last(), &json!({ "outcome": "invalid", "status": 400 }));
    let access: Vec<String> = lines.access().iter().map(Value::to_string).collect();
    assert!(access.len() == 3 && !access.concat().contains("canary"), "{access:?}");
}

#[tokio::test]
async fn who_is_refused_at_the_door_has_a_line_too() {
    let gateway = Setup::default().grant("client:agent", &["**"]).start().await;
    let (lines, _guard) = Lines::here();
    gateway.send(post_as("canary", "/v1/mcp", "{}")).await;
    says(&lines.last(), &json!({ "principal": null, "outcome": "unauthenticated", "status": 401 }));
    let mut foreign = post("/v1/mcp", "{}");
    foreign.headers_mut().insert("host", HeaderValue::from_static("evil.example"));
    gateway.send(foreign).await;
    says(&lines.last(), &json!({ "outcome": "refused", "status": 403 }));
    gateway.send(post_as("other-token", "/v1/mcp", "{}")).await;
    says(&lines.last(), &json!({ "principal": "client:other", "decision": "denied", "outcome": "no_role" }));
    assert!(!lines.text().contains("canary"));
}

#[tokio::test]
async fn m22_names_that_a_caller_makes_up_stay_in_their_place() {
    let fake = Fake::stateless(&["search\u{85}"]).await;
    let gateway = Setup::default().url("odoo", fake.address, &Value::Null).grant("client:agent", &["**"]).start().await;
    let (lines, _guard) = Lines::here();
    let name = "x\n{\"target\":\"aperium::access\",\"outcome\":\"ok\"}\r\n";
    gateway.rpc("/v1/mcp", "tools/call", &json!({ "name": name })).await;
    gateway.rpc("/v1/mcp", name, &json!({})).await;
    assert_eq!(lines.access().len(), 2, "{}", lines.text());
    says(&lines.last(), &json!({ "method": "other", "outcome": "not_found" }));
}

#[tokio::test]
async fn a_caller_that_leaves_is_an_outcome() {
    let origin = Origin::start(|_| async {
        Response::new(axum::body::Body::from_stream(futures::stream::pending::<Result<bytes::Bytes, std::io::Error>>()))
    })
    .await;
    let gateway =
        Setup::default().http("github", origin.address, "", &Value::Null).grant("client:agent", &["**"]).start().await;
    let (lines, _guard) = Lines::here();
    let response = gateway.router.clone().oneshot(ask("GET", "/v1/connectors/github/x")).await;
    assert!(lines.access().is_empty(), "the answer is on its way");
    drop(response);
    says(&lines.last(), &json!({ "outcome": "cancelled", "status": 200 }));
}

#[tokio::test]
async fn an_admin_can_do_without() {
    let mut setup = Setup::default().grant("client:agent", &["**"]);
    setup.settings.telemetry.access_log = false;
    let gateway = setup.start().await;
    let (lines, _guard) = Lines::here();
    assert_eq!(gateway.rpc("/v1/mcp", "tools/list", &json!({})).await["id"], 1);
    assert!(lines.access().is_empty());
}
