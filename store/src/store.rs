//! A target and a key ring → a pool of connections that is bounded in number and time, migrated and checked.

use crate::error::StoreError;
use crate::migrations;
use crate::scope::{EveryTenant, Platform, TenantStore};
use crate::target::Target;
use aperium_core::id::TenantId;
use aperium_platform::seal::Sealer;
use sqlx::any::AnyPoolOptions;
use sqlx::{AnyConnection, AnyPool, Connection as _, Executor as _, Row as _};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Connections of one process. PostgreSQL's own default is 100 for everybody.
const MAX_CONNECTIONS: u32 = 10;
/// How long a request waits for a connection.
const ACQUIRE: Duration = Duration::from_secs(3);
/// An idle connection is closed after this time.
const IDLE: Duration = Duration::from_secs(300);
/// A connection is replaced after this time: addresses and certificates change.
const LIFETIME: Duration = Duration::from_secs(1800);
/// A connection that was used a moment ago is used again without asking whether it still stands.
const TRUSTED: Duration = Duration::from_secs(1);
/// Another replica may be migrating that long.
const MIGRATING: &str = "SET statement_timeout = '300s'; SET lock_timeout = '300s'";
const POSTGRES: &str = "SET application_name = 'aperium'; SET statement_timeout = '10s'; SET lock_timeout = '5s'; \
    SET idle_in_transaction_session_timeout = '30s'; SET row_security = on";
/// `secure_delete`: what is deleted is overwritten in the file.
const SQLITE: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
    PRAGMA busy_timeout = 5000; PRAGMA secure_delete = ON; PRAGMA trusted_schema = OFF";
const ROLE: &str = "SELECT CASE WHEN rolsuper OR rolbypassrls THEN 1 ELSE 0 END::BIGINT AS above \
    FROM pg_roles WHERE rolname = current_user";

/// The platform database. Cheap to clone.
#[derive(Clone)]
pub struct Store(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) pool: AnyPool,
    pub(crate) postgres: bool,
    pub(crate) sealer: Sealer,
    prepared: AtomicBool,
}

impl Store {
    /// Names the database, without talking to it. Until [`Store::prepare`] has succeeded nothing can be read or written.
    ///
    /// # Errors
    /// [`StoreError::Url`], [`StoreError::File`]
    pub fn open(target: &Target, sealer: Sealer) -> Result<Self, StoreError> {
        sqlx::any::install_default_drivers();
        let options = target.options()?;
        let postgres = target.is_postgres();
        let pool = AnyPoolOptions::new()
            .max_connections(MAX_CONNECTIONS)
            .acquire_timeout(ACQUIRE)
            .idle_timeout(IDLE)
            .max_lifetime(LIFETIME)
            .test_before_acquire(false)
            .before_acquire(|connection, about| {
                Box::pin(async move {
                    if about.idle_for < TRUSTED { Ok(true) } else { connection.ping().await.map(|()| true) }
                })
            })
            .after_connect(move |connection, _| {
                Box::pin(async move { connection.execute(if postgres { POSTGRES } else { SQLITE }).await.map(|_| ()) })
            })
            .connect_lazy_with(options);
        Ok(Self(Arc::new(Inner { pool, postgres, sealer, prepared: AtomicBool::new(false) })))
    }

    /// Migrates and checks. Any replica may do it, several at a time too: one does, the others wait. May be repeated.
    ///
    /// # Errors
    /// [`StoreError`]; trying again later may help.
    pub async fn prepare(&self) -> Result<(), StoreError> {
        let mut connection = self.0.pool.acquire().await?.detach();
        let done = self.prepare_on(&mut connection).await;
        // The lock of migrations ends with the connection, however they ended.
        let _ = connection.close().await;
        done?;
        self.check_ring().await?;
        self.0.prepared.store(true, Ordering::Release);
        Ok(())
    }

    async fn prepare_on(&self, connection: &mut AnyConnection) -> Result<(), StoreError> {
        if self.0.postgres {
            let above: i64 = connection.fetch_one(ROLE).await?.try_get("above")?;
            if above != 0 {
                return Err(StoreError::Role);
            }
            connection.execute(MIGRATING).await?;
        }
        migrations::migrator(self.0.postgres).run_direct(None, connection, false).await?;
        Ok(())
    }

    /// Both at once.
    ///
    /// # Errors
    /// As [`Store::open`] and [`Store::prepare`].
    pub async fn connect(target: &Target, sealer: Sealer) -> Result<Self, StoreError> {
        let store = Self::open(target, sealer)?;
        store.prepare().await?;
        Ok(store)
    }

    /// What belongs to this tenant: the only way to it.
    #[must_use]
    pub fn tenant(&self, tenant: &TenantId) -> TenantStore {
        TenantStore::new(self.clone(), tenant.clone())
    }

    /// What belongs to no tenant.
    #[must_use]
    pub fn platform(&self) -> Platform {
        Platform::new(self.clone())
    }

    /// Maintenance over all tenants: retention, rotation, lists for admins. Never for a call.
    #[must_use]
    pub fn every_tenant(&self) -> EveryTenant {
        EveryTenant::new(self.clone())
    }

    pub(crate) fn ready(&self) -> Result<(), StoreError> {
        if self.0.prepared.load(Ordering::Acquire) { Ok(()) } else { Err(StoreError::Unprepared) }
    }

    /// Closes all connections and waits for those in use.
    pub async fn close(&self) {
        self.0.pool.close().await;
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({})", if self.0.postgres { "postgres" } else { "sqlite" })
    }
}
