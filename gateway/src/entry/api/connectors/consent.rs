//! `POST /api/connectors/<id>/connect` and `/disconnect`: a user authorises the gateway for a connector, or no longer.

use super::{Answer, Asker, Error, ok, position};
use crate::consent::{ConsentError, People, Person};
use crate::entry::consent::{browser, callback_of, connect_page};
use crate::error::Failure;
use crate::login::Visit;
use crate::pipeline::authz::lacks_tenant;
use crate::state::State;
use axum::Extension;
use axum::extract::{Path, State as Given};
use http::HeaderMap;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(super) fn routes() -> OpenApiRouter<Arc<State>> {
    OpenApiRouter::new().routes(routes!(connect)).routes(routes!(disconnect))
}

/// Where to go.
#[derive(Debug, Serialize, ToSchema)]
struct Connect {
    /// What the user opens in a browser within 15 minutes.
    auth_url: String,
}

/// What is gone.
#[derive(Debug, Serialize, ToSchema)]
struct Disconnected {
    /// Whether there was anything.
    disconnected: bool,
}

/// Begins the flow in which the caller authorises the gateway. It ends after 15 minutes, in the browser whose session asks.
/// Who asks with a token gets the page where a browser signs in and begins it.
#[utoipa::path(
    post, path = "/api/connectors/{id}/connect", operation_id = "connectConnector", tag = "connectors", summary = "Where the caller authorises the gateway",
    params(("id" = String, Path, description = "The connector's id")),
    responses((status = 200, body = Connect), (status = "4XX", body = Error), (status = "5XX", body = Error))
)]
async fn connect(
    Given(gateway): Given<Arc<State>>,
    Path(id): Path<String>,
    headers: HeaderMap,
    visit: Option<Extension<Arc<Visit>>>,
    asker: Asker,
) -> Answer {
    let people = people(&asker, &id)?;
    let id = people.desk().id();
    let caller = &asker.view.identity().caller;
    if Person::of(caller).is_none() {
        return Err(failure(ConsentError::NoPerson).into());
    }
    let Some(browser) = browser(caller, visit.as_ref().map(|visit| &***visit)) else {
        // A token says nothing of the browser that will come back: the flow begins where that one has signed in.
        return ok(&Connect { auth_url: connect_page(&gateway, caller, &headers, id) });
    };
    let redirect = callback_of(&gateway, caller, &headers, id);
    let url = people.begin(caller, &redirect, browser, gateway.sessions.sealer()).await.map_err(failure)?;
    ok(&Connect { auth_url: url.into() })
}

/// Takes the caller's tokens away and revokes them at the authorization server, where it has an endpoint for that.
#[utoipa::path(
    post, path = "/api/connectors/{id}/disconnect", operation_id = "disconnectConnector", tag = "connectors", summary = "Ends what the caller has authorised",
    params(("id" = String, Path, description = "The connector's id")),
    responses((status = 200, body = Disconnected), (status = "4XX", body = Error), (status = "5XX", body = Error))
)]
async fn disconnect(Path(id): Path<String>, asker: Asker) -> Answer {
    let people = people(&asker, &id)?;
    let disconnected = people.disconnect(&asker.view.identity().caller).await.map_err(failure)?;
    ok(&Disconnected { disconnected })
}

/// The people of a connector that the caller is granted something on.
fn people(asker: &Asker, id: &str) -> Result<Arc<People>, Failure> {
    if lacks_tenant(&asker.snapshot, &asker.view) {
        return Err(Failure::NoTenant);
    }
    let position = position(&asker.snapshot, id)?;
    let entry = asker.snapshot.at(position).filter(|entry| asker.view.concerns(position, entry));
    let people = entry.ok_or(Failure::NotFound)?.people.clone();
    people
        .ok_or_else(|| Failure::Conflict(format!("connector {id} is not authorised by each user: nothing to connect")))
}

fn failure(error: ConsentError) -> Failure {
    match error {
        ConsentError::NoPerson => Failure::Conflict(
            "this caller cannot sign in: a user connects this connector in the dashboard, or where `aperium up` runs"
                .to_owned(),
        ),
        ConsentError::Oauth(_) => Failure::BadGateway(format!("{}: {error}", error.outside())),
        other => Failure::Unavailable { outside: other.outside(), inside: other.to_string() },
    }
}
