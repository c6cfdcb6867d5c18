//! One probe of one tenant's credential: a lease comes in, pushed by the gateway, the outcome goes out and counts.

use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use aperium_core::id::RequestId;
use aperium_platform::lease::PROBE;
use aperium_platform::probes::Check;
use axum::http::HeaderMap;
use futures::FutureExt;

use super::from_probe;
use crate::connector::{ToolError, Upstream};
use crate::service::Service;
use crate::service::admission::{self, Refused};

/// How long the upstream may take.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);

/// Probes the tenant that the lease names.
///
/// # Errors
/// [`Refused`]: there is no lease for a probe of this service.
pub(crate) async fn pushed(service: &Service, headers: &HeaderMap) -> Result<Check, Refused> {
    let leased = admission::leased(service, headers, PROBE)?;
    if service.tenant.as_ref().is_some_and(|own| *own != leased.claims.tenant) {
        return Err(Refused::Tenant);
    }
    let check = outcome(ask(service, service.upstream(Some(&leased)).await).await);
    service.readiness.probed(leased.claims.tenant, check.clone());
    service.refresh_state();
    Ok(check)
}

/// Probes what needs no lease: the one tenant of a single-tenant service, or a system without credentials.
pub(super) async fn own(service: &Service) -> Check {
    let up = match &service.tenant {
        Some(_) => service.upstream(None).await,
        None => Ok(service.binding().upstream.clone()),
    };
    outcome(ask(service, up).await)
}

fn outcome(asked: Result<(), ToolError>) -> Check {
    match asked {
        Ok(()) => Check::ok("the upstream accepts the credentials"),
        Err(error) => from_probe(&error),
    }
}

/// Asks the upstream, in bounded time, whatever the connector does.
pub(super) async fn ask(service: &Service, up: Result<Upstream, ToolError>) -> Result<(), ToolError> {
    let limit = PROBE_TIMEOUT.min(service.rules.timeout());
    let up = up?.for_call(RequestId::accept(None), Instant::now() + limit);
    let asked = AssertUnwindSafe(service.connector.probe(&up)).catch_unwind();
    match tokio::time::timeout(limit, asked).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_panic)) => Err(ToolError::upstream("the connector failed inside")),
        Err(_elapsed) => Err(ToolError::unavailable(format!("no answer within {} s", limit.as_secs()))),
    }
}
