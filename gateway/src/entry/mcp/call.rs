//! `tools/call` and the other requests that are passed on: authz → route → credential → upstream, and the answer back as JSON or as events.

use super::authorize::{Back, Prompt, Question, Why};
use super::session::{KEEP_ALIVE, KEEP_ALIVE_COMMENT, event_stream};
use super::{Accepts, Context, Incoming, accepts, wanted};
use crate::audit::{Arguments, Unrecorded};
use crate::era::mirrored::{self, Mirrored};
use crate::era::{Era, META_CAPABILITIES, META_LEVEL};
use crate::error::{self, Failure, json, rpc_error, rpc_result};
use crate::metrics::Metrics;
use crate::pipeline::action::Action;
use crate::pipeline::authz::{self, Decision, Permit, Wanted};
use crate::pipeline::builtin;
use crate::pipeline::carried::{Carried, Carrier};
use crate::pipeline::clean::Clean;
use crate::pipeline::credential::CredentialError;
use crate::pipeline::route::Target;
use crate::pipeline::upstream::relay::{self, Call, Relay, Reply};
use crate::pipeline::upstream::{Along, UpstreamError, sse};
use crate::raw::{RawObject, RawWriter};
use crate::session::Live;
use crate::session::capabilities::Capabilities;
use crate::session::level::Level;
use crate::session::live::Running;
use crate::session::parked::Parked;
use crate::snapshot::{Entry, Health, Item, Kind};
use crate::state::State as Gateway;
use crate::trail::{self, Trail};
use aperium_core::caller::Caller;
use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::value::RawValue;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Instant;

/// The answer where nothing can be completed.
const NO_COMPLETION: &[u8] = br#"{"resultType":"complete","completion":{"values":[],"total":0,"hasMore":false}}"#;

