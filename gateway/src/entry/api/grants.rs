//! `GET /api/grants`, `PUT` and `DELETE /api/grants/<name>`: for admins, who may use what.

use super::change::{self, Unwanted, Wanted, Written};
use super::{Admin, Answer, Body, Error, Named, Query, ok};
use crate::catalog::ResourceKey;
use crate::error::Failure;
use crate::state::State;
use crate::writer::Kind;
use aperium_crds::Grant;
use axum::extract::State as Given;
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Arc<State>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(save, delete))
}

/// All grants.
#[derive(Debug, Serialize, ToSchema)]
struct Grants {
    /// In the order of their names.
    grants: Vec<Shown>,
}

/// One Grant.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Grant)]
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

#[utoipa::path(
    get, path = "/api/grants", operation_id = "listGrants", tag = "grants", summary = "All grants (admins)",
    responses((status = 200, body = Grants), (status = "4XX", body = Error), (status = "5XX", body = Error))
)]
async fn list(Admin(asker): Admin) -> Answer {
    let mut grants: Vec<Shown> = asker.snapshot.catalog.resources.grants.iter().map(|grant| Shown::of(grant)).collect();
    grants.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    ok(&Grants { grants })
}

#[utoipa::path(
    put, path = "/api/grants/{name}", operation_id = "putGrant", tag = "grants", summary = "Makes or changes a Grant (admins)",
    params(("name" = String, Path, description = "The Grant's name")),
    request_body = Wanted,
    responses((status = 200, body = Written, description = "Changed"), (status = 201, body = Written, description = "Made"), (status = "4XX", body = Error), (status = "5XX", body = Error))
)]
async fn save(
    Given(gateway): Given<Arc<State>>,
    Named(name): Named,
    Admin(asker): Admin,
    Body(wanted): Body<Wanted>,
) -> Answer {
    if wanted.name.as_ref().is_some_and(|other| *other != name) {
        return Err(Failure::Rejected("`name` must be the name of the path, or left out".to_owned()).into());
    }
    let key = key(&gateway, wanted.namespace.as_deref(), name);
    change::put(&gateway, &asker, Kind::Grant, key, wanted).await
}

#[utoipa::path(
    delete, path = "/api/grants/{name}", operation_id = "deleteGrant", tag = "grants", summary = "Deletes a Grant (admins)",
    params(("name" = String, Path, description = "The Grant's name"), Unwanted),
    responses((status = 204, description = "Deleted"), (status = "4XX", body = Error), (status = "5XX", body = Error))
)]
async fn delete(
    Given(gateway): Given<Arc<State>>,
    Named(name): Named,
    Admin(asker): Admin,
    Query(unwanted): Query<Unwanted>,
) -> Answer {
    let key = key(&gateway, unwanted.namespace.as_deref(), name);
    change::delete(&gateway, &asker, Kind::Grant, key, unwanted).await
}

fn key(gateway: &State, namespace: Option<&str>, name: String) -> ResourceKey {
    let namespace = namespace.map_or_else(|| gateway.access.load().namespace().to_owned(), str::to_owned);
    ResourceKey { namespace, name }
}
