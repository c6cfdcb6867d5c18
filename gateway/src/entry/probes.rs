//! `/readyz` and `/metrics` of the admin listener, and `/metrics` of the public one.

use crate::error::Failure;
use crate::snapshot::{Health, Identity};
use crate::state::State as Gateway;
use aperium_crds::connector::Protocol;
use aperium_platform::probes::{Check, Readiness};
use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Ready once the Catalog was read and while the database answers, where there is one. A connector that is down is told, and never makes the gateway unready.
pub(crate) async fn readyz(State(gateway): State<Arc<Gateway>>) -> Response {
    let catalog = if gateway.loaded.load(Ordering::Acquire) {
        Check::ok("configuration is loaded")
    } else {
        Check::failed("Pending", "configuration is not loaded yet")
    };
    let snapshot = gateway.snapshot.load();
    let mut connectors = serde_json::Map::new();
    for entry in snapshot.connectors() {
        let told = match &entry.health {
            Health::Pending => json!({ "available": false, "reason": "Pending" }),
            Health::Registered if entry.config.protocol == Protocol::Http => json!({ "available": true }),
            Health::Registered => json!({ "available": true, "tools": entry.tools().len() }),
            Health::Unavailable { reason, outside, .. } => {
                json!({ "available": false, "reason": reason, "message": outside })
            }
        };
        connectors.insert(entry.config.id.to_string(), told);
    }
    let unavailable: Vec<String> = snapshot
        .connectors()
        .iter()
        .filter(|entry| !entry.registered())
        .map(|entry| entry.config.id.to_string())
        .collect();
    let mut readiness = Readiness::new().check("catalog", catalog);
    if let Some(database) = &gateway.database {
        readiness = readiness.check("database", database.check());
    }
    readiness.fact("connectors", connectors).fact("unavailable", unavailable).into_response()
}

/// All metrics, for callers who may read them.
pub(crate) async fn granted_metrics(
    State(gateway): State<Arc<Gateway>>,
    Extension(identity): Extension<Arc<Identity>>,
) -> Response {
    match gateway.snapshot.load().view(&identity) {
        Ok(view) if view.reads_metrics() => gateway.metrics.scrape(),
        Ok(_) => gateway.refuse(&Failure::Forbidden(NEEDS_GRANT.to_owned())),
        Err(_) => gateway.refuse(&Failure::NoRole),
    }
}

const NEEDS_GRANT: &str = "access denied: this needs a Grant with readMetrics";

/// All metrics.
pub(crate) async fn metrics(State(gateway): State<Arc<Gateway>>) -> Response {
    gateway.metrics.scrape()
}
