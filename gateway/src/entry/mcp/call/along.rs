//! What of the caller's headers goes along.

use crate::era::Era;
use crate::era::mirrored::{self, Mirrored};
use crate::error::Failure;
use crate::pipeline::upstream::Along;
use crate::trail;
use http::{HeaderMap, HeaderName};
use serde_json::value::RawValue;

/// The id that the request-id layer has put into the headers.
pub(super) fn request_id(headers: &HeaderMap) -> &str {
    headers.get("x-request-id").and_then(|id| id.to_str().ok()).unwrap_or_default()
}

/// What goes along: by name, so that nothing else can.
///
/// Headers that repeat arguments are held against them and written anew, for callers of the older era too, who know
/// nothing of them. Those that the tool does not speak of are passed on (specification 2026-07-28, "Server Behavior
/// for Custom Headers").
///
/// # Errors
/// [`Failure::HeaderMismatch`].
pub(super) fn along(
    headers: &HeaderMap,
    arguments: Option<&RawValue>,
    mirrored: Option<&Mirrored>,
    era: Era,
) -> Result<Along, Failure> {
    const NAMED: [HeaderName; 3] = [
        HeaderName::from_static("x-request-id"),
        HeaderName::from_static("traceparent"),
        HeaderName::from_static("tracestate"),
    ];
    let mut along = Along::default();
    for name in NAMED {
        if let Some(value) = headers.get(&name) {
            along.headers.push((name, value.clone()));
        }
    }
    if let Some(ours) = trail::traceparent() {
        along.headers.retain(|(name, _)| name != "traceparent");
        along.headers.push((HeaderName::from_static("traceparent"), ours));
    }
    let mirrored = mirrored.filter(|mirrored| !mirrored.is_empty());
    if let Some(mirrored) = mirrored.filter(|_| era == Era::Stateless) {
        mirrored.check(headers, arguments)?;
    }
    let unknown = headers.iter().filter(|(name, _)| {
        name.as_str().starts_with(mirrored::PREFIX) && !mirrored.is_some_and(|mirrored| mirrored.knows(name))
    });
    along.headers.extend(unknown.map(|(name, value)| (name.clone(), value.clone())));
    if let Some(mirrored) = mirrored {
        along.headers.extend(mirrored.headers(arguments));
    }
    Ok(along)
}
