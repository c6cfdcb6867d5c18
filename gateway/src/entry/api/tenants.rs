//! `GET /api/tenants`, `GET/DELETE /api/tenants/<tenant>`: of whom anything is stored, for admins. A deleted tenant's
//! data key is shredded, and every row of theirs goes with it.

use super::credentials::ShownCredential;
use super::{Admin, Answer, Error, Named, no_content, ok};
use crate::database;
use crate::error::Failure;
use crate::state::State;
use aperium_core::id::TenantId;
use aperium_store::Store;
use axum::extract::State as Given;
use jiff::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Arc<State>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(one, delete))
}

/// All tenants that anything is stored of.
#[derive(Debug, Serialize, ToSchema)]
struct Tenants {
    /// By name.
    tenants: Vec<String>,
}

/// One tenant.
#[derive(Debug, Serialize, ToSchema)]
struct Tenant {
    tenant: String,
    /// When something was first saved for it.
    #[schema(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
    /// Its credentials by connector, without their values.
    credentials: BTreeMap<String, ShownCredential>,
}

#[utoipa::path(
    get, path = "/api/tenants", operation_id = "listTenants", tag = "tenants", summary = "The tenants that anything is stored of (admins)",
    responses((status = 200, body = Tenants), (status = "4XX", body = Error), (status = "5XX", body = Error))
)]
async fn list(Given(gateway): Given<Arc<State>>, _admin: Admin) -> Answer {
    let tenants = store(&gateway)?.every_tenant().list().await.map_err(|error| database::failure(&error))?;
    ok(&Tenants { tenants: tenants.iter().map(ToString::to_string).collect() })
}

#[utoipa::path(
    get, path = "/api/tenants/{tenant}", operation_id = "getTenant", tag = "tenants", summary = "What is stored of a tenant, without values (admins)",
    params(("tenant" = String, Path, description = "The tenant")),
    responses((status = 200, body = Tenant), (status = "4XX", body = Error), (status = "5XX", body = Error))
)]
async fn one(Given(gateway): Given<Arc<State>>, _admin: Admin, Named(tenant): Named) -> Answer {
    let tenant = TenantId::parse(&tenant).map_err(|_| Failure::NotFound)?;
    let of_it = store(&gateway)?.tenant(&tenant);
    let since = of_it.since().await.map_err(|error| database::failure(&error))?.ok_or(Failure::NotFound)?;
    let credentials = of_it.credentials().await.map_err(|error| database::failure(&error))?;
    ok(&Tenant {
        tenant: tenant.to_string(),
        since: Timestamp::from_millisecond(since).ok(),
        credentials: credentials
            .into_iter()
            .map(|about| (about.connector.clone(), ShownCredential::of(about)))
            .collect(),
    })
}

#[utoipa::path(
    delete, path = "/api/tenants/{tenant}", operation_id = "deleteTenant", tag = "tenants", summary = "Deletes everything that is stored of a tenant; its data key is shredded (admins)",
    params(("tenant" = String, Path, description = "The tenant")),
    responses((status = 204, description = "Deleted"), (status = "4XX", body = Error), (status = "5XX", body = Error))
)]
async fn delete(Given(gateway): Given<Arc<State>>, Admin(asker): Admin, Named(tenant): Named) -> Answer {
    let tenant = TenantId::parse(&tenant).map_err(|_| Failure::NotFound)?;
    let deleted = store(&gateway)?.tenant(&tenant).delete().await;
    if !deleted.map_err(|error| database::failure(&error))? {
        return Err(Failure::NotFound.into());
    }
    tracing::info!(%tenant, by = %asker.view.identity().caller.principal, "tenant deleted, its data key shredded");
    Ok(no_content())
}

fn store(gateway: &State) -> Result<&Store, Failure> {
    gateway.database.as_ref().map(|database| database.store()).ok_or_else(database::missing)
}
