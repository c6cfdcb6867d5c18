//! A finished request → its spans, by the conventions of OpenTelemetry for MCP: one of the caller's request to the
//! gateway, and within it one of the gateway's to the upstream.

use super::{Facts, Trail};
use crate::spans::context::TraceContext;
use crate::spans::{Kind, Span, Spans};
use serde_json::{Value, json};
use std::time::SystemTime;

/// The place of a request among spans.
#[derive(Debug)]
pub(super) struct Traced {
    spans: Spans,
    started: SystemTime,
    server: [u8; 8],
    /// What the upstream sees as its parent.
    pub(super) client: [u8; 8],
}

impl Traced {
    /// Begins with a request.
    pub(super) fn new(spans: Spans) -> Self {
        Self { spans, started: SystemTime::now(), server: span_id(), client: span_id() }
    }

    /// The context of a request that brings none.
    pub(super) fn begin(&self) -> TraceContext {
        let trace = *uuid::Uuid::new_v4().as_bytes();
        TraceContext { trace, parent: [0; 8], sampled: self.spans.samples(trace) }
    }

    /// Tells of a finished request, if it is to be traced.
    pub(super) fn tell(&self, trail: &Trail, facts: &Facts) {
        let Some(context) = facts.context.filter(|context| context.sampled) else { return };
        let attributes = attributes(trail, facts);
        let name = name(trail, facts);
        let span = |id, parent, kind, (from, to), attributes| Span {
            trace: context.trace,
            id,
            parent,
            name: name.clone(),
            kind,
            from,
            to,
            attributes,
            failed: outcome(facts) != "ok",
        };
        if let Some((from, to)) = facts.upstream {
            let times = (from, to.unwrap_or_else(SystemTime::now));
            self.spans.take(span(self.client, Some(self.server), Kind::Client, times, attributes.clone()));
        }
        let parent = facts.continued.then_some(context.parent);
        self.spans.take(span(self.server, parent, Kind::Server, (self.started, SystemTime::now()), attributes));
    }
}

/// Eight random bytes; the version bits of the id that they are taken from keep them from being all zero.
fn span_id() -> [u8; 8] {
    let [_, _, _, _, _, _, _, _, id @ ..] = *uuid::Uuid::new_v4().as_bytes();
    id
}

fn outcome(facts: &Facts) -> &'static str {
    facts.outcome.unwrap_or("ok")
}

/// The attribute that the name of what is asked for belongs to.
fn named(facts: &Facts) -> Option<&'static str> {
    match facts.rpc_method {
        Some("tools/call") => Some("gen_ai.tool.name"),
        Some("prompts/get") => Some("gen_ai.prompt.name"),
        Some("resources/read") => Some("mcp.resource.uri"),
        _ => None,
    }
}

/// `{mcp.method.name} {gen_ai.tool.name}`; never a resource's URI or a path: there are too many.
fn name(trail: &Trail, facts: &Facts) -> String {
    let of_span = facts.name.as_deref().filter(|_| named(facts) != Some("mcp.resource.uri"));
    match (facts.rpc_method, of_span) {
        (Some(method), Some(name)) => format!("{method} {name}"),
        (Some(method), None) => method.to_owned(),
        (None, _) => format!("{} {}", trail.http_method, trail.endpoint),
    }
}

fn attributes(trail: &Trail, facts: &Facts) -> Vec<(&'static str, Value)> {
    let mut attributes = vec![
        ("http.request.method", json!(trail.http_method.as_str())),
        ("network.transport", json!("tcp")),
        ("network.protocol.name", json!("http")),
        ("aperium.request_id", json!(&*trail.request_id)),
    ];
    let mut known = |key, value: Option<Value>| attributes.extend(value.map(|value| (key, value)));
    known("http.response.status_code", facts.status.map(|status| json!(status.as_u16())));
    known("mcp.method.name", facts.rpc_method.map(|method| json!(method)));
    known("aperium.connector", facts.connector.as_deref().map(|id| json!(id)));
    known("error.type", Some(outcome(facts)).filter(|outcome| *outcome != "ok").map(|outcome| json!(outcome)));
    if let (Some(key), Some(name)) = (named(facts), facts.name.as_deref()) {
        known(key, Some(json!(name)));
    }
    known("gen_ai.operation.name", facts.rpc_method.filter(|m| *m == "tools/call").map(|_| json!("execute_tool")));
    attributes
}
