//! Spans of requests at a collector, and the trace context on its way through.

use super::harness::*;
use axum::extract::Request;
use axum::response::IntoResponse as _;
use http::HeaderValue;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::sync::mpsc;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// A collector, and what it was sent.
async fn collector() -> (Origin, mpsc::UnboundedReceiver<Value>) {
    let (told, spans) = mpsc::unbounded_channel();
    let origin = Origin::start(move |request: Request| {
        let told = told.clone();
        async move {
            assert_eq!(
                (request.uri().path(), request.headers()["content-type"].as_bytes()),
                ("/v1/traces", &b"application/json"[..])
            );
            let body = request.into_body().collect().await.unwrap().to_bytes();
            told.send(serde_json::from_slice(&body).unwrap()).unwrap();
            "{}".into_response()
        }
    })
    .await;
    (origin, spans)
}

fn traced(mut setup: Setup, collector: &Origin, percent: u8) -> Setup {
    setup.settings.telemetry.otlp_endpoint = format!("http://{}/v1/traces", collector.address);
    setup.settings.telemetry.sample_percent = percent;
    setup
}

/// The next spans, server first.
async fn next(spans: &mut mpsc::UnboundedReceiver<Value>) -> Vec<Value> {
    let request = tokio::time::timeout(Duration::from_secs(20), spans.recv()).await.unwrap().unwrap();
    let scope = &request["resourceSpans"][0];
    assert_eq!(scope["resource"]["attributes"][0]["value"]["stringValue"], "aperium-gateway");
    let mut spans = scope["scopeSpans"][0]["spans"].as_array().unwrap().clone();
    spans.sort_by_key(|span| span["kind"].as_u64());
    spans
}

fn attribute<'v>(span: &'v Value, key: &str) -> &'v Value {
    let attributes = span["attributes"].as_array().unwrap();
    attributes.iter().find(|attribute| attribute["key"] == key).map_or(&Value::Null, |attribute| &attribute["value"])
}

fn call(traceparent: &str, meta: &Value) -> Request {
    let params = json!({ "name": "odoo_search", "arguments": { "q": "canary" }, "_meta": meta });
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
    let mut request = post("/v1/mcp", &body.to_string());
    request.headers_mut().insert("traceparent", HeaderValue::from_str(traceparent).unwrap());
    request
}

#[tokio::test]
async fn a_call_is_a_span_of_its_callers_trace_and_the_upstream_continues_it() {
    let (origin, mut spans) = collector().await;
    let fake = Fake::stateless(&["search"]).await;
    let gateway = traced(Setup::default().url("odoo", fake.address, &Value::Null), &origin, 0)
        .grant("client:agent", &["**"])
        .start()
        .await;
    gateway.send(call(&format!("00-{TRACE}-{PARENT}-01"), &json!({}))).await;
    let sent = next(&mut spans).await;
    assert_eq!(sent.len(), 2, "and none of what brought no decision: {sent:?}");
    let (server, client) = (&sent[0], &sent[1]);
    assert_eq!((&server["traceId"], &server["parentSpanId"]), (&json!(TRACE), &json!(PARENT)));
    assert_eq!((&client["traceId"], &client["parentSpanId"]), (&json!(TRACE), &server["spanId"]));
    assert_eq!((&server["kind"], &client["kind"]), (&json!(2), &json!(3)));
    assert_eq!(server["name"], "tools/call search");
    for (key, value) in [
        ("mcp.method.name", json!({ "stringValue": "tools/call" })),
        ("gen_ai.tool.name", json!({ "stringValue": "search" })),
        ("gen_ai.operation.name", json!({ "stringValue": "execute_tool" })),
        ("aperium.connector", json!({ "stringValue": "odoo" })),
        ("http.response.status_code", json!({ "intValue": "200" })),
        ("error.type", Value::Null),
    ] {
        assert_eq!(attribute(server, key), &value, "{key}");
    }
    let upstream = fake.last("tools/call").headers["traceparent"].to_str().unwrap().to_owned();
    assert_eq!(upstream, format!("00-{TRACE}-{}-01", client["spanId"].as_str().unwrap()));
    assert!(!format!("{sent:?}").contains("canary"));
}

#[tokio::test]
async fn what_the_message_says_of_its_trace_counts_more_than_the_connection() {
    let (origin, mut spans) = collector().await;
    let fake = Fake::stateless(&["search"]).await;
    let gateway = traced(Setup::default().url("odoo", fake.address, &Value::Null), &origin, 0)
        .grant("client:agent", &["**"])
        .start()
        .await;
    let meta = json!({ "traceparent": format!("00-{TRACE}-{PARENT}-01") });
    gateway.send(call(&format!("00-{}-{PARENT}-01", "1".repeat(32)), &meta)).await;
    assert_eq!(next(&mut spans).await[0]["traceId"], TRACE);
}

#[tokio::test]
async fn a_denied_request_is_a_failed_span_without_an_upstream() {
    let (origin, mut spans) = collector().await;
    let gateway = traced(Setup::default(), &origin, 100).grant("client:agent", &["**"]).start().await;
    gateway.send(ask("GET", "/v1/connectors/nowhere/canary?a=canary")).await;
    let sent = next(&mut spans).await;
    assert_eq!((sent.len(), &sent[0]["name"], &sent[0]["parentSpanId"]), (1, &json!("GET proxy"), &json!("")));
    assert_eq!(attribute(&sent[0], "error.type"), &json!({ "stringValue": "denied" }));
    assert_eq!(sent[0]["status"]["code"], 2);
    assert!(!format!("{sent:?}").contains("canary"));
}

#[tokio::test]
async fn a_collector_that_is_away_changes_nothing() {
    let (listener, address) = socket().await;
    drop(listener);
    let mut setup = Setup::default().grant("client:agent", &["**"]);
    setup.settings.telemetry.otlp_endpoint = format!("http://{address}/v1/traces");
    let gateway = setup.start().await;
    for _ in 0..20 {
        assert_eq!(gateway.rpc("/v1/mcp", "tools/list", &json!({})).await["id"], 1);
    }
}
