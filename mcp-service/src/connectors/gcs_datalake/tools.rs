//! The five tools: arguments of a caller come in, tables, columns, rows and plans go out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::lake::{Format, Skipped, Table};
use super::protocol::{Answer, Cap, Column, Job, Rows};
use super::settings::MAX_SQL_BYTES;
use crate::connector::{Args, Count, Cursor, Page, Text, ToolError, Upstream};

mod run;

use run::{caps, lake, one_table, run};

/// The longest table name that is looked up.
const MAX_TABLE_NAME: usize = 128;
/// Left-out entries that a list shows.
const SKIPPED_SHOWN: usize = 20;

/// Arguments of `gcs_list_tables`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListTables {
    /// Most tables of this page; 1 to 500, default 100.
    #[serde(default)]
    limit: Count<100, 500>,
    /// `next_cursor` of the page before.
    #[serde(default)]
    cursor: Option<Cursor>,
}

impl Args for ListTables {}

/// A page of tables.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct TableList {
    #[serde(flatten)]
    page: Page<TableSummary>,
    /// Files and folders that look like data but are no table, with the reason; at most 20.
    skipped: Vec<Skipped>,
}

/// One table, without looking into its files.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct TableSummary {
    /// The name to use in SQL and in the other tools.
    name: String,
    /// The file or folder it comes from.
    source: String,
    format: Format,
    /// Columns that come from folder names such as `year=2026`; filters on them skip whole files.
    partition_columns: Vec<String>,
    files: usize,
    bytes: u64,
}

impl TableSummary {
    fn of(table: &Table) -> Self {
        Self {
            name: table.name.clone(),
            source: table.source.clone(),
            format: table.format,
            partition_columns: table.partitions.clone(),
            files: table.files.len(),
            bytes: table.bytes(),
        }
    }
}

/// Lists the tables, in the order of their names.
pub(super) async fn list_tables(up: &Upstream, args: ListTables) -> Result<TableList, ToolError> {
    let lake = lake(up).await?;
    let after: Option<String> = args.cursor.as_ref().map(Cursor::position).transpose()?;
    let limit = args.limit.get() as usize;
    let rest = lake.tables.iter().filter(|table| after.as_ref().is_none_or(|after| table.name > *after));
    let items = rest.take(limit + 1).map(TableSummary::of).collect();
    let page = Page::from_overfetch(items, limit, |last| last.name.clone())?;
    Ok(TableList { page, skipped: lake.skipped.into_iter().take(SKIPPED_SHOWN).collect() })
}

/// Arguments of `gcs_describe_table`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DescribeTable {
    /// The table, as `gcs_list_tables` names it.
    table: Text<MAX_TABLE_NAME>,
}

impl Args for DescribeTable {}

/// A table with its columns.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Description {
    #[serde(flatten)]
    table: TableSummary,
    columns: Vec<DescribedColumn>,
    /// How many columns the table has.
    column_count: usize,
    /// Whether it has more columns than are shown here (at most 1,000).
    truncated: bool,
    /// The number of rows; only Parquet files know it without being read.
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<u64>,
}

/// A column and how to write it.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct DescribedColumn {
    #[serde(flatten)]
    column: Column,
    /// The column as it must be written in SQL: in quotes when it is not all lower case.
    sql: String,
}

/// Reads the columns of one table.
pub(super) async fn describe_table(up: &Upstream, args: DescribeTable) -> Result<Description, ToolError> {
    let (lake, table) = one_table(up, &args.table).await?;
    let (summary, job) = (TableSummary::of(&table), Job::Describe { table: table.name });
    match run(up, lake, job).await? {
        Answer::Shape { columns, column_count, rows } => {
            let described = |column: Column| DescribedColumn { sql: quoted(&column.name), column };
            let columns: Vec<_> = columns.into_iter().map(described).collect();
            Ok(Description { table: summary, truncated: columns.len() < column_count, columns, column_count, rows })
        }
        _ => Err(unexpected()),
    }
}

/// Arguments of `gcs_preview_table`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PreviewTable {
    /// The table, as `gcs_list_tables` names it.
    table: Text<MAX_TABLE_NAME>,
    /// Most rows; 1 to 100, default 20.
    #[serde(default)]
    limit: Count<20, 100>,
}

