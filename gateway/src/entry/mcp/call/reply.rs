//! The answer on its way back: JSON, or events; and calls that are kept open between two rounds.

use super::along::request_id;
use super::failed::{Failed, failed_answer, failed_message};
use super::record::{Record, unrecorded};
use crate::audit::Arguments;
use crate::entry::mcp::session::{KEEP_ALIVE, KEEP_ALIVE_COMMENT, event_stream};
use crate::entry::mcp::{Accepts, Incoming, accepts};
use crate::error::json;
use crate::pipeline::authz::Permit;
use crate::pipeline::upstream::relay::{Relay, Reply};
use crate::pipeline::upstream::sse;
use crate::raw::RawObject;
use crate::session::live::Running;
use crate::session::parked::Parked;
use crate::state::State as Gateway;
use crate::trail;
use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use serde_json::value::RawValue;
use std::pin::{Pin, pin};
use std::sync::Arc;

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
pub(super) async fn resume(
    gateway: &Gateway,
    permit: &Permit,
    id: &str,
    params: &RawObject<'_>,
    message: Incoming<'_>,
    policy: aperium_crds::settings::Arguments,
) -> Response {
    let request_id = request_id(message.headers);
    let connector = permit.connector().config.id.as_str();
    trail::permitted(connector, Some(permit.name()), Some(permit.grant()), permit.writes());
    trail::carries(|| Arguments::of(policy, params.get("arguments")?.get()));
    // Before the call is taken: while this round cannot be put on record, the call goes on waiting for it.
    if permit.writes()
        && let Err(refused) = gateway.audit.intent().await
    {
        let failed = unrecorded(refused, request_id);
        trail::failed(failed.outcome, false, None);
        return failed_answer(permit.action(), message.id, &failed, request_id);
    }
    let Some(KeptCall { mut relay, mut record }) = gateway.parked.take(id) else {
        let message_text = format!(
            "the call of connector {connector} that waited for this answer has ended, or is kept by another replica; its outcome is unknown, request id {request_id}"
        );
        gateway.metrics.request(permit.action().method(), "outcome_unknown");
        let failed = Failed::new("outcome_unknown", message_text, "outcome_unknown");
        trail::failed(failed.outcome, false, None);
        return failed_answer(permit.action(), message.id, &failed, request_id);
    };
    record.continued(request_id);
    relay.resume(message.id, params);
    answer(&gateway.parked, relay, record, None, message, accepts(message.headers)).await
}

/// `None`: the client has cancelled its request, and wants no answer.
pub(super) async fn unless_cancelled<T>(
    running: Option<&Running>,
    work: Pin<&mut impl Future<Output = T>>,
) -> Option<T> {
    let Some(running) = running else { return Some(work.await) };
    tokio::select! {
        biased;
        () = running.cancelled() => None,
        done = work => Some(done),
    }
}

/// The answer to a cancelled request: none.
pub(super) fn nothing() -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::ACCEPTED;
    response
}

/// The answer: JSON where the first message is the last, events where more come, or nothing does for a while, and the
/// client takes them.
pub(super) async fn answer(
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
            record.waits(outcome);
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
