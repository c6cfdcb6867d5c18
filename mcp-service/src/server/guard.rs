//! In front of rmcp: what it would answer wrongly, or accept, is answered here, always as a JSON-RPC error.
//!
//! A request comes in; a bounded, well-formed, unambiguous one goes on to rmcp; whatever rmcp refuses as plain text
//! comes back out as JSON-RPC.

use std::sync::Arc;
use std::time::Duration;

use aperium_platform::body;
use aperium_platform::lease::LEASE_HEADER;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use serde_json::{Value, json};

use super::envelope::{self, Message};
use crate::service::{Service, admission};

/// How long the body of a request may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// The most of a refusal of rmcp's that is read back.
const MAX_REFUSAL: usize = 4096;

const INVALID_REQUEST: i64 = -32600;

/// A call that may not be made with what the caller has shown.
const FORBIDDEN: i64 = -32001;

/// What the layer needs.
#[derive(Clone)]
pub(super) struct Guarded {
    pub(super) service: Arc<Service>,
    pub(super) max_body: usize,
}

/// The layer.
pub(super) async fn guard(State(guarded): State<Guarded>, request: Request, next: Next) -> Response {
    if !same_origin(request.headers()) {
        return refuse(StatusCode::FORBIDDEN, INVALID_REQUEST, "the Origin is not this service's own", &Value::Null);
    }
    if request.method() != Method::POST {
        // No sessions and no streams here: rmcp says 405 and which method is allowed.
        return in_json(next.run(request).await, &Value::Null).await;
    }
    if !body::is_json(request.headers()) {
        let message = "Content-Type must be application/json";
        return refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, INVALID_REQUEST, message, &Value::Null);
    }
    let (mut head, body) = request.into_parts();
    let body = match read(body, guarded.max_body).await {
        Ok(body) => body,
        Err(refusal) => return *refusal,
    };
    let Message { id, tool } = match envelope::message(&body) {
        Ok(message) => message,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, error.code(), &error.to_string(), &Value::Null),
    };
    match admission::admit(&guarded.service, &head.headers, tool.as_deref()) {
        Ok(Some(leased)) => drop(head.extensions.insert(Arc::new(leased))),
        Ok(None) => {}
        Err(refused) => {
            tracing::warn!(reason = refused.reason(), "call refused");
            return refuse(StatusCode::FORBIDDEN, FORBIDDEN, &refused.to_string(), &id);
        }
    }
    // Nobody behind this line has a use for it.
    head.headers.remove(LEASE_HEADER);
    widen_accept(&mut head.headers);
    in_json(next.run(Request::from_parts(head, Body::from(body))).await, &id).await
}

/// Whether the request comes from no web page, or from one that this very host served.
///
/// Services serve no pages, so in practice every page is a stranger; the Host itself is checked by rmcp.
fn same_origin(headers: &HeaderMap) -> bool {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let (Some(origin), None) = (origins.next(), origins.next()) else {
        return !headers.contains_key(header::ORIGIN);
    };
    let Some(host) = headers.get(header::HOST).and_then(|host| host.to_str().ok()) else { return false };
    let authority = origin.to_str().ok().and_then(|origin| origin.strip_prefix("http://"));
    authority.is_some_and(|authority| !authority.is_empty() && authority.eq_ignore_ascii_case(host))
}

async fn read(body: Body, limit: usize) -> Result<Bytes, Box<Response>> {
    body::read(body, limit, BODY_TIMEOUT)
        .await
        .map_err(|error| Box::new(refuse(error.status(), INVALID_REQUEST, &error.to_string(), &Value::Null)))
}

/// rmcp wants both media types by name. A client that takes anything, says nothing, or takes plain JSON (which is all
/// that is ever sent from here) gets them.
fn widen_accept(headers: &mut HeaderMap) {
    let takes_json = headers.get_all(header::ACCEPT).iter().all(|value| {
        value.to_str().is_ok_and(|value| {
            value.split(',').filter_map(|range| range.split(';').next()).any(|range| {
                matches!(range.trim().to_ascii_lowercase().as_str(), "*/*" | "application/*" | "application/json")
            })
        })
    });
    if takes_json {
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
    }
}

/// Turns a refusal that is not JSON into a JSON-RPC error with the same status and headers.
async fn in_json(response: Response, id: &Value) -> Response {
    let status = response.status();
    let json = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/json"));
    if status.as_u16() < 400 || json {
        return response;
    }
    let (mut head, body) = response.into_parts();
    let text = match Limited::new(body, MAX_REFUSAL).collect().await {
        Ok(text) => text.to_bytes(),
        Err(_) => Bytes::new(),
    };
    // Only a body that is no MCP message can still be called an unsupported media type: its type was checked above.
    if status == StatusCode::UNSUPPORTED_MEDIA_TYPE {
        return refuse(StatusCode::BAD_REQUEST, INVALID_REQUEST, "the message is no MCP request", id);
    }
    let message = if status.is_server_error() {
        "internal error".to_owned()
    } else {
        String::from_utf8_lossy(&text).trim().to_owned()
    };
    let code = if status.is_server_error() { -32603 } else { INVALID_REQUEST };
    head.headers.remove(header::CONTENT_LENGTH);
    let mut refusal = refuse(status, code, &message, id);
    for (name, value) in &head.headers {
        if name != header::CONTENT_TYPE {
            refusal.headers_mut().append(name, value.clone());
        }
    }
    refusal
}

fn refuse(status: StatusCode, code: i64, message: &str, id: &Value) -> Response {
    let body = json!({"jsonrpc": "2.0", "id": id, "error": {"code": code, "message": message}});
    (status, axum::Json(body)).into_response()
}
