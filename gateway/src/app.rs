//! The routers of the listeners. Layers run from the last to the first; each line says why it is there.

use crate::entry::{api, http, mcp, probes, register};
use crate::error::Failure;
use crate::pipeline::{authn, edge};
use crate::state::State;
use crate::trail;
use aperium_platform::{probes as platform_probes, request_id};
use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::Response;
use axum::routing::{any, get, post};
use std::sync::Arc;

/// What agents, IDEs and in-cluster backends reach (8080 and 8081).
///
/// The two listeners serve the same: delegates, who make the difference, come with identity.
pub(crate) fn public(state: &Arc<State>) -> Router {
    let mcp = Router::new()
        .route(
            "/v1/mcp",
            post(mcp::aggregate).get(mcp::aggregate_stream).delete(mcp::aggregate_end).fallback(method_not_allowed),
        )
        .route(
            "/v1/mcp/{id}",
            post(mcp::single).get(mcp::single_stream).delete(mcp::single_end).fallback(method_not_allowed),
        )
        // The same as on the admin listener, for whom a Grant allows it.
        .route("/metrics", get(probes::granted_metrics))
        // The id and everything below it, undecoded.
        .route("/v1/connectors/{*rest}", any(http::proxy))
        .merge(api::routes(state))
        .merge(register(state))
        .fallback(not_found)
        .with_state(Arc::clone(state))
        // Nothing behind this line is reached without a caller.
        .layer(from_fn_with_state(Arc::clone(state), authn::authenticate))
        // Before anyone asks for a token: what a web page or a stray proxy sends is no request at all.
        .layer(from_fn_with_state(Arc::clone(state), edge::edge));
    Router::new()
        // Load balancers ask by address and have no token.
        .route("/healthz", get(platform_probes::healthz))
        .fallback_service(mcp)
        // One line for every request, whatever became of it.
        .layer(from_fn_with_state(Arc::clone(state), trail::follow))
        // First and last: every answer carries the id that the logs carry.
        .layer(from_fn(request_id::request_id))
}

/// What the kubelet and the monitoring reach (9090).
pub(crate) fn admin(state: &Arc<State>) -> Router {
    Router::new()
        .route("/healthz", get(platform_probes::healthz))
        .route("/readyz", get(probes::readyz))
        .route("/metrics", get(probes::metrics))
        .with_state(Arc::clone(state))
        .layer(from_fn(request_id::request_id))
}

/// Dynamic registration: beside the aggregate, answering like the API.
fn register(state: &Arc<State>) -> Router<Arc<State>> {
    api::answering(state, Router::new().route("/v1/mcp/register", post(register::register)))
}

async fn not_found() -> Response {
    Failure::NotFound.respond(None, false)
}

async fn method_not_allowed() -> Response {
    Failure::Method.respond(None, false)
}
