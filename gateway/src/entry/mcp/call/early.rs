//! Requests that end before any upstream is asked: a step gives the permit back where this is not one of them.

use super::asked::{Asked, Stopped};
use super::failed::{declined, not_discovered, unauthorised_yet};
use super::record::Record;
use crate::entry::mcp::Context;
use crate::entry::mcp::authorize::Back;
use crate::error::{json, rpc_result};
use crate::pipeline::action::Action;
use crate::pipeline::authz::Permit;
use crate::pipeline::builtin;
use crate::pipeline::credential::CredentialError;
use crate::pipeline::route::Target;
use crate::snapshot::Entry;
use crate::state::State as Gateway;
use crate::trail;
use axum::response::Response;
use http::StatusCode;
use std::sync::Arc;

/// The answer where nothing can be completed.
const NO_COMPLETION: &[u8] = br#"{"resultType":"complete","completion":{"values":[],"total":0,"hasMore":false}}"#;

/// Its connector cannot be asked: it is down, or nobody has authorised the gateway there yet.
pub(super) async fn unavailable(
    gateway: &Gateway,
    context: &Context,
    asked: Asked<'_>,
    (entry, name): (Arc<Entry>, Box<str>),
) -> Response {
    trail::permitted(entry.config.id.as_str(), Some(&name), None, false);
    let (caller, request_id) = (&context.view.identity().caller, asked.request_id());
    let failed = match asked.prompt(gateway, caller, &entry) {
        Some(prompt) => unauthorised_yet(&prompt, caller, &entry, request_id).await,
        None => not_discovered(&entry, request_id),
    };
    trail::failed(failed.outcome, false, None);
    gateway.metrics.request(asked.action.method(), failed.outcome);
    asked.failed(&failed)
}

/// The gateway answers for itself, and where a server has nothing to propose for a completion.
pub(super) fn unless_own(
    gateway: &Gateway,
    context: &Context,
    permit: Permit,
    asked: &Asked<'_>,
) -> Result<Permit, Stopped> {
    let own = builtin::answer(&context.snapshot, &context.view, &permit, asked.arguments(), asked.request_id());
    let (result, outcome) = match &own {
        Some(own) => (own.result.as_slice(), own.outcome),
        // The gateway offers completion for all; a server without it has nothing to propose.
        None if asked.action == Action::Complete && !permit.connector().offers.about.declares("completions") => {
            (NO_COMPLETION, "ok")
        }
        None => return Ok(permit),
    };
    Record::start(gateway, permit, asked.request_id()).end(outcome, None);
    Err(Stopped::with(json(StatusCode::OK, rpc_result(asked.message.id, result))))
}

/// Where it goes; nowhere where its caller can have no token of their own.
pub(super) fn target(gateway: &Gateway, permit: Permit, asked: &Asked<'_>) -> Result<(Permit, Target), Stopped> {
    match Target::of(&permit) {
        Ok(target) => Ok((permit, target)),
        Err(error) => {
            let error = CredentialError::from(error).into();
            let failed = Record::start(gateway, permit, asked.request_id()).failed(&error);
            Err(Stopped::with(asked.failed(&failed)))
        }
    }
}

/// The user was asked to authorise the gateway, and does not want to.
pub(super) fn unless_declined(
    gateway: &Gateway,
    permit: Permit,
    back: Option<Back>,
    asked: &Asked<'_>,
) -> Result<Permit, Stopped> {
    if back != Some(Back::Declined) {
        return Ok(permit);
    }
    let failed = declined(permit.connector(), asked.request_id());
    Record::start(gateway, permit, asked.request_id()).end(failed.outcome, None);
    Err(Stopped::with(asked.failed(&failed)))
}
