//! The platform database: what must outlive a process and be the same for all replicas. PostgreSQL, or one SQLite file
//! where there is a single replica.
//!
//! ```text
//! Target ──open──► Store ──prepare──► migrated, checked ──► tenant(&id) ──read / write──► Tx: `$1` is the tenant
//!                    │                                 ├──► platform()   what belongs to no tenant
//!                    └── health: database, key ring    └──► every_tenant() maintenance over all tenants
//! ```
//!
//! Every connection of this crate goes to the address that an admin gave as `DATABASE_URL`. It is the one that does not
//! pass `platform::egress`.
//!
//! # Isolation
//!
//! A table that belongs to tenants has a column with the tenant and is named in [`migrations`]. There are three walls:
//!
//! 1. In Rust a query on it needs a [`TenantTx`], and its first parameter is bound to that tenant before the caller
//!    binds any.
//! 2. A test reads every SQL text of this crate: one that names such a table must compare or insert the tenant with `$1`
//!    (`tests/isolation.rs`).
//! 3. On PostgreSQL row-level security is forced: every transaction says for which tenant it is, and without that a
//!    table looks empty. A role that is above these rules is refused at the start.
//!
//! # Adding a part
//!
//! 1. `migrations/NNNN_name.sql`, in the common language of both databases: TEXT, BIGINT (numbers, milliseconds since
//!    1970, booleans as 0 and 1), BLOB. No BOOLEAN, no TIMESTAMP, no SERIAL. A table of tenants has
//!    `tenant TEXT NOT NULL REFERENCES tenants (id) ON DELETE CASCADE` as the first column of its primary key.
//! 2. One entry in the list of `migrations.rs`, which names the tables that belong to tenants. What was released is
//!    never edited: the next change is the next file.
//! 3. `store/src/<part>.rs`: plain structs, and functions in `impl TenantStore` (or `impl Store` for what belongs to no
//!    tenant):
//!
//! ```ignore
//! impl TenantStore {
//!     pub async fn note(&self, name: &str) -> Result<Option<String>, StoreError> {
//!         let mut tx = self.read().await?;
//!         let row = tx.query("SELECT text FROM notes WHERE tenant = $1 AND name = $2").bind(name).optional().await?;
//!         row.map(|row| row.text("text")).transpose()
//!     }
//!     pub async fn save_note(&self, name: &str, text: &str) -> Result<(), StoreError> {
//!         let mut tx = self.write().await?;
//!         tx.query("INSERT INTO notes (tenant, name, text) VALUES ($1, $2, $3)").bind(name).bind(text).execute().await?;
//!         tx.commit().await
//!     }
//! }
//! ```
//!
//! Where the databases differ (`FOR UPDATE`: on SQLite a writing transaction is alone anyway), `tx.dialect` takes one of
//! two texts. A transaction that is dropped is rolled back. What must not be readable in the database is sealed for its
//! place: `tx.vault_or_new().await?.seal(&place, bytes)`, `tx.vault().await?` (see [`Vault`]).

pub mod audit;
pub mod credentials;
mod error;
mod forget;
mod health;
mod leases;
pub mod migrations;
mod oauth;
mod registrations;
mod scope;
mod sessions;
mod store;
mod target;
mod tenants;
mod tx;
mod vault;

pub use error::StoreError;
pub use oauth::{Claim, Flow, NewToken, StoredToken, TokenKey};
pub use registrations::{Admitted, Holding, Quotas};
pub use scope::{EveryTenant, Platform, TenantStore};
pub use sessions::{Lives, NewSession, Session};
pub use store::Store;
pub use target::Target;
pub use tx::{Row, Statement, TenantTx, Tx, Value};
pub use vault::{Place, Vault};

/// Milliseconds since 1970: the one form of time in the database.
#[must_use]
pub fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod testing;
