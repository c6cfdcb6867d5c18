//! Queries: a table's name or guarded SQL comes in; a bounded table or a plan goes out.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::catalog::Name;
use super::{allowed, describe, reading};
use crate::connector::{Args, Count, Items, Text, ToolError, Upstream};
use crate::connectors::postgres::gate::{self, Kind};
use crate::connectors::postgres::rows::{Table, fetch};
use crate::connectors::postgres::settings::Settings;
use crate::connectors::postgres::transaction::quoted;

/// The longest SQL text, in characters: long lists belong into parameters.
pub(super) type Sql = Text<20_000>;

/// The most parameters of one statement.
pub(super) const MAX_PARAMS: usize = 1000;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SampleTable {
    /// Schema of the table.
    schema: Name,
    /// Name of the table or view, exactly as listed.
    table: Name,
    /// Only these columns; all when left out.
    columns: Option<Items<Name, 200>>,
    /// How many rows at most.
    #[serde(default)]
    limit: Count<10, 100>,
}
impl Args for SampleTable {}

pub(super) async fn sample_table(up: &Upstream, args: SampleTable) -> Result<Table, ToolError> {
    allowed(up, &args.schema)?;
    let columns = match &args.columns {
        None => "*".to_owned(),
        Some(columns) => columns.iter().map(|column| quoted(column)).collect::<Vec<_>>().join(", "),
    };
    let limit = args.limit.get();
    let sql = format!("SELECT {columns} FROM {}.{} LIMIT {}", quoted(&args.schema), quoted(&args.table), limit + 1);
    reading(up, None, move |tx| {
        Box::pin(async move {
            describe::find(tx, &args.schema, &args.table).await?;
            fetch(tx, &sql, Kind::Query, &[], limit as usize).await
        })
    })
    .await
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RunQuery {
    /// One read-only statement; parameters are $1, $2, …
    sql: Sql,
    /// Values of the parameters, in order. Strings fit every type; arrays and objects fit array and json parameters.
    #[serde(default)]
    #[schemars(length(max = 1000))]
    params: Vec<Value>,
    /// How many rows at most; at most, and by default, what the settings allow (1000 unless configured).
    #[schemars(range(min = 1, max = 10_000))]
    max_rows: Option<Count<1, 10_000>>,
    /// How long the statement may run, in milliseconds; at most, and by default, what the settings allow.
    #[schemars(range(min = 1, max = 600_000))]
    timeout_ms: Option<Count<1, 600_000>>,
}

impl Args for RunQuery {
    fn check(&self) -> Result<(), ToolError> {
        check_params(&self.params)
    }
}

/// Bounds the number of parameters.
pub(super) fn check_params(params: &[Value]) -> Result<(), ToolError> {
    if params.len() > MAX_PARAMS {
        return Err(ToolError::invalid(format!("params: {} values are more than {MAX_PARAMS}", params.len())));
    }
    Ok(())
}

pub(super) async fn run_query(up: &Upstream, args: RunQuery) -> Result<Table, ToolError> {
    let settings = up.settings::<Settings>()?;
    let kind = gate::read_only(&args.sql, settings)?;
    let most = settings.max_rows.get();
    let max_rows = args.max_rows.map_or(most, |rows| rows.get().min(most)) as usize;
    let timeout = args.timeout_ms.map(|ms| Duration::from_millis(u64::from(ms.get())));
    reading(up, timeout, move |tx| Box::pin(async move { fetch(tx, &args.sql, kind, &args.params, max_rows).await }))
        .await
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ExplainQuery {
    /// One SELECT, VALUES or WITH … SELECT; parameters are $1, $2, …
    sql: Sql,
    /// Values of the parameters, in order.
    #[serde(default)]
    #[schemars(length(max = 1000))]
    params: Vec<Value>,
    /// Also run the query (read-only) and show real times, rows and buffers.
    #[serde(default)]
    analyze: bool,
}

impl Args for ExplainQuery {
    fn check(&self) -> Result<(), ToolError> {
        check_params(&self.params)
    }
}

/// A plan.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Plan {
    /// The plan as PostgreSQL gives it with FORMAT JSON.
    plan: Value,
    /// Whether the query was run.
    analyzed: bool,
}

pub(super) async fn explain_query(up: &Upstream, args: ExplainQuery) -> Result<Plan, ToolError> {
    gate::query(&args.sql, up.settings::<Settings>()?)?;
    let analyzed = args.analyze;
    let options = if analyzed { "FORMAT JSON, ANALYZE, BUFFERS" } else { "FORMAT JSON" };
    let sql = format!("EXPLAIN ({options}) {}", args.sql);
    let table =
        reading(up, None, move |tx| Box::pin(async move { fetch(tx, &sql, Kind::Other, &args.params, 1).await }))
            .await?;
    let plan = match table.into_first_column().into_iter().next() {
        // JSON with numbers that readers would round arrives as its text.
        Some(Value::String(text)) => serde_json::from_str(&text).unwrap_or(Value::String(text)),
        Some(plan) => plan,
        None => return Err(ToolError::upstream("the database gave no plan")),
    };
    Ok(Plan { plan, analyzed })
}
