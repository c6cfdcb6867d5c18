//! `tools/list`: from the Snapshot, without asking any upstream. The definitions are joined once per caller.

use super::Context;
use crate::era::Era;
use crate::error::{Failure, json};
use crate::pipeline::authz::Scope;
use crate::raw::RawObject;
use axum::response::Response;
use http::StatusCode;
use serde_json::value::RawValue;

/// Lists are worth a poll's period; what is listed depends on who asks.
const STATELESS_TAIL: &str = r#"],"ttlMs":5000,"cacheScope":"private"}}"#;

/// All tools that the caller sees, in one page: clients exist that follow no cursors.
pub(super) fn tools(
    context: &Context,
    id: &RawValue,
    params: Option<&RawObject<'_>>,
    era: Era,
) -> Result<Response, Failure> {
    // No cursor was ever handed out.
    if params.is_some_and(|params| params.get("cursor").is_some_and(|cursor| cursor.get() != "null")) {
        return Err(Failure::InvalidParams("unknown cursor".to_owned()));
    }
    let only = match context.scope {
        Scope::Aggregate => None,
        Scope::One(position) => Some(position),
    };
    let list = context.view.list(&context.snapshot, only);
    let (head, tail) = match era {
        Era::Stateless => (r#","result":{"resultType":"complete","tools":["#, STATELESS_TAIL),
        Era::Legacy => (r#","result":{"tools":["#, "]}}"),
    };
    let start = r#"{"jsonrpc":"2.0","id":"#;
    let mut body = Vec::with_capacity(start.len() + id.get().len() + head.len() + list.len() + tail.len());
    for part in [start.as_bytes(), id.get().as_bytes(), head.as_bytes(), &list, tail.as_bytes()] {
        body.extend_from_slice(part);
    }
    Ok(json(StatusCode::OK, body))
}
