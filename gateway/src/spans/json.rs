//! Spans → the JSON of an `ExportTraceServiceRequest` (opentelemetry-proto 1.x, JSON mapping: ids as hexadecimal text,
//! 64-bit numbers as decimal text).

use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// From which side a span looks at its request (`Span.SpanKind`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Of a caller to the gateway.
    Server = 2,
    /// Of the gateway to an upstream.
    Client = 3,
}

/// One finished span.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    /// The trace.
    pub(crate) trace: [u8; 16],
    /// Its id.
    pub(crate) id: [u8; 8],
    /// The span that it belongs to.
    pub(crate) parent: Option<[u8; 8]>,
    /// Its name: from closed sets and names of tools, never from a path.
    pub(crate) name: String,
    /// Its side.
    pub(crate) kind: Kind,
    /// When it began.
    pub(crate) from: SystemTime,
    /// When it ended.
    pub(crate) to: SystemTime,
    /// What is known of it.
    pub(crate) attributes: Vec<(&'static str, Value)>,
    /// Whether it failed.
    pub(crate) failed: bool,
}

/// The body of a request to the collector.
pub(super) fn request(spans: &[Span]) -> Vec<u8> {
    let spans: Vec<Value> = spans.iter().map(span).collect();
    let version = env!("CARGO_PKG_VERSION");
    json!({ "resourceSpans": [{
        "resource": { "attributes": [
            attribute("service.name", &json!("aperium-gateway")),
            attribute("service.version", &json!(version)),
        ] },
        "scopeSpans": [{ "scope": { "name": "aperium-gateway", "version": version }, "spans": spans }],
    }] })
    .to_string()
    .into_bytes()
}

fn span(span: &Span) -> Value {
    let nanos = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos().to_string();
    json!({
        "traceId": hex::encode(span.trace),
        "spanId": hex::encode(span.id),
        "parentSpanId": span.parent.map(hex::encode).unwrap_or_default(),
        "name": span.name,
        "kind": span.kind as u8,
        "startTimeUnixNano": nanos(span.from),
        "endTimeUnixNano": nanos(span.to),
        "attributes": span.attributes.iter().map(|(key, value)| attribute(key, value)).collect::<Vec<_>>(),
        "status": { "code": if span.failed { 2 } else { 0 } },
    })
}

fn attribute(key: &str, value: &Value) -> Value {
    let value = match value {
        Value::Number(number) => json!({ "intValue": number.to_string() }),
        Value::Bool(flag) => json!({ "boolValue": flag }),
        other => json!({ "stringValue": other.as_str().unwrap_or_default() }),
    };
    json!({ "key": key, "value": value })
}
