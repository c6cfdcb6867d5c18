//! What the statistics collector knows: about one table, and about the most expensive statements.

use postgres_types::Json;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::describe::{OneTable, find};
use super::{allowed, reading};
use crate::connector::{Args, Count, ToolError, Upstream};

/// Statistics of one table; times are RFC 3339, null where it never happened.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(super) struct TableStats {
    /// Bytes of the table alone, of its indexes, and of all with TOAST.
    table_bytes: i64,
    index_bytes: i64,
    total_bytes: i64,
    /// Rows as the planner estimates them; -1 when never analysed.
    estimated_rows: f64,
    live_rows: Option<i64>,
    dead_rows: Option<i64>,
    /// Dead rows as a share of all: a high share means vacuum does not keep up.
    dead_share: Option<f64>,
    /// Rows changed since the last analyze.
    changed_since_analyze: Option<i64>,
    sequential_scans: Option<i64>,
    index_scans: Option<i64>,
    inserted: Option<i64>,
    updated: Option<i64>,
    deleted: Option<i64>,
    last_vacuum: Option<String>,
    last_autovacuum: Option<String>,
    last_analyze: Option<String>,
    last_autoanalyze: Option<String>,
    indexes: Vec<IndexStats>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct IndexStats {
    name: String,
    bytes: i64,
    /// How often it was used since statistics began; 0 on an old index means it may not be needed.
    scans: i64,
}

const TABLE_STATS: &str = "SELECT json_build_object( \
       'table_bytes', pg_catalog.pg_table_size(c.oid), 'index_bytes', pg_catalog.pg_indexes_size(c.oid), \
       'total_bytes', pg_catalog.pg_total_relation_size(c.oid), 'estimated_rows', c.reltuples, \
       'live_rows', s.n_live_tup, 'dead_rows', s.n_dead_tup, \
       'dead_share', round(s.n_dead_tup::numeric / NULLIF(s.n_live_tup + s.n_dead_tup, 0), 4), \
       'changed_since_analyze', s.n_mod_since_analyze, 'sequential_scans', s.seq_scan, 'index_scans', s.idx_scan, \
       'inserted', s.n_tup_ins, 'updated', s.n_tup_upd, 'deleted', s.n_tup_del, \
       'last_vacuum', s.last_vacuum, 'last_autovacuum', s.last_autovacuum, \
       'last_analyze', s.last_analyze, 'last_autoanalyze', s.last_autoanalyze, \
       'indexes', (SELECT COALESCE(json_agg(json_build_object('name', i.indexrelname, \
          'bytes', pg_catalog.pg_relation_size(i.indexrelid), 'scans', i.idx_scan) ORDER BY i.indexrelname), '[]'::json) \
          FROM pg_catalog.pg_stat_all_indexes i WHERE i.relid = c.oid)) \
     FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_stat_all_tables s ON s.relid = c.oid WHERE c.oid = $1";

pub(super) async fn get_table_stats(up: &Upstream, args: OneTable) -> Result<TableStats, ToolError> {
    allowed(up, &args.schema)?;
    reading(up, None, move |tx| {
        Box::pin(async move {
            let found = find(tx, &args.schema, &args.table).await?;
            if !matches!(found.kind.as_str(), "table" | "materialized_view" | "partitioned_table") {
                return Err(ToolError::invalid(format!(
                    "{}.{} is a {} and has no storage",
                    args.schema, args.table, found.kind
                )));
            }
            let row = tx.tx.query_one(TABLE_STATS, &[&found.oid]).await.map_err(|error| tx.error(&error))?;
            let Json(stats) = row.try_get::<_, Json<TableStats>>(0).map_err(|error| tx.error(&error))?;
            Ok(stats)
        })
    })
    .await
}

