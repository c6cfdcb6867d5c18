//! `/v1/connectors/<id>/<path>`: the caller's request to the connector's own URL, with the connector's credential.
//!
//! ```text
//! method, id ──authz (ProxyPermit)──► path, query ──route (ProxyTarget)──► head, body ──► credential ──► upstream
//! caller ◄── head without cookies and redirects, body up to 50 MiB ◄──────────────────────────────────────┘
//! ```
//! A managed service has no URL of its own: there the path is `/mcp`, and what comes there is served as on
//! `/v1/mcp/<id>`, so that the grants of its tools are asked as well.

use crate::error::Failure;
use crate::pipeline::authz::proxy;
use crate::pipeline::route::proxy::ProxyTarget;
use crate::snapshot::Identity;
use crate::state::State as Gateway;
use crate::trail;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::request::Parts;
use http::{Method, header};
use std::pin::pin;
use std::sync::Arc;

mod down;
mod error;
mod record;
mod response;
mod up;

pub(crate) use error::ProxyError;
use record::Record;

/// What every proxy path begins with.
const PREFIX: &str = "/v1/connectors/";

/// The methods that are passed on. TRACE and CONNECT would show the credential or open a tunnel with it.
pub(crate) const METHODS: [Method; 7] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];

/// Any method of `/v1/connectors/<id>` and everything below it.
pub(crate) async fn proxy(gateway: &Gateway, identity: &Arc<Identity>, request: Request) -> Response {
    match forward(gateway, identity, request).await {
        Ok(response) => response,
        Err(failure) => gateway.refuse_as("proxy", &failure),
    }
}

async fn forward(gateway: &Gateway, identity: &Arc<Identity>, request: Request) -> Result<Response, Failure> {
    if !METHODS.contains(request.method()) {
        return Err(ProxyError::Method.into());
    }
    let snapshot = gateway.snapshot.load_full();
    let view = snapshot.view(identity).map_err(|_| Failure::NoRole)?;
    let (parts, body) = request.into_parts();
    let (id, rest) = split(parts.uri.path()).ok_or(Failure::NotFound)?;
    let permit = proxy::proxy(&snapshot, &view, id).inspect_err(|_| trail::about(id, None))?;
    let Some(target) = ProxyTarget::of(&permit, rest, parts.uri.query()).map_err(ProxyError::Path)? else {
        let position = permit.position();
        return Box::pin(managed(gateway, snapshot, view, position, Request::from_parts(parts, body))).await;
    };
    let head = up::head(&parts, target.carries_secret())?;
    let writes = !parts.method.is_safe();
    let mut record = Record::start(gateway, permit, &parts);
    let recorded = if writes { gateway.audit.intent().await } else { Ok(()) };
    let answered = match recorded {
        Ok(()) => exchange(gateway, &target, &parts, (head, body)).await,
        Err(refused) => Err(refused.into()),
    };
    match answered {
        Ok(answer) => response::of(&target, &parts.method, answer, record).map_err(Failure::from),
        Err(error) => {
            record.failed(&error);
            Err(error.into())
        }
    }
}

/// The id and what follows it, both as they were sent.
fn split(path: &str) -> Option<(&str, &str)> {
    let below = path.strip_prefix(PREFIX)?;
    Some(below.find('/').map_or((below, ""), |at| below.split_at(at)))
}

/// A managed service behind its proxy path: MCP and nothing else.
async fn managed(
    gateway: &Gateway,
    snapshot: Arc<crate::snapshot::Snapshot>,
    view: Arc<crate::snapshot::View>,
    position: usize,
    request: Request,
) -> Result<Response, Failure> {
    match split(request.uri().path()) {
        Some((_, "/mcp")) if request.method() == Method::POST => {
            Ok(super::mcp::through_proxy(gateway, snapshot, view, position, request).await)
        }
        Some((_, "/mcp")) => Err(Failure::Method),
        _ => Err(Failure::NotFound),
    }
}

type Answer = http::Response<crate::pipeline::upstream::link::Cleaned>;

/// Sends the request. Once: only where nothing can have been sent, and nothing that a body would be lost for, is a
/// kept connection that was just closed replaced by a new one.
async fn exchange(
    gateway: &Gateway,
    target: &ProxyTarget,
    parts: &Parts,
    (head, body): (http::HeaderMap, Body),
) -> Result<Answer, ProxyError> {
    let limit = gateway.snapshot.load().catalog.settings.limits.max_proxy_request_bytes;
    let (body, upload) = up::Up::wrap(body, limit)?;
    let bodiless = body.is_none();
    let request = |head: http::HeaderMap, body: Option<Body>| {
        let mut request = Request::new(body.unwrap_or_else(Body::empty));
        *request.method_mut() = parts.method.clone();
        *request.uri_mut() = target.uri().clone();
        *request.headers_mut() = head;
        request
    };
    let first = upload.within(target.timeout(), pin!(target.upstream().forward(request(head, body)))).await;
    match first {
        Err(ProxyError::Upstream(error)) if error.unsent && bodiless && parts.method.is_safe() => {
            let head = up::head(parts, target.carries_secret())?;
            let again = Box::pin(target.upstream().forward(request(head, None)));
            upload.within(target.timeout(), again).await
        }
        other => other,
    }
}

/// What of the caller's request names it in logs on both sides.
fn request_id(parts: &Parts) -> &str {
    parts.headers.get("x-request-id").and_then(|id| id.to_str().ok()).unwrap_or_default()
}

/// The `Allow` of a 405.
pub(crate) const ALLOW: (http::HeaderName, &str) = (header::ALLOW, "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_ends_at_the_first_slash_and_nothing_is_decoded() {
        for (path, id, rest) in [
            ("/v1/connectors/github", "github", ""),
            ("/v1/connectors/github/", "github", "/"),
            ("/v1/connectors/github/user", "github", "/user"),
            ("/v1/connectors/a/../b/x", "a", "/../b/x"),
            ("/v1/connectors/%61/x", "%61", "/x"),
            ("/v1/connectors//x", "", "/x"),
        ] {
            assert_eq!(split(path), Some((id, rest)), "{path}");
        }
    }
}
