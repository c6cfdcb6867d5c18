//! `POST /v1/mcp/register {"url": …}`: registers an MCP server for as long as the caller keeps the connection open.
//!
//! The first line of the answer says the id; a keepalive line follows every second. Whoever closes the connection, or
//! loses the right, is unregistered.

use super::api::{Answer, Asker, Body, Error};
use crate::database;
use crate::error::Failure;
use crate::registration::{Denied, Ticket};
use crate::snapshot::{Health, Identity};
use crate::state::State as Gateway;
use axum::body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderValue, header};
use serde::Deserialize;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Interval, MissedTickBehavior, interval};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) fn routes() -> OpenApiRouter<Arc<Gateway>> {
    OpenApiRouter::new().routes(routes!(register))
}

/// The body.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Server {
    /// The MCP endpoint of the server.
    url: String,
}

/// What the first poll may take beyond its own limit.
const GRACE: Duration = Duration::from_secs(2);
/// Between two keepalive lines (seed 002).
const BEAT: Duration = Duration::from_secs(1);

/// Registers, asks the server what it offers, and holds the connection.
#[utoipa::path(
    post, path = "/v1/mcp/register", operation_id = "registerServer", tag = "registration",
    summary = "Registers an MCP server for as long as the connection is open", request_body = Server,
    responses(
        (status = 200, content_type = "application/x-ndjson", body = String, description = "The id, then a keepalive line every second"),
        (status = "4XX", body = Error), (status = "5XX", body = Error)
    )
)]
async fn register(
    State(gateway): State<Arc<Gateway>>,
    Asker { snapshot, view }: Asker,
    Body(server): Body<Server>,
) -> Answer {
    let rules = &snapshot.catalog.settings.registration;
    let ticket = gateway.registrations.admit(&view, &server.url, rules).await.map_err(failure)?;
    let tools = first_poll(&gateway, &ticket).await?;
    let (caller, url) = (&view.identity().caller.principal, ticket.host());
    tracing::info!(connector = ticket.id.as_str(), %caller, %url, tools, "server has registered itself");
    let first = format!("{{\"id\":\"{}\",\"tools\":{tools}}}\n", ticket.id);
    let mut beat = interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beat.reset();
    let identity = Arc::clone(view.identity());
    Ok(stream(Held { gateway, identity, ticket, beat }, first))
}

fn failure(denied: Denied) -> Failure {
    let message = denied.to_string();
    match denied {
        Denied::NotAccepted | Denied::NotAllowed | Denied::Host(_) => Failure::Forbidden(message),
        Denied::Url(_) => Failure::Rejected(message),
        Denied::CallerQuota(_) | Denied::Quota(_) => Failure::TooMany(message),
        Denied::Numbers(cause) => {
            Failure::Unavailable { outside: "no number can be given at the moment", inside: cause.to_string() }
        }
        Denied::Store(cause) => database::failure(&cause),
    }
}

/// Waits until the server was asked once. One that does not answer as an MCP server is not registered.
async fn first_poll(gateway: &Gateway, ticket: &Ticket) -> Result<usize, Failure> {
    let entry = || {
        let snapshot = gateway.snapshot.load();
        snapshot.position(&ticket.id).and_then(|position| snapshot.at(position).cloned())
    };
    gateway.settled().await;
    if let Some(entry) = entry() {
        let _ = tokio::time::timeout(entry.config.poll_timeout + GRACE, entry.pulse.until(1)).await;
        gateway.settled().await;
    }
    match entry() {
        Some(entry) if entry.registered() => Ok(entry.tools().len()),
        Some(entry) => {
            let why = match &entry.health {
                Health::Unavailable { outside, .. } => outside.clone(),
                _ => "no answer in time".to_owned(),
            };
            Err(Failure::BadGateway(format!("the server cannot be registered ({why})")))
        }
        None => Err(Failure::Unavailable {
            outside: "the gateway is not ready to register servers",
            inside: "no configuration yet".to_owned(),
        }),
    }
}

/// A registrant's connection.
struct Held {
    gateway: Arc<Gateway>,
    identity: Arc<Identity>,
    ticket: Ticket,
    beat: Interval,
}

impl Held {
    /// Waits for the next beat; what ends it.
    async fn next(&mut self) -> Result<(), String> {
        tokio::select! {
            () = self.gateway.stopping.cancelled() => return Err("the gateway is stopping".to_owned()),
            _ = self.beat.tick() => {}
        }
        let snapshot = self.gateway.snapshot.load();
        let view = snapshot.view(&self.identity).map_err(|error| error.to_string())?;
        let rules = &snapshot.catalog.settings.registration;
        self.ticket.check(&view, rules).map_err(|denied| denied.to_string())
    }
}

fn stream(held: Held, first: String) -> Response {
    let lines = futures::stream::unfold((Some(held), Some(first)), |(held, first)| async move {
        let mut held = held?;
        if let Some(first) = first {
            return Some((Ok::<_, Infallible>(Bytes::from(first)), (Some(held), None)));
        }
        match held.next().await {
            Ok(()) => Some((Ok(Bytes::from_static(b"{\"keepalive\":true}\n")), (Some(held), None))),
            Err(why) => {
                let line = serde_json::json!({ "unregistered": why });
                Some((Ok(Bytes::from(format!("{line}\n"))), (None, None)))
            }
        }
    });
    let mut response = Response::new(body::Body::from_stream(lines));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}