impl Args for PreviewTable {}

/// Rows of a query or a preview.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ResultSet {
    columns: Vec<Column>,
    /// One array per row, in the order of the columns. Decimals are texts, so that no digit is lost.
    rows: Vec<Vec<Value>>,
    row_count: usize,
    /// Whether there are more rows than these.
    truncated: bool,
    /// The limit that was reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    truncated_by: Option<Cap>,
    /// How many values were longer than 20,000 bytes and end with `…`.
    #[serde(skip_serializing_if = "is_zero")]
    #[schemars(default)]
    shortened_cells: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes the field by reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl From<Rows> for ResultSet {
    fn from(rows: Rows) -> Self {
        Self {
            row_count: rows.rows.len(),
            columns: rows.columns,
            rows: rows.rows,
            truncated: rows.cut_by.is_some(),
            truncated_by: rows.cut_by,
            shortened_cells: rows.shortened_cells,
        }
    }
}

/// Reads the first rows of one table.
pub(super) async fn preview_table(up: &Upstream, args: PreviewTable) -> Result<ResultSet, ToolError> {
    let caps = caps(up, args.limit.get())?;
    let (lake, table) = one_table(up, &args.table).await?;
    rows(run(up, lake, Job::Preview { table: table.name, caps }).await?)
}

/// Arguments of `gcs_query_data`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct QueryData {
    /// One SELECT over the tables. Names that are not all lower case need double quotes.
    sql: Text<MAX_SQL_BYTES>,
    /// Most rows; 1 to 10000, default 100. The service may allow fewer; `truncated` tells.
    #[serde(default)]
    max_rows: Count<100, 10_000>,
}

impl Args for QueryData {}

/// Runs one SELECT.
pub(super) async fn query_data(up: &Upstream, args: QueryData) -> Result<ResultSet, ToolError> {
    let caps = caps(up, args.max_rows.get())?;
    let lake = lake(up).await?;
    let job = Job::Query { sql: args.sql.as_str().to_owned(), caps };
    rows(run(up, lake, job).await?)
}

/// Arguments of `gcs_explain_query`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ExplainQuery {
    /// One SELECT, without EXPLAIN in front. It is planned and not run.
    sql: Text<MAX_SQL_BYTES>,
}

impl Args for ExplainQuery {}

/// How a query would be run.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Plans {
    /// What is computed, after optimisation.
    logical_plan: String,
    /// How it is computed: files, filters that are pushed down, joins, partitions.
    physical_plan: String,
}

/// Plans one SELECT without running it.
pub(super) async fn explain_query(up: &Upstream, args: ExplainQuery) -> Result<Plans, ToolError> {
    let lake = lake(up).await?;
    let job = Job::Explain { sql: args.sql.as_str().to_owned() };
    match run(up, lake, job).await? {
        Answer::Plans { logical, physical } => Ok(Plans { logical_plan: logical, physical_plan: physical }),
        _ => Err(unexpected()),
    }
}

/// Looks into the folder and fails where no table could be served.
pub(super) async fn probe(up: &Upstream) -> Result<(), ToolError> {
    let lake = lake(up).await?;
    if lake.tables.is_empty() {
        return Err(ToolError::unavailable("settings.location: the folder holds no Parquet, CSV or NDJSON table"));
    }
    Ok(())
}

fn rows(answer: Answer) -> Result<ResultSet, ToolError> {
    match answer {
        Answer::Rows(rows) => Ok(rows.into()),
        _ => Err(unexpected()),
    }
}

fn unexpected() -> ToolError {
    ToolError::upstream("the query process answered another question")
}

/// A column name as SQL needs it: in quotes unless it is all lower case letters, digits and `_`.
fn quoted(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_quoted_when_sql_would_change_its_name() {
        for (name, sql) in [
            ("order_id", "order_id"),
            ("CustomerId", "\"CustomerId\""),
            ("unit price", "\"unit price\""),
            ("2nd", "\"2nd\""),
            ("a\"b", "\"a\"\"b\""),
            ("größe", "\"größe\""),
        ] {
            assert_eq!(quoted(name), sql);
        }
    }
}
