//! The messages that failures and results are written as.

use crate::raw::RawWriter;
use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use serde_json::value::RawValue;

/// A JSON-RPC error message around an error object.
pub(crate) fn rpc_error(id: Option<&RawValue>, error: &[u8]) -> Vec<u8> {
    let mut message = RawWriter::object(error.len() + 64);
    message.raw("jsonrpc", "\"2.0\"").raw("id", id.map_or("null", RawValue::get)).bytes("error", error);
    message.finish()
}

/// A JSON-RPC result message.
pub(crate) fn rpc_result(id: &RawValue, result: &[u8]) -> Vec<u8> {
    let mut message = RawWriter::object(result.len() + id.get().len() + 40);
    message.raw("jsonrpc", "\"2.0\"").raw("id", id.get()).bytes("result", result);
    message.finish()
}

/// A response that carries JSON.
pub(crate) fn json(status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A tool's own failure, as every client shows it to its model: an `isError` result.
pub(crate) fn tool_error(code: &str, message: &str, request_id: &str) -> Vec<u8> {
    let result = serde_json::json!({
        "resultType": "complete",
        "content": [{ "type": "text", "text": message }],
        "structuredContent": { "code": code, "message": message, "request_id": request_id },
        "isError": true,
    });
    result.to_string().into_bytes()
}

/// The same for what is no tool call: a JSON-RPC error object.
pub(crate) fn upstream_error(code: &str, message: &str, request_id: &str) -> Vec<u8> {
    let data = serde_json::json!({ "code": code, "request_id": request_id });
    let mut error = RawWriter::object(160);
    error.raw("code", "-32603").text("message", message).raw("data", &data.to_string());
    error.finish()
}
