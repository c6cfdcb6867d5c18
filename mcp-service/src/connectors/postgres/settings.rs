//! The settings of the connector: `spec.service.settings` comes in, checked values go out.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::connector::Count;

/// `spec.service.settings` of a postgres Connector.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub(super) struct Settings {
    /// Schemas that the tools may touch; empty means all that the role may see.
    pub(super) allowed_schemas: Vec<String>,
    /// The most rows that `postgres_run_query` returns (1 to 10000, default 1000).
    pub(super) max_rows: Count<1000, 10_000>,
    /// How long one statement may run, in milliseconds (1 to 600000, default 30000); the time limit of the call also holds.
    pub(super) statement_timeout_ms: Count<30_000, 600_000>,
    /// Connections to the database at the same time (1 to 50, default 5).
    pub(super) max_connections: Count<5, 50>,
    /// Accept a superuser, or a role that may read and write files of the server. Off: such a role is refused.
    pub(super) allow_superuser: bool,
    /// Accept `ssl_mode: disable` for hosts other than loopback.
    pub(super) allow_plaintext: bool,
    /// Offer `postgres_execute_statement`, which runs any single INSERT, UPDATE, DELETE or MERGE. Needs `calls.writes: Enabled` as well.
    pub(super) allow_execute_statement: bool,
}

impl Settings {
    /// How long one statement may run.
    pub(super) fn statement_timeout(&self) -> Duration {
        Duration::from_millis(u64::from(self.statement_timeout_ms.get()))
    }

    /// The allowed schemas, or nothing when all are.
    pub(super) fn schemas(&self) -> Option<&[String]> {
        if self.allowed_schemas.is_empty() { None } else { Some(&self.allowed_schemas) }
    }

    /// Whether the tools may touch a schema.
    pub(super) fn allows(&self, schema: &str) -> bool {
        self.schemas().is_none_or(|allowed| allowed.iter().any(|name| name == schema))
    }
}
