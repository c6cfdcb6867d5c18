//! The credentials of tenants as the broker reads them. The platform database is one reader; a table in memory another.

use aperium_core::id::{ConnectorId, TenantId};
use aperium_platform::probes::Check;
use futures::future::BoxFuture;
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// Values by field.
pub type Fields = BTreeMap<String, SecretString>;

/// The credential of one tenant for one connector.
#[derive(Clone)]
pub struct Loaded {
    /// Its version.
    pub version: u64,
    /// Its values.
    pub fields: Fields,
}

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded").field("version", &self.version).field("fields", &self.fields.keys()).finish()
    }
}

/// The credentials cannot be read now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the credentials cannot be read now")]
pub struct CredentialsDown;

pub(super) type Answer<'a, T> = BoxFuture<'a, Result<T, CredentialsDown>>;

/// Where the credentials of tenants are.
pub trait CredentialReader: fmt::Debug + Send + Sync {
    /// The credential, if there is one that may be used.
    fn load<'a>(&'a self, tenant: &'a TenantId, connector: &'a ConnectorId) -> Answer<'a, Option<Loaded>>;

    /// The version that [`CredentialReader::load`] would give; another version is another credential.
    fn version<'a>(&'a self, tenant: &'a TenantId, connector: &'a ConnectorId) -> Answer<'a, Option<u64>>;

    /// Whose credentials there are for a connector, with their versions, sorted by tenant.
    fn holders<'a>(&'a self, connector: &'a ConnectorId) -> Answer<'a, Vec<(TenantId, u64)>>;

    /// A probe of this version has said this: kept for those who ask, where there is a place for it.
    fn checked<'a>(&'a self, whose: (&'a TenantId, &'a ConnectorId), version: u64, check: &'a Check) -> Answer<'a, ()>;
}

/// There are none.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoCredentials;

impl CredentialReader for NoCredentials {
    fn load<'a>(&'a self, _: &'a TenantId, _: &'a ConnectorId) -> Answer<'a, Option<Loaded>> {
        Box::pin(async { Ok(None) })
    }

    fn version<'a>(&'a self, _: &'a TenantId, _: &'a ConnectorId) -> Answer<'a, Option<u64>> {
        Box::pin(async { Ok(None) })
    }

    fn holders<'a>(&'a self, _: &'a ConnectorId) -> Answer<'a, Vec<(TenantId, u64)>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn checked<'a>(&'a self, _: (&'a TenantId, &'a ConnectorId), _: u64, _: &'a Check) -> Answer<'a, ()> {
        Box::pin(async { Ok(()) })
    }
}

/// Credentials of this process, gone with it.
#[derive(Debug, Default)]
pub struct MemoryCredentials(Mutex<BTreeMap<(String, TenantId), Loaded>>);

impl MemoryCredentials {
    /// Saves a new version.
    pub fn put(&self, tenant: &TenantId, connector: &ConnectorId, fields: Fields) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (connector.key(), tenant.clone());
        let version = all.get(&key).map_or(0, |before| before.version) + 1;
        all.insert(key, Loaded { version, fields });
    }

    fn get(&self, tenant: &TenantId, connector: &ConnectorId) -> Option<Loaded> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&(connector.key(), tenant.clone())).cloned()
    }
}

impl CredentialReader for MemoryCredentials {
    fn load<'a>(&'a self, tenant: &'a TenantId, connector: &'a ConnectorId) -> Answer<'a, Option<Loaded>> {
        Box::pin(async move { Ok(self.get(tenant, connector)) })
    }

    fn version<'a>(&'a self, tenant: &'a TenantId, connector: &'a ConnectorId) -> Answer<'a, Option<u64>> {
        Box::pin(async move { Ok(self.get(tenant, connector).map(|loaded| loaded.version)) })
    }

    fn holders<'a>(&'a self, connector: &'a ConnectorId) -> Answer<'a, Vec<(TenantId, u64)>> {
        Box::pin(async move {
            let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let of = all.iter().filter(|((id, _), _)| *id == connector.key());
            Ok(of.map(|((_, tenant), loaded)| (tenant.clone(), loaded.version)).collect())
        })
    }

    fn checked<'a>(&'a self, _: (&'a TenantId, &'a ConnectorId), _: u64, _: &'a Check) -> Answer<'a, ()> {
        Box::pin(async { Ok(()) })
    }
}
