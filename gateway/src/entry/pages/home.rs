//! `/`: who is signed in, and what they have authorised.

use super::{Form, message, page, see_other};
use crate::consent::Standing;
use crate::entry::consent::{PAGES, people};
use crate::login::Visit;
use crate::snapshot::Identity;
use crate::state::State;
use aperium_core::caller::Principal;
use askama::Template;
use axum::Extension;
use axum::extract::{Path, State as Given};
use axum::response::Response;
use http::StatusCode;
use std::sync::Arc;

#[derive(Template)]
#[template(path = "home.html")]
struct Home<'a> {
    name: String,
    principal: String,
    tenant: &'a str,
    role: &'static str,
    token: &'a str,
    signs_out: bool,
    pages: &'static str,
    connections: Vec<Connection>,
}

/// A connector that each user authorises alone.
struct Connection {
    id: String,
    connected: bool,
    /// Whether there is something to authorise.
    again: bool,
    state: &'static str,
}

pub(super) async fn show(
    Given(gateway): Given<Arc<State>>,
    Extension(identity): Extension<Arc<Identity>>,
    visit: Option<Extension<Arc<Visit>>>,
) -> Response {
    let (snapshot, caller) = (gateway.snapshot.load_full(), &identity.caller);
    let mut connections = Vec::new();
    let mut role = "none: no Grant names you";
    if let Ok(view) = snapshot.view(&identity) {
        role = view.role().as_str();
        for (position, entry) in snapshot.connectors().iter().enumerate() {
            let Some(people) = entry.people.as_ref().filter(|_| view.concerns(position, entry)) else { continue };
            let (connected, again, state) = match people.standing(caller).await {
                Ok(Standing::Authorised) => (true, false, "connected"),
                Ok(Standing::WithoutRenewal) => (true, true, "connected, until the token ends: it cannot be renewed"),
                Ok(Standing::NeedsScope) => {
                    (true, true, "connected, and it wants more than you have authorised: connect again")
                }
                Ok(Standing::NeedsAuth) => (false, true, "not connected"),
                Err(error) => (false, false, error.outside()),
            };
            connections.push(Connection { id: entry.config.id.to_string(), connected, again, state });
        }
    }
    let content = Home {
        name: caller.person().map_or_else(|| caller.principal.to_string(), str::to_owned),
        principal: caller.principal.to_string(),
        tenant: caller.tenant.as_ref().map_or("none", |tenant| tenant.as_str()),
        role,
        token: visit.as_ref().map_or("", |visit| &visit.token),
        signs_out: visit.is_some(),
        pages: PAGES,
        connections,
    };
    page(StatusCode::OK, &content)
}

pub(super) async fn disconnect(
    Given(gateway): Given<Arc<State>>,
    Path(id): Path<String>,
    Extension(identity): Extension<Arc<Identity>>,
    visit: Option<Extension<Arc<Visit>>>,
    sent: Form,
) -> Response {
    let at_machine = identity.caller.principal == Principal::Loopback;
    if sent.of(visit.as_ref().map(|visit| &***visit), at_machine).is_none() {
        return message(
            StatusCode::FORBIDDEN,
            "Not disconnected",
            "This page is too old: try again.",
            Some(("/", "Back")),
        );
    }
    let Some(people) = people(&gateway, &identity, &id) else {
        return message(
            StatusCode::NOT_FOUND,
            "Not found",
            "There is nothing to disconnect here.",
            Some(("/", "Back")),
        );
    };
    match people.disconnect(&identity.caller).await {
        Ok(_) => see_other("/"),
        Err(error) => {
            tracing::warn!(connector = people.desk().id(), reason = error.reason(), %error, "a user was not disconnected");
            let text = format!("Not disconnected: {}.", error.outside());
            message(StatusCode::SERVICE_UNAVAILABLE, "Not disconnected", &text, Some(("/", "Back")))
        }
    }
}
