//! The HTTP face of a service: requests come in, each passes the layers below in order, answers go out.
//!
//! ```text
//! request id ─► /healthz, /readyz                                      open: the kubelet has no token
//!            ─► bearer ─► /metrics                                     (open when the Connector says so)
//!            ─► bearer ─► /probe, /trial                               with a lease of its own
//!            ─► bearer ─► guard (lease) ─► rmcp (Host, Origin, eras) ─► handler ─► call
//! ```

mod envelope;
mod guard;
mod handler;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use aperium_platform::bearer::{TokenSource, require_bearer};
use aperium_platform::probes;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use serde_json::json;

use crate::service::Service;
use crate::service::readiness::{probe, trial};
use handler::Handler;

/// What the face needs to know beside the service itself.
pub(crate) struct Face {
    pub(crate) token: TokenSource,
    pub(crate) allowed_hosts: Vec<String>,
    pub(crate) metrics_open: bool,
    pub(crate) max_body: usize,
}

/// Where the gateway pushes probes.
const PROBE_PATH: &str = "/probe";
/// Where it has values tried that an admin has not saved yet.
const TRIAL_PATH: &str = "/trial";
/// The largest sealed values, in bytes: more than the fields of any connector.
const MAX_SEALED: usize = 512 * 1024;

/// Hosts that are always good: a browser page cannot have rebound them to somewhere else.
const LOOPBACK_HOSTS: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// All routes of one service.
pub(crate) fn router(service: &Arc<Service>, face: Face) -> Router {
    let hosts = LOOPBACK_HOSTS.into_iter().map(str::to_owned).chain(face.allowed_hosts);
    let config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true)
        // The Origin is the guard's: it may be the host of the request, which is no fixed list.
        .with_allowed_hosts(hosts)
        // The guard has the same limit and answers in JSON; this one only backs it up.
        .with_max_request_body_bytes(face.max_body);
    let handler = Handler::new(Arc::clone(service));
    let rmcp =
        StreamableHttpService::new(move || Ok(handler.clone()), Arc::new(NeverSessionManager::default()), config);

    let guarded = guard::Guarded { service: Arc::clone(service), max_body: face.max_body };
    let mcp = Router::new()
        .route_service("/mcp", rmcp.clone())
        .route_service("/mcp/", rmcp)
        .layer(middleware::from_fn_with_state(guarded, guard::guard));
    // The gateway pushes probes: a service never asks for a credential on its own word.
    let pushed = Router::new()
        .route(PROBE_PATH, post(probe))
        .route(TRIAL_PATH, post(trial).layer(DefaultBodyLimit::max(MAX_SEALED)))
        .with_state(Arc::clone(service));
    let mcp = mcp.merge(pushed);
    let metrics = Router::new().route("/metrics", get(metrics)).with_state(Arc::clone(service));
    let (guarded, open) = if face.metrics_open { (mcp, metrics) } else { (mcp.merge(metrics), Router::new()) };
    let guarded = guarded
        .layer(middleware::from_fn_with_state(face.token, require_bearer))
        // Outside the bearer check: it counts what that check refuses.
        .layer(middleware::from_fn_with_state(Arc::clone(service), count_auth_failures));

    Router::new()
        .merge(guarded)
        .merge(open)
        .route("/healthz", get(probes::healthz))
        .route("/readyz", get(readyz).with_state(Arc::clone(service)))
        // Outermost: every answer carries the id, refusals too.
        .layer(middleware::from_fn(aperium_platform::request_id::request_id))
}

async fn readyz(State(service): State<Arc<Service>>) -> Response {
    service.readiness.report(&service.binding().catalog).into_response()
}

async fn probe(State(service): State<Arc<Service>>, headers: HeaderMap) -> Response {
    match probe::pushed(&service, &headers).await {
        Ok(check) => Json(check).into_response(),
        Err(refused) => (StatusCode::FORBIDDEN, Json(json!({"error": refused.reason()}))).into_response(),
    }
}

async fn trial(State(service): State<Arc<Service>>, headers: HeaderMap, sealed: String) -> Response {
    match trial::pushed(&service, &headers, &sealed).await {
        Ok(trial) => Json(trial).into_response(),
        Err(refused) => (StatusCode::FORBIDDEN, Json(json!({"error": refused.reason()}))).into_response(),
    }
}

async fn metrics(State(service): State<Arc<Service>>) -> Response {
    service.refresh_state();
    aperium_platform::metrics::response(service.metrics.registry())
}

async fn count_auth_failures(State(service): State<Arc<Service>>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    if response.status() == StatusCode::UNAUTHORIZED {
        service.metrics.auth_failure();
    }
    response
}
