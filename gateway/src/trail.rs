//! What becomes known of one request while it is served → one line of the access log, two spans and one record of the
//! audit log when its last byte has gone.
//!
//! The steps of the pipeline note what they decide; nobody carries it from hand to hand. A line holds who asked for
//! what, by which Grant, and what came of it: never a path, an argument, a header or a token.

use crate::audit::{Arguments, Audit};
use crate::snapshot::Identity;
use crate::spans::context::TraceContext;
use crate::state::State as Gateway;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

mod recorded;
mod signs;
mod traced;
use signs::Sign;
pub(crate) use signs::{not_signed, signs_in, signs_out};
use traced::Traced;

tokio::task_local! {
    static CURRENT: Option<Arc<Trail>>;
}

/// The longest name of a tool, prompt or resource that is logged.
const MAX_NAME: usize = 256;

/// One request.
#[derive(Debug)]
pub(crate) struct Trail {
    started: Instant,
    request_id: Box<str>,
    http_method: Method,
    endpoint: &'static str,
    /// Where the path says what is asked for: never on the data path.
    path: Option<Box<str>>,
    agent: Option<HeaderValue>,
    logged: bool,
    traced: Option<Traced>,
    audit: Audit,
    facts: Mutex<Facts>,
}

/// What is known of it.
#[derive(Debug, Default)]
struct Facts {
    caller: Option<Arc<Identity>>,
    rpc_method: Option<&'static str>,
    connector: Option<Box<str>>,
    name: Option<Box<str>>,
    grant: Option<Box<str>>,
    /// What was denied, in the caller's words: for the audit log alone.
    asked: Option<Box<str>>,
    decision: Option<&'static str>,
    writes: bool,
    arguments: Option<Arguments>,
    outcome: Option<&'static str>,
    status: Option<StatusCode>,
    took: Option<Duration>,
    /// Whoever asks, in its trace.
    context: Option<TraceContext>,
    /// Whether the context is that of a caller, or made here.
    continued: bool,
    upstream: Option<(SystemTime, Option<SystemTime>)>,
    sign: Option<Sign>,
}

/// Begins to follow a request, where the settings want an access log and anyone reads it, or spans, or there is an audit
/// log.
pub(crate) fn begin(gateway: &Gateway, request: &Request) -> Following {
    let logged = tracing::enabled!(target: "aperium::access", tracing::Level::INFO)
        && gateway.snapshot.load().catalog.settings.telemetry.access_log;
    if !logged && gateway.spans.is_none() && !gateway.audit.is_on() {
        return Following(None);
    }
    let endpoint = endpoint(request.uri().path());
    let trail = Arc::new(Trail {
        started: Instant::now(),
        request_id: request_id(request.headers()).into(),
        http_method: request.method().clone(),
        endpoint,
        path: matches!(endpoint, "api" | "oauth").then(|| request.uri().path().into()),
        agent: request.headers().get(header::USER_AGENT).cloned(),
        logged,
        traced: gateway.spans.clone().map(Traced::new),
        audit: gateway.audit.clone(),
        facts: Mutex::default(),
    });
    trail.join(request.headers().get("traceparent").and_then(|value| value.to_str().ok()));
    Following(Some(trail))
}

/// A request until there is an answer. A caller that leaves before ends its request too.
#[derive(Debug)]
pub(crate) struct Following(Option<Arc<Trail>>);

impl Following {
    /// Lets the steps of the pipeline note what they decide.
    ///
    /// No `async fn`, which would have room for the future twice.
    pub(crate) fn scope<F: Future<Output = Response>>(&self, answering: F) -> impl Future<Output = Response> + use<F> {
        CURRENT.scope(self.0.clone(), answering)
    }

    /// Follows it to the last byte of its answer.
    pub(crate) fn answered(mut self, response: Response) -> Response {
        let Some(trail) = self.0.take() else { return response };
        trail.with(|facts| facts.status = Some(response.status()));
        response.map(|inner| Body::new(Followed { inner, trail, ended: false }))
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        if let Some(trail) = self.0.take() {
            trail.finish(false);
        }
    }
}

