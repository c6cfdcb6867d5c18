//! What probes of tenants' credentials said lately: one outcome per tenant, for as long as it counts.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use aperium_core::id::TenantId;
use aperium_platform::probes::Check;
use tokio::time::{Duration, Instant};

/// How long an outcome counts (blueprint §7).
pub(super) const COUNTS: Duration = Duration::from_secs(90);
/// Tenants that are remembered; the gateway probes them in rotation.
const MAX_TENANTS: usize = 10_000;

/// Outcomes by tenant.
#[derive(Debug, Default)]
pub(super) struct Outcomes(Mutex<HashMap<TenantId, (Instant, Check)>>);

/// All of them in short.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Summary {
    /// Tenants whose credential works.
    pub(super) ok: usize,
    /// Tenants whose credential does not.
    pub(super) failing: usize,
    /// The check of the credentials: one that works is enough.
    pub(super) check: Check,
}

impl Outcomes {
    pub(super) fn record(&self, tenant: TenantId, check: Check) {
        let mut outcomes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if outcomes.len() >= MAX_TENANTS {
            outcomes.retain(|_, (at, _)| at.elapsed() < COUNTS);
        }
        if outcomes.len() < MAX_TENANTS || outcomes.contains_key(&tenant) {
            outcomes.insert(tenant, (Instant::now(), check));
        }
    }

    pub(super) fn summary(&self) -> Summary {
        let mut outcomes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        outcomes.retain(|_, (at, _)| at.elapsed() < COUNTS);
        let ok = outcomes.values().filter(|(_, check)| check.ok).count();
        let failing = outcomes.len() - ok;
        let check = match outcomes.values().max_by_key(|(at, check)| (check.ok, *at)) {
            Some((_, check)) => check.clone(),
            None => Check::failed("NotProbed", "the gateway has probed no tenant's credentials lately"),
        };
        Summary { ok, failing, check }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(name: &str) -> TenantId {
        TenantId::parse(name).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn one_tenant_that_works_is_enough_and_every_outcome_ages() {
        let outcomes = Outcomes::default();
        assert_eq!(outcomes.summary().check.reason, "NotProbed");
        outcomes.record(tenant("acme"), Check::failed("AuthFailed", "no"));
        assert_eq!(outcomes.summary().check.reason, "AuthFailed");
        tokio::time::advance(Duration::from_secs(60)).await;
        outcomes.record(tenant("globex"), Check::ok("yes"));
        let summary = outcomes.summary();
        assert_eq!((summary.ok, summary.failing, summary.check.ok), (1, 1, true));
        tokio::time::advance(Duration::from_secs(31)).await;
        let summary = outcomes.summary();
        assert_eq!((summary.ok, summary.failing), (1, 0), "a minute and a half is all that an outcome counts");
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(!outcomes.summary().check.ok);
    }
}