/// Passes one request on.
pub(super) async fn call(
    gateway: &Gateway,
    context: &Context,
    message: Incoming<'_>,
    params: Option<&RawObject<'_>>,
    era: Era,
    action: Action,
) -> Result<Response, Failure> {
    let wanted = wanted::read(action, params)?;
    let Some(params) = params else { return Err(wanted.unknown()) };
    let request_id = request_id(message.headers);
    let caller = &context.view.identity().caller;
    let decided = decide(context, wanted).inspect_err(|_| {
        if let Some(entry) = context.only().and_then(|position| context.snapshot.at(position)) {
            trail::about(entry.config.id.as_str(), None);
        }
    });
    let permit = match decided? {
        Decision::Permitted(permit) => permit,
        Decision::Unavailable(entry, name) => {
            trail::permitted(entry.config.id.as_str(), Some(&name), None, false);
            let prompt = Prompt::of(gateway, caller, &entry, &message, params, (action, era));
            let failed = match prompt {
                Some(prompt) => Box::pin(unauthorised_yet(&prompt, caller, &entry, request_id)).await,
                None => not_discovered(&entry, request_id),
            };
            trail::failed(failed.outcome, false, None);
            gateway.metrics.request(action.method(), failed.outcome);
            return Ok(failed_answer(action, message.id, &failed, request_id));
        }
    };
    if let Some(answer) =
        builtin::answer(&context.snapshot, &context.view, &permit, params.get("arguments"), request_id)
    {
        Record::start(gateway, permit, request_id).end(answer.outcome, None);
        return Ok(json(StatusCode::OK, rpc_result(message.id, &answer.result)));
    }
    if action == Action::Complete && !permit.connector().offers.about.declares("completions") {
        // The gateway offers completion for all; a server without it has nothing to propose.
        Record::start(gateway, permit, request_id).end("ok", None);
        return Ok(json(StatusCode::OK, rpc_result(message.id, NO_COMPLETION)));
    }
    let target = match Target::of(&permit) {
        Ok(target) => target,
        Err(error) => {
            let error = UpstreamError::Credential(error.into());
            let failed = Record::start(gateway, permit, request_id).failed(&error);
            return Ok(failed_answer(action, message.id, &failed, request_id));
        }
    };
    let mirrored = permit.item().and_then(Item::mirrored);
    let mut along = along(message.headers, params.get("arguments"), mirrored, era)?;
    let clean = Clean { action, expose: permit.exposes().cloned(), era };
    let carrier = (era == Era::Stateless).then(|| {
        let connector = permit.connector().config.id.as_str();
        let about = (action, permit.name());
        Carrier::new(gateway.sessions.sealer(), permit.identity(), connector, about, params.get("arguments"))
    });
    let brought = brought(carrier.as_ref(), params)?;
    if let Some(Carried::Parked(id)) = &brought {
        return Ok(Box::pin(resume(gateway, &permit, id, params, message)).await);
    }
    let prompt = Prompt::of(gateway, caller, permit.connector(), &message, params, (action, era));
    let back = prompt.as_ref().and_then(Prompt::back);
    if let Some(prompt) = &prompt {
        match back {
            Some(Back::Accepted) => Box::pin(prompt.wait(caller)).await,
            Some(Back::Declined) => {
                let failed = declined(permit.connector(), request_id);
                Record::start(gateway, permit, request_id).end(failed.outcome, None);
                return Ok(failed_answer(action, message.id, &failed, request_id));
            }
            None => {}
        }
    }
    let opened = match &brought {
        Some(Carried::Upstream(state)) => with_state(params, state),
        _ if back.is_some() => Prompt::without_answer(params),
        _ => None,
    };
    let reread = opened.as_deref().and_then(|opened| RawObject::parse(opened).ok());
    let params = reread.as_ref().unwrap_or(params);
    let stand_in = stand_in(gateway, context, &target, params, era);
    let mut record = Record::start(gateway, permit, request_id);
    record.prompt = prompt.map(Box::new);
    let policy = context.snapshot.catalog.settings.audit.arguments;
    trail::carries(|| Arguments::of(policy, params.get("arguments")?.get()));
    if record.permit.writes()
        && let Err(refused) = gateway.audit.intent().await
    {
        return Ok(failed_answer(action, message.id, &record.unrecorded(refused), request_id));
    }
    match lease(gateway, &record.permit, request_id).await {
        Ok(lease) => along.headers.extend(lease),
        Err(error) => return Ok(failed_answer(action, message.id, &record.failed(&error.into()), request_id)),
    }
    let accepts = accepts(message.headers);
    let call = Call {
        name: target.name(),
        clean,
        params,
        id: message.id,
        along,
        timeout: target.timeout(),
        live: message.session.or(stand_in.as_ref()),
        events: accepts.events,
        carrier,
    };
    let running = message.session.map(|session| session.run(message.id));
    let attempt = pin!(attempt(&target, &call));
    match unless_cancelled(running.as_ref(), attempt).await {
        Some(Ok(relay)) => Ok(answer(&gateway.parked, relay, record, running, message, accepts).await),
        Some(Err(error)) => {
            let failed = record.failed(&error);
            Ok(failed_answer(action, message.id, &failed, request_id))
        }
        None => Ok(nothing()),
    }
}

/// What a managed service wants to see beside its token: for whom this one call is.
async fn lease(
    gateway: &Gateway,
    permit: &Permit,
    request_id: &str,
) -> Result<Option<(HeaderName, HeaderValue)>, CredentialError> {
    if permit.action() != Action::Call {
        return Ok(None);
    }
    let config = &permit.connector().config;
    gateway.broker.for_call(config, permit.name(), &permit.identity().caller, request_id).await
}

/// What a client of the stateless era brings back from an earlier round.
///
/// # Errors
/// [`Failure::InvalidParams`]: it is not of this request, or too old.
fn brought(carrier: Option<&Carrier>, params: &RawObject<'_>) -> Result<Option<Carried>, Failure> {
    let (Some(carrier), Some(state)) = (carrier, params.get("requestState")) else { return Ok(None) };
    let refused = || {
        Failure::InvalidParams("`requestState` is not of this request, or too old: send the request anew".to_owned())
    };
    carrier.open(state).map(Some).ok_or_else(refused)
}

/// The parameters with the upstream's own state.
fn with_state(params: &RawObject<'_>, state: &str) -> Option<String> {
    let mut own = RawWriter::object(512);
    for (name, value) in params.iter() {
        if name == "requestState" {
            own.text(name, state);
        } else {
            own.raw(name, value.get());
        }
    }
    String::from_utf8(own.finish()).ok()
}

