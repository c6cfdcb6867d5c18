//! A permitted call of a managed service → the lease that goes with it, made for this call alone.

use super::Broker;
use crate::catalog::{ConnectorConfig, Place};
use crate::pipeline::credential::CredentialError;
use aperium_core::caller::Caller;
use aperium_core::id::{ConnectorId, ConnectorName, RequestId, TenantId};
use aperium_platform::lease::{Audience, LEASE_HEADER, Scope};
use http::{HeaderName, HeaderValue};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a version is believed to be the current one. A save reaches the next call after that time at the latest.
const BELIEVED: Duration = Duration::from_secs(2);
/// Versions that are remembered.
const MAX_KNOWN: usize = 16 * 1024;
/// Bytes of a caller's name in a lease; a longer one is given by its hash.
const MAX_USER: usize = 256;
/// The tenant where no tenancy is configured.
const DEFAULT_TENANT: &str = "default";

/// Current versions, for a moment.
#[derive(Debug, Default)]
pub(super) struct Versions(Mutex<HashMap<(TenantId, String), (Instant, u64)>>);

impl Versions {
    fn known(&self, key: &(TenantId, String)) -> Option<u64> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(key).filter(|(at, _)| at.elapsed() < BELIEVED).map(|(_, version)| *version)
    }

    fn learn(&self, key: (TenantId, String), version: u64) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_KNOWN {
            known.retain(|_, (at, _)| at.elapsed() < BELIEVED);
        }
        if known.len() < MAX_KNOWN {
            known.insert(key, (Instant::now(), version));
        }
    }
}

/// For whom a lease is.
#[derive(Debug, Clone)]
pub(crate) struct Who {
    /// Whose credential may be used.
    pub(super) tenant: TenantId,
    /// Who calls.
    pub(super) user: String,
    /// The delegate that acts for them, where there is one.
    pub(super) delegate: Option<String>,
    /// The request that caused the call.
    pub(super) request: RequestId,
}

impl Who {
    /// This caller, for this tenant.
    pub(crate) fn of(caller: &Caller, tenant: TenantId, request: &str) -> Self {
        Self {
            tenant,
            user: name_of(caller),
            delegate: caller.delegate.as_deref().map(name_of),
            request: RequestId::accept(Some(request)),
        }
    }
}

impl Broker {
    /// The header for a call of this tool by this caller; none where the service needs none.
    ///
    /// # Errors
    /// [`CredentialError::OtherTenant`] where the service is another tenant's, [`CredentialError::Lease`].
    pub(crate) async fn for_call(
        &self,
        config: &ConnectorConfig,
        tool: &str,
        caller: &Caller,
        request: &str,
    ) -> Result<Option<(HeaderName, HeaderValue)>, CredentialError> {
        let Place::Service { whose, .. } = &config.place else { return Ok(None) };
        let tenant = match (&caller.tenant, &whose.tenant) {
            (Some(theirs), Some(own)) if theirs != own => return Err(CredentialError::OtherTenant),
            (Some(tenant), _) | (None, Some(tenant)) => tenant.clone(),
            (None, None) => TenantId::parse(DEFAULT_TENANT).map_err(|_| CredentialError::OtherTenant)?,
        };
        if !whose.platform {
            return Ok(None);
        }
        self.lease(config, tool, Who::of(caller, tenant, request)).await.map(Some)
    }

    /// A lease for one tool of a service and one tenant.
    pub(super) async fn lease(
        &self,
        config: &ConnectorConfig,
        tool: &str,
        who: Who,
    ) -> Result<(HeaderName, HeaderValue), CredentialError> {
        let Who { tenant, user, delegate, request } = who;
        let name = ConnectorName::parse(&config.key.name).map_err(|_| CredentialError::Lease("LeaseAudience"))?;
        let version = self.version(&tenant, &config.id).await?;
        let scope = Scope {
            audience: Audience::of(&config.key.namespace, &name),
            connector: config.id.clone(),
            tool: tool.to_owned(),
            tenant,
            user,
            delegate,
            request,
            version,
        };
        let lease = self.signer.sign(&scope).map_err(|error| CredentialError::Lease(error.reason()))?;
        let mut value = HeaderValue::from_str(&lease).map_err(|_| CredentialError::Lease("LeaseMalformed"))?;
        value.set_sensitive(true);
        Ok((HeaderName::from_static(LEASE_HEADER), value))
    }

    /// The current version of a credential; 0 where there is none, which the broker will say.
    async fn version(&self, tenant: &TenantId, connector: &ConnectorId) -> Result<u64, CredentialError> {
        let key = (tenant.clone(), connector.key());
        if let Some(version) = self.versions.known(&key) {
            return Ok(version);
        }
        let found = self.credentials.version(tenant, connector).await;
        let version = found.map_err(|_| CredentialError::Lease("CredentialsUnavailable"))?.unwrap_or_default();
        self.versions.learn(key, version);
        Ok(version)
    }
}

/// The caller's name, of bounded length.
fn name_of(caller: &Caller) -> String {
    let name = caller.principal.to_string();
    if name.len() <= MAX_USER { name } else { format!("sha256:{}", hex::encode(Sha256::digest(name))) }
}
