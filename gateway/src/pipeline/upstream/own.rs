//! What a client's own session with an upstream needs besides calls: a beginning, a level, answers, an end.

use super::about::About;
use super::{Along, Post, Session, Upstream, UpstreamError, negotiate};
use crate::raw::RawWriter;
use http::Method;
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

/// How long what nobody waits for may take.
const LIMIT: Duration = Duration::from_secs(10);
/// Answers of the gateway's own on their way to one upstream. A flood of questions is not answered with one of tasks.
pub(super) const MAX_DECLINED: usize = 64;

/// An answer to a request of an upstream.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Said<'a> {
    /// A result, as JSON.
    Result(&'a str),
    /// An error, as JSON.
    Error(&'a str),
}

/// What an upstream reads that asks for what its client does not offer.
pub(crate) const NOT_OFFERED: &str = r#"{"code":-32601,"message":"the client does not offer this"}"#;

impl Upstream {
    /// Whether a client can have a session of its own here: a server of the older era, over HTTP.
    pub(crate) fn has_sessions(session: &Session) -> bool {
        matches!(session, Session::Legacy { stream: None, .. })
    }

    /// Opens a session for a client with these capabilities, a JSON object.
    ///
    /// # Errors
    /// [`UpstreamError`].
    pub(crate) async fn open_for(&self, declared: &str) -> Result<(Session, About), UpstreamError> {
        negotiate::initialize(self, None, declared).await
    }

    /// Tells a session from which level on it shall log.
    ///
    /// # Errors
    /// [`UpstreamError`].
    pub(crate) async fn set_level(&self, session: &Arc<Session>, level: &str) -> Result<(), UpstreamError> {
        let id = self.next_id();
        let body =
            format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"logging/setLevel","params":{{"level":"{level}"}}}}"#);
        let post = Post { body: body.into_bytes(), method: "logging/setLevel", name: None, along: &Along::default() };
        self.ask(session, id, post).await.map(drop)
    }

    /// Hands a client's answer to a request of the upstream on, in the session that it came in. Nobody waits for it.
    pub(crate) fn respond(self: &Arc<Self>, session: &Arc<Session>, id: &RawValue, said: Said<'_>) {
        self.tell(session, answer(id, said), None);
    }

    /// Answers a request of the upstream that no client is asked. Where too many such answers are on their way already,
    /// it gets none.
    pub(crate) fn decline(self: &Arc<Self>, session: &Arc<Session>, id: &RawValue, said: Said<'_>) {
        match Arc::clone(&self.declined).try_acquire_owned() {
            Ok(permit) => self.tell(session, answer(id, said), Some(permit)),
            Err(_) => tracing::debug!("an upstream asks faster than it takes answers"),
        }
    }

    /// Sends a message that has no answer; nobody waits until it is sent.
    pub(super) fn tell(self: &Arc<Self>, session: &Arc<Session>, body: Vec<u8>, permit: Option<OwnedSemaphorePermit>) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (upstream, session) = (Arc::clone(self), Arc::clone(session));
        runtime.spawn(async move {
            let _until_sent = permit;
            let post = Post { body, method: "response", name: None, along: &Along::default() };
            let sent = tokio::time::timeout(LIMIT, upstream.post(&session, post)).await;
            if let Err(error) = sent.unwrap_or(Err(UpstreamError::Timeout)) {
                tracing::warn!(reason = error.reason(), %error, "an answer did not reach the upstream");
            }
        });
    }

    /// Ends a session that has an id. Servers may refuse that; it then ends when they forget it.
    pub(crate) fn end(self: &Arc<Self>, session: &Arc<Session>) {
        let Session::Legacy { id: Some(_), stream: None, .. } = &**session else { return };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (upstream, headers) = (Arc::clone(self), session.headers());
        runtime.spawn(async move {
            let ended = upstream.link.send(Method::DELETE, None, headers, Vec::new());
            let _ = tokio::time::timeout(LIMIT, ended).await;
        });
    }
}

fn answer(id: &RawValue, said: Said<'_>) -> Vec<u8> {
    let mut message = RawWriter::object(256);
    message.raw("jsonrpc", "\"2.0\"").raw("id", id.get());
    match said {
        Said::Result(result) => message.raw("result", result),
        Said::Error(error) => message.raw("error", error),
    };
    message.finish()
}
