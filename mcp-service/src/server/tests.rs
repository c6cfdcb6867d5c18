//! The HTTP face: what a client gets for good and bad requests, in both protocol eras.

mod fake;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use aperium_platform::egress::{EgressPolicy, EgressRules, ExternalClient, GuardedDialer, Reach};
use axum::body::Body;
use http_body_util::BodyExt;
use secrecy::SecretString;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;
use crate::calls::CallRules;
use crate::service::{Clients, Of};
use fake::{Fake, INFO, PEAK};

const TOKEN: &str = "0123456789abcdef";
const MAX_BODY: usize = 4096;

fn app(calls: &str) -> Router {
    let policy = EgressPolicy::new(EgressRules::default()).unwrap();
    let clients = Clients {
        settings: INFO.settings.parse(json!({})).unwrap(),
        http: ExternalClient::new(policy.clone(), Reach::Admin).unwrap(),
        dialer: GuardedDialer::new(policy, Reach::Admin),
        local: false,
    };
    let token = TokenSource::fixed(SecretString::from(TOKEN));
    let rules = CallRules::parse(calls).unwrap();
    let service =
        Arc::new(Service::new(Arc::new(Fake::new()), rules, Vec::new(), clients, token.clone(), Of::default()));
    let allowed_hosts = vec!["aperium-mcp-fake.acme.svc".to_owned()];
    router(&service, Face { token, allowed_hosts, metrics_open: false, max_body: MAX_BODY })
}

struct Got {
    status: u16,
    headers: axum::http::HeaderMap,
    body: Value,
}

async fn send(app: &Router, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Got {
    let mut request = Request::builder().method(method).uri(path);
    let defaults =
        [("host", "localhost"), ("authorization", "Bearer 0123456789abcdef"), ("content-type", "application/json")];
    for (name, value) in defaults {
        if !headers.iter().any(|(given, _)| *given == name) {
            request = request.header(name, value);
        }
    }
    for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
        request = request.header(*name, *value);
    }
    let response = app.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
    let (head, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into()));
    Got { status: head.status.as_u16(), headers: head.headers, body }
}

async fn post(app: &Router, body: &str) -> Got {
    send(app, "POST", "/mcp", &[], body.to_owned()).await
}

#[expect(clippy::needless_pass_by_value, reason = "callers write the value in place")]
fn rpc(method: &str, params: Value) -> String {
    json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params}).to_string()
}

async fn call(app: &Router, tool: &str, arguments: Value) -> Value {
    post(app, &rpc("tools/call", json!({"name": tool, "arguments": arguments}))).await.body
}

/// A request of the stateless era.
async fn modern(app: &Router, method: &str, name: Option<&str>, mut params: Value) -> Got {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let mut headers = vec![("mcp-protocol-version", "2026-07-28"), ("mcp-method", method)];
    headers.extend(name.map(|name| ("mcp-name", name)));
    send(app, "POST", "/mcp", &headers, rpc(method, params)).await
}

#[tokio::test]
async fn without_the_token_everything_but_the_probes_is_closed() {
    let app = app("{}");
    for path in ["/mcp", "/mcp/", "/metrics"] {
        for token in ["", "Bearer wrong", "Bearer ", "Basic 0123456789abcdef"] {
            let got = send(&app, "POST", path, &[("authorization", token)], "{}").await;
            assert_eq!(got.status, 401, "{path} {token}");
            assert!(got.headers.contains_key("www-authenticate"));
        }
    }
    assert_eq!(send(&app, "GET", "/healthz", &[("authorization", "")], "").await.status, 200);
    assert_eq!(send(&app, "GET", "/readyz", &[("authorization", "")], "").await.status, 503);
    assert_eq!(send(&app, "GET", "/nope", &[], "").await.status, 404);
}

#[tokio::test]
async fn both_paths_and_both_eras_list_the_same_tools_in_order() {
    let app = app("{}");
    let legacy = post(&app, &rpc("tools/list", json!({}))).await.body;
    let names: Vec<_> = legacy["result"]["tools"].as_array().unwrap().iter().map(|t| t["name"].clone()).collect();
    assert_eq!(names, ["fake_echo", "fake_huge", "fake_never", "fake_panics", "fake_slow"]);
    let slash = send(&app, "POST", "/mcp/", &[], rpc("tools/list", json!({}))).await.body;
    assert_eq!(slash, legacy);
    let now = modern(&app, "tools/list", None, json!({})).await;
    assert_eq!(now.body["result"]["tools"], legacy["result"]["tools"]);
    assert_eq!(now.body["result"]["cacheScope"], "private");
    assert_eq!(now.body["result"]["ttlMs"], 5000);
    assert_eq!(now.body["result"]["resultType"], "complete");
    let tool = &legacy["result"]["tools"][0];
    assert_eq!(
        tool["annotations"],
        json!({"title": "Echo", "readOnlyHint": true, "destructiveHint": false, "idempotentHint": true, "openWorldHint": true})
    );
    assert_eq!(tool["outputSchema"]["type"], "object");
}

