//! A response head and body → the JSON-RPC message that answers our id, or the stream that it will come on.

use super::body::UpstreamBody;
use super::own::NOT_OFFERED;
use super::resume::{Events, is_event_stream};
use super::{Along, Post, Session, Upstream, UpstreamError};
use crate::raw::{RawObject, RawWriter};
use bytes::{Bytes, BytesMut};
use http::{Response, StatusCode, header};
use http_body_util::BodyExt as _;
use serde_json::value::RawValue;
use std::sync::Arc;

/// How an upstream answers.
#[derive(Debug)]
pub(crate) enum Answer {
    /// One JSON message.
    Json(StatusCode, Bytes),
    /// A stream of messages.
    Events(Box<Events>),
}

/// Sorts a response by status and content type; a JSON body is read to its end.
///
/// # Errors
/// [`UpstreamError::Status`] for an HTTP error without a JSON-RPC body, [`UpstreamError::Protocol`],
/// [`UpstreamError::TooLarge`], [`UpstreamError::Broken`].
pub(crate) async fn read(
    upstream: &Upstream,
    session: &Session,
    response: Response<UpstreamBody>,
) -> Result<Answer, UpstreamError> {
    let max = upstream.limits.max_answer;
    let status = response.status();
    if is_event_stream(response.headers()) && status.is_success() {
        return Ok(Answer::Events(Box::new(Events::new(response.into_body(), &upstream.link, session, max))));
    }
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") && (status.is_success() || status.is_client_error()) {
        return Ok(Answer::Json(status, collect(response.into_body(), max).await?));
    }
    if status.is_success() {
        Err(UpstreamError::Protocol("unknown content type"))
    } else {
        Err(UpstreamError::Status(status.as_u16()))
    }
}

async fn collect(mut body: UpstreamBody, max: usize) -> Result<Bytes, UpstreamError> {
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| UpstreamError::Broken)?.into_data() else { continue };
        if first.len() + rest.len() + data.len() > max {
            return Err(UpstreamError::TooLarge(max));
        }
        if first.is_empty() && rest.is_empty() {
            first = data;
        } else {
            if rest.is_empty() {
                rest.extend_from_slice(&first);
                first = Bytes::new();
            }
            rest.extend_from_slice(&data);
        }
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}

/// The outcome inside a JSON-RPC response.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Outcome<'a> {
    /// Its result.
    Result(&'a RawValue),
    /// Its error.
    Error(&'a RawValue),
}

/// The outcome for our id; `None` for any other message.
pub(crate) fn outcome<'a>(message: &RawObject<'a>, id: u64) -> Option<Outcome<'a>> {
    let ours = message.get("id").is_some_and(|found| found.get() == id.to_string());
    if !ours || message.get("method").is_some() {
        return None;
    }
    match (message.get("result"), message.get("error")) {
        (Some(result), None) => Some(Outcome::Result(result)),
        (None, Some(error)) => Some(Outcome::Error(error)),
        _ => None,
    }
}

/// An error that names no id: how a server answers what it could not read. It can only be about the one request.
fn anonymous_error<'a>(message: &RawObject<'a>) -> Option<Outcome<'a>> {
    let anonymous = message.get("id").is_none_or(|id| id.get() == "null");
    message.get("error").filter(|_| anonymous).map(Outcome::Error)
}

/// The outcome of a JSON answer.
///
/// # Errors
/// [`UpstreamError::Protocol`] for another message, [`UpstreamError::Status`] for an HTTP error that carries none.
pub(crate) fn of_json(status: StatusCode, body: &[u8], id: u64) -> Result<Outcome<'_>, UpstreamError> {
    let failed =
        |what| if status.is_success() { UpstreamError::Protocol(what) } else { UpstreamError::Status(status.as_u16()) };
    let text = std::str::from_utf8(body).map_err(|_| failed("not UTF-8"))?;
    let message = RawObject::parse(text).map_err(|_| failed("not a JSON-RPC message"))?;
    outcome(&message, id).or_else(|| anonymous_error(&message)).ok_or_else(|| failed("an answer to another request"))
}

