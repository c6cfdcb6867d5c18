//! `GET /api/grants`: for admins, who may use what.

use super::{Admin, Answer, ok};
use crate::state::State;
use aperium_crds::Grant;
use axum::Router;
use axum::routing::get;
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;

pub(super) fn routes() -> Router<Arc<State>> {
    Router::new().route("/api/grants", get(list))
}

/// All grants.
#[derive(Debug, Serialize)]
struct Grants {
    /// In the order of their names.
    grants: Vec<Shown>,
}

/// One Grant.
#[derive(Debug, Serialize)]
struct Shown {
    /// Where it is; nothing in a folder.
    namespace: Option<String>,
    /// Its name.
    name: String,
    /// The version that a change must name; nothing in a folder.
    version: Option<String>,
    /// What it says.
    spec: Value,
}

impl Shown {
    fn of(grant: &Grant) -> Self {
        let metadata = &grant.metadata;
        Self {
            namespace: metadata.namespace.clone(),
            name: metadata.name.clone().unwrap_or_default(),
            version: metadata.resource_version.clone(),
            spec: serde_json::to_value(&grant.spec).unwrap_or_default(),
        }
    }
}

async fn list(Admin(asker): Admin) -> Answer {
    let mut grants: Vec<Shown> = asker.snapshot.catalog.resources.grants.iter().map(|grant| Shown::of(grant)).collect();
    grants.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    ok(&Grants { grants })
}
