//! The upstreams of tenants, each bound to the credential that a lease gave: kept for a few seconds, then wiped.
//!
//! ```text
//! Claims, lease ──► kept under (tenant, user, version)? ──► Upstream
//!                   └─ no: redeem, one at a time for all who wait ─┘
//! ```

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aperium_core::id::TenantId;
use aperium_platform::lease::Claims;
use tokio::sync::OnceCell;

use crate::broker::{Platform, RedeemError, Redeemed};
use crate::connector::{Fields, ToolError, Upstream};

/// How long fields are kept after they were redeemed (blueprint §7).
const KEPT: Duration = Duration::from_secs(5);
/// How often what is too old is dropped; fields are let go before they are [`KEPT`] old.
const SWEEP: Duration = Duration::from_millis(250);
/// How many are kept at a time.
const MAX_KEPT: usize = 4096;

/// Whose credential it is. The connector is this service's own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Whose {
    tenant: TenantId,
    user: String,
    version: u64,
}

#[derive(Clone)]
struct Kept {
    since: Instant,
    cell: Arc<OnceCell<Upstream>>,
}

/// The upstreams of tenants.
pub(crate) struct Tenants {
    platform: Platform,
    /// Whether the connector can do nothing without credentials.
    needed: bool,
    kept: Mutex<HashMap<Whose, Kept>>,
}

impl Tenants {
    pub(crate) fn new(platform: Platform, needed: bool) -> Self {
        Self { platform, needed, kept: Mutex::default() }
    }

    /// How credentials are got.
    pub(crate) fn platform(&self) -> &Platform {
        &self.platform
    }

    /// The upstream that a verified lease is for.
    ///
    /// # Errors
    /// What the broker says, in words for the caller.
    pub(crate) async fn upstream(
        &self,
        claims: &Claims,
        lease: &str,
        bind: impl FnOnce(Fields) -> Upstream,
    ) -> Result<Upstream, ToolError> {
        let whose = Whose { tenant: claims.tenant.clone(), user: claims.user.clone(), version: claims.version };
        self.get(whose, self.platform.broker.redeem(lease), bind).await
    }

    /// An upstream over fields that an admin has not saved yet. Nothing of it is kept.
    ///
    /// # Errors
    /// As [`Self::upstream`].
    pub(crate) async fn trial(
        &self,
        lease: &str,
        sealed: &str,
        bind: impl FnOnce(Fields) -> Upstream,
    ) -> Result<Upstream, ToolError> {
        let redeemed = self.platform.broker.trial(lease, sealed).await;
        redeemed.map(|redeemed| bind(redeemed.fields)).map_err(|error| tell(&error))
    }

    /// The upstream of the one tenant of a single-tenant service.
    ///
    /// # Errors
    /// As [`Self::upstream`].
    pub(crate) async fn own(
        &self,
        tenant: &TenantId,
        bind: impl FnOnce(Fields) -> Upstream,
    ) -> Result<Upstream, ToolError> {
        let whose = Whose { tenant: tenant.clone(), user: String::new(), version: 0 };
        self.get(whose, self.platform.broker.own(), bind).await
    }

    async fn get(
        &self,
        whose: Whose,
        fetch: impl Future<Output = Result<Redeemed, RedeemError>>,
        bind: impl FnOnce(Fields) -> Upstream,
    ) -> Result<Upstream, ToolError> {
        let cell = self.cell(whose);
        // Whoever fails leaves the cell empty: the next one asks with its own lease.
        let bound = || async move {
            match fetch.await {
                Ok(redeemed) => Ok(bind(redeemed.fields)),
                Err(RedeemError::Missing) if !self.needed => Ok(bind(Fields::default())),
                Err(error) => Err(error),
            }
        };
        let upstream = cell.get_or_try_init(bound).await;
        upstream.cloned().map_err(|error| tell(&error))
    }

    fn cell(&self, whose: Whose) -> Arc<OnceCell<Upstream>> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = kept.get(&whose).filter(|found| found.since.elapsed() + SWEEP < KEPT) {
            return Arc::clone(&found.cell);
        }
        if kept.len() >= MAX_KEPT {
            let oldest = kept.iter().min_by_key(|(_, kept)| kept.since).map(|(whose, _)| whose.clone());
            oldest.and_then(|oldest| kept.remove(&oldest));
        }
        let fresh = Kept { since: Instant::now(), cell: Arc::default() };
        kept.insert(whose, fresh.clone());
        fresh.cell
    }

    /// Drops what is too old. Running calls keep theirs until they end.
    fn sweep(&self) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|_, kept| kept.since.elapsed() + SWEEP < KEPT);
    }

    /// Sweeps until it is dropped.
    pub(crate) async fn keep_clean(&self) {
        loop {
            tokio::time::sleep(SWEEP).await;
            self.sweep();
        }
    }
}

impl std::fmt::Debug for Tenants {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tenants").field("platform", &self.platform).finish_non_exhaustive()
    }
}

/// What a caller reads.
fn tell(error: &RedeemError) -> ToolError {
    let message = error.to_string();
    match error {
        RedeemError::Missing => ToolError::auth_failed(message),
        RedeemError::Refused => ToolError::forbidden(message),
        RedeemError::Identity | RedeemError::Unreachable(_) | RedeemError::Answer | RedeemError::Down => {
            ToolError::unavailable(message)
        }
    }
}

#[cfg(test)]
mod tests;
