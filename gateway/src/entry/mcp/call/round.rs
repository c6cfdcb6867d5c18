//! What a client of the stateless era carries from one round of a call to the next, and what the upstream gets of it.

use super::asked::Asked;
use crate::entry::mcp::authorize::{Back, Prompt};
use crate::era::Era;
use crate::error::Failure;
use crate::pipeline::authz::Permit;
use crate::pipeline::carried::{Carried, Carrier};
use crate::raw::{RawObject, RawWriter};
use crate::state::State as Gateway;

/// What seals that for this request.
pub(super) fn carrier(gateway: &Gateway, permit: &Permit, asked: &Asked<'_>) -> Option<Carrier> {
    if asked.era != Era::Stateless {
        return None;
    }
    let connector = permit.connector().config.id.as_str();
    let about = (asked.action, permit.name());
    Some(Carrier::new(gateway.sessions.sealer(), permit.identity(), connector, about, asked.arguments()))
}

/// What it brings back from an earlier round.
///
/// # Errors
/// [`Failure::InvalidParams`]: it is not of this request, or too old.
pub(super) fn brought(carrier: Option<&Carrier>, params: &RawObject<'_>) -> Result<Option<Carried>, Failure> {
    let (Some(carrier), Some(state)) = (carrier, params.get("requestState")) else { return Ok(None) };
    let refused = || {
        Failure::InvalidParams("`requestState` is not of this request, or too old: send the request anew".to_owned())
    };
    carrier.open(state).map(Some).ok_or_else(refused)
}

/// The parameters as the upstream gets them, where they are not those that came: with its own state, or without the
/// answer to a question that the gateway has asked.
pub(super) fn opened(params: &RawObject<'_>, brought: Option<&Carried>, back: Option<Back>) -> Option<String> {
    match brought {
        Some(Carried::Upstream(state)) => with_state(params, state),
        _ if back.is_some() => Prompt::without_answer(params),
        _ => None,
    }
}

fn with_state(params: &RawObject<'_>, state: &str) -> Option<String> {
    let mut own = RawWriter::object(512);
    for (name, value) in params.iter() {
        if name == "requestState" {
            own.text(name, state);
        } else {
            own.raw(name, value.get());
        }
    }
    String::from_utf8(own.finish()).ok()
}
