//! T11: on PostgreSQL the tables of tenants look empty to whoever does not say for which tenant, and to one tenant's
//! transaction those of others do.

use crate::databases::{Database, ring};
use crate::save;
use aperium_store::migrations::tenant_tables;
use aperium_store::{Store, StoreError};
use sqlx::AssertSqlSafe;

#[tokio::test]
async fn t11_without_the_tenant_every_table_of_tenants_is_empty() {
    let database = Database::postgres();
    let store = database.store(&ring(&[1])).await;
    save(&store, "acme", "hunter2").await;
    save(&store, "globex", "swordfish").await;
    let (owner, attacker) = (database.raw("aperium").await, database.raw("attacker").await);
    let count = async |pool: &sqlx::AnyPool, sql: String| -> i64 {
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(pool).await.unwrap()
    };
    for sql in ["acme", "globex"].iter().flat_map(|tenant| rows_of_users(tenant)) {
        sqlx::query(AssertSqlSafe(sql)).execute(&attacker).await.unwrap();
    }
    for table in tenant_tables() {
        let all = format!("SELECT COUNT(*) FROM {}", table.table);
        assert!(count(&attacker, all.clone()).await >= 2, "{table:?}: the superuser sees rows");
        assert_eq!(count(&owner, all.clone()).await, 0, "{table:?}: the owner sees none");
        let mut tx = owner.begin().await.unwrap();
        sqlx::query("SELECT set_config('aperium.tenant', 'acme', true)").execute(&mut *tx).await.unwrap();
        let others = format!("{all} WHERE {} <> 'acme'", table.column);
        let seen: i64 = sqlx::query_scalar(AssertSqlSafe(all.clone())).fetch_one(&mut *tx).await.unwrap();
        let foreign: i64 = sqlx::query_scalar(AssertSqlSafe(others)).fetch_one(&mut *tx).await.unwrap();
        assert!(seen > 0 && foreign == 0, "{table:?}: {seen} seen, {foreign} of others");
        tx.rollback().await.unwrap();
        // The setting ended with its transaction.
        assert_eq!(count(&owner, all).await, 0, "{table:?}");
    }
}

/// A row of a tenant in every table that saving a credential does not touch.
fn rows_of_users(tenant: &str) -> [String; 5] {
    [
        format!("INSERT INTO oauth_clients VALUES ('{tenant}', 'mail', 'https://issuer', 1, '\\x00')"),
        format!("INSERT INTO oauth_flows VALUES ('{tenant}', 'f', 'mail', 'ada', '', 1, '\\x00')"),
        format!(
            "INSERT INTO oauth_tokens VALUES \
             ('{tenant}', 'mail', 'ada', 'https://issuer', 'https://mail', 1, 0, NULL, 1, '\\x00')"
        ),
        format!("INSERT INTO audit_entries VALUES ('{tenant}', 'gw-1', 1, 0, 'hash', 'line')"),
        format!("INSERT INTO audit_cuts VALUES ('{tenant}', 'gw-1', 0)"),
    ]
}

#[tokio::test]
async fn t11_nothing_is_written_for_another_tenant() {
    let database = Database::postgres();
    let store = database.store(&ring(&[1])).await;
    save(&store, "acme", "hunter2").await;
    save(&store, "globex", "swordfish").await;
    let owner = database.raw("aperium").await;
    let mut tx = owner.begin().await.unwrap();
    sqlx::query("SELECT set_config('aperium.tenant', 'acme', true)").execute(&mut *tx).await.unwrap();
    let stolen =
        sqlx::query("UPDATE credential_fields SET version = 9 WHERE tenant = 'globex'").execute(&mut *tx).await;
    assert_eq!(stolen.unwrap().rows_affected(), 0);
    let planted = "INSERT INTO credential_sets (tenant, connector, version, saved_ms, saved_by) \
        VALUES ('globex', 'evil', 1, 0, 'eve')";
    let refused = sqlx::query(planted).execute(&mut *tx).await.unwrap_err();
    assert_eq!(refused.as_database_error().unwrap().code().unwrap(), "42501");
}

#[tokio::test]
async fn t11_a_role_above_row_security_is_refused() {
    let mut database = Database::postgres();
    for (above, below) in [("BYPASSRLS", "NOBYPASSRLS"), ("SUPERUSER", "NOSUPERUSER")] {
        database.server().sql("postgres", &format!("ALTER ROLE aperium {above}"));
        let error = Store::connect(&database.target(), ring(&[1])).await.unwrap_err();
        assert_eq!(error, StoreError::Role, "{above}");
        database.server().sql("postgres", &format!("ALTER ROLE aperium {below}"));
    }
    assert!(Store::connect(&database.target(), ring(&[1])).await.is_ok());
}