#[tokio::test]
async fn a_result_is_structured_and_text() {
    let app = app("{}");
    let got = send(
        &app,
        "POST",
        "/mcp",
        &[("x-request-id", "r-1")],
        rpc("tools/call", json!({"name": "fake_echo", "arguments": {"text": "ab", "times": 2}})),
    )
    .await;
    let result = &got.body["result"];
    assert_eq!(result["structuredContent"], json!({"said": "abab", "request_id": "r-1"}));
    let text: Value = serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap();
    assert_eq!(text, result["structuredContent"]);
    assert_eq!(got.headers["x-request-id"], "r-1");
    let now =
        modern(&app, "tools/call", Some("fake_echo"), json!({"name": "fake_echo", "arguments": {"text": "a"}})).await;
    assert_eq!(now.body["result"]["structuredContent"]["said"], "a");
}

#[tokio::test]
async fn wrong_arguments_are_a_result_that_says_so() {
    let app = app("{}");
    for arguments in [json!({}), json!({"text": 5}), json!({"text": "a", "times": 4}), json!({"text": "a", "more": 1})]
    {
        let result = call(&app, "fake_echo", arguments).await["result"].clone();
        assert_eq!(result["isError"], true, "{result}");
        assert_eq!(result["structuredContent"]["code"], "invalid_argument", "{result}");
    }
}

#[tokio::test]
async fn unknown_names_are_protocol_errors() {
    let app = app("{}");
    let unknown = call(&app, "fake_nope", json!({})).await;
    assert_eq!(unknown["error"]["code"], -32602);
    let disabled = call(&app, "fake_write", json!({})).await;
    assert_eq!(disabled.to_string(), unknown.to_string().replace("fake_nope", "fake_write"));
    for method in ["nope", "prompts/get", "resources/read", "completion/complete", "logging/setLevel"] {
        let legacy = post(&app, &rpc(method, json!({"ref": {"type": "ref/prompt", "name": "x"}, "argument": {"name": "a", "value": "b"}, "level": "info", "name": "x", "uri": "x:y"}))).await;
        assert_eq!((legacy.status, &legacy.body["error"]["code"]), (200, &json!(-32601)), "{method}");
        let now = modern(&app, method, None, json!({})).await;
        assert_eq!((now.status, &now.body["error"]["code"]), (404, &json!(-32601)), "{method}: {}", now.body);
    }
    for method in ["initialize", "ping"] {
        let now = modern(&app, method, None, json!({})).await;
        assert_eq!((now.status, &now.body["error"]["code"]), (404, &json!(-32601)), "{method} is gone");
    }
    for method in ["prompts/list", "resources/list", "resources/templates/list"] {
        let now = modern(&app, method, None, json!({})).await;
        assert_eq!(now.body["result"]["cacheScope"], "private", "{method}: {}", now.body);
    }
    assert_eq!(post(&app, &rpc("tools/list", json!({"cursor": "x"}))).await.body["error"]["code"], -32602);
}

#[tokio::test]
async fn bad_bodies_are_precise_errors() {
    let app = app("{}");
    for (body, status, code) in [
        ("{", 400, -32700),
        ("", 400, -32700),
        ("\u{feff}{}", 400, -32700),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping"}x"#, 400, -32700),
        ("[]", 400, -32600),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, 400, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/list"}"#, 400, -32600),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"fake_echo","arguments":{"text":"a","text":"b"}}}"#,
            400,
            -32600,
        ),
        (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, 400, -32600),
        (r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, 400, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":5}"#, 400, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, 400, -32600),
    ] {
        let got = post(&app, body).await;
        assert_eq!((got.status, &got.body["error"]["code"]), (status, &json!(code)), "{body}: {}", got.body);
        assert_eq!(got.headers["content-type"], "application/json");
    }
    let large = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{}"}}"#, "x".repeat(MAX_BODY));
    let got = post(&app, &large).await;
    assert_eq!((got.status, &got.body["error"]["code"]), (413, &json!(-32600)));
}

#[tokio::test]
async fn wrong_types_hosts_origins_and_verbs_are_refused() {
    let app = app("{}");
    let list = || rpc("tools/list", json!({}));
    for (headers, status) in [
        (vec![("content-type", "text/plain")], 415),
        (vec![("content-type", "")], 415),
        (vec![("content-type", "application/json; charset=utf-16")], 415),
        (vec![("host", "evil.example")], 403),
        (vec![("host", "aperium-mcp-fake.acme.svc.evil.example")], 403),
        (vec![("origin", "https://evil.example")], 403),
        (vec![("origin", "null")], 403),
        (vec![("origin", "http://localhost:81")], 403),
        (vec![("origin", "https://localhost")], 403),
        (vec![("origin", "http://evil.example"), ("host", "evil.example")], 403),
        (vec![("accept", "text/html")], 406),
    ] {
        let got = send(&app, "POST", "/mcp", &headers, list()).await;
        assert_eq!(got.status, status, "{headers:?}: {}", got.body);
        assert!(got.body["error"]["code"].is_i64(), "{headers:?}: {}", got.body);
    }
    for (headers, what) in [
        (vec![("accept", "")], "no Accept"),
        (vec![("origin", "http://localhost")], "its own origin"),
        (vec![("accept", "*/*")], "any"),
        (vec![("accept", "application/json")], "JSON"),
        (vec![("accept", "application/json, text/event-stream")], "both"),
        (vec![("host", "aperium-mcp-fake.acme.svc:8081")], "an allowed host"),
        (vec![("content-type", "application/json; charset=utf-8")], "a charset"),
    ] {
        assert_eq!(send(&app, "POST", "/mcp", &headers, list()).await.status, 200, "{what}");
    }
    for verb in ["GET", "DELETE", "PUT"] {
        let got = send(&app, verb, "/mcp", &[], "").await;
        assert_eq!((got.status, got.headers["allow"].to_str().unwrap()), (405, "POST"), "{verb}");
    }
}

