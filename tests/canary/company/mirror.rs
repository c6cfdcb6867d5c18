//! Upstreams that repeat all that they are sent, in every place of an answer.

use super::{Asked, json};
use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json as value};

/// The tools of an MCP server, by how they answer.
pub(crate) const TOOLS: [&str; 7] = ["echo", "text", "tool_error", "rpc_error", "server_error", "refusal", "events"];

pub(super) fn mcp(asked: &Asked) -> Response {
    let message: Value = serde_json::from_str(&asked.body).unwrap_or_default();
    let id = &message["id"];
    let result = |result: Value| json(StatusCode::OK, &value!({"jsonrpc": "2.0", "id": id, "result": result}));
    match message["method"].as_str().unwrap_or_default() {
        "initialize" => result(value!({"protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
            "serverInfo": {"name": "mirror", "version": "1"}, "instructions": all(asked)})),
        "ping" => result(value!({})),
        "tools/list" => result(value!({"tools": tools(asked)})),
        "tools/call" => call(asked, &message),
        _ if id.is_null() => empty(StatusCode::ACCEPTED),
        _ => json(
            StatusCode::OK,
            &value!({"jsonrpc": "2.0", "id": id,
            "error": {"code": -32601, "message": "Method not found", "data": all(asked)}}),
        ),
    }
}

fn tools(asked: &Asked) -> Value {
    let schema = value!({"type": "object", "properties": {"what": {"type": "string"}}});
    let tool =
        |name: &&str| value!({"name": name, "description": format!("It got {}", all(asked)), "inputSchema": schema});
    TOOLS.iter().map(tool).collect()
}

fn call(asked: &Asked, message: &Value) -> Response {
    let (id, all) = (&message["id"], all(asked));
    let text = |text: &str, failed: bool| {
        let content = value!([{"type": "text", "text": text}]);
        value!({"jsonrpc": "2.0", "id": id, "result": {"content": content, "isError": failed}})
    };
    let error = value!({"jsonrpc": "2.0", "id": id, "error": {"code": -32000, "message": all, "data": {"sent": all}}});
    let mut response = match message["params"]["name"].as_str().unwrap_or_default() {
        "echo" => {
            let what = message["params"]["arguments"]["what"].as_str().unwrap_or_default();
            return json(StatusCode::OK, &text(what, false));
        }
        "text" => json(StatusCode::OK, &text(&all, false)),
        "tool_error" => json(StatusCode::OK, &text(&all, true)),
        "rpc_error" => json(StatusCode::OK, &error),
        "server_error" => json(StatusCode::INTERNAL_SERVER_ERROR, &error),
        "refusal" => json(StatusCode::UNAUTHORIZED, &error),
        _ => {
            let note = value!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "error", "data": all}});
            let events = format!(": {all}\n\ndata: {note}\n\ndata: {}\n\n", text(&all, false));
            let builder = Response::builder().header(header::CONTENT_TYPE, "text/event-stream");
            builder.body(Body::from(events)).expect("a response")
        }
    };
    mirrored(asked, &mut response);
    response
}

/// An HTTP API; the last part of the path is the status that it answers with.
pub(super) fn api(asked: &Asked) -> Response {
    let status = asked.parts.uri.path().rsplit('/').next().and_then(|last| last.parse().ok());
    let mut response = json(status.unwrap_or(StatusCode::OK), &value!({"sent": all(asked)}));
    mirrored(asked, &mut response);
    if let Ok(location) = HeaderValue::from_str(&asked.parts.uri.to_string()) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// All that was sent, as text.
fn all(asked: &Asked) -> String {
    let mut all = asked.parts.uri.to_string();
    for (name, value) in &asked.parts.headers {
        all.push_str(&format!(" {name}={}", String::from_utf8_lossy(value.as_bytes())));
    }
    all
}

/// Every header that came goes back.
fn mirrored(asked: &Asked, response: &mut Response) {
    for value in asked.parts.headers.values() {
        response.headers_mut().append("x-mirror", value.clone());
        if let Ok(cookie) = HeaderValue::from_bytes(&[b"sent=", value.as_bytes()].concat()) {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
    }
}

fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