/// A caller of the stateless era that can be asked, or wants logs, needs a session with an upstream of the older one.
fn stand_in(
    gateway: &Gateway,
    context: &Context,
    target: &Target,
    params: &RawObject<'_>,
    era: Era,
) -> Option<Arc<Live>> {
    let older = target.upstream().known().is_some_and(|session| session.era() == Era::Legacy);
    if era == Era::Legacy || !older {
        return None;
    }
    let meta = RawObject::parse(params.get("_meta")?.get()).ok()?;
    let declared = Capabilities::read(meta.get(META_CAPABILITIES));
    let level = meta.text(META_LEVEL).and_then(|level| Level::parse(&level));
    let needed = !declared.is_empty() || level.is_some();
    needed.then(|| gateway.sessions.stand_in(&context.view.identity().caller, declared, level))
}

/// A call that is kept open between two rounds of its client.
pub(crate) struct KeptCall {
    relay: Relay,
    record: Record,
}

impl std::fmt::Debug for KeptCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeptCall").field("relay", &self.relay).finish_non_exhaustive()
    }
}

/// The next round of a call that this replica keeps open.
async fn resume(
    gateway: &Gateway,
    permit: &Permit,
    id: &str,
    params: &RawObject<'_>,
    message: Incoming<'_>,
) -> Response {
    let request_id = request_id(message.headers);
    let Some(KeptCall { mut relay, record }) = gateway.parked.take(id) else {
        let connector = &permit.connector().config.id;
        let message_text = format!(
            "the call of connector {connector} that waited for this answer has ended, or is kept by another replica; its outcome is unknown, request id {request_id}"
        );
        gateway.metrics.request(permit.action().method(), "outcome_unknown");
        let failed = Failed::new("outcome_unknown", message_text, "outcome_unknown");
        return failed_answer(permit.action(), message.id, &failed, request_id);
    };
    trail::permitted(record.connector(), Some(permit.name()), Some(permit.grant()), permit.writes());
    relay.resume(message.id, params);
    answer(&gateway.parked, relay, record, None, message, accepts(message.headers)).await
}

/// `None`: the client has cancelled its request, and wants no answer.
async fn unless_cancelled<T>(running: Option<&Running>, work: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    let Some(running) = running else { return Some(work.await) };
    tokio::select! {
        biased;
        () = running.cancelled() => None,
        done = work => Some(done),
    }
}

/// The answer to a cancelled request: none.
fn nothing() -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::ACCEPTED;
    response
}

/// Whether it may go ahead. The reference of a completion may be a template or, less often, a resource itself.
fn decide(context: &Context, mut wanted: Wanted<'_>) -> Result<Decision, Failure> {
    let ask = |wanted: &Wanted<'_>| authz::decide(&context.snapshot, &context.view, context.scope, wanted);
    match ask(&wanted) {
        Err(unknown) if wanted.kind == Kind::Templates => {
            wanted.kind = Kind::Resources;
            ask(&wanted).map_err(|_| unknown)
        }
        decision => decision,
    }
}

/// Sends the call; a second time only where an admin allows it and nothing was sent the first time.
async fn attempt(target: &Target, call: &Call<'_>) -> Result<Relay, UpstreamError> {
    let mut attempt = 1;
    loop {
        match relay::send(target.upstream(), call).await {
            Err(error) if error.before_send() && attempt < target.attempts() => attempt += 1,
            other => return other,
        }
    }
}

/// The answer: JSON where the first message is the last, events where more come, or nothing does for a while, and the
/// client takes them.
async fn answer(
    parked: &Arc<Parked<KeptCall>>,
    mut relay: Relay,
    mut record: Record,
    running: Option<Running>,
    message: Incoming<'_>,
    accepts: Accepts,
) -> Response {
    let first = {
        let first = pin!(async {
            if !accepts.events {
                return Some(relay.last_reply().await);
            }
            tokio::time::timeout(KEEP_ALIVE, relay.next()).await.ok()
        });
        unless_cancelled(running.as_ref(), first).await
    };
    let Some(first) = first else { return nothing() };
    match first {
        Some(Ok(reply)) if reply.last && accepts.json => {
            end(parked, relay, record, reply.outcome, reply.parks);
            json(reply.status, reply.body)
        }
        Some(Err(error)) => {
            let failed = record.failed(&error);
            failed_answer(record.permit.action(), message.id, &failed, &record.request_id)
        }
        reply => {
            let first = reply.and_then(Result::ok);
            let parked = Arc::clone(parked);
            events(Stream { parked, relay, record, running, first, id: message.id.to_owned() })
        }
    }
}