/// The id that was put into the headers.
fn request_id(headers: &HeaderMap) -> &str {
    headers.get("x-request-id").and_then(|id| id.to_str().ok()).unwrap_or_default()
}

/// The way in that a path belongs to: a closed set.
fn endpoint(path: &str) -> &'static str {
    let is = |prefix: &str| path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    match path {
        "/v1/mcp/register" => "register",
        "/metrics" => "metrics",
        "/logout" => "login",
        _ if is("/v1/mcp") => "mcp",
        _ if is("/v1/connectors") => "proxy",
        _ if is("/api") => "api",
        _ if is("/aperture/auth") => "oauth",
        _ if is("/broker") => "broker",
        _ if is("/login") => "login",
        _ => "other",
    }
}

/// The request that is being served by this task, for whoever answers after the handler is done.
pub(crate) fn current() -> Option<Arc<Trail>> {
    CURRENT.try_with(Option::clone).ok().flatten()
}

/// It is known who calls.
pub(crate) fn called_by(identity: &Arc<Identity>) {
    note(|facts| facts.caller = Some(Arc::clone(identity)));
}

/// The message asks for a method of this class.
pub(crate) fn asked_for(method: &'static str) {
    note(|facts| facts.rpc_method = Some(method));
}

/// The message says in which trace it belongs, which counts more than what the connection says.
pub(crate) fn continues(traceparent: &str) {
    on_current(|trail| trail.join(Some(traceparent)));
}

/// Whether anybody wants to know about traces.
pub(crate) fn traces() -> bool {
    on_current(|trail| trail.traced.is_some()).unwrap_or(false)
}

/// The `traceparent` for an upstream, where spans are made: the upstream's belong to ours.
pub(crate) fn traceparent() -> Option<HeaderValue> {
    let header = |trail: &Arc<Trail>| {
        let client = trail.traced.as_ref()?.client;
        let context = trail.read(|facts| facts.context)?;
        HeaderValue::from_str(&TraceContext { parent: client, ..context }.header()).ok()
    };
    on_current(header).flatten()
}

/// The caller may, by this Grant. `writes`: it may change something upstream.
pub(crate) fn permitted(connector: &str, name: Option<&str>, grant: Option<&str>, writes: bool) {
    on_current(|trail| {
        trail.with(|facts| {
            facts.connector = Some(connector.into());
            facts.name = name.map(shortened);
            facts.grant = grant.map(Into::into);
            facts.decision = Some("allowed");
            facts.writes = writes;
            facts.upstream = trail.traced.as_ref().map(|_| (SystemTime::now(), None));
        });
    });
}

/// What the permitted request carries, where anything of it is to be kept.
pub(crate) fn carries(arguments: impl FnOnce() -> Option<Arguments>) {
    on_current(|trail| {
        if trail.audit.is_on() {
            trail.with(|facts| facts.arguments = arguments());
        }
    });
}

/// What was asked for, in the caller's words, where there is no permission.
pub(crate) fn about(connector: &str, asked: Option<&str>) {
    note(|facts| {
        facts.connector = Some(shortened(connector));
        facts.asked = asked.map(shortened);
    });
}

/// There is no answer but a failure; `denied` when it was the caller who may not, and what it asked for.
pub(crate) fn failed(outcome: &'static str, denied: bool, asked: Option<&str>) {
    note(|facts| {
        facts.outcome = Some(outcome);
        if denied {
            facts.decision = Some("denied");
            facts.asked = asked.map(shortened).or_else(|| facts.asked.take());
        }
    });
}

fn shortened(name: &str) -> Box<str> {
    // There are never more characters than bytes.
    let cut = if name.len() <= MAX_NAME { None } else { name.char_indices().nth(MAX_NAME) };
    cut.and_then(|(end, _)| name.get(..end)).unwrap_or(name).into()
}

fn note(fact: impl FnOnce(&mut Facts)) {
    on_current(|trail| trail.with(fact));
}

