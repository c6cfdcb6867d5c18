//! `GET /api/connectors`, `GET /api/connectors/<id>`, `POST /api/connectors/<id>/refresh`: what there is, how it is, and
//! what of it the caller may use. `PUT` and `DELETE /api/connectors/<id>`: for admins, what there shall be.

use super::change::{self, Unwanted, Wanted, Written};
use super::{Admin, Answer, ApiFailure, Asker, Body, Error, Named, Query, ok};
use crate::catalog::ResourceKey;
use crate::discovery::Event;
use crate::error::Failure;
use crate::registry;
use crate::snapshot::{Snapshot, View};
use crate::state::State;
use crate::writer::Kind;
use aperium_core::id::{ConnectorId, ConnectorName};
use aperium_core::name::effective_id;
use axum::extract::State as Given;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;

mod consent;
mod shown;
mod tenants;

use shown::{Connector, Refused};
use tenants::Known;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Arc<State>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(one, save, delete))
        .routes(routes!(refresh))
        .merge(consent::routes())
}

/// All connectors.
#[derive(Debug, Serialize, ToSchema)]
struct Connectors {
    /// Those that are served, in the order of their ids.
    connectors: Vec<Connector>,
    /// For admins: those that are configured and not served, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<Vec<Refused>>,
}

#[utoipa::path(
    get, path = "/api/connectors", operation_id = "listConnectors", tag = "connectors", summary = "All connectors, and what of each the caller may use",
    responses((status = 200, body = Connectors), (status = "4XX", body = Error), (status = "5XX", body = Error))
)]
async fn list(Given(gateway): Given<Arc<State>>, Asker { snapshot, view }: Asker) -> Answer {
    let known = Known::read(&gateway, &view, None).await;
    let mut connectors = Vec::new();
    for position in snapshot.positions() {
        connectors.extend(Connector::of(&snapshot, &view, &known, position).await);
    }
    let refused = view.is_admin().then(|| Refused::all(&snapshot));
    ok(&Connectors { connectors, refused })
}

#[utoipa::path(
    get, path = "/api/connectors/{id}", operation_id = "getConnector", tag = "connectors", summary = "One connector",
    params(("id" = String, Path, description = "The connector's id")),
    responses((status = 200, body = Connector), (status = "4XX", body = Error), (status = "5XX", body = Error))
)]
async fn one(Given(gateway): Given<Arc<State>>, Named(id): Named, Asker { snapshot, view }: Asker) -> Answer {
    let position = position(&snapshot, &id)?;
    show(&gateway, &snapshot, &view, position).await
}

/// What a poll may take beyond its own limit before the answer is given up.
const GRACE: Duration = Duration::from_secs(2);

/// Asks the upstream now, and answers with what it says. Whoever is granted nothing on the connector cannot make the
/// gateway ask.
#[utoipa::path(
    post, path = "/api/connectors/{id}/refresh", operation_id = "refreshConnector", tag = "connectors", summary = "Asks the upstream now",
    params(("id" = String, Path, description = "The connector's id")),
    responses((status = 200, body = Connector), (status = "4XX", body = Error), (status = "5XX", body = Error))
)]
async fn refresh(Given(gateway): Given<Arc<State>>, Named(id): Named, Asker { snapshot, view }: Asker) -> Answer {
    let position = position(&snapshot, &id)?;
    let entry = snapshot.at(position).filter(|entry| view.is_admin() || view.concerns(position, entry));
    let entry = entry.ok_or(Failure::NotFound)?;
    if entry.polled() {
        entry.pulse.rested().await;
        let next = entry.pulse.next();
        let _ = gateway.events.send(Event::Wake(entry.config.key.clone())).await;
        // An upstream that does not answer in time is what the answer says.
        let _ = tokio::time::timeout(entry.config.poll_timeout + GRACE, entry.pulse.until(next)).await;
        gateway.settled().await;
    }
    let snapshot = gateway.snapshot.load_full();
    let view = snapshot.view(view.identity()).map_err(|_| Failure::NoRole)?;
    let position = self::position(&snapshot, &id)?;
    show(&gateway, &snapshot, &view, position).await
}

fn position(snapshot: &Snapshot, id: &str) -> Result<usize, Failure> {
    ConnectorId::any(id).ok().and_then(|id| snapshot.position(&id)).ok_or(Failure::NotFound)
}

async fn show(gateway: &State, snapshot: &Snapshot, view: &View, position: usize) -> Answer {
    let known = Known::read(gateway, view, snapshot.at(position).map(|entry| &entry.config.id)).await;
    ok(&Connector::of(snapshot, view, &known, position).await.ok_or(ApiFailure(Failure::NotFound))?)
}

