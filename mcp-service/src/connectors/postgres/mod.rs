//! PostgreSQL: typed tools come in; catalog queries, guarded SQL and counted writes go out.
//!
//! Reading is kept read-only four times over: by the role (a superuser is refused), by a READ ONLY transaction whose
//! first statement is ours, by a parser gate over the SQL of others, and by a reset of the session after each use.
//! None of the four relies on another.

mod connect;
mod error;
mod gate;
mod param;
mod pool;
mod rows;
mod settings;
mod stream;
mod tls;
mod tools;
mod transaction;
mod value;

use aperium_core::effect::Effect;

use crate::connector::{Connector, CredentialField, Info, SettingsSpec, Tool, ToolError, Upstream, Way};
use settings::Settings;
use transaction::Session;

static INFO: Info = Info {
    module: "postgres",
    title: "PostgreSQL",
    description: "Look at schemas, query tables read-only, and change rows where writes are enabled.",
    prefix: "postgres_",
    port: 8088,
    category: "Databases",
    credentials: &[
        CredentialField::text("host", "Host", "Name or address of the server."),
        CredentialField::text("port", "Port", "Port of the server; 5432 when left out.").optional(),
        CredentialField::text("database", "Database", "Name of the database."),
        CredentialField::text("username", "User", "A role of its own, with as few rights as the tools need."),
        CredentialField::secret("password", "Password", "Password of the role; not needed with a client certificate.")
            .optional(),
        CredentialField::text("ssl_mode", "TLS mode", "verify-full (default), verify-ca, require or disable.")
            .optional(),
        CredentialField::text("ca_certificate", "CA certificate", "PEM; without it the system's CAs are trusted.")
            .optional(),
        CredentialField::text("client_certificate", "Client certificate", "PEM chain, for certificate login.")
            .optional(),
        CredentialField::secret("client_key", "Client key", "PEM key of the client certificate.").optional(),
    ],
    settings: SettingsSpec::of::<Settings>(),
    egress_hosts: &[],
};

/// The connector.
#[derive(Debug)]
pub struct Postgres {
    tools: Vec<Tool>,
}

impl Postgres {
    /// With all its tools.
    #[must_use]
    pub fn new() -> Self {
        Self { tools: tools::all() }
    }
}

impl Default for Postgres {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait::async_trait]
impl Connector for Postgres {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn tools(&self) -> &[Tool] {
        &self.tools
    }

    async fn probe(&self, up: &Upstream) -> Result<(), ToolError> {
        let mut session = Session::open(up, Effect::Read, None).await?;
        let tx = session.begin().await?;
        let asked = tx.tx.query_one("SELECT 1", &[]).await.map_err(|error| tx.error(&error)).map(|_| ());
        tx.rollback().await?;
        session.close().await;
        asked
    }

    fn way(&self, up: &Upstream) -> Way {
        if up.optional_text("ssl_mode") == Some("disable") { Way::Plain } else { Way::Encrypted }
    }
}
