//! One request through an upstream: the answer as one message or as events, in the caller's own ids.

mod begin;
mod talk;

pub(crate) use begin::send;

use super::answer::{self, Answer, Outcome};
use super::asking;
use super::input::Needed;
use super::translate::{self, Logs};
use super::{Along, Post, Session, Upstream, UpstreamError};
use crate::era::Era;
use crate::error::{rpc_error, rpc_result};
use crate::pipeline::action::Action;
use crate::pipeline::carried::Carrier;
use crate::pipeline::clean::Clean;
use crate::raw::RawObject;
use crate::session::Live;
use crate::session::live;
use crate::session::own::{Heard, Own};
use begin::declared;
use futures::future::BoxFuture;
use http::StatusCode;
use serde_json::value::RawValue;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use talk::{Asker, Kept, Talk};
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
    /// The caller's session, in the older era.
    pub(crate) live: Option<&'a Arc<Live>>,
    /// Whether the caller takes events, and so can be asked while it waits.
    pub(crate) events: bool,
    /// Seals what a caller of the stateless era carries between two rounds.
    pub(crate) carrier: Option<Carrier>,
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
    /// The call goes on with another request of the client, which brings this id: it has to be kept until then.
    pub(crate) parks: Option<Box<str>>,
}

/// A call under way. Dropping it before the last reply cancels it upstream.
pub(crate) struct Relay {
    upstream: Arc<Upstream>,
    session: Arc<Session>,
    own: Option<Arc<Own>>,
    heard: Option<Heard>,
    id: u64,
    caller_id: Box<RawValue>,
    clean: Clean,
    token: Option<Box<RawValue>>,
    logs: Logs,
    timeout: Duration,
    deadline: Instant,
    hard_deadline: Instant,
    sending: Option<BoxFuture<'static, Result<Answer, UpstreamError>>>,
    answer: Option<Answer>,
    talk: Option<Box<Talk>>,
    outbox: VecDeque<Vec<u8>>,
    carrier: Option<Carrier>,
    question: Option<Kept>,
    /// The question has to be asked (again).
    asks: bool,
    done: bool,
}

/// What comes next.
enum Came {
    Answer,
    Data(Vec<u8>),
    Said(Asker, live::Answer),
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Relay").field("id", &self.id).field("done", &self.done).finish_non_exhaustive()
    }
}

impl Relay {
    /// Sends the call and waits for the head of its answer; `None` where the upstream asks before it answers at all.
    async fn first(&mut self, body: Vec<u8>, call: &Call<'_>) -> Result<Option<Answer>, UpstreamError> {
        let action = self.clean.action;
        let Some(heard) = &mut self.heard else {
            let name = action.is_named_in_header().then_some(call.name);
            let post = Post { body, method: action.method(), name, along: &call.along };
            let sent = async {
                let response = self.upstream.post(&self.session, post).await?;
                answer::read(&self.upstream, &self.session, response).await
            };
            return timeout_at(self.deadline, sent).await.map_err(|_| UpstreamError::Timeout)?.map(Some);
        };
        let mut sent = sent(&self.upstream, &self.session, action, body, call.name.into(), call.along.clone());
        tokio::select! {
            biased;
            answer = timeout_at(self.deadline, &mut sent) => {
                answer.map_err(|_| UpstreamError::Timeout)?.map(Some)
            }
            () = heard.waiting() => {
                self.sending = Some(sent);
                Ok(None)
            }
        }
    }

    /// The next message for the caller; after the last one there is none. May be dropped and asked again: nothing that
    /// has arrived is lost.
    ///
    /// # Errors
    /// [`UpstreamError`]: no further message comes.
    pub(crate) async fn next(&mut self) -> Result<Reply, UpstreamError> {
        loop {
            if std::mem::take(&mut self.asks) {
                return self.ask_later();
            }
            if let Some(body) = self.outbox.pop_front() {
                return Ok(Reply { status: StatusCode::OK, body, last: false, outcome: "request", parks: None });
            }
            if let Some(Answer::Json(status, body)) = &self.answer {
                let (status, body) = (*status, body.clone());
                self.answer = None;
                self.done = true;
                let outcome = answer::of_json(status, &body, self.id).inspect_err(|_| self.forget())?;
                match self.ends(status, outcome)? {
                    Some(reply) => return Ok(reply),
                    None => continue,
                }
            }
            match self.came().await? {
                Came::Answer => {}
                Came::Said(asker, answer) => self.said(asker, answer)?,
                Came::Data(data) => {
                    let Some(message) = std::str::from_utf8(&data).ok().and_then(|text| RawObject::parse(text).ok())
                    else {
                        self.answer = None;
                        return Err(UpstreamError::Protocol("an event is not a JSON-RPC message"));
                    };
                    if let Some(reply) = self.reply(&message)? {
                        return Ok(reply);
                    }
                }
            }
        }
    }

