//! `POST /broker/v1/leases`: a delegate that calls a service directly gets the lease of that one call.
//!
//! ```text
//! its ServiceAccount token, X-Aperium-Tenant/-User/-Groups ──authn──► person, and the delegate that acts for them
//! {"connector", "tool"} ──authz: granted to both──► Permit ──mint──► {"lease", "expires_at"}
//! ```
//! It says and refuses the same as a call through the gateway: what is not there, is withheld, or is not granted to
//! both is one answer. The lease is no credential; the service's pod fetches that.

use crate::entry::api::strict;
use crate::error::Failure;
use crate::pipeline::action::Action;
use crate::pipeline::authn;
use crate::pipeline::authz::{self, Decision, Permit, Scope, Wanted};
use crate::pipeline::credential::CredentialError;
use crate::snapshot::Kind;
use crate::state::State as Gateway;
use crate::trail;
use aperium_core::caller::Principal;
use aperium_core::id::ConnectorId;
use aperium_platform::lease::MAX_LIFETIME;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router};
use http::{HeaderMap, HeaderValue, header};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::sync::Arc;

/// The largest body, in bytes.
const MAX_BODY: usize = 4096;

pub(super) fn routes(gateway: &Arc<Gateway>) -> Router {
    Router::new().route("/broker/v1/leases", post(lease)).with_state(Arc::clone(gateway))
}

/// What the call will be.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// The connector's id.
    connector: String,
    /// The tool by the service's own name.
    tool: String,
}

/// A lease, to be sent as `X-Aperium-Lease` beside the service token.
#[derive(Serialize)]
struct Given {
    lease: String,
    /// When it ends at the latest.
    expires_at: Timestamp,
}

async fn lease(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let trail = trail::begin(&gateway, &request);
    let response = trail.scope(answer(&gateway, request)).await;
    trail.answered(response)
}

async fn answer(gateway: &Gateway, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let request_id = parts.headers.get("x-request-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
    let mut response = match give(gateway, &parts.headers, body, request_id).await {
        Ok(given) => {
            gateway.metrics.request("lease", "ok");
            Json(given).into_response()
        }
        Err(failure) => {
            let (reason, cause) = (failure.outcome(), failure.inside());
            tracing::warn!(request_id, reason, cause, "no lease for a delegate: {failure}");
            gateway.metrics.request("lease", failure.outcome());
            failure.respond_api(request_id)
        }
    };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn give(gateway: &Gateway, headers: &HeaderMap, body: Body, request_id: &str) -> Result<Given, Failure> {
    let identity = authn::identify(gateway, headers).await?;
    trail::called_by(&identity);
    let delegate = identity.caller.delegate.as_deref();
    if !delegate.is_some_and(|delegate| matches!(delegate.principal, Principal::ServiceAccount { .. })) {
        let what = "access denied: leases are for ServiceAccounts that are delegates and name a tenant of theirs";
        return Err(Failure::Forbidden(what.to_owned()));
    }
    let asked: Asked = strict(headers, body, MAX_BODY).await?;
    trail::about(&asked.connector, Some(&asked.tool));
    let snapshot = gateway.snapshot.load_full();
    let view = snapshot.view(&identity).map_err(|_| Failure::NoRole)?;
    let wanted = Wanted { action: Action::Call, kind: Kind::Tools, name: Cow::Borrowed(&asked.tool) };
    let position = ConnectorId::any(&asked.connector).ok().and_then(|id| snapshot.position(&id));
    let decided = match position {
        Some(position) => authz::decide(&snapshot, &view, Scope::One(position), &wanted),
        None => Err(wanted.unknown()),
    };
    let permit = match decided {
        Ok(Decision::Permitted(permit)) => permit,
        Err(Failure::UnknownTool(_)) => {
            let what = "access denied: there is no such tool, or it is not granted to both delegate and person";
            return Err(Failure::Forbidden(what.to_owned()));
        }
        Err(other) => return Err(other),
        Ok(Decision::Unavailable(entry, _)) => {
            let inside = format!("{} is not discovered", entry.config.id);
            return Err(Failure::Unavailable { outside: "the connector is unavailable", inside });
        }
    };
    let connector = permit.connector().config.id.as_str();
    trail::permitted(connector, Some(permit.name()), Some(permit.grant()), permit.writes());
    if permit.writes() {
        // Who holds the lease needs nobody else's leave any more.
        gateway.audit.intent().await.map_err(|error| Failure::Unavailable {
            outside: "the lease could not be put on record: try again later",
            inside: error.reason().to_owned(),
        })?;
    }
    mint(gateway, &permit, request_id).await
}

async fn mint(gateway: &Gateway, permit: &Permit, request_id: &str) -> Result<Given, Failure> {
    let (config, caller) = (&permit.connector().config, &permit.identity().caller);
    // Before it is signed: the lease ends no later.
    let expires_at = Timestamp::now().checked_add(MAX_LIFETIME).unwrap_or(Timestamp::MAX);
    let made = gateway.broker.for_call(config, permit.name(), caller, request_id).await.map_err(refused)?;
    let (_, lease) = made.ok_or_else(|| {
        Failure::Conflict(format!("calls of \"{}\" need no lease: it has no stored credentials", config.id))
    })?;
    let lease = lease.to_str().map_err(|_| refused(CredentialError::Lease("LeaseMalformed")))?.to_owned();
    let (connector, tool, grant) = (config.id.as_str(), permit.name(), permit.grant());
    let tenant = caller.tenant.as_ref().map(|tenant| tenant.as_str());
    let delegate = caller.delegate.as_ref().map(|delegate| delegate.principal.to_string());
    tracing::info!(request_id, connector, tool, tenant, user = %caller.principal, delegate, grant, "lease given to a delegate");
    Ok(Given { lease, expires_at })
}

fn refused(error: CredentialError) -> Failure {
    match error {
        CredentialError::OtherTenant => Failure::Forbidden("access denied: the service is another tenant's".to_owned()),
        error => Failure::Unavailable { outside: "the lease could not be made", inside: error.reason().to_owned() },
    }
}
