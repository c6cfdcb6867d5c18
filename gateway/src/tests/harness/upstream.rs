//! Upstreams on loopback, with real sockets: they record what they get and answer as a test wants.

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use http::{HeaderMap, Method, StatusCode, Uri};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// One request that an upstream has got.
#[derive(Debug, Clone)]
pub(in crate::tests) struct Seen {
    pub(in crate::tests) method: Method,
    pub(in crate::tests) uri: Uri,
    pub(in crate::tests) headers: HeaderMap,
    pub(in crate::tests) text: String,
}

impl Seen {
    /// The message; null where there is none.
    pub(in crate::tests) fn json(&self) -> Value {
        if self.text.is_empty() { Value::Null } else { serde_json::from_str(&self.text).unwrap() }
    }
}

/// An upstream on loopback.
pub(in crate::tests) struct Fake {
    pub(in crate::tests) address: SocketAddr,
    pub(in crate::tests) seen: Arc<Mutex<Vec<Seen>>>,
    stop: CancellationToken,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Fake {
    /// Answers every request with what `answer` makes of it.
    pub(in crate::tests) async fn start<F, R>(answer: F) -> Self
    where
        F: Fn(Seen) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Response> + Send + 'static,
    {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), answer).await
    }

    pub(in crate::tests) async fn start_at<F, R>(address: SocketAddr, answer: F) -> Self
    where
        F: Fn(Seen) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Response> + Send + 'static,
    {
        let listener = tokio::net::TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let record = Arc::clone(&seen);
        let app = Router::new().fallback(move |request: Request| {
            let (answer, record) = (answer.clone(), Arc::clone(&record));
            async move {
                let (parts, body) = request.into_parts();
                let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
                let seen = Seen { method: parts.method, uri: parts.uri, headers: parts.headers, text };
                record.lock().unwrap().push(seen.clone());
                answer(seen).await
            }
        });
        let stop = CancellationToken::new();
        let limits = aperium_platform::serve::ServerLimits { drain: Duration::ZERO, ..Default::default() };
        tokio::spawn(aperium_platform::serve::serve(listener, app, limits, stop.clone()));
        Self { address, seen, stop }
    }

    /// A server of the stateless protocol whose tools echo their call.
    pub(in crate::tests) async fn stateless(tools: &[&str]) -> Self {
        let tools = definitions(tools);
        Self::start(move |seen| {
            let tools = tools.clone();
            async move { stateless(&seen, &tools) }
        })
        .await
    }

    /// A server with `initialize` and a session whose tools echo their call.
    pub(in crate::tests) async fn legacy(tools: &[&str]) -> Self {
        let tools = definitions(tools);
        Self::start(move |seen| {
            let tools = tools.clone();
            async move { legacy(&seen, &tools) }
        })
        .await
    }

    pub(in crate::tests) fn count(&self, method: &str) -> usize {
        self.seen.lock().unwrap().iter().filter(|seen| seen.json()["method"] == method).count()
    }

    pub(in crate::tests) fn last(&self, method: &str) -> Seen {
        self.seen.lock().unwrap().iter().rev().find(|seen| seen.json()["method"] == method).unwrap().clone()
    }
}

pub(in crate::tests) fn definitions(names: &[&str]) -> Value {
    names.iter().map(|name| json!({ "name": name, "inputSchema": { "type": "object" } })).collect()
}

pub(in crate::tests) fn answer(status: u16, body: &Value) -> Response {
    crate::error::json(StatusCode::from_u16(status).unwrap(), body.to_string())
}

pub(in crate::tests) fn result(seen: &Seen, result: &Value) -> Response {
    answer(200, &json!({ "jsonrpc": "2.0", "id": seen.json()["id"], "result": result }))
}

pub(in crate::tests) fn echo(seen: &Seen) -> Value {
    json!({ "content": [{ "type": "text", "text": seen.json()["params"]["name"] }], "structuredContent": seen.json()["params"] })
}

pub(in crate::tests) fn stateless(seen: &Seen, tools: &Value) -> Response {
    match seen.json()["method"].as_str().unwrap_or_default() {
        "server/discover" => result(
            seen,
            &json!({ "resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": { "tools": {} } }),
        ),
        "tools/list" => {
            result(seen, &json!({ "resultType": "complete", "tools": tools, "ttlMs": 0, "cacheScope": "private" }))
        }
        "tools/call" => {
            let mut echo = echo(seen);
            echo["resultType"] = json!("complete");
            result(seen, &echo)
        }
        _ => answer(
            404,
            &json!({ "jsonrpc": "2.0", "id": seen.json()["id"], "error": { "code": -32601, "message": "no" } }),
        ),
    }
}

pub(in crate::tests) fn legacy(seen: &Seen, tools: &Value) -> Response {
    if seen.method != Method::POST {
        return answer(405, &json!({}));
    }
    let method = seen.json()["method"].as_str().unwrap().to_owned();
    if method != "initialize"
        && method != "server/discover"
        && seen.headers.get("mcp-session-id").is_none_or(|id| id != "s1")
    {
        return answer(
            400,
            &json!({ "jsonrpc": "2.0", "id": null, "error": { "code": -32000, "message": "no session" } }),
        );
    }
    match method.as_str() {
        "initialize" => {
            let mut response = result(
                seen,
                &json!({ "protocolVersion": "2025-06-18", "capabilities": { "tools": {} }, "serverInfo": { "name": "f", "version": "1" } }),
            );
            response.headers_mut().insert("mcp-session-id", "s1".parse().unwrap());
            response
        }
        "tools/list" => result(seen, &json!({ "tools": tools })),
        "tools/call" => result(seen, &echo(seen)),
        method if method.starts_with("notifications/") => {
            let mut response = Response::default();
            *response.status_mut() = StatusCode::ACCEPTED;
            response
        }
        _ => answer(
            400,
            &json!({ "jsonrpc": "2.0", "id": null, "error": { "code": -32000, "message": "not initialized" } }),
        ),
    }
}
