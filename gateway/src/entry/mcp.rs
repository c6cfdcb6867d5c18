//! `/v1/mcp` and `/v1/mcp/<id>`: one POST, one JSON-RPC message, both eras of the protocol.

use crate::era::{self, Era};
use crate::error::Failure;
use crate::metrics::method_class;
use crate::pipeline::action::Action;
use crate::pipeline::authz::Scope;
use crate::raw::RawObject;
use crate::session::Live;
use crate::snapshot::{Identity, Kind, Snapshot, View};
use crate::state::State as Gateway;
use crate::trail;
use aperium_core::id::ConnectorId;
use aperium_platform::body::{self, BodyError};
use axum::extract::Request;
use axum::response::Response;
use http::{HeaderMap, header};
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::{Duration, Instant};

mod authorize;
mod call;
pub(crate) mod envelope;
mod lifecycle;
mod list;
mod listen;
mod session;
mod subscribe;
mod wanted;

pub(crate) use call::KeptCall;
pub(crate) use session::{end, stream};

use envelope::{EnvelopeError, Message};

/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(30);

/// `POST /v1/mcp`: all connectors. `POST /v1/mcp/<id>`: one connector under its own names; one that the caller is granted
/// nothing on answers like one that does not exist.
pub(crate) async fn message(
    gateway: &Gateway,
    identity: &Arc<Identity>,
    only: Option<&str>,
    request: Request,
) -> Response {
    match Context::new(gateway, identity, only) {
        Ok(context) => serve(gateway, context, request).await,
        Err(failure) => gateway.refuse(&failure),
    }
}

/// The MCP endpoint of a managed service behind its proxy path: both the proxy and the tools must be granted.
pub(crate) async fn through_proxy(
    gateway: &Gateway,
    snapshot: Arc<Snapshot>,
    view: Arc<View>,
    position: usize,
    request: Request,
) -> Response {
    serve(gateway, Context { snapshot, view, scope: Scope::One(position) }, request).await
}

/// What a message is served with: one Snapshot from beginning to end.
#[derive(Debug)]
struct Context {
    snapshot: Arc<Snapshot>,
    view: Arc<View>,
    scope: Scope,
}

impl Context {
    /// The position of the one connector that the endpoint speaks of; `None` on the aggregate.
    fn only(&self) -> Option<usize> {
        match self.scope {
            Scope::Aggregate => None,
            Scope::One(position) => Some(position),
        }
    }

    /// What the caller should know before it starts, as a JSON string.
    fn instructions(&self) -> Arc<str> {
        self.view.instructions(&self.snapshot, self.only())
    }

    /// What this caller sees, of all connectors or of one.
    ///
    /// # Errors
    /// [`Failure::NoRole`], [`Failure::NotFound`].
    fn new(gateway: &Gateway, identity: &Arc<Identity>, id: Option<&str>) -> Result<Self, Failure> {
        let snapshot = gateway.snapshot.load_full();
        let view = snapshot.view(identity).map_err(|_| Failure::NoRole)?;
        let Some(id) = id else { return Ok(Self { snapshot, view, scope: Scope::Aggregate }) };
        let position = ConnectorId::any(id).ok().and_then(|id| snapshot.position(&id));
        let concerned =
            position.filter(|position| snapshot.at(*position).is_some_and(|entry| view.concerns(*position, entry)));
        let position = concerned.ok_or_else(|| {
            trail::about(id, None);
            Failure::NotFound
        })?;
        Ok(Self { snapshot, view, scope: Scope::One(position) })
    }
}

/// Which forms of answer the client takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Accepts {
    json: bool,
    events: bool,
}

async fn serve(gateway: &Gateway, context: Context, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let limit = context.snapshot.catalog.settings.limits.max_request_bytes;
    let body = match head(&parts.headers) {
        Ok(_) => body::read(body, limit, BODY_TIME).await.map_err(|error| unread(&error)),
        Err(failure) => Err(failure),
    };
    let body = match body {
        Ok(body) => body,
        Err(failure) => return gateway.refuse(&failure),
    };
    match envelope::parse(&body) {
        Ok(Message::Request { id, method, params }) => {
            let message = Incoming { id, method: &method, params, headers: &parts.headers, session: None };
            dispatch(gateway, &context, message).await
        }
        Ok(message) => session::unanswered(gateway, context.view.identity(), &parts.headers, &message),
        Err(error) => {
            let failure = match error {
                EnvelopeError::Json(_) => Failure::Parse(error.to_string()),
                EnvelopeError::Message(what) => Failure::InvalidRequest(what),
            };
            gateway.metrics.request("none", failure.outcome());
            let id = if matches!(failure, Failure::InvalidRequest(_)) { envelope::id_of(&body) } else { None };
            failure.respond(id.as_deref(), false)
        }
    }
}

fn unread(error: &BodyError) -> Failure {
    match error {
        BodyError::TooLarge { limit } => Failure::TooLarge(*limit),
        other => Failure::Body(other.status()),
    }
}

/// Checks what can be checked before a byte of the body is read.
fn head(headers: &HeaderMap) -> Result<Accepts, Failure> {
    if !body::is_json(headers) {
        return Err(Failure::MediaType);
    }
    let accepts = accepts(headers);
    if accepts.json || accepts.events { Ok(accepts) } else { Err(Failure::NotAcceptable) }
}

