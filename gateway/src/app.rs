//! The routers of the listeners. Layers run from the last to the first; each line says why it is there.

use crate::entry::{api, consent, pages, probes};
use crate::error::Failure;
use crate::front::Front;
use crate::pipeline::edge::Listener;
use crate::state::State;
use aperium_platform::{probes as platform_probes, request_id};
use axum::Router;
use axum::middleware::from_fn;
use axum::response::Response;
use axum::routing::get;
use std::sync::Arc;

/// What agents and IDEs reach (8080): the data path, and the routers beside it.
pub(crate) fn public(state: &Arc<State>) -> Front {
    front(state, Listener::Public)
}

/// What in-cluster backends reach (8081): the same, and delegates may act for persons.
pub(crate) fn in_cluster(state: &Arc<State>) -> Front {
    front(state, Listener::InCluster)
}

fn front(state: &Arc<State>, listener: Listener) -> Front {
    // Load balancers ask by address and have no token.
    let open = Router::new().route("/healthz", get(platform_probes::healthz));
    let rest = Router::new()
        // The same as on the admin listener, for whom a Grant allows it.
        .route("/metrics", get(probes::granted_metrics))
        .merge(api::routes(state))
        .merge(consent::routes())
        .merge(pages::routes())
        .fallback(not_found)
        .with_state(Arc::clone(state));
    let login = pages::login::routes().fallback(not_found).with_state(Arc::clone(state));
    Front::new(state, listener, open, login, rest)
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

async fn not_found() -> Response {
    Failure::NotFound.respond(None, false)
}
