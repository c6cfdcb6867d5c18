use super::harness::*;
use aperium_platform::seal::Sealer;
use axum::extract::Request;
use futures::StreamExt as _;
use http::Method;
use serde_json::{Value, json};
use std::time::Duration;

/// Initializes with these capabilities; the session id.
pub(super) async fn session(gateway: &Gateway, path: &str, capabilities: &Value) -> String {
    let params = json!({ "protocolVersion": "2025-11-25", "capabilities": capabilities, "clientInfo": { "name": "c", "version": "1" } });
    let body = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params });
    let answer = gateway.post(path, &body.to_string()).await;
    answer.headers["mcp-session-id"].to_str().unwrap().to_owned()
}

/// A request within a session, by a client that takes events.
pub(super) fn within(session: &str, body: &Value) -> Request {
    let mut request = post("/v1/mcp", &body.to_string());
    request.headers_mut().insert("mcp-session-id", session.parse().unwrap());
    request.headers_mut().insert("mcp-protocol-version", "2025-11-25".parse().unwrap());
    request.headers_mut().insert("accept", "application/json, text/event-stream".parse().unwrap());
    request
}

pub(super) fn with_method(method: Method, session: Option<&str>) -> Request {
    let mut request = post("/v1/mcp", "");
    *request.method_mut() = method;
    request.headers_mut().remove("content-type");
    request.headers_mut().insert("accept", "text/event-stream".parse().unwrap());
    if let Some(session) = session {
        request.headers_mut().insert("mcp-session-id", session.parse().unwrap());
    }
    request
}

fn ping() -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "method": "ping" })
}

async fn bare() -> Gateway {
    Setup::default().grant("client:agent", &["**"]).grant("client:other", &["**"]).start().await
}

#[tokio::test]
async fn m11_a_session_is_served_until_it_is_ended() {
    let gateway = bare().await;
    let id = session(&gateway, "/v1/mcp", &json!({})).await;
    assert!(id.len() <= 1024);
    assert_eq!(gateway.send(within(&id, &ping())).await.json()["result"], json!({}));
    assert_eq!(gateway.send(with_method(Method::DELETE, Some(&id))).await.status, 204);
    let after = gateway.send(within(&id, &ping())).await;
    assert_eq!((after.status, after.json()["id"].clone()), (404, json!(1)));
    assert_eq!(gateway.send(with_method(Method::DELETE, Some(&id))).await.status, 404);
}

#[tokio::test]
async fn m11_a_session_of_another_caller_a_changed_one_and_none_at_all_answer_the_same() {
    let gateway = bare().await;
    let id = session(&gateway, "/v1/mcp", &json!({})).await;
    let mut foreign = within(&id, &ping());
    foreign.headers_mut().insert("authorization", "Bearer other-token".parse().unwrap());
    let foreign = gateway.send(foreign).await;
    let changed = gateway.send(within(&format!("{id}A"), &ping())).await;
    let invented = gateway.send(within("7f3c", &ping())).await;
    assert_eq!(foreign.status, 404);
    assert_eq!((foreign.status, &foreign.text), (changed.status, &changed.text));
    assert_eq!((foreign.status, &foreign.text), (invented.status, &invented.text));
    assert_eq!(gateway.send(within(&id, &ping())).await.status, 200, "the owner's goes on");
}

#[tokio::test]
async fn another_replica_continues_a_session_and_one_with_other_keys_does_not() {
    let sealer = Sealer::ephemeral().unwrap();
    let replica = || Setup { sealer: sealer.clone(), ..Setup::default() }.grant("client:agent", &["**"]).start();
    let (one, other, stranger) = (replica().await, replica().await, bare().await);
    let id = session(&one, "/v1/mcp", &json!({ "sampling": {} })).await;
    assert_eq!(other.send(within(&id, &ping())).await.status, 200);
    assert_eq!(stranger.send(within(&id, &ping())).await.status, 404);
}

#[tokio::test]
async fn a_new_beginning_is_not_refused_because_of_an_old_session() {
    let gateway = bare().await;
    let params = json!({ "protocolVersion": "2025-06-18", "capabilities": {} });
    let body = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params });
    let answer = gateway.send(within("expired", &body)).await;
    assert_eq!(answer.status, 200);
    assert!(answer.headers.contains_key("mcp-session-id"));
}

#[tokio::test]
async fn without_a_session_there_is_no_stream_and_nothing_to_end() {
    let gateway = bare().await;
    for method in [Method::GET, Method::DELETE] {
        assert_eq!(gateway.send(with_method(method.clone(), None)).await.status, 405);
        let id = session(&gateway, "/v1/mcp", &json!({})).await;
        let mut stateless = with_method(method.clone(), Some(&id));
        stateless.headers_mut().insert("mcp-protocol-version", "2026-07-28".parse().unwrap());
        assert_eq!(gateway.send(stateless).await.status, 405);
        assert_eq!(gateway.send(with_method(method, Some("invented"))).await.status, 404);
    }
}

#[tokio::test]
async fn a_stream_is_open_until_another_takes_its_place_or_its_session_ends() {
    let gateway = bare().await;
    let id = session(&gateway, "/v1/mcp", &json!({})).await;
    let open = async || {
        let response = gateway.router.clone().oneshot(with_method(Method::GET, Some(&id))).await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let mut body = response.into_body().into_data_stream();
        assert_eq!(body.next().await.unwrap().unwrap(), ": keep-alive\n\n");
        body
    };
    let mut first = open().await;
    let mut second = open().await;
    assert!(first.next().await.is_none());
    gateway.send(with_method(Method::DELETE, Some(&id))).await;
    let ended = tokio::time::timeout(Duration::from_secs(5), second.next()).await.unwrap();
    assert!(ended.is_none());
}

#[tokio::test]
async fn a_level_of_log_messages_is_remembered_within_a_session() {
    let gateway = bare().await;
    let set =
        |level: &str| json!({ "jsonrpc": "2.0", "id": 1, "method": "logging/setLevel", "params": { "level": level } });
    let id = session(&gateway, "/v1/mcp", &json!({})).await;
    assert_eq!(gateway.send(within(&id, &set("warning"))).await.json()["result"], json!({}));
    assert_eq!(gateway.send(within(&id, &set("loud"))).await.code(), -32602);
    let sessionless = gateway.rpc("/v1/mcp", "logging/setLevel", &json!({ "level": "info" })).await;
    assert_eq!(sessionless["error"]["code"], -32600);
}

#[tokio::test]
async fn an_answer_that_nobody_waits_for_is_refused() {
    let gateway = bare().await;
    let id = session(&gateway, "/v1/mcp", &json!({})).await;
    let answer = json!({ "jsonrpc": "2.0", "id": "aperium-1", "result": {} });
    assert_eq!(gateway.send(within(&id, &answer)).await.status, 400);
    assert_eq!(gateway.send(within("invented", &answer)).await.status, 404);
}
