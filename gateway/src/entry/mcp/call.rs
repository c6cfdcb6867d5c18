//! `tools/call` and the other requests that are passed on: authz → route → credential → upstream, and the answer back as JSON or as events.

use super::authorize::{Back, Prompt};
use super::{Context, Incoming, accepts, wanted};
use crate::audit::Arguments;
use crate::era::{Era, META_CAPABILITIES, META_LEVEL};
use crate::error::{Failure, json, rpc_result};
use crate::pipeline::action::Action;
use crate::pipeline::authz::{self, Decision, Permit, Wanted};
use crate::pipeline::builtin;
use crate::pipeline::carried::{Carried, Carrier};
use crate::pipeline::clean::Clean;
use crate::pipeline::credential::CredentialError;
use crate::pipeline::route::Target;
use crate::pipeline::upstream::UpstreamError;
use crate::pipeline::upstream::relay::{self, Call, Relay};
use crate::raw::{RawObject, RawWriter};
use crate::session::Live;
use crate::session::capabilities::Capabilities;
use crate::session::level::Level;
use crate::snapshot::{Item, Kind};
use crate::state::State as Gateway;
use crate::trail;
use axum::response::Response;
use http::{HeaderName, HeaderValue, StatusCode};
use std::pin::pin;
use std::sync::Arc;

mod along;
mod failed;
mod record;
mod reply;

pub(crate) use reply::KeptCall;

use along::{along, request_id};
use failed::{declined, failed_answer, not_discovered, unauthorised_yet};
use record::Record;
use reply::{answer, nothing, resume, unless_cancelled};

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
    let policy = context.snapshot.catalog.settings.audit.arguments;
    if let Some(Carried::Parked(id)) = &brought {
        return Ok(Box::pin(resume(gateway, &permit, id, params, message, policy)).await);
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
    record.sending();
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
