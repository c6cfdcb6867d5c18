//! Transactions, statements and rows: the few things of the driver that the parts of this crate need.

use crate::error::StoreError;
use crate::store::Store;
use aperium_core::id::TenantId;
use aperium_platform::seal::Sealer;
use sqlx::any::{Any, AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Row as _, Transaction};

/// A transaction. Dropped, it is rolled back.
pub struct Tx {
    inner: Transaction<'static, Any>,
    postgres: bool,
}

impl Tx {
    /// `scope` is what row-level security is told; without it the tables of tenants look empty on PostgreSQL.
    pub(crate) async fn begin(store: &Store, writes: bool, scope: Option<&str>) -> Result<Self, StoreError> {
        store.ready()?;
        Self::begin_unprepared(store, writes, scope).await
    }

    /// The same before anybody has said that the database is as it should be.
    pub(crate) async fn begin_unprepared(store: &Store, writes: bool, scope: Option<&str>) -> Result<Self, StoreError> {
        let postgres = store.0.postgres;
        let begin = match (postgres, writes) {
            (true, false) => "BEGIN READ ONLY",
            (_, false) => "BEGIN",
            (true, true) => "BEGIN READ WRITE",
            // Whoever will write takes the lock at once: a reader cannot become a writer while another one writes.
            (false, true) => "BEGIN IMMEDIATE",
        };
        let mut inner = store.0.pool.begin_with(begin).await?;
        if let Some(scope) = scope.filter(|_| postgres) {
            let tell = "SELECT set_config('aperium.tenant', $1, true)";
            sqlx::query(tell).bind(scope.to_owned()).execute(&mut *inner).await?;
        }
        Ok(Self { inner, postgres })
    }

    /// A statement; `$1` is the first value that is bound.
    pub fn query(&mut self, sql: &'static str) -> Statement<'_> {
        Statement { tx: self, query: sqlx::query(sql) }
    }

    /// The one of two texts that this database understands. Both belong into the same place, side by side.
    #[must_use]
    pub const fn dialect(&self, postgres: &'static str, sqlite: &'static str) -> &'static str {
        if self.postgres { postgres } else { sqlite }
    }

    /// Makes it so.
    ///
    /// # Errors
    /// [`StoreError`]; with [`StoreError::Unavailable`] nobody knows whether it is so.
    pub async fn commit(self) -> Result<(), StoreError> {
        Ok(self.inner.commit().await?)
    }
}

/// A transaction for one tenant.
pub struct TenantTx {
    tx: Tx,
    tenant: TenantId,
    sealer: Sealer,
}

impl TenantTx {
    pub(crate) const fn new(tx: Tx, tenant: TenantId, sealer: Sealer) -> Self {
        Self { tx, tenant, sealer }
    }

    /// A statement whose `$1` is this tenant; the first value that the caller binds is `$2`.
    pub fn query(&mut self, sql: &'static str) -> Statement<'_> {
        let tenant = self.tenant.as_str().to_owned();
        self.tx.query(sql).bind(tenant)
    }

    /// As [`Tx::dialect`], for `SELECT … FOR UPDATE` above all: on SQLite a writing transaction is alone anyway.
    #[must_use]
    pub const fn dialect(&self, postgres: &'static str, sqlite: &'static str) -> &'static str {
        self.tx.dialect(postgres, sqlite)
    }

    /// Whose it is.
    #[must_use]
    pub const fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    pub(crate) const fn ring(&self) -> &Sealer {
        &self.sealer
    }

    /// Makes it so.
    ///
    /// # Errors
    /// As [`Tx::commit`].
    pub async fn commit(self) -> Result<(), StoreError> {
        self.tx.commit().await
    }
}

/// A value that both databases know.
pub trait Value: sealed::Sealed {}

mod sealed {
    use super::{Any, AnyArguments, Query};

    pub trait Sealed {
        fn add(self, query: Query<'static, Any, AnyArguments>) -> Query<'static, Any, AnyArguments>;
    }
}

macro_rules! values {
    ($($from:ty => $to:ty),*) => {$(
        impl Value for $from {}
        impl sealed::Sealed for $from {
            fn add(self, query: Query<'static, Any, AnyArguments>) -> Query<'static, Any, AnyArguments> {
                query.bind(<$to>::from(self))
            }
        }
        impl Value for Option<$from> {}
        impl sealed::Sealed for Option<$from> {
            fn add(self, query: Query<'static, Any, AnyArguments>) -> Query<'static, Any, AnyArguments> {
                query.bind(self.map(<$to>::from))
            }
        }
    )*};
}

values!(&str => String, String => String, i64 => i64, &[u8] => Vec<u8>, Vec<u8> => Vec<u8>);

/// A statement with its values.
#[must_use]
pub struct Statement<'t> {
    tx: &'t mut Tx,
    query: Query<'static, Any, AnyArguments>,
}

impl Statement<'_> {
    /// Binds the next value.
    pub fn bind(self, value: impl Value) -> Self {
        Self { tx: self.tx, query: value.add(self.query) }
    }

    /// Runs it; how many rows were changed.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn execute(self) -> Result<u64, StoreError> {
        Ok(self.query.execute(&mut *self.tx.inner).await?.rows_affected())
    }

