//! `tools/call` and the other requests that are passed on: authz → route → credential → upstream, and the answer back as JSON or as events.

use super::authorize::{Back, Prompt};
use super::{Context, accepts, wanted};
use crate::audit::Arguments;
use crate::era::{Era, META_CAPABILITIES, META_LEVEL};
use crate::error::Failure;
use crate::pipeline::action::Action;
use crate::pipeline::authz::{self, Decision, Permit, Wanted};
use crate::pipeline::carried::Carried;
use crate::pipeline::clean::Clean;
use crate::pipeline::credential::CredentialError;
use crate::pipeline::route::Target;
use crate::pipeline::upstream::UpstreamError;
use crate::pipeline::upstream::relay::{self, Call, Relay};
use crate::raw::RawObject;
use crate::session::Live;
use crate::session::capabilities::Capabilities;
use crate::session::level::Level;
use crate::snapshot::{Item, Kind};
use crate::state::State as Gateway;
use crate::trail;
use axum::response::Response;
use http::{HeaderName, HeaderValue};
use std::pin::pin;
use std::sync::Arc;

mod along;
mod asked;
mod early;
mod failed;
mod record;
mod reply;
mod round;

pub(super) use asked::{Asked, Stopped};
pub(crate) use reply::KeptCall;

use along::along;
use record::Record;
use reply::{answer, nothing, resume, unless_cancelled};

/// Passes one request on.
///
/// # Errors
/// [`Stopped`]: it is refused, or answered without the upstream.
pub(super) async fn call(gateway: &Gateway, context: &Context, asked: Asked<'_>) -> Result<Response, Stopped> {
    let wanted = wanted::read(asked.action, asked.params)?;
    let Some(params) = asked.params else { return Err(wanted.unknown().into()) };
    let caller = &context.view.identity().caller;
    let permit = match decide(context, wanted)? {
        Decision::Permitted(permit) => permit,
        Decision::Unavailable(entry, name) => {
            return Ok(Box::pin(early::unavailable(gateway, context, asked, (entry, name))).await);
        }
    };
    let permit = early::unless_own(gateway, context, permit, &asked)?;
    let (permit, target) = early::target(gateway, permit, &asked)?;
    let mirrored = permit.item().and_then(Item::mirrored);
    let mut along = along(asked.message.headers, asked.arguments(), mirrored, asked.era)?;
    let carrier = round::carrier(gateway, &permit, &asked);
    let brought = round::brought(carrier.as_ref(), params)?;
    let policy = context.snapshot.catalog.settings.audit.arguments;
    if let Some(Carried::Parked(id)) = &brought {
        return Ok(Box::pin(resume(gateway, &permit, id, params, asked.message, policy)).await);
    }
    let prompt = asked.prompt(gateway, caller, permit.connector());
    let back = prompt.as_ref().and_then(Prompt::back);
    let permit = early::unless_declined(gateway, permit, back, &asked)?;
    if let Some(prompt) = prompt.as_ref().filter(|_| back == Some(Back::Accepted)) {
        Box::pin(prompt.wait(caller)).await;
    }
    let opened = round::opened(params, brought.as_ref(), back);
    let reread = opened.as_deref().and_then(|opened| RawObject::parse(opened).ok());
    let params = reread.as_ref().unwrap_or(params);
    let stand_in = stand_in(gateway, context, &target, params, asked.era);
    let clean = Clean { action: asked.action, expose: permit.exposes().cloned(), era: asked.era };
    let mut record = Record::start(gateway, permit, asked.request_id());
    record.prompt = prompt.map(Box::new);
    trail::carries(|| Arguments::of(policy, params.get("arguments")?.get()));
    if record.permit.writes()
        && let Err(refused) = gateway.audit.intent().await
    {
        return Ok(asked.failed(&record.unrecorded(refused)));
    }
    match lease(gateway, &record.permit, asked.request_id()).await {
        Ok(lease) => along.headers.extend(lease),
        Err(error) => return Ok(asked.failed(&record.failed(&error.into()))),
    }
    let (name, timeout, id) = (target.name(), target.timeout(), asked.message.id);
    let (live, accepts) = (asked.message.session.or(stand_in.as_ref()), accepts(asked.message.headers));
    let call = Call { name, clean, params, id, along, timeout, live, events: accepts.events, carrier };
    record.sending();
    let running = asked.message.session.map(|session| session.run(id));
    let attempt = pin!(attempt(&target, &call));
    match unless_cancelled(running.as_ref(), attempt).await {
        Some(Ok(relay)) => Ok(answer(&gateway.parked, relay, record, running, asked.message, accepts).await),
        Some(Err(error)) => Ok(asked.failed(&record.failed(&error))),
        None => Ok(nothing()),
    }
}

/// Whether it may go ahead. The reference of a completion may be a template or, less often, a resource itself.
fn decide(context: &Context, mut wanted: Wanted<'_>) -> Result<Decision, Failure> {
    let ask = |wanted: &Wanted<'_>| authz::decide(&context.snapshot, &context.view, context.scope, wanted);
    let decision = match ask(&wanted) {
        Err(unknown) if wanted.kind == Kind::Templates => {
            wanted.kind = Kind::Resources;
            ask(&wanted).map_err(|_| unknown)
        }
        decision => decision,
    };
    decision.inspect_err(|_| {
        if let Some(entry) = context.only().and_then(|position| context.snapshot.at(position)) {
            trail::about(entry.config.id.as_str(), None);
        }
    })
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