/// No `Accept`, and wildcards, mean JSON: events are for those who name them.
fn accepts(headers: &HeaderMap) -> Accepts {
    let mut accepts = Accepts { json: !headers.contains_key(header::ACCEPT), events: false };
    for value in headers.get_all(header::ACCEPT) {
        for item in value.to_str().unwrap_or_default().split(',') {
            let mut parts = item.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default();
            if parts.any(|part| part == "q=0") {
                continue;
            }
            if ["application/json", "application/*", "*/*"].iter().any(|known| kind.eq_ignore_ascii_case(known)) {
                accepts.json = true;
            }
            accepts.events |= kind.eq_ignore_ascii_case("text/event-stream");
        }
    }
    accepts
}

/// One request, read.
#[derive(Debug, Clone, Copy)]
struct Incoming<'a> {
    id: &'a RawValue,
    method: &'a str,
    params: Option<&'a RawValue>,
    headers: &'a HeaderMap,
    /// The session that it belongs to, in the older era.
    session: Option<&'a Arc<Live>>,
}

async fn dispatch(gateway: &Gateway, context: &Context, message: Incoming<'_>) -> Response {
    let began = Instant::now();
    let params = message.params.map(|params| RawObject::parse(params.get())).transpose();
    let class = method_class(message.method);
    trail::asked_for(class);
    let (params, era) = match params {
        Ok(params) => match era::decide(message.headers, message.method, params.as_ref()) {
            Ok(era) => (params, era),
            Err(failure) => return refuse(gateway, (class, began), message.id, &failure, Era::Stateless),
        },
        Err(_) => {
            return refuse(
                gateway,
                (class, began),
                message.id,
                &Failure::InvalidRequest("`params` must be an object"),
                Era::Legacy,
            );
        }
    };
    if trail::traces()
        && let Some(meta) = params.as_ref().and_then(|params| params.get("_meta"))
        && let Some(traceparent) =
            RawObject::parse(meta.get()).ok().and_then(|meta| meta.text("traceparent").map(|text| text.into_owned()))
    {
        trail::continues(&traceparent);
    }
    let listed = Kind::ALL.into_iter().find(|kind| kind.list_method() == message.method);
    let session = match era {
        // Who begins a session has none, whatever an older one left behind.
        Era::Legacy if message.method != "initialize" => {
            session::find(gateway, context.view.identity(), message.headers)
        }
        _ => Ok(None),
    };
    let session = match session {
        Ok(session) => session,
        Err(failure) => return refuse(gateway, (class, began), message.id, &failure, era),
    };
    let message = Incoming { session: session.as_ref(), ..message };
    let answered = match (message.method, era) {
        (method, _) if let Some(action) = Action::of(method) => {
            let asked = call::Asked { message, params: params.as_ref(), era, action };
            call::call(gateway, context, asked).await.or_else(call::Stopped::answer)
        }
        (_, _) if let Some(kind) = listed => list::list(context, kind, message.id, params.as_ref(), era),
        ("subscriptions/listen", Era::Stateless) => listen::listen(gateway, context, message, params.as_ref()),
        ("server/discover", Era::Stateless) => Ok(lifecycle::discover(context, message.id)),
        ("initialize", Era::Legacy) => lifecycle::initialize(gateway, context, message.id, params.as_ref()),
        ("logging/setLevel", Era::Legacy) => session::set_level(message, params.as_ref()),
        ("resources/subscribe", Era::Legacy) => subscribe::subscribe(context, message, params.as_ref()),
        ("resources/unsubscribe", Era::Legacy) => subscribe::unsubscribe(message, params.as_ref()),
        ("ping", Era::Legacy) => Ok(lifecycle::pong(message.id)),
        (method, _) => Err(Failure::MethodNotFound(method.chars().filter(|c| !c.is_control()).take(128).collect())),
    };
    match answered {
        Ok(response) => {
            // Calls count themselves: what became of them is known when their last byte is sent.
            if Action::of(message.method).is_none() {
                gateway.metrics.operation(class, "ok", began.elapsed());
            }
            response
        }
        Err(failure) => refuse(gateway, (class, began), message.id, &failure, era),
    }
}

fn refuse(
    gateway: &Gateway,
    (class, began): (&'static str, Instant),
    id: &RawValue,
    failure: &Failure,
    era: Era,
) -> Response {
    gateway.metrics.operation(class, failure.outcome(), began.elapsed());
    failure.respond(Some(id), era == Era::Stateless)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn events_are_for_those_who_name_them() {
        let ask = |value: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(value) = value {
                headers.insert(header::ACCEPT, HeaderValue::from_str(value).unwrap());
            }
            let Accepts { json, events } = accepts(&headers);
            (json, events)
        };
        assert_eq!(ask(None), (true, false));
        assert_eq!(ask(Some("*/*")), (true, false), "curl");
        assert_eq!(ask(Some("application/json, text/event-stream")), (true, true));
        assert_eq!(ask(Some("Text/Event-Stream;q=0.9")), (false, true));
        assert_eq!(ask(Some("text/html, application/json;q=0")), (false, false));
    }
}
