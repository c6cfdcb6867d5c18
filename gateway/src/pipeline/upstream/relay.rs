//! One request through an upstream: the answer as one message or as events, in the caller's own ids.

use super::answer::{self, Answer, Outcome};
use super::translate::{self, Outgoing};
use super::{Along, Post, Session, Upstream, UpstreamError};
use crate::era::Era;
use crate::error::{rpc_error, rpc_result};
use crate::pipeline::clean::Clean;
use crate::raw::RawObject;
use http::StatusCode;
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// A request as the pipeline hands it over.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    /// The upstream's own name, URI or template of what is asked for.
    pub(crate) name: &'a str,
    /// What is to be done, and what has to be done with the answer.
    pub(crate) clean: Clean,
    /// The caller's parameters.
    pub(crate) params: &'a RawObject<'a>,
    /// The caller's id.
    pub(crate) id: &'a RawValue,
    /// What of the caller's request goes along.
    pub(crate) along: Along,
    /// From sending to the answer; progress starts it anew.
    pub(crate) timeout: Duration,
}

/// One message for the caller.
#[derive(Debug)]
pub(crate) struct Reply {
    /// The HTTP status, where the reply is the whole answer.
    pub(crate) status: StatusCode,
    /// The JSON-RPC message.
    pub(crate) body: Vec<u8>,
    /// Whether it is the last one.
    pub(crate) last: bool,
    /// `ok`, `tool_error` or `rpc_error`.
    pub(crate) outcome: &'static str,
}

/// A call under way. Dropping it before the last reply cancels it upstream.
#[derive(Debug)]
pub(crate) struct Relay {
    upstream: Arc<Upstream>,
    session: Arc<Session>,
    id: u64,
    caller_id: Box<RawValue>,
    clean: Clean,
    token: Option<Box<RawValue>>,
    wants_logs: bool,
    timeout: Duration,
    deadline: Instant,
    hard_deadline: Instant,
    answer: Option<Answer>,
    done: bool,
}

/// Progress may put off a timeout; this many times the timeout is the end of it.
const HARD_FACTOR: u32 = 10;

/// Sends a call, once, and waits for the head of its answer.
///
/// # Errors
/// [`UpstreamError`]; `before_send()` says whether nothing was sent.
pub(crate) async fn send(upstream: &Arc<Upstream>, call: &Call<'_>) -> Result<Relay, UpstreamError> {
    let now = Instant::now();
    let deadline = now + call.timeout;
    let session = timeout_at(deadline, upstream.session()).await.map_err(|_| UpstreamError::Timeout)??;
    let id = upstream.next_id();
    let outgoing = Outgoing {
        id,
        action: call.clean.action,
        name: call.name,
        params: call.params,
        from: call.clean.era,
        to: session.era(),
    };
    let written = outgoing.write();
    let mut relay = Relay {
        upstream: Arc::clone(upstream),
        session: Arc::clone(&session),
        id,
        caller_id: call.id.to_owned(),
        clean: call.clean.clone(),
        token: written.token,
        wants_logs: call.clean.era == Era::Legacy || asks_for_logs(call.params),
        timeout: call.timeout,
        deadline,
        hard_deadline: now + call.timeout * HARD_FACTOR,
        answer: None,
        done: false,
    };
    let action = call.clean.action;
    let name = action.is_named_in_header().then_some(call.name);
    let post = Post { body: written.body, method: action.method(), name, along: &call.along };
    let sent = async {
        let response = upstream.post(&session, post).await?;
        answer::read(upstream, &session, response).await
    };
    match timeout_at(deadline, sent).await {
        Ok(Ok(answer)) => {
            relay.answer = Some(answer);
            Ok(relay)
        }
        Ok(Err(error)) => {
            // Nothing is under way any more, so there is nothing to cancel.
            relay.done = true;
            Err(error)
        }
        Err(_) => Err(UpstreamError::Timeout),
    }
}

fn asks_for_logs(params: &RawObject<'_>) -> bool {
    let meta = params.get("_meta").and_then(|meta| RawObject::parse(meta.get()).ok());
    meta.is_some_and(|meta| meta.get("io.modelcontextprotocol/logLevel").is_some())
}

