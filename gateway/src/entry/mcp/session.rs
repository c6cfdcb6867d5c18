//! What only sessions of the older era have: a stream that is opened with GET, an end with DELETE, answers and
//! notifications of the client, a level of log messages.

use super::envelope::Message;
use super::{Accepts, Context, Incoming, accepts, listen};
use crate::catalog::ResourceKey;
use crate::changes::notice::List;
use crate::changes::watch::Watch;
use crate::era::{self, Era};
use crate::error::{Failure, json, rpc_result};
use crate::pipeline::authz::Scope;
use crate::pipeline::upstream::sse;
use crate::raw::{RawObject, as_text};
use crate::session::Live;
use crate::session::followed::Uris;
use crate::session::level::Level;
use crate::session::live::Answer;
use crate::session::streams::{Held, OpenStream};
use crate::session::token::HEADER;
use crate::snapshot::Identity;
use crate::state::State as Gateway;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use std::sync::Arc;
use std::time::Duration;

/// How long a stream may be silent before a comment keeps proxies from closing it.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// That comment.
pub(super) const KEEP_ALIVE_COMMENT: Bytes = Bytes::from_static(b": keep-alive\n\n");

/// The session that a request names; `None` where it names none.
///
/// # Errors
/// [`Failure::UnknownSession`].
pub(super) fn find(gateway: &Gateway, identity: &Identity, headers: &HeaderMap) -> Result<Option<Arc<Live>>, Failure> {
    let Some(token) = named(headers)? else { return Ok(None) };
    match gateway.sessions.find(&identity.caller, token) {
        Ok(live) => Ok(Some(live)),
        Err(error) => {
            tracing::debug!(%error, "session refused");
            Err(Failure::UnknownSession)
        }
    }
}

fn named(headers: &HeaderMap) -> Result<Option<&str>, Failure> {
    let mut values = headers.get_all(HEADER).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(token), None) => token.to_str().map(Some).map_err(|_| Failure::UnknownSession),
        _ => Err(Failure::UnknownSession),
    }
}

/// `GET /v1/mcp` and `GET /v1/mcp/<id>`.
pub(crate) fn stream(gateway: &Gateway, identity: &Arc<Identity>, only: Option<&str>, request: &Request) -> Response {
    open(gateway, identity, only, request).unwrap_or_else(|failure| gateway.refuse(&failure))
}

/// `DELETE /v1/mcp` and `DELETE /v1/mcp/<id>`.
pub(crate) fn end(gateway: &Gateway, identity: &Arc<Identity>, only: Option<&str>, headers: &HeaderMap) -> Response {
    close(gateway, identity, only, headers).unwrap_or_else(|failure| gateway.refuse(&failure))
}

/// The session of a GET or DELETE; without one, and in the stateless era, there are no such methods.
fn session_of(gateway: &Gateway, identity: &Identity, headers: &HeaderMap) -> Result<Arc<Live>, Failure> {
    match era::of_notification(headers)? {
        Era::Legacy => find(gateway, identity, headers)?.ok_or(Failure::Method),
        Era::Stateless => Err(Failure::Method),
    }
}

/// One stream per session: a client that lost its stream and opens another must not be kept out by the lost one.
/// Nothing is sent again, so `Last-Event-ID` says nothing here.
fn open(gateway: &Gateway, identity: &Arc<Identity>, id: Option<&str>, request: &Request) -> Result<Response, Failure> {
    let context = Context::new(gateway, identity, id)?;
    let live = session_of(gateway, identity, request.headers())?;
    if !matches!(accepts(request.headers()), Accepts { events: true, .. }) {
        return Err(Failure::NotAcceptable);
    }
    let (stream, held) = OpenStream::new();
    let watch = gateway.changes.watch(identity, key_of(&context), &List::ALL)?;
    let uris = live.followed.uris();
    live.open_stream(stream);
    // The comment shows proxies and clients that the stream is open.
    let start = futures::stream::iter([Ok(KEEP_ALIVE_COMMENT)]);
    let told = Told { held, watch, uris };
    let frames = futures::stream::unfold(told, |mut told| async move {
        let frame = tokio::time::timeout(KEEP_ALIVE, told.next()).await.unwrap_or(Some(KEEP_ALIVE_COMMENT))?;
        Some((Ok::<_, std::convert::Infallible>(frame), told))
    });
    Ok(event_stream(Body::from_stream(futures::StreamExt::chain(start, frames))))
}

