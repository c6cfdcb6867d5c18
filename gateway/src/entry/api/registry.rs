//! `GET /api/registry`: well-known servers that a connector can be made from.

use super::{Answer, Asker, ok};
use crate::registry::{self, Provider};
use crate::state::State;
use axum::Router;
use axum::routing::get;
use serde::Serialize;
use std::sync::Arc;

pub(super) fn routes() -> Router<Arc<State>> {
    Router::new().route("/api/registry", get(list))
}

/// The verified registry.
#[derive(Debug, Serialize)]
struct Registry {
    /// In the order of their names.
    providers: Vec<Known>,
}

/// One well-known server.
#[derive(Debug, Serialize)]
struct Known {
    #[serde(flatten)]
    provider: &'static Provider,
    /// Ids of the connectors that were made from it.
    connectors: Vec<String>,
}

async fn list(asker: Asker) -> Answer {
    let made_from = |provider: &Provider| {
        let entries = asker.snapshot.connectors().iter();
        let made = entries.filter(|entry| entry.config.provider.as_ref() == Some(&provider.provider));
        made.map(|entry| entry.config.id.to_string()).collect()
    };
    let known = registry::all().iter().map(|provider| Known { provider, connectors: made_from(provider) });
    ok(&Registry { providers: known.collect() })
}
