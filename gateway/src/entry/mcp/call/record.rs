//! What became of a call: counted and logged once.

use super::failed::{Failed, unauthorised, unavailable};
use crate::audit::Unrecorded;
use crate::entry::mcp::authorize::{Prompt, Why};
use crate::metrics::Metrics;
use crate::pipeline::authz::Permit;
use crate::pipeline::upstream::UpstreamError;
use crate::state::State as Gateway;
use crate::trail::{self, Trail};
use std::sync::Arc;
use std::time::Instant;

/// Counts and logs a call once, whatever becomes of it; a client that leaves is an outcome too.
pub(super) struct Record {
    metrics: Arc<Metrics>,
    pub(super) permit: Permit,
    started: Instant,
    sent: Option<Instant>,
    pub(super) request_id: Box<str>,
    trail: Option<Arc<Trail>>,
    /// How the user is asked, where there is one to be asked.
    pub(super) prompt: Option<Box<Prompt>>,
    ended: bool,
}

impl Record {
    pub(super) fn start(gateway: &Gateway, permit: Permit, request_id: &str) -> Self {
        let metrics = Arc::clone(&gateway.metrics);
        let connector = permit.connector().config.id.as_str();
        trail::permitted(connector, Some(permit.name()), Some(permit.grant()), permit.writes());
        let (started, request_id, trail) = (Instant::now(), request_id.into(), trail::current());
        Self { metrics, permit, started, sent: None, request_id, trail, prompt: None, ended: false }
    }

    pub(super) fn connector(&self) -> &str {
        self.permit.connector().config.id.as_str()
    }

    /// It goes to the upstream now.
    pub(super) fn sending(&mut self) {
        self.sent = Some(Instant::now());
    }

    /// Another request of the client goes on with it: what becomes of it belongs to that one now.
    pub(super) fn continued(&mut self, request_id: &str) {
        self.request_id = request_id.into();
        self.trail = trail::current();
    }

    /// It waits for the client's next request, which ends the one that there was.
    pub(super) fn waits(&mut self, outcome: &'static str) {
        if let Some(trail) = self.trail.take() {
            trail.ended(outcome);
        }
    }

    /// Ends it with a failure, and says how the caller reads that.
    pub(super) fn failed(&mut self, error: &UpstreamError) -> Failed {
        let failed = match self.prompt.as_deref().zip(Why::of(error)) {
            Some((prompt, why)) => unauthorised(prompt, why, &self.request_id),
            None => unavailable(self.permit.action(), self.connector(), error, &self.request_id),
        };
        self.end(failed.outcome, Some(error));
        failed
    }

    /// Ends it before anything was sent: it could not be put on record.
    pub(super) fn unrecorded(&mut self, refused: Unrecorded) -> Failed {
        let failed = unrecorded(refused, &self.request_id);
        self.end(failed.outcome, None);
        failed
    }

    pub(super) fn end(&mut self, outcome: &'static str, error: Option<&UpstreamError>) {
        self.ended = true;
        if let Some(trail) = &self.trail {
            trail.ended(outcome);
        }
        let took = self.started.elapsed();
        let method = self.permit.action().method();
        self.metrics.operation(method, outcome, took);
        let meter = &self.permit.connector().meter;
        meter.called(took);
        if let Some(sent) = self.sent {
            meter.sent(method, outcome, sent.elapsed());
        }
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let (connector, request_id) = (self.connector(), &*self.request_id);
        let (name, grant) = (self.permit.name(), self.permit.grant());
        let caller = &self.permit.identity().caller.principal;
        if let Some(error) = error {
            let reason = error.reason();
            meter.failed(reason);
            tracing::warn!(request_id, connector, method, name, %caller, grant, outcome, took_ms, reason, %error, "call failed");
        } else {
            tracing::debug!(request_id, connector, method, name, %caller, grant, outcome, took_ms, "call");
        }
    }
}

/// Nothing was sent: it could not be put on record.
pub(super) fn unrecorded(refused: Unrecorded, request_id: &str) -> Failed {
    let message = format!("the call was not made: {refused}: try again later, request id {request_id}");
    Failed::new("audit_unavailable", message, "unrecorded")
}

impl Drop for Record {
    fn drop(&mut self) {
        if !self.ended {
            self.end("cancelled", None);
        }
    }
}
