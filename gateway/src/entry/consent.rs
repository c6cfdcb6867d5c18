//! The pages of per-user OAuth: `/aperture/auth/<id>/connect` leads a browser to the authorization server, and
//! `/aperture/auth/<id>/callback` takes what it brings back.

use super::pages::{message, see_other};
use crate::access::Access;
use crate::consent::{ConsentError, People, document};
use crate::error;
use crate::login::Visit;
use crate::pipeline::authz::lacks_tenant;
use crate::snapshot::Identity;
use crate::state::State;
use aperium_core::caller::{Caller, Principal};
use aperium_core::id::ConnectorId;
use axum::extract::{Path, RawQuery, State as Given};
use axum::response::Response;
use axum::routing::get;
use axum::{Extension, Router};
use http::{HeaderMap, Method, StatusCode, header};
use std::sync::Arc;

/// Where the pages are.
pub(crate) const PAGES: &str = "/aperture/auth/";
/// The routes; they need a caller.
pub(crate) fn routes() -> Router<Arc<State>> {
    Router::new()
        .route("/aperture/auth/{id}/callback", get(callback))
        .route("/aperture/auth/{id}/connect", get(connect))
}

/// Where a user begins.
pub(crate) fn connect_page(gateway: &State, caller: &Caller, headers: &HeaderMap, id: &str) -> String {
    format!("{}{PAGES}{id}/connect", base(gateway, caller, headers))
}

/// Where the browser comes back to.
pub(crate) fn callback_of(gateway: &State, caller: &Caller, headers: &HeaderMap, id: &str) -> String {
    format!("{}{PAGES}{id}/callback", base(gateway, caller, headers))
}

/// The address that users know, or at the machine the name that the gateway was called by: there is no TLS there.
fn base(gateway: &State, caller: &Caller, headers: &HeaderMap) -> String {
    let access = gateway.access.load();
    if access.public_url.is_empty() || caller.principal == Principal::Loopback {
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        return format!("http://{host}");
    }
    access.public_url.clone()
}

/// The client id metadata document of a connector, for whoever asks.
pub(crate) fn client_document(access: &Access, method: &Method, path: &str) -> Option<Response> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return None;
    }
    document::at(&access.public_url, path).map(|document| error::json(StatusCode::OK, document.to_string()))
}

/// Which browser asks: by its session, or none in particular at the machine. Others may not begin or end a flow: what they
/// hold is a token, which says nothing of the browser that comes back.
pub(crate) fn browser<'v>(caller: &Caller, visit: Option<&'v Visit>) -> Option<&'v str> {
    match visit {
        Some(visit) => Some(&visit.id),
        None => (caller.principal == Principal::Loopback).then_some(""),
    }
}

async fn connect(
    Given(gateway): Given<Arc<State>>,
    Path(id): Path<String>,
    Extension(identity): Extension<Arc<Identity>>,
    visit: Option<Extension<Arc<Visit>>>,
    headers: HeaderMap,
) -> Response {
    let Some(people) = people(&gateway, &identity, &id) else { return unknown() };
    let Some(browser) = browser(&identity.caller, visit.as_ref().map(|visit| &***visit)) else { return no_browser() };
    // Whoever was led here by another site sees first what they are about to do.
    if visit.is_some() && headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none") {
        let text =
            format!("Authorise Aperium to use {} in your name? You are sent to its own sign-in.", people.desk().id());
        let next = format!("{PAGES}{}/connect", people.desk().id());
        return message(StatusCode::OK, "Connect", &text, Some((&next, "Continue")));
    }
    let redirect = callback_of(&gateway, &identity.caller, &headers, people.desk().id());
    match people.begin(&identity.caller, &redirect, browser, gateway.sessions.sealer()).await {
        Ok(url) => see_other(url.as_str()),
        Err(error) => failed(&id, &error),
    }
}

async fn callback(
    Given(gateway): Given<Arc<State>>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    Extension(identity): Extension<Arc<Identity>>,
    visit: Option<Extension<Arc<Visit>>>,
) -> Response {
    let Some(people) = people(&gateway, &identity, &id) else { return unknown() };
    let Some(browser) = browser(&identity.caller, visit.as_ref().map(|visit| &***visit)) else { return no_browser() };
    let query = query.unwrap_or_default();
    let finished = people.finish(&identity.caller, &query, browser, gateway.sessions.sealer()).await;
    match finished {
        Ok(()) => {
            tracing::info!(connector = people.desk().id(), caller = %identity.caller.principal, "a user has authorised a connector");
            let text = format!(
                "Connector {} works with your own authorization now. You can close this window.",
                people.desk().id()
            );
            message(StatusCode::OK, "Connected", &text, Some(("/", "Your connections")))
        }
        Err(error) => failed(people.desk().id(), &error),
    }
}

/// The people of a connector that the caller is granted something on. Where there are tenants, they are somebody's.
pub(crate) fn people(gateway: &State, identity: &Arc<Identity>, id: &str) -> Option<Arc<People>> {
    let snapshot = gateway.snapshot.load_full();
    let view = snapshot.view(identity).ok().filter(|view| !lacks_tenant(&snapshot, view))?;
    let position = snapshot.position(&ConnectorId::any(id).ok()?)?;
    snapshot.at(position).filter(|entry| view.concerns(position, entry))?.people.clone()
}

fn unknown() -> Response {
    let text = "There is no such connector, or nothing to authorise for it.";
    message(StatusCode::NOT_FOUND, "Not found", text, None)
}

fn no_browser() -> Response {
    let text = "Open this page in a browser that is signed in: a token alone cannot authorise a connector.";
    message(StatusCode::CONFLICT, "Sign in first", text, Some(("/login", "Sign in")))
}

fn failed(id: &str, error: &ConsentError) -> Response {
    tracing::warn!(connector = id, reason = error.reason(), %error, "a user's authorization failed");
    let status = match error {
        ConsentError::Denied(_) => StatusCode::BAD_REQUEST,
        ConsentError::NoPerson => StatusCode::CONFLICT,
        ConsentError::Oauth(_) => StatusCode::BAD_GATEWAY,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    let why = match error {
        ConsentError::Denied(denied) => denied.to_string(),
        other => other.outside().to_owned(),
    };
    let text = format!("Nothing was changed: {why}. Begin again where you came from.");
    message(status, "Not connected", &text, Some(("/", "Your connections")))
}