    /// Waits for the upstream and for the client, whichever is first.
    async fn came(&mut self) -> Result<Came, UpstreamError> {
        let waits = self.talk.as_ref().is_some_and(|talk| talk.needed.is_some());
        let asking = self.talk.as_mut().map(|talk| &mut talk.asking).filter(|asking| !asking.is_idle());
        // People take their time.
        let deadline = if asking.is_some() { self.hard_deadline } else { self.deadline };
        let said = async {
            match asking {
                Some(asking) => asking.answered().await,
                None => std::future::pending().await,
            }
        };
        let heard = async {
            match &mut self.heard {
                Some(heard) => heard.next().await,
                None => std::future::pending().await,
            }
        };
        let upstream = async {
            if let Some(sending) = &mut self.sending {
                return sending.await.map(Some).map(|answer| (answer, None));
            }
            match &mut self.answer {
                Some(Answer::Events(events)) => {
                    events.next().await?.ok_or(UpstreamError::Broken).map(|data| (None, Some(data)))
                }
                _ if waits => std::future::pending().await,
                _ => Err(UpstreamError::Broken),
            }
        };
        let came = tokio::select! {
            biased;
            (asker, answer) = said => return Ok(Came::Said(asker, answer)),
            // What is heard beside its stream must not keep a call alive whose time is over.
            data = heard, if Instant::now() < deadline => return Ok(Came::Data(data)),
            came = timeout_at(deadline, upstream) => came,
        };
        match came {
            Ok(Ok((Some(answer), _))) => {
                self.sending = None;
                self.answer = Some(answer);
                Ok(Came::Answer)
            }
            Ok(Ok((None, data))) => Ok(Came::Data(data.unwrap_or_default())),
            other => {
                self.answer = None;
                if self.sending.take().is_some() {
                    self.forget();
                }
                other.map_or(Err(UpstreamError::Timeout), |failed| failed.map(|_| Came::Answer))
            }
        }
    }

    /// The upstream has ended its session, or changed what it is: the next call asks anew.
    fn forget(&self) {
        match &self.own {
            Some(own) => own.forget(&self.session),
            None => self.upstream.forget(&self.session),
        }
    }

    /// What one message of a stream is for the caller, if anything.
    fn reply(&mut self, message: &RawObject<'_>) -> Result<Option<Reply>, UpstreamError> {
        if let Some(outcome) = answer::outcome(message, self.id) {
            self.done = true;
            self.answer = None;
            return self.ends(StatusCode::OK, outcome);
        }
        if let Some((id, method, params)) = asking::request(message) {
            self.requested(id, &method, params);
            return Ok(None);
        }
        // Answers to other ids are nobody's here.
        if message.get("id").is_some() {
            tracing::debug!("dropped a message that is no answer to this request");
            return Ok(None);
        }
        let body = match self.given_up(message) {
            Some(body) => Some(body),
            None => translate::notification(message, self.id, self.token.as_deref(), self.logs),
        };
        let Some(body) = body else { return Ok(None) };
        self.put_off();
        Ok(Some(Reply { status: StatusCode::OK, body, last: false, outcome: "notification", parks: None }))
    }

    fn put_off(&mut self) {
        self.deadline = (Instant::now() + self.timeout).min(self.hard_deadline);
    }

    /// What an outcome is for the caller; `None` where the call goes on.
    fn ends(&mut self, status: StatusCode, outcome: Outcome<'_>) -> Result<Option<Reply>, UpstreamError> {
        if let Outcome::Result(result) = outcome
            && self.clean.era == Era::Legacy
            && let Some(needed) = Needed::read(result)?
        {
            self.need(needed)?;
            return Ok(None);
        }
        self.last(status, outcome).map(Some)
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

    fn last(&self, status: StatusCode, outcome: Outcome<'_>) -> Result<Reply, UpstreamError> {
        Ok(match outcome {
            Outcome::Result(result) => {
                let cleaned = self.clean.result(result);
                let carried = self.carry(&cleaned)?;
                let text = carried.as_deref().unwrap_or(&cleaned);
                let translated = translate::result(text, self.session.era(), self.clean.era);
                let outcome = if is_tool_error(result) { "tool_error" } else { "ok" };
                let body = rpc_result(&self.caller_id, &translated);
                Reply { status: StatusCode::OK, body, last: true, outcome, parks: None }
            }
            Outcome::Error(error) => {
                let code = error_code(error);
                if matches!(code, Some(-32022 | -32601)) {
                    // It has changed its era, or what it is: the next request asks again.
                    self.forget();
                }
                // Towards legacy callers an error is always within a 200.
                let status =
                    if self.clean.era == Era::Stateless { stateless_status(code, status) } else { StatusCode::OK };
                Reply {
                    status,
                    body: rpc_error(Some(&self.caller_id), self.clean.error(error).as_bytes()),
                    last: true,
                    outcome: "rpc_error",
                    parks: None,
                }
            }
        })
    }
}

/// Sends a call of a client that can be asked meanwhile, up to the head of its answer.
fn sent(
    upstream: &Arc<Upstream>,
    session: &Arc<Session>,
    action: Action,
    body: Vec<u8>,
    name: Box<str>,
    along: Along,
) -> BoxFuture<'static, Result<Answer, UpstreamError>> {
    let (upstream, session) = (Arc::clone(upstream), Arc::clone(session));
    Box::pin(async move {
        let name = action.is_named_in_header().then_some(&*name);
        let post = Post { body, method: action.method(), name, along: &along };
        let response = upstream.post(&session, post).await?;
        answer::read(&upstream, &session, response).await
    })
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
