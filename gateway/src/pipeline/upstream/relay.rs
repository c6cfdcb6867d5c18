//! One request through an upstream: the answer as one message or as events, in the caller's own ids.

use super::answer::{self, Answer, Outcome};
use super::asking::{self, Asking};
use super::input::{MAX_ROUNDS, Needed, Question};
use super::own::{NOT_OFFERED, Said};
use super::translate::{self, Declared, Logs, Outgoing};
use super::{Along, Post, Session, Upstream, UpstreamError};
use crate::era::{Era, META_LEVEL};
use crate::error::{rpc_error, rpc_result};
use crate::pipeline::carried::{self, Carried, Carrier};
use crate::pipeline::clean::Clean;
use crate::raw::{Edits, RawObject, RawWriter, as_text};
use crate::session::Live;
use crate::session::level::Level;
use crate::session::live;
use crate::session::own::Own;
use futures::future::BoxFuture;
use http::StatusCode;
use serde_json::value::RawValue;
use std::collections::VecDeque;
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

/// A request of an upstream of the older era that waits for another request of a client of the stateless one.
struct Kept {
    /// The upstream's id.
    id: Box<RawValue>,
    /// Method and parameters, a JSON object.
    request: Vec<u8>,
}

/// What such a question is called between the gateway and the client: there is one at a time.
const QUESTION: &str = "upstream";

/// What a call needs whose caller can be asked.
struct Talk {
    live: Arc<Live>,
    asking: Asking<Asker>,
    /// What the upstream needs before it goes on.
    needed: Option<Needed>,
    /// The call, for the rounds after the first; upstreams of the older era have one round.
    call: Option<Again>,
    rounds: u32,
}

/// Who asks the client.
enum Asker {
    /// An upstream of the older era, under its own id.
    Request(Box<RawValue>),
    /// One of the stateless era: its key and method.
    Input(Box<str>, Box<str>),
}

/// A call that may have to be sent on.
struct Again {
    name: Box<str>,
    params: Box<str>,
    along: Along,
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

/// Progress, and answers of the client, may put off a timeout; this many times the timeout is the end of it.
const HARD_FACTOR: u32 = 10;

/// Sends a call, once, and waits for the head of its answer.
///
/// # Errors
/// [`UpstreamError`]; `before_send()` says whether nothing was sent.
pub(crate) async fn send(upstream: &Arc<Upstream>, call: &Call<'_>) -> Result<Relay, UpstreamError> {
    let now = Instant::now();
    let deadline = now + call.timeout;
    let (session, own) = timeout_at(deadline, session(upstream, call)).await.map_err(|_| UpstreamError::Timeout)??;
    let id = upstream.next_id();
    let action = call.clean.action;
    let written = Outgoing {
        id,
        action,
        name: call.name,
        params: call.params,
        from: call.clean.era,
        to: session.era(),
        declared: declared(call.live, call.events),
    }
    .write();
    let mut relay = Relay {
        upstream: Arc::clone(upstream),
        session: Arc::clone(&session),
        own,
        id,
        caller_id: call.id.to_owned(),
        clean: call.clean.clone(),
        token: written.token,
        logs: logs(call),
        timeout: call.timeout,
        deadline,
        hard_deadline: now + call.timeout * HARD_FACTOR,
        sending: None,
        answer: None,
        talk: Talk::of(call, &session),
        outbox: VecDeque::new(),
        carrier: call.carrier.clone(),
        question: None,
        asks: false,
        done: false,
    };
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
            if matches!(error, UpstreamError::SessionEnded) {
                relay.forget();
            }
            Err(error)
        }
        Err(_) => Err(UpstreamError::Timeout),
    }
}

/// The session of the upstream that the call goes to: the caller's own where it can be asked or wants certain logs.
async fn session(upstream: &Arc<Upstream>, call: &Call<'_>) -> Result<(Arc<Session>, Option<Arc<Own>>), UpstreamError> {
    let shared = upstream.session().await?;
    match call.live.filter(|live| live.talks() && Upstream::has_sessions(&shared)) {
        Some(live) => {
            let own = live.own(upstream);
            Ok((own.session(live.level()).await?, Some(own)))
        }
        None => Ok((shared, None)),
    }
}

/// Who takes no events cannot be asked while it waits.
fn declared(live: Option<&Arc<Live>>, events: bool) -> Declared<'_> {
    live.map_or(Declared::NOTHING, |live| Declared {
        capabilities: if events { live.capabilities.json() } else { Declared::NOTHING.capabilities },
        level: live.level(),
    })
}

