//! The platform database, PostgreSQL and SQLite alike: attacks by somebody who has the rows (T3, T4, T11, T14, T15),
//! deletion (T9), rotation under reads, replicas that migrate at once, a server that goes away, an audit log that somebody
//! changes, servers that register themselves.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]
#![expect(clippy::print_stdout, reason = "the seed of a failure, and what a soak reports")]

mod databases;

mod attacks;
mod audit;
mod availability;
mod isolation;
mod keys;
mod registrations;

use aperium_core::id::{ConnectorId, TenantId};
use aperium_store::credentials::Fields;
use aperium_store::{Store, StoreError, TenantStore};
use secrecy::ExposeSecret as _;

fn odoo() -> ConnectorId {
    ConnectorId::parse("odoo").unwrap()
}

fn of(store: &Store, tenant: &str) -> TenantStore {
    store.tenant(&TenantId::parse(tenant).unwrap())
}

/// Saves `password` and `user` for odoo and slack.
async fn save(store: &Store, tenant: &str, password: &str) {
    for connector in ["odoo", "slack"] {
        let fields: Fields = [("password".to_owned(), password.into()), ("user".to_owned(), "somebody".into())].into();
        let connector = ConnectorId::parse(connector).unwrap();
        of(store, tenant).put_credential(&connector, &fields, None, "admin").await.unwrap();
    }
}

/// The password of odoo, where there is one.
async fn password(store: &Store, tenant: &str) -> Result<Option<String>, StoreError> {
    let loaded = of(store, tenant).load_credential(&odoo()).await?;
    Ok(loaded.map(|loaded| loaded.fields["password"].expose_secret().to_owned()))
}
