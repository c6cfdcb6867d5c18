//! One tool call: a name and raw arguments come in; a result or an error goes out, once, in bounded time and size.
//!
//! Nothing here ever tries again. When the answer to anything but a read is lost, the error says so.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use aperium_core::effect::Effect;
use aperium_core::id::RequestId;
use futures::FutureExt;
use serde_json::{Map, Value, json};

use super::Service;
use super::admission::Leased;
use crate::connector::{ErrorCode, Tool, ToolError};
use crate::metrics::{Metrics, UNKNOWN_TOOL};

/// The largest result, in bytes of JSON.
const MAX_RESULT: usize = 4 * 1024 * 1024;

/// The outcome in metrics and logs when the caller went away before the end.
const CANCELLED: &str = "cancelled";

/// How a call ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// There is no such tool for callers.
    UnknownTool,
    /// The tool's result.
    Result(Value),
    /// The tool failed; the value is what the caller sees.
    Failed(Value),
}

/// Runs the tool `name` once. Dropping the future abandons the call and counts it as cancelled.
pub(crate) async fn call(
    service: &Service,
    name: &str,
    arguments: Map<String, Value>,
    request: &RequestId,
    leased: Option<&Leased>,
) -> Ended {
    let binding = service.binding();
    let Some(tool) = binding.catalog.get(name) else {
        tracing::info!(request_id = %request, outcome = "unknown_tool", "tool call");
        service.metrics.call(UNKNOWN_TOOL, "read", "unknown_tool", Duration::ZERO);
        return Ended::UnknownTool;
    };
    let started = Instant::now();
    let deadline = started + service.rules.timeout();
    let measured = Measured { metrics: &service.metrics, tool, request, started, done: false };
    let outcome = run(service, tool, leased, request, Value::Object(arguments), deadline).await;
    measured.finish(outcome.as_ref().err().map(|error| error.code));
    match outcome {
        Ok(result) => Ended::Result(result),
        Err(error) => Ended::Failed(describe(&error, request)),
    }
}

async fn run(
    service: &Service,
    tool: &Tool,
    leased: Option<&Leased>,
    request: &RequestId,
    arguments: Value,
    until: Instant,
) -> Result<Value, ToolError> {
    // Wrong arguments need no free place, no credential and no upstream.
    tool.accepts(arguments.clone())?;
    let deadline = tokio::time::Instant::from_std(until);
    let Ok(permit) = tokio::time::timeout_at(deadline, service.permits.acquire()).await else {
        return Err(ToolError::new(ErrorCode::RateLimited, "too many calls of this connector are running")
            .with_retry_after(Duration::from_secs(1)));
    };
    let Ok(up) = tokio::time::timeout_at(deadline, service.upstream(leased)).await else {
        return Err(ToolError::unavailable("the broker gave no answer in time"));
    };
    let up = &up?.for_call(request.clone(), until);
    let work = AssertUnwindSafe(tool.call(up, arguments)).catch_unwind();
    let outcome = tokio::time::timeout_at(deadline, work).await;
    drop(permit);
    match outcome {
        Ok(Ok(result)) => bounded(result?),
        Ok(Err(_panic)) => {
            tracing::error!(request_id = %up.request_id(), tool = tool.name(), "the connector panicked");
            Err(lost(tool.effect(), ErrorCode::Upstream, "the connector failed inside"))
        }
        Err(_elapsed) => {
            let limit = service.rules.timeout().as_secs();
            Err(lost(tool.effect(), ErrorCode::Timeout, &format!("no answer within {limit} s")))
        }
    }
}

/// A read that was lost is a plain failure; of anything else nobody knows whether it happened.
fn lost(effect: Effect, read: ErrorCode, what: &str) -> ToolError {
    if effect == Effect::Read {
        ToolError::new(read, what)
    } else {
        ToolError::new(
            ErrorCode::OutcomeUnknown,
            format!("{what}; the change may or may not have been made: look before you repeat it"),
        )
    }
}

fn bounded(result: Value) -> Result<Value, ToolError> {
    let mut size = Size(0);
    match serde_json::to_writer(&mut size, &result) {
        Ok(()) => Ok(result),
        Err(_) => Err(ToolError::new(
            ErrorCode::TooLarge,
            format!("the result is larger than {MAX_RESULT} bytes: ask for fewer items or columns"),
        )),
    }
}

/// Counts bytes and refuses the one that is too many, so that nothing large is ever copied to be measured.
struct Size(usize);

impl std::io::Write for Size {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        if self.0 > MAX_RESULT { Err(std::io::ErrorKind::FileTooLarge.into()) } else { Ok(bytes.len()) }
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The structured content of a failed call.
fn describe(error: &ToolError, request: &RequestId) -> Value {
    let mut body = json!({
        "code": error.code.as_str(),
        "message": error.message,
        "request_id": request.as_str(),
    });
    if let Some(status) = error.upstream_status {
        body["upstream_status"] = json!(status);
    }
    if let Some(code) = &error.upstream_code {
        body["upstream_code"] = json!(code);
    }
    if let Some(wait) = error.retry_after {
        body["retry_after_s"] = json!(wait.as_secs());
    }
    body
}

/// Counts and logs a call exactly once, also when it is abandoned half-way.
struct Measured<'a> {
    metrics: &'a Metrics,
    tool: &'a Tool,
    request: &'a RequestId,
    started: Instant,
    done: bool,
}

impl Measured<'_> {
    fn finish(mut self, failure: Option<ErrorCode>) {
        self.done = true;
        self.record(failure.map_or("ok", ErrorCode::as_str));
    }

    fn record(&self, outcome: &'static str) {
        let took = self.started.elapsed();
        let (tool, access) = (self.tool.name(), self.tool.effect().access());
        self.metrics.call(tool, access, outcome, took);
        let latency_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        tracing::info!(request_id = %self.request, tool, access, outcome, latency_ms, "tool call");
    }
}

impl Drop for Measured<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.record(CANCELLED);
        }
    }
}