#[utoipa::path(
    put, path = "/api/connectors/{id}", operation_id = "putConnector", tag = "connectors", summary = "Makes or changes a Connector (admins)",
    params(("id" = String, Path, description = "The connector's id")),
    request_body = Wanted,
    responses((status = 200, body = Written, description = "Changed"), (status = 201, body = Written, description = "Made"), (status = "4XX", body = Error), (status = "5XX", body = Error))
)]
async fn save(
    Given(gateway): Given<Arc<State>>,
    Named(id): Named,
    Admin(asker): Admin,
    Body(mut wanted): Body<Wanted>,
) -> Answer {
    let id = ConnectorId::parse(&id).map_err(|error| Failure::Invalid(error.to_string()))?;
    let known = key_of(&asker.snapshot, &id, wanted.namespace.as_deref());
    let key = match (known, wanted.name.take()) {
        (Some(key), None) => key,
        (Some(key), Some(name)) if key.name == name => key,
        (Some(key), Some(_)) => {
            return Err(Failure::Conflict(format!("id \"{id}\" belongs to the Connector {key}")).into());
        }
        (None, name) => ResourceKey {
            namespace: wanted.namespace.clone().unwrap_or_else(|| gateway.access.load().namespace().to_owned()),
            name: name.unwrap_or_else(|| id.key()),
        },
    };
    registry::fill(&mut wanted.spec);
    agree(&id, &key, &mut wanted)?;
    change::put(&gateway, &asker, Kind::Connector, key, wanted).await
}

#[utoipa::path(
    delete, path = "/api/connectors/{id}", operation_id = "deleteConnector", tag = "connectors", summary = "Deletes a Connector (admins)",
    params(("id" = String, Path, description = "The connector's id"), Unwanted),
    responses((status = 204, description = "Deleted"), (status = "4XX", body = Error), (status = "5XX", body = Error))
)]
async fn delete(
    Given(gateway): Given<Arc<State>>,
    Named(id): Named,
    Admin(asker): Admin,
    Query(unwanted): Query<Unwanted>,
) -> Answer {
    let id = ConnectorId::parse(&id).map_err(|_| Failure::NotFound)?;
    let key = key_of(&asker.snapshot, &id, unwanted.namespace.as_deref()).ok_or(Failure::NotFound)?;
    let position = asker.snapshot.position(&id);
    // One that is not served has stored nothing: the id is another's.
    let served = position.and_then(|at| asker.snapshot.at(at)).is_some_and(|entry| entry.config.key == key);
    let answer = change::delete(&gateway, &asker, Kind::Connector, key, unwanted).await?;
    if served {
        forget(&gateway, &id).await?;
    }
    Ok(answer)
}

/// What tenants and users have stored for a connector goes with it: whoever makes another one of the same id must not
/// find it.
async fn forget(gateway: &State, id: &ConnectorId) -> Result<(), Failure> {
    let Some(database) = &gateway.database else { return Ok(()) };
    match database.store().every_tenant().forget_connector(id).await {
        Ok(rows) => {
            tracing::info!(connector = id.as_str(), rows, "what was stored for a deleted connector is gone");
            Ok(())
        }
        Err(error) => Err(Failure::Unavailable {
            outside: "the Connector is deleted, and what was stored for it is not: make it again and delete it again",
            inside: error.reason().to_owned(),
        }),
    }
}

/// The Connector with this id, served or not.
pub(super) fn key_of(snapshot: &Snapshot, id: &ConnectorId, namespace: Option<&str>) -> Option<ResourceKey> {
    let served = snapshot.position(id).and_then(|position| snapshot.at(position)).map(|entry| &entry.config.key);
    let refused = || {
        snapshot.catalog.refused.keys().find(|key| {
            let spec_id = snapshot.catalog.connector(key).and_then(|connector| connector.spec.id.as_deref());
            let name = ConnectorName::parse(&key.name).ok();
            name.and_then(|name| effective_id(spec_id, &name).ok()).is_some_and(|other| other.key() == id.key())
        })
    };
    served.or_else(refused).filter(|key| namespace.is_none_or(|wanted| wanted == key.namespace)).cloned()
}

/// The id of the path must be the one that the resource would have; where only `spec.id` can say it, it is put there.
fn agree(id: &ConnectorId, key: &ResourceKey, wanted: &mut Wanted) -> Result<(), Failure> {
    let name = ConnectorName::parse(&key.name).map_err(|error| Failure::Invalid(error.to_string()))?;
    let given = wanted.spec.get("id").and_then(serde_json::Value::as_str).map(str::to_owned);
    if effective_id(given.as_deref(), &name).is_ok_and(|would_be| would_be == *id) {
        return Ok(());
    }
    match wanted.spec.as_object_mut().filter(|_| given.is_none()) {
        Some(spec) => {
            spec.insert("id".to_owned(), serde_json::Value::String(id.to_string()));
            Ok(())
        }
        None => Err(Failure::Invalid(format!("spec.id must be \"{id}\", the id of the path"))),
    }
}