fn logs(call: &Call<'_>) -> Logs {
    match call.clean.era {
        Era::Legacy => call.live.and_then(|live| live.level()).map_or(Logs::All, Logs::From),
        Era::Stateless => {
            let meta = call.params.get("_meta").and_then(|meta| RawObject::parse(meta.get()).ok());
            let level = meta.and_then(|meta| meta.get(META_LEVEL)).and_then(as_text);
            level.map_or(Logs::None, |level| Level::parse(&level).map_or(Logs::All, Logs::From))
        }
    }
}

impl Talk {
    /// `None`: the caller cannot be asked anything.
    fn of(call: &Call<'_>, session: &Session) -> Option<Box<Self>> {
        let can = |live: &&Arc<Live>| !live.capabilities.is_empty();
        let live = call.live.filter(can).filter(|_| call.events || call.clean.era == Era::Stateless)?;
        let again = || {
            let mut params = RawWriter::object(256);
            for (name, value) in call.params.iter() {
                params.raw(name, value.get());
            }
            let params = String::from_utf8(params.finish()).ok()?.into();
            Some(Again { name: call.name.into(), params, along: call.along.clone() })
        };
        let bridged = session.era() == Era::Stateless && call.clean.era == Era::Legacy;
        let call = if bridged { again() } else { None };
        Some(Box::new(Self { live: Arc::clone(live), asking: Asking::new(live), needed: None, call, rounds: 0 }))
    }
}

impl Relay {
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

    /// A request of an upstream of the older era: it goes to the client whose call this is, or is answered here.
    fn requested(&mut self, id: &RawValue, method: &str, params: Option<&RawValue>) {
        if method == "ping" {
            return self.upstream.respond(&self.session, id, Said::Result("{}"));
        }
        // Only a session that declares what this client can do may ask it.
        let talk = self.talk.as_mut().filter(|_| self.own.is_some());
        if self.clean.era == Era::Stateless {
            // There is one question at a time: a client that brings the answer is asked the next.
            let can = talk.is_some_and(|talk| talk.live.capabilities.allow(method, params));
            if !can || self.carrier.is_none() || self.question.is_some() {
                return self.upstream.respond(&self.session, id, Said::Error(NOT_OFFERED));
            }
            let mut request = RawWriter::object(params.map_or(0, |params| params.get().len()) + 64);
            request.text("method", method);
            if let Some(params) = params {
                request.raw("params", params.get());
            }
            self.question = Some(Kept { id: id.to_owned(), request: request.finish() });
            self.asks = true;
            return;
        }
        match talk.and_then(|talk| talk.asking.ask(method, params, Asker::Request(id.to_owned()))) {
            Some(message) => self.outbox.push_back(message),
            None => self.upstream.respond(&self.session, id, Said::Error(NOT_OFFERED)),
        }
    }

    /// The answer to this request of the client: a question, and what brings its next request back to this call.
    fn ask_later(&mut self) -> Result<Reply, UpstreamError> {
        let (Some(question), Some(carrier)) = (&self.question, &self.carrier) else {
            return Err(UpstreamError::NotOffered);
        };
        let id: Box<str> = uuid::Uuid::new_v4().simple().to_string().into();
        let state = carrier.seal(&Carried::Parked(id.clone())).map_err(|_| UpstreamError::NotOffered)?;
        let mut requests = RawWriter::object(question.request.len() + 32);
        requests.bytes(QUESTION, &question.request);
        let mut result = RawWriter::object(question.request.len() + 512);
        result
            .text("resultType", "input_required")
            .bytes("inputRequests", &requests.finish())
            .text("requestState", &state);
        let body = rpc_result(&self.caller_id, &result.finish());
        Ok(Reply { status: StatusCode::OK, body, last: true, outcome: "input_required", parks: Some(id) })
    }

    /// How long the call may be kept.
    pub(crate) fn patience(&self) -> Duration {
        self.hard_deadline.saturating_duration_since(Instant::now()).min(Duration::from_secs(carried::LIFE))
    }

    /// Goes on with another request of the client, which may bring the answer: without it, it is asked again.
    pub(crate) fn resume(&mut self, id: &RawValue, params: &RawObject<'_>) {
        self.caller_id = id.to_owned();
        let meta = params.get("_meta").and_then(|meta| RawObject::parse(meta.get()).ok());
        if let Some(token) = meta.and_then(|meta| meta.get("progressToken")) {
            self.token = Some(token.to_owned());
        }
        let responses = params.get("inputResponses").and_then(|responses| RawObject::parse(responses.get()).ok());
        let answer = responses.and_then(|responses| responses.get(QUESTION)).filter(|a| a.get().starts_with('{'));
        match (answer, &self.question) {
            (Some(answer), Some(question)) => {
                self.upstream.respond(&self.session, &question.id, Said::Result(answer.get()));
                self.question = None;
                self.put_off();
            }
            _ => self.asks = true,
        }
    }