/// What makes a statement expensive.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum OrderBy {
    /// All executions together.
    #[default]
    TotalTime,
    /// One execution on average.
    MeanTime,
    /// How often it ran.
    Calls,
    /// Blocks read from outside the buffer cache.
    Reads,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GetTopQueries {
    /// What to rank by.
    #[serde(default)]
    order_by: OrderBy,
    /// How many statements at most.
    #[serde(default)]
    limit: Count<10, 100>,
}
impl Args for GetTopQueries {}

/// The most expensive statements of this database.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct TopQueries {
    /// Whether the extension pg_stat_statements is there and may be read.
    available: bool,
    /// What to do when it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    queries: Vec<TopQuery>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct TopQuery {
    /// The statement with its constants replaced.
    query: String,
    calls: i64,
    total_ms: f64,
    mean_ms: f64,
    rows: i64,
    /// Blocks found in the buffer cache.
    blocks_hit: i64,
    /// Blocks that had to be read.
    blocks_read: i64,
}

/// Where the extension lies, and whether its columns have the names of version 1.8 (PostgreSQL 13) and later.
const EXTENSION: &str = "SELECT n.nspname::text, EXISTS (SELECT FROM pg_catalog.pg_attribute a \
       JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
       WHERE c.relnamespace = n.oid AND c.relname = 'pg_stat_statements' AND a.attname = 'total_exec_time') \
     FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace \
     WHERE e.extname = 'pg_stat_statements'";

pub(super) async fn get_top_queries(up: &Upstream, args: GetTopQueries) -> Result<TopQueries, ToolError> {
    reading(up, None, move |tx| {
        Box::pin(async move {
            let found = tx.tx.query_opt(EXTENSION, &[]).await.map_err(|error| tx.error(&error))?;
            let Some(row) = found else {
                return Ok(TopQueries {
                    available: false,
                    message: Some(
                        "the extension pg_stat_statements is not installed in this database: add it to \
                         shared_preload_libraries, restart, and run CREATE EXTENSION pg_stat_statements"
                            .to_owned(),
                    ),
                    queries: Vec::new(),
                });
            };
            let (schema, modern): (String, bool) =
                (row.try_get(0).map_err(|error| tx.error(&error))?, row.try_get(1).map_err(|error| tx.error(&error))?);
            let sql = top_sql(&schema, modern, args.order_by);
            let limit = i64::from(args.limit.get());
            let rows = tx.tx.query(&sql, &[&limit]).await.map_err(|error| tx.error(&error))?;
            let queries = rows.iter().map(top_query).collect::<Result<_, _>>().map_err(|error| tx.error(&error))?;
            Ok(TopQueries { available: true, message: None, queries })
        })
    })
    .await
}

fn top_sql(schema: &str, modern: bool, order_by: OrderBy) -> String {
    let (total, mean) = if modern { ("total_exec_time", "mean_exec_time") } else { ("total_time", "mean_time") };
    let order = match order_by {
        OrderBy::TotalTime => total,
        OrderBy::MeanTime => mean,
        OrderBy::Calls => "calls",
        OrderBy::Reads => "shared_blks_read",
    };
    let view = crate::connectors::postgres::transaction::quoted(schema);
    format!(
        "SELECT COALESCE(left(s.query, 4000), ''), s.calls, s.{total}::float8, s.{mean}::float8, s.rows, s.shared_blks_hit, \
         s.shared_blks_read FROM {view}.pg_stat_statements s \
         WHERE s.dbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()) \
         ORDER BY s.{order} DESC NULLS LAST LIMIT $1"
    )
}

fn top_query(row: &tokio_postgres::Row) -> Result<TopQuery, tokio_postgres::Error> {
    Ok(TopQuery {
        query: row.try_get(0)?,
        calls: row.try_get(1)?,
        total_ms: row.try_get(2)?,
        mean_ms: row.try_get(3)?,
        rows: row.try_get(4)?,
        blocks_hit: row.try_get(5)?,
        blocks_read: row.try_get(6)?,
    })
}
