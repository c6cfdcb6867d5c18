//! The list of migrations: forward only, each applied once, whatever replica comes first.
//!
//! The files are written for both databases. For PostgreSQL the word BLOB becomes BYTEA, and every table that belongs
//! to tenants gets its row-level security here, so that no file can forget it.

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, SqlSafeStr as _};

/// A table that belongs to tenants, and its column with the tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TenantTable {
    /// Its name.
    pub table: &'static str,
    /// `tenant` everywhere but in the list of tenants itself.
    pub column: &'static str,
}

/// One file.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    version: i64,
    name: &'static str,
    sql: &'static str,
    tenant_tables: &'static [TenantTable],
}

const fn of_tenants(table: &'static str) -> TenantTable {
    TenantTable { table, column: "tenant" }
}

/// All migrations, in their order. What was released is never edited.
pub const STEPS: &[Step] = &[
    Step {
        version: 1,
        name: "base",
        sql: include_str!("migrations/0001_base.sql"),
        tenant_tables: &[
            TenantTable { table: "tenants", column: "id" },
            of_tenants("credential_sets"),
            of_tenants("credential_fields"),
        ],
    },
    Step { version: 2, name: "sessions", sql: include_str!("migrations/0002_sessions.sql"), tenant_tables: &[] },
    Step { version: 3, name: "broker", sql: include_str!("migrations/0003_broker.sql"), tenant_tables: &[] },
    Step {
        version: 4,
        name: "oauth",
        sql: include_str!("migrations/0004_oauth.sql"),
        tenant_tables: &[of_tenants("oauth_clients"), of_tenants("oauth_flows"), of_tenants("oauth_tokens")],
    },
    Step {
        version: 5,
        name: "audit",
        sql: include_str!("migrations/0005_audit.sql"),
        tenant_tables: &[of_tenants("audit_entries"), of_tenants("audit_cuts")],
    },
    Step {
        version: 6,
        name: "credential checks",
        sql: include_str!("migrations/0006_credential_checks.sql"),
        tenant_tables: &[],
    },
    Step {
        version: 7,
        name: "registrations",
        sql: include_str!("migrations/0007_registrations.sql"),
        tenant_tables: &[],
    },
    Step {
        version: 8,
        name: "retired versions",
        sql: include_str!("migrations/0008_retired_versions.sql"),
        tenant_tables: &[],
    },
];

/// What may be lost in a crash: PostgreSQL does not log it.
const UNLOGGED: &[&str] = &["redeemed_leases"];

/// Triggers, which each database spells in its own way, by the name of the step that they belong to.
const TRIGGERS: &[(&str, Triggers)] = &[
    (
        "audit",
        Triggers {
            postgres: include_str!("migrations/audit_triggers.postgres.sql"),
            sqlite: include_str!("migrations/audit_triggers.sqlite.sql"),
        },
    ),
    (
        "retired versions",
        Triggers {
            postgres: include_str!("migrations/retired_triggers.postgres.sql"),
            sqlite: include_str!("migrations/retired_triggers.sqlite.sql"),
        },
    ),
];

struct Triggers {
    postgres: &'static str,
    sqlite: &'static str,
}

/// Every table that belongs to tenants.
pub fn tenant_tables() -> impl Iterator<Item = TenantTable> {
    STEPS.iter().flat_map(|step| step.tenant_tables.iter().copied())
}

pub(crate) fn migrator(postgres: bool) -> Migrator {
    Migrator::with_migrations(STEPS.iter().map(|step| step.migration(postgres)).collect())
}

impl Step {
    fn migration(&self, postgres: bool) -> Migration {
        let mut sql = if postgres { self.for_postgres() } else { self.sql.to_owned() };
        if let Some((_, triggers)) = TRIGGERS.iter().find(|(step, _)| *step == self.name) {
            sql.push_str(if postgres { triggers.postgres } else { triggers.sqlite });
        }
        let sql = AssertSqlSafe(sql).into_sql_str();
        Migration::new(self.version, self.name.into(), MigrationType::Simple, sql, false)
    }

    fn for_postgres(&self) -> String {
        let mut sql = self.sql.replace(" BLOB", " BYTEA");
        for TenantTable { table, column } in self.tenant_tables {
            // `*` is no tenant: the transactions of maintenance say it.
            sql.push_str(&format!(
                "\nALTER TABLE {table} ENABLE ROW LEVEL SECURITY;\
                 \nALTER TABLE {table} FORCE ROW LEVEL SECURITY;\
                 \nCREATE POLICY tenant ON {table} USING ({column} = current_setting('aperium.tenant', true) \
                 OR current_setting('aperium.tenant', true) = '*');\n"
            ));
        }
        for table in UNLOGGED.iter().filter(|table| self.sql.contains(&format!("CREATE TABLE {table} "))) {
            sql.push_str(&format!("\nALTER TABLE {table} SET UNLOGGED;\n"));
        }
        sql
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_grow_and_no_file_speaks_one_database_only() {
        assert!(STEPS.is_sorted_by(|one, next| one.version < next.version));
        for step in STEPS {
            for word in ["BYTEA", "BOOLEAN", "TIMESTAMP", "SERIAL", "AUTOINCREMENT", "JSONB", "ROW LEVEL"] {
                assert!(!step.sql.to_uppercase().contains(word), "{}: {word}", step.name);
            }
        }
    }

    #[test]
    fn every_table_with_a_tenant_is_in_the_list() {
        for step in STEPS {
            for table in step.sql.split("CREATE TABLE ").skip(1) {
                let (name, columns) = table.split_once(" (").unwrap();
                let columns = columns.split(");").next().unwrap();
                let has = columns.lines().any(|line| line.trim_start().starts_with("tenant "));
                let listed = step.tenant_tables.iter().any(|listed| listed.table == name && listed.column == "tenant");
                assert_eq!(has, listed, "{name}");
            }
        }
    }
}