fn on_current<T>(what: impl FnOnce(&Arc<Trail>) -> T) -> Option<T> {
    CURRENT.try_with(|trail| trail.as_ref().map(what)).ok().flatten()
}

impl Trail {
    fn with<T>(&self, fact: impl FnOnce(&mut Facts) -> T) -> T {
        fact(&mut self.facts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn read<T>(&self, fact: impl FnOnce(&Facts) -> T) -> T {
        fact(&self.facts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Joins the trace of a `traceparent`, or begins one where none is good.
    fn join(&self, traceparent: Option<&str>) {
        let Some(traced) = &self.traced else { return };
        let given = traceparent.and_then(TraceContext::parse);
        self.with(|facts| {
            facts.continued |= given.is_some();
            facts.context = given.or(facts.context).or_else(|| Some(traced.begin()));
        });
    }

    /// What came of it, once that is known.
    pub(crate) fn ended(&self, outcome: &'static str) {
        self.with(|facts| {
            facts.outcome = Some(outcome);
            if let Some((_, end)) = &mut facts.upstream {
                end.get_or_insert_with(SystemTime::now);
            }
        });
    }

    fn finish(self: &Arc<Self>, complete: bool) {
        self.with(|facts| {
            facts.took = Some(self.started.elapsed());
            let done = match facts.status.map(|status| status.as_u16()) {
                Some(..400) => "ok",
                _ => "failed",
            };
            // A caller that left before the end has heard half of whatever it was.
            facts.outcome.get_or_insert(if complete { done } else { "cancelled" });
        });
        if self.logged {
            self.write();
        }
        if let Some(traced) = &self.traced {
            self.read(|facts| traced.tell(self, facts));
        }
        if self.audit.is_on() && self.read(|facts| self.is_recorded(facts)) {
            match self.read(|facts| facts.sign.as_ref().is_some_and(|sign| sign.failed)) {
                true => self.audit.not_signed_in(self),
                false => self.audit.ended(self),
            }
        }
    }

    fn write(&self) {
        let took_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.with(|facts| {
            let caller = facts.caller.as_ref().map(|identity| identity.caller.principal.to_string());
            let delegate = facts.caller.as_ref().and_then(|identity| identity.caller.delegate.as_ref());
            let delegate = delegate.map(|delegate| delegate.principal.to_string());
            let status = facts.status.map(|status| status.as_u16());
            tracing::info!(
                target: "aperium::access",
                request_id = &*self.request_id,
                principal = caller.as_deref(),
                delegate = delegate.as_deref(),
                endpoint = self.endpoint,
                http_method = self.http_method.as_str(),
                method = facts.rpc_method,
                connector = facts.connector.as_deref(),
                name = facts.name.as_deref(),
                decision = facts.decision,
                grant = facts.grant.as_deref(),
                outcome = facts.outcome,
                status,
                took_ms,
                "request"
            );
        });
    }
}

/// A body that says when it is over.
struct Followed {
    inner: Body,
    trail: Arc<Trail>,
    ended: bool,
}

impl HttpBody for Followed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.inner).poll_frame(cx);
        self.ended |= matches!(frame, Poll::Ready(None));
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        let complete = self.ended || self.inner.is_end_stream();
        // What the body knows of its end it says when it goes, and that comes first.
        self.inner = Body::empty();
        self.trail.finish(complete);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_a_closed_set() {
        for (path, class) in [
            ("/v1/mcp", "mcp"),
            ("/v1/mcp/odoo", "mcp"),
            ("/v1/mcp/register", "register"),
            ("/v1/mcpx", "other"),
            ("/v1/connectors/github/users/secret", "proxy"),
            ("/api/config", "api"),
            ("/metrics", "metrics"),
            ("/aperture/auth/mail/callback", "oauth"),
            ("/login", "login"),
            ("/login/corp/callback", "login"),
            ("/logout", "login"),
            ("/anything", "other"),
        ] {
            assert_eq!(endpoint(path), class, "{path}");
        }
    }
}
