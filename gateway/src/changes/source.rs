//! Where one upstream says what has changed: a `subscriptions/listen` under the stateless protocol, the stream of a GET
//! before that, and the one stream of the oldest transport.

use super::notice::Notice;
use super::signals::Followed;
use crate::pipeline::upstream::answer::{self, Answer, Outcome};
use crate::pipeline::upstream::body::UpstreamBody;
use crate::pipeline::upstream::legacy_sse::refusal;
use crate::pipeline::upstream::resume::{self, Events};
use crate::pipeline::upstream::translate::own_meta;
use crate::pipeline::upstream::{Along, Post, Session, Upstream, UpstreamError};
use crate::raw::{RawObject, RawWriter, push_text};
use http::HeaderValue;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::{self, error::RecvError};

/// How long a stream may take to open, and a single request to be answered.
const TIME: Duration = Duration::from_secs(10);

/// An open stream of one upstream.
#[derive(Debug)]
pub(super) enum Source {
    /// Of its own.
    Events(Box<Events>),
    /// The one that carries everything.
    Notices(broadcast::Receiver<Notice>),
}

/// What comes on it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// Something has changed.
    Notice(Notice),
    /// Some notices were missed.
    Missed,
    /// The upstream wants an answer, and this is all that it gets.
    Answer(String),
    /// It ends the stream in good order.
    End,
}

impl Source {
    /// Opens one; `None`: the upstream offers none.
    ///
    /// # Errors
    /// [`UpstreamError`].
    pub(super) async fn open(
        upstream: &Arc<Upstream>,
        session: &Arc<Session>,
        followed: &Followed,
        last_id: Option<&str>,
    ) -> Result<Option<Self>, UpstreamError> {
        let opening = async {
            match &**session {
                // A server that declares none would answer with an error, and many would warn of it in their logs.
                Session::Stateless if !upstream.about().tells_changes() => Ok(None),
                Session::Stateless => listen(upstream, session, followed).await,
                Session::Legacy { stream: Some(stream), .. } => Ok(Some(Self::Notices(stream.notices()))),
                Session::Legacy { .. } => {
                    let mut headers = session.headers();
                    if let Some(id) = last_id.and_then(|id| HeaderValue::from_str(id).ok()) {
                        headers.insert("last-event-id", id);
                    }
                    let response = resume::stream(upstream.link(), headers).await?;
                    let body = response.map(|response| UpstreamBody::Http(response.into_body()));
                    let events = body.map(|body| Events::of(body, upstream.limits().max_answer));
                    Ok(events.map(|events| Self::Events(Box::new(events))))
                }
            }
        };
        tokio::time::timeout(TIME, opening).await.unwrap_or(Err(UpstreamError::Timeout))
    }

    /// Where the stream may be taken up again.
    pub(super) fn last_id(&self) -> Option<&str> {
        if let Self::Events(events) = self { events.last_id() } else { None }
    }

    /// What comes next; `None`: the stream is gone. May be dropped and asked again.
    ///
    /// # Errors
    /// [`UpstreamError`].
    pub(super) async fn next(&mut self) -> Result<Option<Said>, UpstreamError> {
        match self {
            Self::Notices(notices) => Ok(match notices.recv().await {
                Ok(notice) => Some(Said::Notice(notice)),
                Err(RecvError::Lagged(_)) => Some(Said::Missed),
                Err(RecvError::Closed) => None,
            }),
            Self::Events(events) => {
                while let Some(data) = events.next().await? {
                    let message = std::str::from_utf8(&data).ok().and_then(|text| RawObject::parse(text).ok());
                    if let Some(said) = message.as_ref().and_then(said) {
                        return Ok(Some(said));
                    }
                }
                Ok(None)
            }
        }
    }
}

fn said(message: &RawObject<'_>) -> Option<Said> {
    match (message.get("method"), message.get("id")) {
        (Some(_), Some(id)) => Some(Said::Answer(refusal(message, id))),
        (Some(_), None) => Notice::read(message).map(Said::Notice),
        (None, Some(_)) => Some(Said::End),
        (None, None) => None,
    }
}

