//! The beginning of a call: the session that it goes to, what the upstream is told of the caller, and the first answer.

use super::talk::Talk;
use super::{Call, Relay};
use crate::era::{Era, META_LEVEL};
use crate::pipeline::upstream::translate::{Declared, Logs, Outgoing};
use crate::pipeline::upstream::{Session, Upstream, UpstreamError};
use crate::raw::{RawObject, as_text};
use crate::session::Live;
use crate::session::level::Level;
use crate::session::own::Own;
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::time::{Instant, timeout_at};

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
        heard: own.as_ref().map(|own| own.call(id)),
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
    match relay.first(written.body, call).await {
        Ok(Some(answer)) => {
            relay.answer = Some(answer);
            Ok(relay)
        }
        Ok(None) => Ok(relay),
        Err(UpstreamError::Timeout) => Err(UpstreamError::Timeout),
        Err(error) => {
            // Nothing is under way any more, so there is nothing to cancel.
            relay.done = true;
            if matches!(error, UpstreamError::SessionEnded) {
                relay.forget();
            }
            Err(error)
        }
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
pub(super) fn declared(live: Option<&Arc<Live>>, events: bool) -> Declared<'_> {
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
