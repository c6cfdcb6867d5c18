//! How the stored credentials of tenants are: of the caller's own tenant, and for admins of all.

use crate::catalog::{ConnectorConfig, Place};
use crate::database;
use crate::snapshot::View;
use crate::state::State;
use aperium_core::id::{ConnectorId, TenantId};
use aperium_store::credentials::{About, Counts, State as Stored};
use aperium_store::{Store, StoreError, now_ms};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// How a tenant's credential is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Standing {
    /// The last probe succeeded.
    Works,
    /// The last probe failed.
    Fails,
    /// This version has not been probed yet.
    Unchecked,
    /// Its time is over.
    Expired,
    /// An admin took it back.
    Revoked,
    /// There is none.
    Missing,
}

impl Standing {
    fn of(about: &About, now_ms: i64) -> Self {
        match (about.state(now_ms), &about.checked) {
            (Stored::Revoked, _) => Self::Revoked,
            (Stored::Expired, _) => Self::Expired,
            (Stored::Active, None) => Self::Unchecked,
            (Stored::Active, Some(checked)) if checked.reason.is_none() => Self::Works,
            (Stored::Active, Some(_)) => Self::Fails,
        }
    }
}

/// Credentials of tenants by state.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct Tenants {
    works: i64,
    fails: i64,
    unchecked: i64,
    expired: i64,
    revoked: i64,
    /// Where one connector is asked for: each tenant, by name; at most 10,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    each: Option<Vec<OfTenant>>,
}

/// One tenant.
#[derive(Debug, Serialize, ToSchema)]
struct OfTenant {
    tenant: String,
    standing: Standing,
    /// Why the last probe failed, in `PascalCase`.
    problem: Option<String>,
}

/// What the store says, read once for an answer. Without an answer of the store nothing is said.
#[derive(Debug, Default)]
pub(super) struct Known {
    own: Option<Vec<About>>,
    counts: Option<BTreeMap<String, Counts>>,
    each: Option<(String, Vec<(TenantId, About)>)>,
}

impl Known {
    /// Reads it for this caller; of one connector each tenant too.
    pub(super) async fn read(gateway: &State, view: &View, only: Option<&ConnectorId>) -> Self {
        let Some(database) = &gateway.database else { return Self::default() };
        match Self::ask(database.store(), view, only).await {
            Ok(known) => known,
            Err(error) => {
                tracing::warn!(reason = database::failure(&error).inside(), "the states of tenants cannot be read");
                Self::default()
            }
        }
    }

    async fn ask(store: &Store, view: &View, only: Option<&ConnectorId>) -> Result<Self, StoreError> {
        let mut known = Self::default();
        if let Some(tenant) = &view.identity().caller.tenant {
            known.own = Some(store.tenant(tenant).credentials().await?);
        }
        if view.is_admin() {
            known.counts = Some(store.every_tenant().credential_counts().await?);
            if let Some(id) = only {
                known.each = Some((id.key(), store.every_tenant().credential_standings(id).await?));
            }
        }
        Ok(known)
    }

    /// How the caller's tenant's credential for a connector is; nothing where tenants have none of their own.
    pub(super) fn own(&self, config: &ConnectorConfig) -> Option<Standing> {
        let own = self.own.as_ref().filter(|_| is_stored(config))?;
        let about = own.iter().find(|about| about.connector == config.id.key());
        Some(about.map_or(Standing::Missing, |about| Standing::of(about, now_ms())))
    }

    /// How those of all tenants are.
    pub(super) fn all(&self, config: &ConnectorConfig) -> Option<Tenants> {
        let counts = self.counts.as_ref().filter(|_| is_stored(config))?;
        let Counts { works, fails, unchecked, expired, revoked } =
            counts.get(&config.id.key()).copied().unwrap_or_default();
        let each = self.each.as_ref().filter(|(connector, _)| *connector == config.id.key());
        let each = each.map(|(_, all)| all.iter().map(|(tenant, about)| OfTenant::of(tenant, about)).collect());
        Some(Tenants { works, fails, unchecked, expired, revoked, each })
    }
}

impl OfTenant {
    fn of(tenant: &TenantId, about: &About) -> Self {
        let problem = about.checked.as_ref().and_then(|checked| checked.reason.clone());
        Self { tenant: tenant.to_string(), standing: Standing::of(about, now_ms()), problem }
    }
}

/// Whether tenants have credentials of their own in the platform database.
fn is_stored(config: &ConnectorConfig) -> bool {
    matches!(&config.place, Place::Service { whose, .. } if whose.platform)
}
