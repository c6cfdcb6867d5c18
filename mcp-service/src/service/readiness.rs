//! Whether the service can do its work: token, credentials and tools are checked by name; anything unknown is "no".
//!
//! [`watch`] is the only place that asks the upstream without being asked: at start, at once when credentials change,
//! every 10 s while something is wrong and every 30 s while all is well. Where each tenant has a credential of its own the
//! gateway pushes [`probe`]s instead, and what they said counts for 90 s.

mod outcomes;
pub(crate) mod probe;
pub(crate) mod trial;
mod watch;

use std::sync::Arc;

use aperium_core::id::TenantId;
use aperium_platform::bearer::TokenSource;
use aperium_platform::probes::{Check, Readiness as Report};
use arc_swap::ArcSwap;
use serde_json::json;

use crate::catalog::Catalog;
use crate::connector::{ErrorCode, ToolError};
use outcomes::Outcomes;

pub(crate) use watch::watch;

/// What a failed probe says about the credentials.
fn from_probe(error: &ToolError) -> Check {
    let reason = match error.code {
        ErrorCode::AuthFailed => "AuthFailed",
        ErrorCode::UpstreamUnavailable | ErrorCode::Timeout => "UpstreamUnreachable",
        ErrorCode::Forbidden => "Forbidden",
        ErrorCode::RateLimited => "RateLimited",
        ErrorCode::InvalidArgument => "CredentialsInvalid",
        _ => "ProbeFailed",
    };
    Check::failed(reason, error.message.clone())
}

/// What is known about the service's fitness.
pub(crate) struct Readiness {
    token: TokenSource,
    credentials: ArcSwap<Check>,
    /// Where each tenant has a credential of its own.
    tenants: Option<Outcomes>,
}

impl Readiness {
    /// Nothing is known yet, so nothing is ready.
    pub(crate) fn new(token: TokenSource, of_tenants: bool) -> Self {
        let unknown = Check::failed("NotProbed", "the upstream has not been asked yet");
        Self { token, credentials: ArcSwap::from_pointee(unknown), tenants: of_tenants.then(Outcomes::default) }
    }

    /// Every check as of now.
    pub(crate) fn report(&self, catalog: &Catalog) -> Report {
        let auth_token = match self.token.problem() {
            None => Check::ok("the service token is loaded"),
            Some(problem) => Check::failed("TokenMissing", problem.to_string()),
        };
        let summary = self.tenants.as_ref().map(Outcomes::summary);
        let tenants = summary.as_ref().map(|all| json!({"ok": all.ok, "failing": all.failing}));
        let credentials = summary.map_or_else(|| Check::clone(&self.credentials.load()), |all| all.check);
        let report = Report::new()
            .check("authToken", auth_token)
            .check("credentials", credentials)
            .check("toolDiscovery", discovery(catalog))
            .fact("tools", catalog.len())
            .fact("toolsDigest", catalog.digest());
        match tenants {
            Some(tenants) => report.fact("tenants", tenants),
            None => report,
        }
    }

    /// Records the outcome of a pushed probe.
    fn probed(&self, tenant: TenantId, check: Check) {
        match &self.tenants {
            Some(tenants) => {
                if !check.ok {
                    tracing::warn!(check = "credentials", %tenant, reason = %check.reason, "a tenant's credential fails");
                }
                tenants.record(tenant, check);
            }
            None => self.record(check),
        }
    }

    /// Records the outcome of a probe; a change is logged once.
    fn record(&self, check: Check) {
        let check = Arc::new(check);
        let before = self.credentials.swap(Arc::clone(&check));
        if before != check {
            if check.ok {
                tracing::info!(check = "credentials", reason = %check.reason, "the upstream accepts the credentials");
            } else {
                tracing::warn!(check = "credentials", reason = %check.reason, detail = %check.message, "not ready");
            }
        }
    }
}

/// Whether there is anything to discover. A service that lists nothing is of no use to anybody.
pub(crate) fn discovery(catalog: &Catalog) -> Check {
    match catalog.len() {
        0 => Check::failed("NoTools", "every tool is hidden, switched off, or a write while writes are disabled"),
        tools => Check::ok(format!("{tools} tools")),
    }
}

impl std::fmt::Debug for Readiness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Readiness").field("credentials", &self.credentials.load()).finish_non_exhaustive()
    }
}
