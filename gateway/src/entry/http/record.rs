//! One line in the log and one observation for every permitted request, whatever becomes of it.

use super::{ProxyError, request_id};
use crate::metrics::Metrics;
use crate::pipeline::authz::proxy::ProxyPermit;
use crate::state::State as Gateway;
use crate::trail::{self, Trail};
use http::request::Parts;
use http::{Method, StatusCode};
use std::sync::Arc;
use std::time::Instant;

/// Counts and logs a request once; a caller that leaves is an outcome too. No path: it may hold what a log must not.
#[derive(Debug)]
pub(super) struct Record {
    metrics: Arc<Metrics>,
    permit: ProxyPermit,
    method: Method,
    request_id: Box<str>,
    started: Instant,
    status: Option<StatusCode>,
    trail: Option<Arc<Trail>>,
    ended: bool,
}

impl Record {
    /// Begins with a permitted request.
    pub(super) fn start(gateway: &Gateway, permit: ProxyPermit, parts: &Parts) -> Self {
        let (connector, writes) = (permit.connector().config.id.as_str(), !parts.method.is_safe());
        trail::permitted(connector, None, Some(permit.grant()), writes);
        Self {
            metrics: Arc::clone(&gateway.metrics),
            permit,
            method: parts.method.clone(),
            request_id: request_id(parts).into(),
            started: Instant::now(),
            status: None,
            trail: trail::current(),
            ended: false,
        }
    }

    /// The id of the connector.
    pub(super) fn connector(&self) -> &str {
        self.permit.connector().config.id.as_str()
    }

    /// The upstream's head is there.
    pub(super) fn answered(&mut self, status: StatusCode) {
        self.status = Some(status);
    }

    /// The last byte went, or the exchange ended otherwise.
    pub(super) fn end(&mut self, outcome: &'static str) {
        self.close(outcome, None);
    }

    /// There is no answer.
    pub(super) fn failed(&mut self, error: &ProxyError) {
        self.status = Some(error.status());
        self.close(error.outcome(), Some(error));
    }

    fn close(&mut self, outcome: &'static str, error: Option<&ProxyError>) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        if let Some(trail) = &self.trail {
            trail.ended(outcome);
        }
        let took = self.started.elapsed();
        self.permit.connector().meter.proxied(self.status, outcome, took);
        if error.is_none() {
            self.metrics.request("proxy", outcome);
        }
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let (request_id, connector, method) = (&*self.request_id, self.connector(), self.method.as_str());
        let (caller, grant) = (&self.permit.identity().caller.principal, self.permit.grant());
        let status = self.status.map_or(0, |status| status.as_u16());
        if let Some(error) = error {
            self.permit.connector().meter.failed(error.reason());
            let (reason, inside) = (error.reason(), error.inside().unwrap_or_default());
            tracing::warn!(request_id, connector, method, %caller, grant, outcome, status, took_ms, reason, inside, "proxied request failed");
        } else {
            tracing::debug!(request_id, connector, method, %caller, grant, outcome, status, took_ms, "proxied request");
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.close("cancelled", None);
    }
}
