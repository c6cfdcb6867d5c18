//! The pages of per-user OAuth: `/aperture/auth/<id>/connect` leads a browser to the authorization server, and
//! `/aperture/auth/<id>/callback` takes what it brings back. Nothing that came from outside is shown unescaped, and no
//! page can be framed, run a script or tell another site where it was.

use crate::access::Access;
use crate::consent::{ConsentError, People, document};
use crate::error;
use crate::snapshot::Identity;
use crate::state::State;
use aperium_core::caller::{Caller, Principal};
use aperium_core::id::ConnectorId;
use askama::Template;
use axum::extract::{Path, RawQuery, State as Given};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Extension, Router};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use std::sync::Arc;

/// Where the pages are.
pub(crate) const PAGES: &str = "/aperture/auth/";
/// What keeps a page to itself.
const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_TYPE, "text/html; charset=utf-8"),
    (header::CACHE_CONTROL, "no-store"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    ),
];

/// The routes; they need a caller.
pub(crate) fn routes() -> Router<Arc<State>> {
    Router::new()
        .route("/aperture/auth/{id}/callback", get(callback))
        .route("/aperture/auth/{id}/connect", get(connect))
}

/// Where a user begins: under the address that users know, or at the machine under the name that the gateway was called
/// by.
pub(crate) fn connect_page(gateway: &State, caller: &Caller, headers: &HeaderMap, id: &str) -> String {
    let snapshot = gateway.snapshot.load();
    let public = Some(snapshot.catalog.settings.hosts.public_url.as_str());
    match public.filter(|url| !url.is_empty() && caller.principal != Principal::Loopback) {
        Some(base) => format!("{base}{PAGES}{id}/connect"),
        None => {
            let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
            format!("http://{host}{PAGES}{id}/connect")
        }
    }
}

/// Where the browser comes back to. Only the person at the machine can begin a flow so far, and there is no TLS there.
pub(crate) fn callback_of(host: &str, id: &str) -> String {
    format!("http://{host}{PAGES}{id}/callback")
}

/// The client id metadata document of a connector, for whoever asks.
pub(crate) fn client_document(access: &Access, method: &Method, path: &str) -> Option<Response> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return None;
    }
    document::at(&access.public_url, path).map(|document| error::json(StatusCode::OK, document.to_string()))
}

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{{ title }} · Aperium</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:36rem;margin:4rem auto;padding:0 1rem}</style></head>
<body><h1>{{ title }}</h1><p>{{ text }}</p></body></html>
"#
)]
struct Page<'a> {
    title: &'a str,
    text: &'a str,
}

async fn connect(
    Given(gateway): Given<Arc<State>>,
    Path(id): Path<String>,
    Extension(identity): Extension<Arc<Identity>>,
    headers: HeaderMap,
) -> Response {
    let Some(people) = people(&gateway, &identity, &id) else { return unknown() };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let redirect = callback_of(host, people.desk().id());
    match people.begin(&identity.caller, &redirect, gateway.sessions.sealer()).await {
        Ok(url) => {
            let mut response = page(StatusCode::SEE_OTHER, "Authorization", "You are being sent on.");
            match HeaderValue::from_str(url.as_str()) {
                Ok(location) => {
                    response.headers_mut().insert(header::LOCATION, location);
                    response
                }
                Err(_) => unknown(),
            }
        }
        Err(error) => failed(&id, &error),
    }
}

async fn callback(
    Given(gateway): Given<Arc<State>>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    Extension(identity): Extension<Arc<Identity>>,
) -> Response {
    let Some(people) = people(&gateway, &identity, &id) else { return unknown() };
    let finished = people.finish(&identity.caller, &query.unwrap_or_default(), gateway.sessions.sealer()).await;
    match finished {
        Ok(()) => {
            tracing::info!(connector = people.desk().id(), caller = %identity.caller.principal, "a user has authorised a connector");
            let text = format!(
                "Connector {} works with your own authorization now. You can close this window.",
                people.desk().id()
            );
            page(StatusCode::OK, "Connected", &text)
        }
        Err(error) => failed(people.desk().id(), &error),
    }
}

/// The people of a connector that the caller is granted something on.
fn people(gateway: &State, identity: &Arc<Identity>, id: &str) -> Option<Arc<People>> {
    let snapshot = gateway.snapshot.load_full();
    let view = snapshot.view(identity).ok()?;
    let position = snapshot.position(&ConnectorId::any(id).ok()?)?;
    snapshot.at(position).filter(|entry| view.concerns(position, entry))?.people.clone()
}

fn unknown() -> Response {
    page(StatusCode::NOT_FOUND, "Not found", "There is no such connector, or nothing to authorise for it.")
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
    page(status, "Not connected", &format!("Nothing was changed: {why}. Begin again where you came from."))
}

fn page(status: StatusCode, title: &str, text: &str) -> Response {
    let Ok(body) = (Page { title, text }).render() else { return StatusCode::INTERNAL_SERVER_ERROR.into_response() };
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