#[tokio::test]
async fn headers_that_contradict_the_body_are_refused() {
    let app = app("{}");
    let body = |method: &str| {
        rpc(
            method,
            json!({"name": "fake_echo", "arguments": {"text": "a"}, "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}}),
        )
    };
    for headers in [
        vec![("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/list"), ("mcp-name", "fake_echo")],
        vec![("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/call"), ("mcp-name", "fake_slow")],
        vec![("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/call")],
        vec![("mcp-protocol-version", "2025-11-25"), ("mcp-method", "tools/call"), ("mcp-name", "fake_echo")],
    ] {
        let got = send(&app, "POST", "/mcp", &headers, body("tools/call")).await;
        assert_eq!((got.status, &got.body["error"]["code"]), (400, &json!(-32020)), "{headers:?}: {}", got.body);
    }
}

#[tokio::test]
async fn the_legacy_handshake_and_discovery_tell_the_versions() {
    let app = app("{}");
    for version in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"] {
        let hello =
            json!({"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
        let got = post(&app, &rpc("initialize", hello)).await;
        assert_eq!(got.body["result"]["protocolVersion"], version);
        assert!(!got.headers.contains_key("mcp-session-id"));
    }
    let got = post(&app, r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).await;
    assert_eq!(got.status, 202);
    let got = modern(&app, "server/discover", None, json!({})).await;
    assert!(got.body["result"]["supportedVersions"].as_array().unwrap().contains(&json!("2026-07-28")));
    assert_eq!(post(&app, &rpc("ping", json!({}))).await.body["result"], json!({}));
}

#[tokio::test]
async fn a_read_that_takes_too_long_times_out_and_a_write_is_of_unknown_outcome() {
    let app = app(r#"{"timeoutSeconds": 1, "writes": "Enabled"}"#);
    let read = call(&app, "fake_never", json!({})).await;
    assert_eq!(read["result"]["structuredContent"]["code"], "timeout");
    let write = call(&app, "fake_write", json!({})).await;
    assert_eq!(write["result"]["structuredContent"]["code"], "outcome_unknown");
}

#[tokio::test]
async fn a_connector_that_panics_or_answers_too_much_harms_nobody_else() {
    let app = app("{}");
    let failed = call(&app, "fake_panics", json!({})).await;
    assert_eq!(failed["result"]["structuredContent"]["code"], "upstream");
    assert!(!failed.to_string().contains("a bug of the connector"));
    let huge = call(&app, "fake_huge", json!({})).await;
    assert_eq!(huge["result"]["structuredContent"]["code"], "too_large");
    assert_eq!(call(&app, "fake_echo", json!({"text": "a"})).await["result"]["isError"], false);
}

#[tokio::test]
async fn no_more_calls_run_at_once_than_allowed() {
    let app = app(r#"{"maxConcurrent": 2}"#);
    let calls = (0..6).map(|_| call(&app, "fake_slow", json!({})));
    for answer in futures::future::join_all(calls).await {
        assert_eq!(answer["result"]["isError"], false, "{answer}");
    }
    assert_eq!(PEAK.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn metrics_count_what_happened_under_bounded_labels() {
    let app = app("{}");
    call(&app, "fake_echo", json!({"text": "a"})).await;
    call(&app, "fake_echo", json!({})).await;
    call(&app, "evil\n{tool=\"x\"}", json!({})).await;
    send(&app, "POST", "/mcp", &[("authorization", "Bearer wrong")], "{}").await;
    let text = send(&app, "GET", "/metrics", &[], "").await.body;
    let text = text.as_str().unwrap();
    for line in [
        r#"aperium_mcp_tool_calls_total{tool="fake_echo",access="read",outcome="ok"} 1"#,
        r#"aperium_mcp_tool_calls_total{tool="fake_echo",access="read",outcome="invalid_argument"} 1"#,
        r#"aperium_mcp_tool_calls_total{tool="unknown",access="read",outcome="unknown_tool"} 1"#,
        r#"aperium_mcp_tool_call_duration_seconds_count{tool="fake_echo",access="read"} 2"#,
        "aperium_mcp_tools 5",
        "aperium_mcp_ready 0",
        "aperium_mcp_discovery_ok 1",
        "aperium_mcp_auth_failures_total 1",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("evil"));
}
