//! Whether the database is well: nothing comes in; one finding per subject goes out, each with its figures.

use postgres_types::Json;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::reading;
use crate::connector::{NoArgs, ToolError, Upstream};

/// The state of the database.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Health {
    /// Version of the server.
    server_version: String,
    /// Whether it is a replica.
    in_recovery: bool,
    /// Whether every finding is ok.
    ok: bool,
    findings: Vec<Finding>,
}

/// One subject.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Finding {
    /// `connections`, `blocked_sessions`, `long_transactions`, `invalid_indexes`, `transaction_id_age` or `replication`.
    subject: &'static str,
    ok: bool,
    /// What was counted.
    figures: Value,
    /// Why there are no figures, such as a missing right.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

struct Question {
    subject: &'static str,
    /// Answers one row: ok, figures.
    sql: &'static str,
}

const QUESTIONS: &[Question] = &[
    Question {
        subject: "connections",
        sql: "SELECT used < 0.9 * most, json_build_object('used', used, 'max', most, 'active', active, 'idle_in_transaction', waiting) \
              FROM (SELECT count(*) AS used, count(*) FILTER (WHERE state = 'active') AS active, \
                count(*) FILTER (WHERE state LIKE 'idle in transaction%') AS waiting, \
                pg_catalog.current_setting('max_connections')::int AS most \
                FROM pg_catalog.pg_stat_activity WHERE backend_type = 'client backend') x",
    },
    Question {
        subject: "blocked_sessions",
        sql: "SELECT count(*) = 0, json_build_object('count', count(*), 'sessions', COALESCE(json_agg(json_build_object( \
                'pid', pid, 'blocked_by', pg_catalog.pg_blocking_pids(pid), \
                'seconds', round(extract(epoch FROM now() - query_start)::numeric, 1))) , '[]'::json)) \
              FROM (SELECT pid, query_start FROM pg_catalog.pg_stat_activity \
                WHERE cardinality(pg_catalog.pg_blocking_pids(pid)) > 0 ORDER BY query_start LIMIT 20) x",
    },
    Question {
        subject: "long_transactions",
        sql: "SELECT count(*) = 0, json_build_object('older_than_5_minutes', count(*), \
                'oldest_seconds', COALESCE(round(extract(epoch FROM max(now() - xact_start))::numeric, 1), 0)) \
              FROM pg_catalog.pg_stat_activity \
              WHERE backend_type = 'client backend' AND xact_start < now() - interval '5 minutes'",
    },
    Question {
        subject: "invalid_indexes",
        sql: "SELECT count(*) = 0, json_build_object('count', count(*), 'indexes', COALESCE(json_agg(name), '[]'::json)) \
              FROM (SELECT n.nspname || '.' || c.relname AS name FROM pg_catalog.pg_index i \
                JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
                JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                WHERE NOT i.indisvalid ORDER BY 1 LIMIT 50) x",
    },
    Question {
        subject: "transaction_id_age",
        sql: "SELECT age < 1000000000, json_build_object('age', age, 'share_of_wraparound', round(age / 2147483648.0, 4)) \
              FROM (SELECT pg_catalog.age(datfrozenxid) AS age FROM pg_catalog.pg_database WHERE datname = current_database()) x",
    },
    Question {
        subject: "replication",
        sql: "SELECT COALESCE(max(lag), 0) < 60, json_build_object('replicas', count(replica), \
                'max_lag_seconds', COALESCE(round(max(lag)::numeric, 1), 0)) \
              FROM (SELECT application_name AS replica, extract(epoch FROM replay_lag) AS lag \
                  FROM pg_catalog.pg_stat_replication \
                UNION ALL SELECT NULL, CASE WHEN pg_catalog.pg_is_in_recovery() \
                  THEN extract(epoch FROM now() - pg_catalog.pg_last_xact_replay_timestamp()) END) x",
    },
];

pub(super) async fn check_health(up: &Upstream, _: NoArgs) -> Result<Health, ToolError> {
    let (server_version, in_recovery) = reading(up, None, |tx| {
        Box::pin(async move {
            let sql = "SELECT pg_catalog.current_setting('server_version'), pg_catalog.pg_is_in_recovery()";
            let row = tx.tx.query_one(sql, &[]).await.map_err(|error| tx.error(&error))?;
            let read = || -> Result<(String, bool), tokio_postgres::Error> { Ok((row.try_get(0)?, row.try_get(1)?)) };
            read().map_err(|error| tx.error(&error))
        })
    })
    .await?;
    let mut findings = Vec::new();
    for question in QUESTIONS {
        findings.push(ask(up, question).await?);
    }
    let ok = findings.iter().all(|finding| finding.ok);
    Ok(Health { server_version, in_recovery, ok, findings })
}

/// One question in a transaction of its own: a missing right fails this finding and no other.
async fn ask(up: &Upstream, question: &'static Question) -> Result<Finding, ToolError> {
    let answer = reading(up, None, |tx| {
        Box::pin(async move {
            let row = tx.tx.query_one(question.sql, &[]).await.map_err(|error| tx.error(&error))?;
            let read =
                || -> Result<(bool, Json<Value>), tokio_postgres::Error> { Ok((row.try_get(0)?, row.try_get(1)?)) };
            read().map_err(|error| tx.error(&error))
        })
    })
    .await;
    match answer {
        Ok((ok, Json(figures))) => Ok(Finding { subject: question.subject, ok, figures, error: None }),
        // The server said no to this one question; anything else is about the whole call.
        Err(error) if error.upstream_code.is_some() => {
            Ok(Finding { subject: question.subject, ok: false, figures: Value::Null, error: Some(error.message) })
        }
        Err(error) => Err(error),
    }
}
