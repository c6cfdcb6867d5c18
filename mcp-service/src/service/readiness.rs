//! Whether the service can do its work: token, credentials and tools are checked by name; anything unknown is "no".
//!
//! [`watch`] is the only place that asks the upstream without being asked: at start, at once when credentials change,
//! every 10 s while something is wrong and every 30 s while all is well.

mod watch;

use std::sync::Arc;

use aperium_platform::bearer::TokenSource;
use aperium_platform::probes::{Check, Readiness as Report};
use arc_swap::ArcSwap;

use crate::catalog::Catalog;
use crate::connector::{ErrorCode, ToolError};

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
}

impl Readiness {
    /// Nothing is known yet, so nothing is ready.
    pub(crate) fn new(token: TokenSource) -> Self {
        let unknown = Check::failed("NotProbed", "the upstream has not been asked yet");
        Self { token, credentials: ArcSwap::from_pointee(unknown) }
    }

    /// Every check as of now.
    pub(crate) fn report(&self, catalog: &Catalog) -> Report {
        let auth_token = match self.token.problem() {
            None => Check::ok("the service token is loaded"),
            Some(problem) => Check::failed("TokenMissing", problem.to_string()),
        };
        Report::new()
            .check("authToken", auth_token)
            .check("credentials", Check::clone(&self.credentials.load()))
            .check("toolDiscovery", discovery(catalog))
            .fact("tools", catalog.len())
            .fact("toolsDigest", catalog.digest())
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