/// `subscriptions/listen` (specification 2026-07-28, "Subscriptions").
async fn listen(
    upstream: &Arc<Upstream>,
    session: &Arc<Session>,
    followed: &Followed,
) -> Result<Option<Source>, UpstreamError> {
    let id = upstream.next_id();
    let along = Along::default();
    let post = Post { body: request(id, followed), method: "subscriptions/listen", name: None, along: &along };
    let response = upstream.post(session, post).await?;
    let mut events = match answer::read(upstream, session, response).await {
        Ok(Answer::Events(events)) => events,
        Ok(Answer::Json(status, body)) => {
            return match answer::of_json(status, &body, id) {
                Ok(Outcome::Result(_) | Outcome::Error(_)) | Err(UpstreamError::Status(400..=499)) => Ok(None),
                Err(error) => Err(error),
            };
        }
        Err(UpstreamError::Status(429)) => return Err(UpstreamError::Status(429)),
        Err(UpstreamError::Status(400..=499)) => return Ok(None),
        Err(error) => return Err(error),
    };
    // Nothing may come before the acknowledgement; an error in its place says that there is no such thing here.
    let first = events.next().await?.ok_or(UpstreamError::Broken)?;
    let first = std::str::from_utf8(&first).ok().and_then(|text| RawObject::parse(text).ok());
    match first.as_ref().and_then(|first| first.text("method")).as_deref() {
        Some("notifications/subscriptions/acknowledged") => Ok(Some(Source::Events(events))),
        _ => Ok(None),
    }
}

fn request(id: u64, followed: &Followed) -> Vec<u8> {
    let mut filter = RawWriter::object(128);
    for field in ["toolsListChanged", "promptsListChanged", "resourcesListChanged"] {
        filter.raw(field, "true");
    }
    if !followed.is_empty() {
        let mut uris = Vec::from(b"[");
        for (at, uri) in followed.keys().enumerate() {
            if at > 0 {
                uris.push(b',');
            }
            push_text(&mut uris, uri);
        }
        uris.push(b']');
        filter.bytes("resourceSubscriptions", &uris);
    }
    let mut params = RawWriter::object(512);
    params.raw("_meta", &own_meta()).bytes("notifications", &filter.finish());
    message(id, "subscriptions/listen", &params.finish())
}

fn message(id: u64, method: &str, params: &[u8]) -> Vec<u8> {
    let mut message = RawWriter::object(params.len() + 80);
    message.raw("jsonrpc", "\"2.0\"").raw("id", &id.to_string()).text("method", method).bytes("params", params);
    message.finish()
}

/// `resources/subscribe` or `resources/unsubscribe` (specification 2025-11-25, "Resources", "Subscriptions").
///
/// # Errors
/// [`UpstreamError`]; an upstream that refuses is [`UpstreamError::Protocol`].
pub(super) async fn subscribe(
    upstream: &Upstream,
    session: &Arc<Session>,
    method: &'static str,
    uri: &str,
) -> Result<(), UpstreamError> {
    let id = upstream.next_id();
    let mut params = RawWriter::object(uri.len() + 16);
    params.text("uri", uri);
    let along = Along::default();
    let post = Post { body: message(id, method, &params.finish()), method, name: None, along: &along };
    let asked = tokio::time::timeout(TIME, upstream.ask(session, id, post)).await;
    let (_, whole) = asked.unwrap_or(Err(UpstreamError::Timeout))?;
    match whole.outcome()? {
        Outcome::Result(_) => Ok(()),
        Outcome::Error(_) => Err(UpstreamError::Protocol("it refuses a subscription")),
    }
}

/// Answers a request that came on the stream; nobody waits for what becomes of it.
pub(super) async fn reply(upstream: &Upstream, session: &Arc<Session>, body: String) {
    let along = Along::default();
    let post = Post { body: body.into_bytes(), method: "", name: None, along: &along };
    let _ = tokio::time::timeout(TIME, upstream.post(session, post)).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_all_lists_and_what_is_followed() {
        let followed = Followed::new([("a://\"x\"".into(), 2), ("b://y".into(), 1)].into());
        let request: serde_json::Value = serde_json::from_slice(&request(7, &followed)).unwrap();
        assert_eq!((&request["id"], &request["method"]), (&7.into(), &"subscriptions/listen".into()));
        assert_eq!(
            request["params"]["notifications"],
            serde_json::json!({ "toolsListChanged": true, "promptsListChanged": true, "resourcesListChanged": true, "resourceSubscriptions": ["a://\"x\"", "b://y"] })
        );
        assert_eq!(request["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"], "2026-07-28");
    }

    #[test]
    fn what_comes_on_a_stream_is_told_apart() {
        let said = |text: &str| said(&RawObject::parse(text).unwrap());
        assert!(matches!(said(r#"{"method":"notifications/tools/list_changed"}"#), Some(Said::Notice(_))));
        assert!(matches!(said(r#"{"method":"ping","id":1}"#), Some(Said::Answer(answer)) if answer.contains("{}")));
        assert_eq!(said(r#"{"id":1,"result":{}}"#), Some(Said::End));
        assert_eq!(said(r#"{"method":"notifications/message","params":{}}"#), None);
    }
}
