//! The platform database: a PostgreSQL beside the load, on CPU 0.

use aperium_tests::postgres::Postgres;

/// As URLs have it: nothing in it is escaped.
const PASSWORD: &str = "benchmark";

/// A server with the database `aperium`, which an ordinary role owns.
pub(crate) struct Database(Postgres);

impl Database {
    pub(crate) fn start() -> Self {
        let server = Postgres::start();
        server.create_role("aperium", PASSWORD);
        server.sql("postgres", "CREATE DATABASE aperium OWNER aperium");
        Self(server)
    }

    /// Its URL, for a program.
    pub(crate) fn url(&self) -> String {
        format!("postgres://aperium:{PASSWORD}@{}/aperium", self.0.address())
    }

    /// Records of the audit log.
    pub(crate) fn records(&self) -> u64 {
        self.0.sql("aperium", "SELECT count(*) FROM audit_entries").parse().expect("a number")
    }
}