/// After the last message: the call is over, or it is kept for the next round.
fn end(
    parked: &Arc<Parked<KeptCall>>,
    relay: Relay,
    mut record: Record,
    outcome: &'static str,
    parks: Option<Box<str>>,
) {
    match parks {
        None => record.end(outcome, None),
        Some(id) => {
            let patience = relay.patience();
            let identity = Arc::clone(record.permit.identity());
            parked.keep(id, identity.key(), KeptCall { relay, record }, patience);
        }
    }
}

/// A call whose answer is sent as events.
struct Stream {
    parked: Arc<Parked<KeptCall>>,
    relay: Relay,
    record: Record,
    running: Option<Running>,
    first: Option<Reply>,
    id: Box<RawValue>,
}

fn events(stream: Stream) -> Response {
    let frames = futures::stream::unfold(Some(stream), |state| async move {
        let mut stream = state?;
        let reply = match stream.first.take() {
            Some(reply) => Ok(reply),
            None => {
                let next = {
                    let next = pin!(tokio::time::timeout(KEEP_ALIVE, stream.relay.next()));
                    unless_cancelled(stream.running.as_ref(), next).await?
                };
                match next {
                    Ok(reply) => reply,
                    Err(_) => return Some((Ok::<_, std::convert::Infallible>(KEEP_ALIVE_COMMENT), Some(stream))),
                }
            }
        };
        match reply {
            Ok(reply) => {
                let event = sse::write_event(&reply.body);
                if reply.last {
                    end(&stream.parked, stream.relay, stream.record, reply.outcome, reply.parks);
                    return Some((Ok(event), None));
                }
                Some((Ok(event), Some(stream)))
            }
            Err(error) => {
                let failed = stream.record.failed(&error);
                let action = stream.record.permit.action();
                let message = failed_message(action, &stream.id, &failed, &stream.record.request_id);
                Some((Ok(sse::write_event(&message)), None))
            }
        }
    });
    event_stream(Body::from_stream(frames))
}

/// A failure as the caller reads it.
struct Failed {
    code: &'static str,
    message: String,
    outcome: &'static str,
    /// Instead of the message, for a client that can ask its user.
    question: Option<Question>,
}

impl Failed {
    fn new(code: &'static str, message: String, outcome: &'static str) -> Self {
        Self { code, message, outcome, question: None }
    }
}

fn unavailable(action: Action, connector: &str, error: &UpstreamError, request_id: &str) -> Failed {
    let why = error.outside();
    if action == Action::Call && error.outcome_unknown() {
        // The call may have been carried out: a model must not take this for "nothing happened".
        let message = format!(
            "connector {connector} is unavailable ({why}), the outcome of the call is unknown, request id {request_id}"
        );
        return Failed::new("outcome_unknown", message, "outcome_unknown");
    }
    let message = format!("connector {connector} is unavailable ({why}), request id {request_id}");
    Failed::new("upstream_unavailable", message, "unavailable")
}

/// The caller has to authorise the gateway: the answer says where.
fn unauthorised(prompt: &Prompt, why: Why, request_id: &str) -> Failed {
    let question = prompt.question(why);
    let outcome = if question.is_some() { "input_required" } else { "needs_auth" };
    Failed { code: "authorization_required", message: prompt.text(why, request_id), outcome, question }
}

/// The user does not want to.
fn declined(entry: &Entry, request_id: &str) -> Failed {
    let id = &entry.config.id;
    let message = format!("the user has not authorised connector {id}, request id {request_id}");
    Failed::new("authorization_declined", message, "needs_auth")
}