/// A whole answer of a request that the gateway makes on its own.
#[derive(Debug)]
pub(crate) struct Whole {
    /// Its HTTP status.
    pub(crate) status: StatusCode,
    /// The message.
    pub(crate) body: Bytes,
    /// The id it answers.
    pub(crate) id: u64,
}

impl Whole {
    /// Its outcome.
    ///
    /// # Errors
    /// [`UpstreamError`].
    pub(crate) fn outcome(&self) -> Result<Outcome<'_>, UpstreamError> {
        of_json(self.status, &self.body, self.id)
    }
}

impl Upstream {
    /// A request of the gateway's own: sent once. Notifications on its stream are passed over; what the upstream asks
    /// there is refused at once, because nobody is there who could answer.
    ///
    /// # Errors
    /// [`UpstreamError`].
    pub(crate) async fn ask(
        &self,
        session: &Arc<Session>,
        id: u64,
        post: Post<'_>,
    ) -> Result<(http::HeaderMap, Whole), UpstreamError> {
        let response = self.post(session, post).await?;
        let headers = response.headers().clone();
        let whole = match read(self, session, response).await? {
            Answer::Json(status, body) => Whole { status, body, id },
            Answer::Events(events) => {
                Whole { status: StatusCode::OK, body: self.final_event(session, *events, id).await?, id }
            }
        };
        Ok((headers, whole))
    }

    async fn final_event(&self, session: &Arc<Session>, mut events: Events, id: u64) -> Result<Bytes, UpstreamError> {
        while let Some(data) = events.next().await? {
            let text = std::str::from_utf8(&data).map_err(|_| UpstreamError::Protocol("not UTF-8"))?;
            let message = RawObject::parse(text).map_err(|_| UpstreamError::Protocol("not a JSON-RPC message"))?;
            if outcome(&message, id).is_some() {
                return Ok(data.into());
            }
            if let (Some(asked), Some(method)) = (message.get("id"), message.text("method")) {
                self.refuse(session, asked, &method).await;
            }
        }
        Err(UpstreamError::Broken)
    }

    /// Answers a request that comes while the gateway asks for itself.
    async fn refuse(&self, session: &Arc<Session>, id: &RawValue, method: &str) {
        let mut answer = RawWriter::object(128);
        answer.raw("jsonrpc", "\"2.0\"").raw("id", id.get());
        if method == "ping" {
            answer.raw("result", "{}");
        } else {
            answer.raw("error", NOT_OFFERED);
        }
        let post = Post { body: answer.finish(), method: "response", name: None, along: &Along::default() };
        // It may go on without the answer; if it does not, the time of the question ends.
        let _ = self.post(session, post).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(status: u16, body: &str) -> String {
        match of_json(StatusCode::from_u16(status).unwrap(), body.as_bytes(), 7) {
            Ok(Outcome::Result(result)) => format!("result {}", result.get()),
            Ok(Outcome::Error(error)) => format!("error {}", error.get()),
            Err(error) => error.reason().to_owned(),
        }
    }

    #[test]
    fn only_an_answer_to_our_id_counts() {
        assert_eq!(kind(200, r#"{"jsonrpc":"2.0","id":7,"result":{"a":1}}"#), "result {\"a\":1}");
        assert_eq!(kind(400, r#"{"jsonrpc":"2.0","id":7,"error":{"code":1}}"#), "error {\"code\":1}");
        assert_eq!(kind(400, r#"{"jsonrpc":"2.0","id":null,"error":{"code":1}}"#), "error {\"code\":1}");
        for other in [
            r#"{"jsonrpc":"2.0","id":8,"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":"7","result":{}}"#,
            r#"{"jsonrpc":"2.0","id":7,"result":{},"error":{}}"#,
            r#"{"jsonrpc":"2.0","id":7,"method":"sampling/createMessage"}"#,
            "<html>",
            "[]",
        ] {
            assert_eq!(kind(200, other), "NotMcp", "{other}");
            assert_eq!(kind(502, other), "UpstreamError", "{other}");
        }
    }
}
