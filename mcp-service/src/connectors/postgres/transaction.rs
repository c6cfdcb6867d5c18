//! The one way to run statements: a transaction whose first statement is ours and whose limits are armed.
//!
//! After a first statement `SET TRANSACTION READ WRITE` is refused by the server (25001). The extended protocol takes
//! one statement at a time, so no text of others can end the transaction and go on; nothing from outside ever reaches
//! `simple_query` or `batch_execute`.

use std::time::Duration;

use aperium_core::effect::Effect;
use tokio_postgres::{IsolationLevel, Transaction};

use super::error::from_postgres;
use super::pool::{Lease, Pool};
use super::settings::Settings;
use super::stream::{Budget, LIMIT};
use crate::connector::{ErrorCode, ToolError, Upstream};

/// How long a statement may wait for a lock.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// Our own first statement: arms the limits for this transaction only. `$4` is the search path, or null to leave it.
const ARM: &str = "SELECT pg_catalog.set_config('statement_timeout', $1, true), \
     pg_catalog.set_config('lock_timeout', $2, true), \
     pg_catalog.set_config('idle_in_transaction_session_timeout', $3, true), \
     CASE WHEN $4::text IS NOT NULL THEN pg_catalog.set_config('search_path', $4, true) END";

/// A connection on loan together with the rules for what runs on it.
pub(super) struct Session {
    lease: Lease,
    effect: Effect,
    timeout: Duration,
    search_path: Option<String>,
}

impl Session {
    /// A session for a tool with this effect. `timeout` shortens the statement timeout of the settings.
    pub(super) async fn open(up: &Upstream, effect: Effect, timeout: Option<Duration>) -> Result<Self, ToolError> {
        let settings = up.settings::<Settings>()?;
        let lease = Pool::of(up).await?.take().await?;
        let timeout = timeout.unwrap_or_else(|| settings.statement_timeout()).min(settings.statement_timeout());
        // The server should give up first, so that the answer names the reason.
        let timeout =
            timeout.min(up.time_left().saturating_sub(Duration::from_millis(250))).max(Duration::from_millis(1));
        Ok(Self { lease, effect, timeout, search_path: settings.schemas().map(search_path) })
    }

    /// Starts the transaction.
    pub(super) async fn begin(&mut self) -> Result<Tx<'_>, ToolError> {
        let effect = self.effect;
        let budget = self.lease.budget();
        let timeout = millis(self.timeout);
        let search_path = self.search_path.clone();
        let client = self.lease.client()?;
        let tx = client
            .build_transaction()
            .isolation_level(IsolationLevel::ReadCommitted)
            .read_only(effect.is_read())
            .start()
            .await
            .map_err(|error| from_postgres(&error, Effect::Read))?;
        tx.query_one(ARM, &[&timeout, &millis(LOCK_TIMEOUT), &timeout, &search_path])
            .await
            .map_err(|error| from_postgres(&error, Effect::Read))?;
        Ok(Tx { tx, effect, budget })
    }

    /// Gives the connection back. A session that is dropped instead is cancelled and closed.
    pub(super) async fn close(self) {
        self.lease.give_back().await;
    }
}

/// A running transaction with its limits armed.
pub(super) struct Tx<'a> {
    pub(super) tx: Transaction<'a>,
    effect: Effect,
    budget: Option<Budget>,
}

impl Tx<'_> {
    /// What an error of a statement means for this tool.
    pub(super) fn error(&self, error: &tokio_postgres::Error) -> ToolError {
        if self.budget.as_ref().is_some_and(Budget::overdrawn) {
            let message = format!(
                "the answer of the database is larger than {LIMIT} bytes: select fewer columns or shorter values"
            );
            return ToolError::new(ErrorCode::TooLarge, message);
        }
        // Until the commit is sent, a lost connection has changed nothing: the server rolls back.
        from_postgres(error, Effect::Read)
    }

    /// Allows another batch of rows.
    pub(super) fn refill(&self) {
        if let Some(budget) = &self.budget {
            budget.refill();
        }
    }

    /// Keeps the changes.
    pub(super) async fn commit(self) -> Result<(), ToolError> {
        let effect = self.effect;
        self.tx.commit().await.map_err(|error| match from_postgres(&error, effect) {
            // A commit that the server stopped half-way may have happened.
            stopped if stopped.code == ErrorCode::Timeout && !effect.is_read() => {
                ToolError::new(ErrorCode::OutcomeUnknown, "the commit was stopped; look before you repeat the change")
            }
            other => other,
        })
    }

    /// Throws the changes away.
    pub(super) async fn rollback(self) -> Result<(), ToolError> {
        self.tx.rollback().await.map_err(|error| from_postgres(&error, Effect::Read))
    }
}

fn millis(duration: Duration) -> String {
    format!("{}ms", duration.as_millis().max(1))
}

fn search_path(schemas: &[String]) -> String {
    schemas.iter().map(|schema| quoted(schema)).collect::<Vec<_>>().join(", ")
}

/// An identifier, quoted (PostgreSQL manual, 4.1.1): any text that holds no NUL is safe.
pub(super) fn quoted(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_cannot_leave_their_quotes() {
        assert_eq!(quoted("a"), "\"a\"");
        assert_eq!(quoted("a\"; drop table b; --"), "\"a\"\"; drop table b; --\"");
        assert_eq!(search_path(&["a".into(), "B c".into()]), "\"a\", \"B c\"");
    }
}
