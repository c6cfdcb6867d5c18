//! `resources/subscribe` and `resources/unsubscribe` (up to 2025-11-25): a session notes what its client follows, and
//! its stream tells of updates.

use super::{Context, Incoming};
use crate::error::{Failure, json, rpc_result};
use crate::pipeline::action::Action;
use crate::pipeline::authz::{self, Decision, Wanted};
use crate::raw::RawObject;
use crate::session::Live;
use crate::snapshot::Kind;
use axum::response::Response;
use http::StatusCode;
use std::borrow::Cow;
use std::sync::Arc;

/// The longest URI that is remembered, whoever names it.
pub(super) const MAX_URI: usize = 8 * 1024;

/// Follows a resource that the caller may read.
pub(super) fn subscribe(
    context: &Context,
    message: Incoming<'_>,
    params: Option<&RawObject<'_>>,
) -> Result<Response, Failure> {
    let (session, uri) = read(message, params)?;
    let wanted = Wanted { action: Action::Read, kind: Kind::Resources, name: uri };
    match authz::decide(&context.snapshot, &context.view, context.scope, &wanted)? {
        Decision::Permitted(permit) if !permit.connector().offers.about.declares("resources.subscribe") => {
            return Err(Failure::InvalidParams("the server of this resource does not tell of updates".to_owned()));
        }
        // One that cannot be asked now is followed when it is back.
        Decision::Permitted(_) | Decision::Unavailable(..) => {}
    }
    if !session.followed.add(&wanted.name) {
        return Err(Failure::InvalidParams("a session may follow at most 1000 resources".to_owned()));
    }
    Ok(json(StatusCode::OK, rpc_result(message.id, b"{}")))
}

/// Follows it no longer. What was never followed is not followed: no error.
pub(super) fn unsubscribe(message: Incoming<'_>, params: Option<&RawObject<'_>>) -> Result<Response, Failure> {
    let (session, uri) = read(message, params)?;
    session.followed.remove(&uri);
    Ok(json(StatusCode::OK, rpc_result(message.id, b"{}")))
}

fn read<'a>(message: Incoming<'a>, params: Option<&RawObject<'a>>) -> Result<(&'a Arc<Live>, Cow<'a, str>), Failure> {
    let uri = params.and_then(|params| params.text("uri"));
    let uri = uri.ok_or_else(|| Failure::InvalidParams("`uri` must be a string".to_owned()))?;
    if uri.len() > MAX_URI {
        return Err(Failure::InvalidParams(format!("`uri` may hold at most {MAX_URI} bytes")));
    }
    // Without a session there is no stream that could tell.
    let session = message.session.ok_or(Failure::InvalidRequest("a subscription needs a session: initialize first"))?;
    Ok((session, uri))
}