impl Relay {
    /// The next message for the caller; after the last one there is none. May be dropped and asked again: nothing that
    /// has arrived is lost.
    ///
    /// # Errors
    /// [`UpstreamError`]: no further message comes.
    pub(crate) async fn next(&mut self) -> Result<Reply, UpstreamError> {
        if let Some(Answer::Json(status, body)) = &self.answer {
            let (status, body) = (*status, body.clone());
            self.answer = None;
            self.done = true;
            let outcome =
                answer::of_json(status, &body, self.id).inspect_err(|_| self.upstream.forget(&self.session))?;
            return Ok(self.last(status, outcome));
        }
        loop {
            let data = self.data().await?;
            let Some(message) = std::str::from_utf8(&data).ok().and_then(|text| RawObject::parse(text).ok()) else {
                self.answer = None;
                return Err(UpstreamError::Protocol("an event is not a JSON-RPC message"));
            };
            if let Some(reply) = self.reply(&message) {
                return Ok(reply);
            }
        }
    }

    /// The data of the next event.
    async fn data(&mut self) -> Result<Vec<u8>, UpstreamError> {
        let Some(Answer::Events(events)) = &mut self.answer else { return Err(UpstreamError::Broken) };
        let error = match timeout_at(self.deadline, events.next()).await {
            Ok(Ok(Some(data))) => return Ok(data),
            Ok(Ok(None)) => UpstreamError::Broken,
            Ok(Err(error)) => error,
            Err(_) => UpstreamError::Timeout,
        };
        self.answer = None;
        Err(error)
    }

    /// What one message of a stream is for the caller, if anything.
    fn reply(&mut self, message: &RawObject<'_>) -> Option<Reply> {
        if let Some(outcome) = answer::outcome(message, self.id) {
            self.done = true;
            self.answer = None;
            return Some(self.last(StatusCode::OK, outcome));
        }
        // Requests of the upstream and answers to other ids are nobody's here.
        if message.get("id").is_some() {
            tracing::debug!("dropped a message that is no answer to this request");
            return None;
        }
        let body = translate::notification(message, self.id, self.token.as_deref(), self.wants_logs)?;
        self.deadline = (Instant::now() + self.timeout).min(self.hard_deadline);
        Some(Reply { status: StatusCode::OK, body, last: false, outcome: "notification" })
    }

    /// The last message, whatever comes before it: for callers that take no events.
    ///
    /// # Errors
    /// [`UpstreamError`].
    pub(crate) async fn last_reply(&mut self) -> Result<Reply, UpstreamError> {
        loop {
            let reply = self.next().await?;
            if reply.last {
                return Ok(reply);
            }
        }
    }

    fn last(&self, status: StatusCode, outcome: Outcome<'_>) -> Reply {
        match outcome {
            Outcome::Result(result) => {
                let cleaned = self.clean.result(result);
                let translated = translate::result(&cleaned, self.session.era(), self.clean.era);
                let outcome = if is_tool_error(result) { "tool_error" } else { "ok" };
                Reply { status: StatusCode::OK, body: rpc_result(&self.caller_id, &translated), last: true, outcome }
            }
            Outcome::Error(error) => {
                let code = error_code(error);
                if matches!(code, Some(-32022 | -32601)) {
                    // It has changed its era, or what it is: the next request asks again.
                    self.upstream.forget(&self.session);
                }
                // Towards legacy callers an error is always within a 200.
                let status =
                    if self.clean.era == Era::Stateless { stateless_status(code, status) } else { StatusCode::OK };
                Reply {
                    status,
                    body: rpc_error(Some(&self.caller_id), self.clean.error(error).as_bytes()),
                    last: true,
                    outcome: "rpc_error",
                }
            }
        }
    }
}

/// Specification 2026-07-28, "Streamable HTTP", "Response status".
fn stateless_status(code: Option<i64>, upstream: StatusCode) -> StatusCode {
    match code {
        Some(-32022..=-32020) => StatusCode::BAD_REQUEST,
        Some(-32601) => StatusCode::NOT_FOUND,
        Some(-32602) if upstream == StatusCode::BAD_REQUEST => upstream,
        _ => StatusCode::OK,
    }
}

fn error_code(error: &RawValue) -> Option<i64> {
    RawObject::parse(error.get()).ok()?.get("code")?.get().parse().ok()
}

/// A cheap look first: nearly every result says nothing of errors.
fn is_tool_error(result: &RawValue) -> bool {
    result.get().contains("\"isError\"")
        && RawObject::parse(result.get())
            .is_ok_and(|fields| fields.get("isError").is_some_and(|flag| flag.get() == "true"))
}

impl Drop for Relay {
    fn drop(&mut self) {
        if !self.done {
            self.upstream.cancel(&self.session, self.id);
        }
    }
}
