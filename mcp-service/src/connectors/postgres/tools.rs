//! The fifteen tools: eleven that read, four that change rows.

mod catalog;
mod describe;
mod health;
mod query;
mod stats;
mod write;

use std::future::Future;
use std::pin::Pin;

use aperium_core::effect::Effect;
use serde_json::json;

use super::settings::Settings;
use super::transaction::{Session, Tx};
use crate::connector::{Tool, ToolError, Upstream};

/// All of them, in the order of the documentation.
pub(super) fn all() -> Vec<Tool> {
    let mut tools = reads();
    tools.extend(writes());
    tools
}

fn reads() -> Vec<Tool> {
    vec![
        Tool::read("postgres_list_schemas", "List schemas", "Lists the schemas of the database with owner, comment and number of tables.", catalog::list_schemas)
            .example(json!({})),
        Tool::read("postgres_list_tables", "List tables", "Lists tables, views, materialized views and foreign tables with size, estimated rows and comment.", catalog::list_tables)
            .example(json!({"schema": "public", "kind": "table", "name_like": "order%", "limit": 50})),
        Tool::read("postgres_describe_table", "Describe table", "Shows columns, keys, constraints, indexes and comments of one table or view.", describe::describe_table)
            .example(json!({"schema": "public", "table": "orders"})),
        Tool::read("postgres_search_columns", "Search columns", "Finds columns by a pattern (ILIKE: % and _ are wildcards) across tables.", catalog::search_columns)
            .example(json!({"pattern": "%customer%"})),
        Tool::read("postgres_list_functions", "List functions", "Lists functions and procedures with arguments, result, language and comment.", catalog::list_functions)
            .example(json!({"schema": "public"})),
        Tool::read("postgres_sample_table", "Sample table", "Returns a few rows of one table, in no particular order.", query::sample_table)
            .example(json!({"schema": "public", "table": "orders", "columns": ["id", "total"], "limit": 5})),
        Tool::read("postgres_run_query", "Run query", "Runs one read-only SQL statement (SELECT, VALUES, WITH … SELECT, EXPLAIN, SHOW) with parameters $1, $2, …", query::run_query)
            .example(json!({"sql": "select id, total from orders where total > $1 order by total desc", "params": [100], "max_rows": 20})),
        Tool::read("postgres_explain_query", "Explain query", "Shows the plan of a query as JSON; with analyze it also runs it, read-only, and shows times and buffers.", query::explain_query)
            .example(json!({"sql": "select count(*) from orders", "analyze": false})),
        Tool::read("postgres_get_table_stats", "Get table statistics", "Shows sizes, live and dead rows, scans, index use and last vacuum and analyze of one table.", stats::get_table_stats)
            .example(json!({"schema": "public", "table": "orders"})),
        Tool::read("postgres_get_top_queries", "Get top queries", "Lists the statements that cost the most, from the extension pg_stat_statements.", stats::get_top_queries)
            .example(json!({"order_by": "total_time", "limit": 10})),
        Tool::read("postgres_check_health", "Check health", "Checks connections, blocked sessions, long transactions, invalid indexes, transaction id age and replication lag.", health::check_health)
            .example(json!({})),
    ]
}

fn writes() -> Vec<Tool> {
    vec![
        Tool::write("postgres_insert_rows", "Insert rows", "Inserts up to 500 rows into one table in one statement; all of them or none.", write::insert_rows)
            .example(json!({"schema": "public", "table": "orders", "rows": [{"id": 1, "total": "9.90"}], "on_conflict": "error"})),
        Tool::write("postgres_update_rows", "Update rows", "Sets columns of the rows that match all given values; nothing is changed unless exactly expected_rows match.", write::update_rows)
            .example(json!({"schema": "public", "table": "orders", "set": {"status": "paid"}, "where": {"id": 1}, "expected_rows": 1})),
        Tool::destructive("postgres_delete_rows", "Delete rows", "Deletes the rows that match all given values; nothing is deleted unless exactly expected_rows match.", write::delete_rows)
            .example(json!({"schema": "public", "table": "orders", "where": {"id": 1}, "expected_rows": 1})),
        Tool::destructive("postgres_execute_statement", "Execute statement", "Runs one INSERT, UPDATE, DELETE or MERGE with parameters; no DDL. Rows of RETURNING are returned.", write::execute_statement)
            .example(json!({"sql": "update orders set status = $1 where id = $2", "params": ["paid", 1]}))
            // A second switch beside calls.writes: free SQL is more than rows by key.
            .when(|up| up.settings::<Settings>().is_ok_and(|settings| settings.allow_execute_statement)),
    ]
}

type Work<'a, T> = Pin<Box<dyn Future<Output = Result<T, ToolError>> + Send + 'a>>;

/// Runs `work` in a read-only transaction, which is rolled back whatever it says.
async fn reading<T: Send>(
    up: &Upstream,
    timeout: Option<std::time::Duration>,
    work: impl for<'t> FnOnce(&'t Tx<'_>) -> Work<'t, T> + Send,
) -> Result<T, ToolError> {
    let mut session = Session::open(up, Effect::Read, timeout).await?;
    let tx = session.begin().await?;
    let outcome = work(&tx).await;
    let ended = tx.rollback().await;
    if outcome.is_ok() || ended.is_ok() {
        session.close().await;
    }
    outcome
}

/// Runs `work` in a transaction that is committed when it succeeds and rolled back when it does not. Once.
async fn writing<T: Send>(
    up: &Upstream,
    effect: Effect,
    work: impl for<'t> FnOnce(&'t Tx<'_>) -> Work<'t, T> + Send,
) -> Result<T, ToolError> {
    let mut session = Session::open(up, effect, None).await?;
    let tx = session.begin().await?;
    let outcome = work(&tx).await;
    let (outcome, clean) = match outcome {
        Ok(value) => match tx.commit().await {
            Ok(()) => (Ok(value), true),
            Err(error) => (Err(error), false),
        },
        Err(error) => {
            let clean = tx.rollback().await.is_ok();
            (Err(error), clean)
        }
    };
    if clean {
        session.close().await;
    }
    outcome
}

/// The schema of a call, when the settings allow the schema.
fn allowed<'a>(up: &Upstream, schema: &'a str) -> Result<&'a str, ToolError> {
    if up.settings::<Settings>()?.allows(schema) {
        Ok(schema)
    } else {
        Err(ToolError::forbidden(format!("the schema {schema} is not one of allowedSchemas")))
    }
}