    /// A result whose state only the same request brings back.
    fn carry(&self, result: &str) -> Result<Option<String>, UpstreamError> {
        // A cheap look first: nearly every result is complete.
        let Some(carrier) = self.carrier.as_ref().filter(|_| result.contains("\"input_required\"")) else {
            return Ok(None);
        };
        let Ok(fields) = RawObject::parse(result) else { return Ok(None) };
        if fields.text("resultType").as_deref() != Some("input_required") {
            return Ok(None);
        }
        let Some(state) = fields.get("requestState") else { return Ok(None) };
        let text = as_text(state).ok_or(UpstreamError::Protocol("its state is no string"))?;
        let sealed = carrier.seal(&Carried::Upstream(text.into()));
        let sealed = sealed.map_err(|_| UpstreamError::Protocol("its state cannot be sealed: no keys"))?;
        let mut edits = Edits::of(result);
        edits.text(state, &sealed);
        Ok(edits.finish())
    }

    /// The upstream wants an answer no more.
    fn given_up(&mut self, message: &RawObject<'_>) -> Option<Vec<u8>> {
        let talk = self.talk.as_mut().filter(|talk| !talk.asking.is_idle())?;
        if message.text("method")? != "notifications/cancelled" {
            return None;
        }
        let params = RawObject::parse(message.get("params")?.get()).ok()?;
        let id = params.get("requestId")?;
        talk.asking.give_up(|asker| matches!(asker, Asker::Request(asked) if asked.get() == id.get()))
    }

    /// The client has answered.
    fn said(&mut self, asker: Asker, answer: live::Answer) -> Result<(), UpstreamError> {
        self.put_off();
        match asker {
            Asker::Request(id) => {
                let said = match &answer {
                    live::Answer::Result(result) => Said::Result(result.get()),
                    live::Answer::Error(error) => Said::Error(error.get()),
                };
                self.upstream.respond(&self.session, &id, said);
                Ok(())
            }
            Asker::Input(key, method) => {
                let needed = self.talk.as_mut().and_then(|talk| talk.needed.as_mut());
                needed.map_or(Ok(()), |needed| needed.answered(key, &method, answer))?;
                self.go_on()
            }
        }
    }

    /// The upstream needs something before it goes on: the client is asked for all of it at once.
    fn need(&mut self, needed: Needed) -> Result<(), UpstreamError> {
        let talk = self.talk.as_mut().ok_or(UpstreamError::NotOffered)?;
        talk.rounds += 1;
        if talk.rounds > MAX_ROUNDS {
            return Err(UpstreamError::TooManyRounds);
        }
        for Question { key, method, params } in &needed.questions {
            let asker = Asker::Input(key.clone(), method.clone());
            let message = talk.asking.ask(method, params.as_deref(), asker).ok_or(UpstreamError::NotOffered)?;
            self.outbox.push_back(message);
        }
        talk.needed = Some(needed);
        self.go_on()
    }

    /// Sends the call on once everything is answered.
    fn go_on(&mut self) -> Result<(), UpstreamError> {
        let Some(talk) = self.talk.as_mut() else { return Ok(()) };
        let Some(needed) = talk.needed.take_if(|needed| needed.is_complete()) else { return Ok(()) };
        let again = talk.call.as_ref().ok_or(UpstreamError::NotOffered)?;
        let params = needed.params(&again.params)?;
        let params =
            RawObject::parse(&params).map_err(|_| UpstreamError::Protocol("its questions cannot be answered"))?;
        let (id, action) = (self.upstream.next_id(), self.clean.action);
        let written = Outgoing {
            id,
            action,
            name: &again.name,
            params: &params,
            from: self.clean.era,
            to: self.session.era(),
            declared: declared(Some(&talk.live), true),
        }
        .write();
        let (upstream, session) = (Arc::clone(&self.upstream), Arc::clone(&self.session));
        let (name, along) = (again.name.clone(), again.along.clone());
        self.sending = Some(Box::pin(async move {
            let name = action.is_named_in_header().then_some(&*name);
            let post = Post { body: written.body, method: action.method(), name, along: &along };
            let response = upstream.post(&session, post).await?;
            answer::read(&upstream, &session, response).await
        }));
        (self.id, self.done) = (id, false);
        self.put_off();
        Ok(())
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
