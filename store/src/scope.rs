//! Whose data a transaction is for: one tenant's, nobody's, or everybody's.

use crate::error::StoreError;
use crate::store::Store;
use crate::tx::{Alone, TenantTx, Tx};
use aperium_core::id::TenantId;
use aperium_platform::seal::Sealer;

/// What belongs to one tenant. Cheap to clone.
#[derive(Debug, Clone)]
pub struct TenantStore {
    store: Store,
    tenant: TenantId,
}

impl TenantStore {
    pub(crate) const fn new(store: Store, tenant: TenantId) -> Self {
        Self { store, tenant }
    }

    /// Whose it is.
    #[must_use]
    pub const fn id(&self) -> &TenantId {
        &self.tenant
    }

    /// The database itself.
    #[must_use]
    pub const fn store(&self) -> &Store {
        &self.store
    }

    /// A transaction that only reads.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn read(&self) -> Result<TenantTx, StoreError> {
        let tx = Tx::begin(&self.store, false, Some(self.tenant.as_str())).await?;
        Ok(TenantTx::new(tx, self.tenant.clone(), self.store.0.sealer.clone()))
    }

    /// A transaction that writes; nothing is written without [`TenantTx::commit`].
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn write(&self) -> Result<TenantTx, StoreError> {
        let tx = Tx::begin(&self.store, true, Some(self.tenant.as_str())).await?;
        Ok(TenantTx::new(tx, self.tenant.clone(), self.store.0.sealer.clone()))
    }
}

/// What belongs to no tenant. On PostgreSQL the tables of tenants look empty from here.
#[derive(Debug, Clone)]
pub struct Platform(Store);

impl Platform {
    pub(crate) const fn new(store: Store) -> Self {
        Self(store)
    }

    pub(crate) fn ring(&self) -> &Sealer {
        &self.0.0.sealer
    }

    /// A transaction that only reads.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn read(&self) -> Result<Tx, StoreError> {
        Tx::begin(&self.0, false, None).await
    }

    /// A transaction that writes; nothing is written without [`Tx::commit`].
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn write(&self) -> Result<Tx, StoreError> {
        Tx::begin(&self.0, true, None).await
    }

    /// A statement that is a transaction of its own; its first value is `$1`.
    pub(crate) fn alone(&self, sql: &'static str) -> Result<Alone<'_>, StoreError> {
        Alone::new(&self.0, sql)
    }
}

/// Maintenance over all tenants. SQL that runs here says so with the comment `/* every tenant */`.
#[derive(Debug, Clone)]
pub struct EveryTenant(Store);

impl EveryTenant {
    /// What PostgreSQL is told. No tenant can have this name.
    pub(crate) const SCOPE: &str = "*";

    pub(crate) const fn new(store: Store) -> Self {
        Self(store)
    }

    pub(crate) const fn store(&self) -> &Store {
        &self.0
    }

    /// A transaction that only reads.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn read(&self) -> Result<Tx, StoreError> {
        Tx::begin(&self.0, false, Some(Self::SCOPE)).await
    }

    /// A transaction that writes; nothing is written without [`Tx::commit`].
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn write(&self) -> Result<Tx, StoreError> {
        Tx::begin(&self.0, true, Some(Self::SCOPE)).await
    }
}
