//! The conversation of a call: what its upstream asks, in either era, how the client is asked, and its answers.

use super::{Call, Relay, Reply, declared, sent};
use crate::era::Era;
use crate::error::rpc_result;
use crate::pipeline::carried::{self, Carried};
use crate::pipeline::upstream::asking::Asking;
use crate::pipeline::upstream::input::{MAX_ROUNDS, Needed, Question};
use crate::pipeline::upstream::own::{NOT_OFFERED, Said};
use crate::pipeline::upstream::translate::Outgoing;
use crate::pipeline::upstream::{Along, Session, UpstreamError};
use crate::raw::{Edits, RawObject, RawWriter, as_text};
use crate::session::{Live, live};
use http::StatusCode;
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// A request of an upstream of the older era that waits for another request of a client of the stateless one.
pub(super) struct Kept {
    /// The upstream's id.
    id: Box<RawValue>,
    /// Method and parameters, a JSON object.
    request: Vec<u8>,
}

/// What such a question is called between the gateway and the client: there is one at a time.
const QUESTION: &str = "upstream";

/// What a call needs whose caller can be asked.
pub(super) struct Talk {
    live: Arc<Live>,
    pub(super) asking: Asking<Asker>,
    /// What the upstream needs before it goes on.
    pub(super) needed: Option<Needed>,
    /// The call, for the rounds after the first; upstreams of the older era have one round.
    call: Option<Again>,
    rounds: u32,
}

/// Who asks the client.
pub(super) enum Asker {
    /// An upstream of the older era, under its own id.
    Request(Box<RawValue>),
    /// One of the stateless era: its key and method.
    Input(Box<str>, Box<str>),
}

/// A call that may have to be sent on.
pub(super) struct Again {
    name: Box<str>,
    params: Box<str>,
    along: Along,
}

impl Talk {
    /// `None`: the caller cannot be asked anything.
    pub(super) fn of(call: &Call<'_>, session: &Session) -> Option<Box<Self>> {
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
    /// A request of an upstream of the older era: it goes to the client whose call this is, or is answered here.
    pub(super) fn requested(&mut self, id: &RawValue, method: &str, params: Option<&RawValue>) {
        if method == "ping" {
            return self.upstream.decline(&self.session, id, Said::Result("{}"));
        }
        // Only a session that declares what this client can do may ask it.
        let talk = self.talk.as_mut().filter(|_| self.own.is_some());
        if self.clean.era == Era::Stateless {
            // There is one question at a time: a client that brings the answer is asked the next.
            let can = talk.is_some_and(|talk| talk.live.capabilities.allow(method, params));
            if !can || self.carrier.is_none() || self.question.is_some() {
                return self.upstream.decline(&self.session, id, Said::Error(NOT_OFFERED));
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
            None => self.upstream.decline(&self.session, id, Said::Error(NOT_OFFERED)),
        }
    }

    /// The answer to this request of the client: a question, and what brings its next request back to this call.
    pub(super) fn ask_later(&mut self) -> Result<Reply, UpstreamError> {
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
    pub(super) fn carry(&self, result: &str) -> Result<Option<String>, UpstreamError> {
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
    pub(super) fn given_up(&mut self, message: &RawObject<'_>) -> Option<Vec<u8>> {
        let talk = self.talk.as_mut().filter(|talk| !talk.asking.is_idle())?;
        if message.text("method")? != "notifications/cancelled" {
            return None;
        }
        let params = RawObject::parse(message.get("params")?.get()).ok()?;
        let id = params.get("requestId")?;
        talk.asking.give_up(|asker| matches!(asker, Asker::Request(asked) if asked.get() == id.get()))
    }

    /// The client has answered.
    pub(super) fn said(&mut self, asker: Asker, answer: live::Answer) -> Result<(), UpstreamError> {
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
    pub(super) fn need(&mut self, needed: Needed) -> Result<(), UpstreamError> {
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
        let (name, along) = (again.name.clone(), again.along.clone());
        self.sending = Some(sent(&self.upstream, &self.session, action, written.body, name, along));
        (self.id, self.done) = (id, false);
        self.put_off();
        Ok(())
    }
}
