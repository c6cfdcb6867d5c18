//! Which era an upstream speaks, and over which transport: the stateless `server/discover` first, `initialize` where it
//! is not known, the same over the transport of 2024-11-05 where that is refused.

use super::about::About;
use super::answer::Outcome;
use super::legacy_sse::{self, Connection};
use super::translate::{identity, own_meta};
use super::{Along, Post, Session, Upstream, UpstreamError};
use crate::era;
use crate::raw::{RawObject, as_text};
use http::{HeaderValue, StatusCode};
use serde_json::value::RawValue;
use std::sync::Arc;

/// Agrees with an upstream on a version.
///
/// # Errors
/// [`UpstreamError`]. A connection that fails, a refused credential and an overloaded server say nothing about the era.
pub(super) async fn session(upstream: &Upstream) -> Result<(Session, About), UpstreamError> {
    if let Some(about) = discover(upstream).await? {
        return Ok((Session::Stateless, about));
    }
    // No capabilities: what an upstream may ask of a client, it may not ask of the gateway.
    match initialize(upstream, None, "{}").await {
        Err(UpstreamError::Status(status)) if StatusCode::from_u16(status).is_ok_and(legacy_sse::may_speak_it) => {
            match Connection::open(&upstream.link, upstream.limits.max_answer).await? {
                Some(stream) => initialize(upstream, Some(stream), "{}").await,
                None => Err(UpstreamError::Status(status)),
            }
        }
        other => other,
    }
}

/// What the upstream says of itself, if it speaks the stateless protocol. One that refuses the version and offers the
/// same one is asked once more: that is no server of the older era, and must not get an `initialize`.
async fn discover(upstream: &Upstream) -> Result<Option<About>, UpstreamError> {
    match discover_once(upstream).await? {
        Said::Speaks(about) => Ok(Some(*about)),
        Said::SpeaksNot => Ok(None),
        Said::Offers => match discover_once(upstream).await? {
            Said::Speaks(about) => Ok(Some(*about)),
            Said::SpeaksNot | Said::Offers => Err(UpstreamError::Protocol("the version it offers is refused")),
        },
    }
}

/// An answer to `server/discover`.
enum Said {
    Speaks(Box<About>),
    /// An error that lists the version which it refuses.
    Offers,
    SpeaksNot,
}

async fn discover_once(upstream: &Upstream) -> Result<Said, UpstreamError> {
    let id = upstream.next_id();
    let body =
        format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"server/discover","params":{{"_meta":{}}}}}"#, own_meta());
    let post = Post { body: body.into_bytes(), method: "server/discover", name: None, along: &Along::default() };
    match upstream.ask(&Arc::new(Session::Stateless), id, post).await {
        Ok((_, whole)) => Ok(match whole.outcome() {
            Ok(Outcome::Result(result)) if names_stateless(result, "supportedVersions") => {
                Said::Speaks(Box::new(About::read(result)))
            }
            Ok(Outcome::Error(error)) if offers_stateless(error) => Said::Offers,
            _ => Said::SpeaksNot,
        }),
        // Overload is no statement about the protocol.
        Err(error @ UpstreamError::Status(429 | 502 | 503 | 504)) => Err(error),
        Err(UpstreamError::Status(_) | UpstreamError::Protocol(_) | UpstreamError::SessionEnded) => Ok(Said::SpeaksNot),
        Err(error) => Err(error),
    }
}

/// Whether a list of versions, a field of this object, has the stateless one.
fn names_stateless(object: &RawValue, field: &str) -> bool {
    let Ok(object) = RawObject::parse(object.get()) else { return false };
    let versions = object.get(field).and_then(|raw| serde_json::from_str::<Vec<String>>(raw.get()).ok());
    versions.is_some_and(|versions| versions.iter().any(|version| version == era::STATELESS))
}

fn offers_stateless(error: &RawValue) -> bool {
    let Ok(error) = RawObject::parse(error.get()) else { return false };
    error.get("code").is_some_and(|code| code.get() == "-32022")
        && error.get("data").is_some_and(|data| names_stateless(data, "supported"))
}

/// Opens a session of the older era. `declared`: the capabilities of whom it is for, a JSON object.
///
/// # Errors
/// [`UpstreamError`].
pub(super) async fn initialize(
    upstream: &Upstream,
    stream: Option<Arc<Connection>>,
    declared: &str,
) -> Result<(Session, About), UpstreamError> {
    let id = upstream.next_id();
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"initialize","params":{{"protocolVersion":"{}","capabilities":{declared},"clientInfo":{}}}}}"#,
        era::NEWEST_LEGACY,
        identity()
    );
    let post = Post { body: body.into_bytes(), method: "initialize", name: None, along: &Along::default() };
    let offered = Session::Legacy { version: era::NEWEST_LEGACY.to_owned(), id: None, stream: stream.clone() };
    let (headers, whole) = upstream.ask(&Arc::new(offered), id, post).await?;
    let (version, about) = match whole.outcome()? {
        Outcome::Result(result) => {
            let version = version_of(result).ok_or(UpstreamError::Protocol("initialize names no known version"))?;
            (version, About::read(result))
        }
        Outcome::Error(_) if !whole.status.is_success() => return Err(UpstreamError::Status(whole.status.as_u16())),
        Outcome::Error(_) => return Err(UpstreamError::Protocol("initialize failed")),
    };
    // A copy: the value as received would keep the whole read buffer of the connection alive.
    let id = headers.get("mcp-session-id").and_then(|id| HeaderValue::from_bytes(id.as_bytes()).ok());
    let session = Session::Legacy { version, id, stream };
    initialized(upstream, &session).await?;
    Ok((session, about))
}

fn version_of(result: &RawValue) -> Option<String> {
    let result = RawObject::parse(result.get()).ok()?;
    let version = as_text(result.get("protocolVersion")?)?;
    era::is_legacy(&version).then(|| version.into_owned())
}

async fn initialized(upstream: &Upstream, session: &Session) -> Result<(), UpstreamError> {
    let session = Arc::new(session.clone());
    let body = br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#.to_vec();
    let post = Post { body, method: "notifications/initialized", name: None, along: &Along::default() };
    let response = upstream.post(&session, post).await?;
    if response.status().is_success() { Ok(()) } else { Err(UpstreamError::Status(response.status().as_u16())) }
}
