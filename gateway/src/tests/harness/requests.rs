//! Requests as the agent sends them, and whole answers.

use super::TOKEN;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::{HeaderMap, Method};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

/// A request without a body, with the agent's token.
pub(in crate::tests) fn ask(method: &str, path: &str) -> Request {
    Request::builder()
        .method(method)
        .uri(path)
        .header("host", "aperium-gateway:8080")
        .header("authorization", format!("Bearer {TOKEN}"))
        .body(Body::empty())
        .unwrap()
}

/// A POST with the agent's token.
pub(in crate::tests) fn post(path: &str, body: &str) -> Request {
    post_as(TOKEN, path, body)
}

pub(in crate::tests) fn post_as(token: &str, path: &str, body: &str) -> Request {
    Request::builder()
        .method(Method::POST)
        .uri(path)
        .header("host", "aperium-gateway:8080")
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .body(Body::from(body.to_owned()))
        .unwrap()
}

/// A request of the stateless protocol, with all its headers.
pub(in crate::tests) fn stateless_post(path: &str, method: &str, params: &Value) -> Request {
    let mut params = params.clone();
    if params["_meta"].is_null() {
        params["_meta"] = json!({});
    }
    params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2026-07-28");
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({});
    let body = json!({ "jsonrpc": "2.0", "id": "a", "method": method, "params": params });
    let mut request = post(path, &body.to_string());
    let headers = request.headers_mut();
    headers.insert("accept", "application/json, text/event-stream".parse().unwrap());
    headers.insert("mcp-protocol-version", "2026-07-28".parse().unwrap());
    headers.insert("mcp-method", method.parse().unwrap());
    if let Some(name) = params["name"].as_str().or(params["uri"].as_str()) {
        headers.insert("mcp-name", name.parse().unwrap());
    }
    request
}

/// A whole answer.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::tests) struct Answer {
    pub(in crate::tests) status: u16,
    pub(in crate::tests) headers: HeaderMap,
    pub(in crate::tests) text: String,
}

impl Answer {
    pub(in crate::tests) async fn read(response: Response) -> Self {
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Self { status: parts.status.as_u16(), headers: parts.headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
    }

    pub(in crate::tests) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(in crate::tests) fn code(&self) -> i64 {
        self.json()["error"]["code"].as_i64().unwrap_or_default()
    }
}
