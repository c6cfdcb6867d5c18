//! `GET /api/registry`: well-known servers that a connector can be made from.

use super::{Answer, Asker, Error, ok};
use crate::registry::{self, Provider};
use crate::state::State;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Arc<State>> {
    OpenApiRouter::new().routes(routes!(list))
}

/// The verified registry.
#[derive(Debug, Serialize, ToSchema)]
struct Registry {
    /// In the order of their names.
    providers: Vec<Known>,
}

/// One well-known server.
#[derive(Debug, Serialize, ToSchema)]
struct Known {
    #[serde(flatten)]
    provider: Provider,
    /// Ids of the connectors that were made from it.
    connectors: Vec<String>,
}

#[utoipa::path(
    get, path = "/api/registry", operation_id = "listRegistry", tag = "connectors", summary = "Well-known servers that a connector can be made from",
    responses((status = 200, body = Registry), (status = "4XX", body = Error), (status = "5XX", body = Error))
)]
async fn list(asker: Asker) -> Answer {
    let made_from = |provider: &Provider| {
        let entries = asker.snapshot.connectors().iter();
        let made = entries.filter(|entry| entry.config.provider.as_ref() == Some(&provider.provider));
        made.map(|entry| entry.config.id.to_string()).collect()
    };
    let known =
        registry::all().iter().map(|provider| Known { provider: provider.clone(), connectors: made_from(provider) });
    ok(&Registry { providers: known.collect() })
}
