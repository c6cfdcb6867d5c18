//! A real PostgreSQL on the host's end of the cluster's network.

mod certificates;

use aperium_tests::canary::Planted;
use aperium_tests::cluster::Cluster;
use aperium_tests::postgres::Postgres;
use std::path::PathBuf;

/// The password of the role that agents use.
pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// The role that agents use.
const ROLE: &str = "aperium_reader";

/// The certificate of an authority that signed nothing here.
pub(crate) fn another_authority() -> String {
    certificates::authority().pem()
}

/// The database `analytics` with a table `customers`, and the role `aperium_reader` that may read it.
pub(crate) struct Database {
    server: Postgres,
    /// The certificate of the authority that signed the server's, as PEM.
    authority: String,
}

impl Database {
    pub(crate) fn start(cluster: &Cluster) -> Self {
        let mut server = Postgres::start_on(cluster.host_ip(), &[]);
        let authority = certificates::write(&server.data_folder(), cluster.host_ip());
        server.sql("postgres", "alter system set ssl = on");
        server.stop();
        server.start_again();
        server.create_database("analytics");
        server.create_role(ROLE, PASSWORD);
        server.sql("analytics", "create table customers (id int primary key, name text not null)");
        server.sql("analytics", "insert into customers values (1, 'Ada'), (2, 'Grace')");
        server.sql("analytics", "grant select on customers to aperium_reader");
        Self { server, authority }
    }

    /// The fields of the connector's credentials, as a Secret's `stringData`.
    pub(crate) fn fields(&self, password: &str) -> serde_json::Value {
        serde_json::json!({
            "host": self.server.host(), "port": self.server.port().to_string(), "database": "analytics",
            "username": ROLE, "password": password, "ssl_mode": "verify-full", "ca_certificate": self.authority,
        })
    }

    /// The role gets another password; who is connected is cut off.
    pub(crate) fn rotate(&self, password: &str) {
        self.server.set_password(ROLE, password);
        self.server.disconnect(ROLE);
    }

    /// A database for the platform itself on the same server, of a role of its own: its `DATABASE_URL`.
    pub(crate) fn for_the_platform(&self, planted: &Planted) -> String {
        let password = planted.plant("password of the platform");
        self.server.create_role("aperium", &password);
        self.server.sql("postgres", "create database aperium owner aperium");
        format!("postgres://aperium:{password}@{}/aperium?sslmode=require", self.server.address())
    }

    /// The server's files, with all that it has been told.
    pub(crate) fn folder(&self) -> PathBuf {
        self.server.sql("postgres", "checkpoint");
        self.server.data_folder()
    }

    /// All that the platform has stored.
    pub(crate) fn dump_of_the_platform(&self) -> String {
        self.server.dump("aperium")
    }

    pub(crate) fn stop(&mut self) {
        self.server.stop();
    }

    pub(crate) fn start_again(&mut self) {
        self.server.start_again();
    }
}
