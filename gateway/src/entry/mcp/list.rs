//! `tools/list` and the other lists: from the Snapshot, without asking any upstream. The definitions are joined once per caller.

use super::Context;
use crate::era::Era;
use crate::error::{Failure, json};
use crate::raw::RawObject;
use crate::snapshot::Kind;
use axum::response::Response;
use http::StatusCode;
use serde_json::value::RawValue;

/// Lists are worth a poll's period; what is listed depends on who asks.
const STATELESS_TAIL: &str = r#"],"ttlMs":5000,"cacheScope":"private"}}"#;

/// Everything of a kind that the caller sees, in one page: clients exist that follow no cursors.
pub(super) fn list(
    context: &Context,
    kind: Kind,
    id: &RawValue,
    params: Option<&RawObject<'_>>,
    era: Era,
) -> Result<Response, Failure> {
    // No cursor was ever handed out.
    if params.is_some_and(|params| params.get("cursor").is_some_and(|cursor| cursor.get() != "null")) {
        return Err(Failure::InvalidParams("unknown cursor".to_owned()));
    }
    let list = context.view.list(&context.snapshot, kind, context.only());
    let (opening, tail) = match era {
        Era::Stateless => ("\"resultType\":\"complete\",", STATELESS_TAIL),
        Era::Legacy => ("", "]}}"),
    };
    let mut body = Vec::with_capacity(128 + id.get().len() + list.len() + tail.len());
    for part in [r#"{"jsonrpc":"2.0","id":"#, id.get(), r#","result":{"#, opening, "\"", kind.list_field(), "\":["] {
        body.extend_from_slice(part.as_bytes());
    }
    body.extend_from_slice(&list);
    body.extend_from_slice(tail.as_bytes());
    Ok(json(StatusCode::OK, body))
}