/// Nobody has authorised the gateway yet, so nobody knows what there is.
async fn unauthorised_yet(prompt: &Prompt, caller: &Caller, entry: &Entry, request_id: &str) -> Failed {
    match prompt.back() {
        Some(Back::Declined) => return declined(entry, request_id),
        Some(Back::Accepted) => prompt.wait(caller).await,
        None => {}
    }
    match prompt.missing(caller).await {
        Some(why) => unauthorised(prompt, why, request_id),
        None => not_discovered(entry, request_id),
    }
}

fn not_discovered(entry: &Entry, request_id: &str) -> Failed {
    let why = match &entry.health {
        Health::Unavailable { outside, .. } => outside.as_str(),
        _ => "not discovered yet",
    };
    let message = format!("connector {} is unavailable ({why}), request id {request_id}", entry.config.id);
    Failed::new("upstream_unavailable", message, "unavailable")
}

/// A failure as the last message: a tool's is shown to a model, any other is an error.
fn failed_message(action: Action, id: &RawValue, failed: &Failed, request_id: &str) -> Vec<u8> {
    if let Some(question) = &failed.question {
        return question.write(id);
    }
    match action {
        Action::Call => rpc_result(id, &error::tool_error(failed.code, &failed.message, request_id)),
        _ => rpc_error(Some(id), &error::upstream_error(failed.code, &failed.message, request_id)),
    }
}

fn failed_answer(action: Action, id: &RawValue, failed: &Failed, request_id: &str) -> Response {
    json(StatusCode::OK, failed_message(action, id, failed, request_id))
}

/// The id that the request-id layer has put into the headers.
fn request_id(headers: &HeaderMap) -> &str {
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
fn along(
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

/// Counts and logs a call once, whatever becomes of it; a client that leaves is an outcome too.
struct Record {
    metrics: Arc<Metrics>,
    permit: Permit,
    started: Instant,
    request_id: Box<str>,
    trail: Option<Arc<Trail>>,
    /// How the user is asked, where there is one to be asked.
    prompt: Option<Box<Prompt>>,
    ended: bool,
}

impl Record {
    fn start(gateway: &Gateway, permit: Permit, request_id: &str) -> Self {
        let metrics = Arc::clone(&gateway.metrics);
        let connector = permit.connector().config.id.as_str();
        trail::permitted(connector, Some(permit.name()), Some(permit.grant()), permit.writes());
        let (started, request_id, trail) = (Instant::now(), request_id.into(), trail::current());
        Self { metrics, permit, started, request_id, trail, prompt: None, ended: false }
    }

    fn connector(&self) -> &str {
        self.permit.connector().config.id.as_str()
    }

    /// Ends it with a failure, and says how the caller reads that.
    fn failed(&mut self, error: &UpstreamError) -> Failed {
        let failed = match self.prompt.as_deref().zip(Why::of(error)) {
            Some((prompt, why)) => unauthorised(prompt, why, &self.request_id),
            None => unavailable(self.permit.action(), self.connector(), error, &self.request_id),
        };
        self.end(failed.outcome, Some(error));
        failed
    }

    /// Ends it before anything was sent: it could not be put on record.
    fn unrecorded(&mut self, refused: Unrecorded) -> Failed {
        let message = format!("the call was not made: {refused}: try again later, request id {}", self.request_id);
        let outcome = "unrecorded";
        self.end(outcome, None);
        Failed::new("audit_unavailable", message, outcome)
    }

    fn end(&mut self, outcome: &'static str, error: Option<&UpstreamError>) {
        self.ended = true;
        if let Some(trail) = &self.trail {
            trail.ended(outcome);
        }
        let took = self.started.elapsed();
        let method = self.permit.action().method();
        self.metrics.operation(method, outcome, took);
        self.permit.connector().meter.called(took);
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let (connector, request_id) = (self.connector(), &*self.request_id);
        let (name, grant) = (self.permit.name(), self.permit.grant());
        let caller = &self.permit.identity().caller.principal;
        if let Some(error) = error {
            let reason = error.reason();
            self.permit.connector().meter.failed(reason);
            tracing::warn!(request_id, connector, method, name, %caller, grant, outcome, took_ms, reason, %error, "call failed");
        } else {
            tracing::debug!(request_id, connector, method, name, %caller, grant, outcome, took_ms, "call");
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if !self.ended {
            self.end("cancelled", None);
        }
    }
}