    /// The first row, where there is one.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn optional(self) -> Result<Option<Row>, StoreError> {
        Ok(self.query.fetch_optional(&mut *self.tx.inner).await?.map(Row))
    }

    /// The row that there must be.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::Row`] if there is none.
    pub async fn one(self) -> Result<Row, StoreError> {
        self.optional().await?.ok_or(StoreError::Row)
    }

    /// All rows. The statement says how many they may be at most.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn all(self) -> Result<Vec<Row>, StoreError> {
        Ok(self.query.fetch_all(&mut *self.tx.inner).await?.into_iter().map(Row).collect())
    }
}

/// A statement that is a transaction of its own: one way to the database and back, and done when it is answered.
#[must_use]
pub(crate) struct Alone<'s> {
    store: &'s Store,
    query: Query<'static, Any, AnyArguments>,
}

impl<'s> Alone<'s> {
    pub(crate) fn new(store: &'s Store, sql: &'static str) -> Result<Self, StoreError> {
        store.ready()?;
        Ok(Self { store, query: sqlx::query(sql) })
    }

    /// Binds the next value.
    pub(crate) fn bind(self, value: impl Value) -> Self {
        Self { store: self.store, query: value.add(self.query) }
    }

    /// Runs it; how many rows were changed.
    ///
    /// # Errors
    /// [`StoreError`]; with [`StoreError::Unavailable`] nobody knows whether it is so.
    pub(crate) async fn execute(self) -> Result<u64, StoreError> {
        Ok(self.query.execute(&self.store.0.pool).await?.rows_affected())
    }
}

/// A row; a column that is not there or of another type is [`StoreError::Row`].
pub struct Row(AnyRow);

macro_rules! columns {
    ($($(#[$doc:meta])* $name:ident: $type:ty;)*) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        /// [`StoreError::Row`]
        pub fn $name(&self, column: &str) -> Result<$type, StoreError> {
            Ok(self.0.try_get(column)?)
        }
    )*};
}

impl Row {
    columns! {
        /// TEXT
        text: String;
        /// TEXT that may be NULL
        maybe_text: Option<String>;
        /// BIGINT
        int: i64;
        /// BIGINT that may be NULL
        maybe_int: Option<i64>;
        /// BLOB
        bytes: Vec<u8>;
        /// BLOB that may be NULL
        maybe_bytes: Option<Vec<u8>>;
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{ring, sqlite};
    use crate::{Store, StoreError};
    use aperium_core::id::TenantId;

    const INSERT: &str = "INSERT INTO tenants (id, created_ms, ring_key, data_key) VALUES ($1, $2, $3, $4)";
    const SELECT: &str = "SELECT * FROM tenants WHERE id = $1";

    #[tokio::test]
    async fn values_of_every_kind_come_back_and_nothing_stays_without_a_commit() {
        let (_folder, target) = sqlite();
        let store = Store::connect(&target, ring("k1", &[("k1", 1)])).await.unwrap();
        let acme = store.tenant(&TenantId::parse("acme").unwrap());
        let mut tx = acme.write().await.unwrap();
        tx.query(INSERT).bind(i64::MAX).bind("k1").bind(&[0_u8, 255][..]).execute().await.unwrap();
        drop(tx);
        let mut tx = acme.write().await.unwrap();
        assert!(tx.query(SELECT).optional().await.unwrap().is_none());
        assert_eq!(tx.query(INSERT).bind(7).bind("ü").bind(vec![1_u8]).execute().await, Ok(1));
        assert_eq!(tx.query(INSERT).bind(7).bind("ü").bind(vec![1_u8]).execute().await, Err(StoreError::Exists));
        tx.commit().await.unwrap();
        let mut tx = acme.read().await.unwrap();
        let row = tx.query(SELECT).one().await.unwrap();
        assert_eq!(
            (row.text("id").unwrap().as_str(), row.int("created_ms"), row.bytes("data_key")),
            ("acme", Ok(7), Ok(vec![1]))
        );
        assert_eq!((row.int("id"), row.text("nothing")), (Err(StoreError::Row), Err(StoreError::Row)));
        let globex = store.tenant(&TenantId::parse("globex").unwrap());
        assert!(globex.read().await.unwrap().query(SELECT).all().await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn what_belongs_to_nothing_is_refused() {
        let (_folder, target) = sqlite();
        let store = Store::connect(&target, ring("k1", &[("k1", 1)])).await.unwrap();
        let mut tx = store.tenant(&TenantId::parse("acme").unwrap()).write().await.unwrap();
        let sql = "INSERT INTO credential_sets (tenant, connector, version, saved_ms, saved_by, expires_ms) \
            VALUES ($1, 'odoo', 1, 0, 'x', $2)";
        assert_eq!(tx.query(sql).bind(None::<i64>).execute().await, Err(StoreError::Orphan));
    }

    #[tokio::test]
    async fn the_file_and_its_journal_are_readable_by_their_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let (folder, target) = sqlite();
        let _store = Store::connect(&target, ring("k1", &[("k1", 1)])).await.unwrap();
        let data = folder.path().join("data");
        let files: Vec<_> = std::fs::read_dir(&data).unwrap().flatten().collect();
        assert!(files.len() >= 2, "{files:?}");
        for file in files {
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
        }
        assert_eq!(std::fs::metadata(data).unwrap().permissions().mode() & 0o777, 0o700);
    }
}