/// What a client is told on its stream.
struct Told {
    held: Held,
    watch: Watch,
    uris: tokio::sync::watch::Receiver<Uris>,
}

impl Told {
    /// The next event; `None`: the stream is over. May be dropped and asked again.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            let uris = Arc::clone(&self.uris.borrow_and_update());
            self.watch.follow_all(&uris);
            tokio::select! {
                biased;
                () = self.held.ended() => return None,
                Ok(()) = self.uris.changed() => {}
                change = self.watch.next() => {
                    return change.map(|change| sse::write_event(&listen::notification(&change, None)));
                }
            }
        }
    }
}

fn key_of(context: &Context) -> Option<ResourceKey> {
    match context.scope {
        Scope::Aggregate => None,
        Scope::One(position) => context.snapshot.at(position).map(|entry| entry.config.key.clone()),
    }
}

/// A response whose body is a stream of events.
pub(super) fn event_stream(body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies that buffer would hold progress back until it is worthless.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

fn close(
    gateway: &Gateway,
    identity: &Arc<Identity>,
    id: Option<&str>,
    headers: &HeaderMap,
) -> Result<Response, Failure> {
    Context::new(gateway, identity, id)?;
    session_of(gateway, identity, headers)?;
    let token = named(headers)?.ok_or(Failure::Method)?;
    gateway.sessions.end(&identity.caller, token).map_err(|_| Failure::UnknownSession)?;
    Ok(status(StatusCode::NO_CONTENT))
}

fn status(status: StatusCode) -> Response {
    let mut response = Response::default();
    *response.status_mut() = status;
    response
}

/// `logging/setLevel`: for the rest of the session, as far as this replica serves it.
pub(super) fn set_level(message: Incoming<'_>, params: Option<&RawObject<'_>>) -> Result<Response, Failure> {
    let level = params.and_then(|params| params.text("level")).and_then(|level| Level::parse(&level));
    let level =
        level.ok_or_else(|| Failure::InvalidParams("`level` must be a log level, as in \"info\"".to_owned()))?;
    // Without a session there is nothing that could remember it.
    let session =
        message.session.ok_or(Failure::InvalidRequest("logging/setLevel needs a session: initialize first"))?;
    session.set_level(level);
    Ok(json(StatusCode::OK, rpc_result(message.id, b"{}")))
}

/// Notifications, and answers to requests of the gateway.
pub(super) fn unanswered(
    gateway: &Gateway,
    identity: &Identity,
    headers: &HeaderMap,
    message: &Message<'_>,
) -> Response {
    let outcome = match era::of_notification(headers) {
        Ok(Era::Stateless) if matches!(message, Message::Response { .. }) => {
            Err(Failure::InvalidRequest("this version has no responses of clients"))
        }
        Ok(Era::Stateless) => Ok(()),
        Ok(Era::Legacy) => find(gateway, identity, headers).and_then(|session| told(session.as_ref(), message)),
        Err(failure) => Err(failure),
    };
    gateway.metrics.request("notification", outcome.as_ref().map_or_else(Failure::outcome, |()| "ok"));
    match outcome {
        Ok(()) => status(StatusCode::ACCEPTED),
        Err(failure) => failure.respond(None, true),
    }
}

/// What a client of the older era says. Without a session it speaks of nothing that is known here.
fn told(session: Option<&Arc<Live>>, message: &Message<'_>) -> Result<(), Failure> {
    let Some(session) = session else { return Ok(()) };
    match message {
        Message::Response { id, answer } => {
            let answer = match answer {
                Ok(result) => Answer::Result((*result).to_owned()),
                Err(error) => Answer::Error((*error).to_owned()),
            };
            let waited = as_text(id).is_some_and(|id| session.answered(&id, answer));
            if waited { Ok(()) } else { Err(Failure::NotAsked) }
        }
        Message::Notification { method, params } if method == "notifications/cancelled" => {
            let params = params.and_then(|params| RawObject::parse(params.get()).ok());
            if let Some(id) = params.and_then(|params| params.get("requestId")) {
                tracing::debug!(session = &*session.id, request = id.get(), "the client cancels a request");
                session.cancel(id);
            }
            Ok(())
        }
        _ => Ok(()),
    }
}
