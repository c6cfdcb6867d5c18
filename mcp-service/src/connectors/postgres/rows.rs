//! Running a statement of somebody else's: SQL that passed the gate and its parameters come in; a bounded table goes out.
//!
//! Rows are fetched in batches through a portal, so that the server makes no more of them than are wanted. Whatever
//! is left out announces itself.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use tokio_postgres::{Row, Statement};

use super::gate::Kind;
use super::param::{Param, refs};
use super::transaction::{Tx, quoted};
use super::value::{Cell, is_readable};
use crate::connector::{ErrorCode, ToolError};

/// The most bytes of values that one result holds.
const MAX_BYTES: usize = 2 * 1024 * 1024;

/// Rows fetched at a time.
const BATCH: i32 = 64;

/// The most columns of a result.
const MAX_COLUMNS: usize = 1664;

/// One column of a result.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Column {
    /// Name; several columns may share one.
    name: String,
    /// Type as the database names it.
    #[serde(rename = "type")]
    type_name: String,
}

/// The rows of a result.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Table {
    /// The columns in order.
    columns: Vec<Column>,
    /// One array per row, in the order of the columns. Numbers that JSON readers would round (numeric, large integers)
    /// are strings; times are RFC 3339; bytea is base64.
    rows: Vec<Vec<Value>>,
    /// How many rows these are.
    row_count: usize,
    /// Whether there are more rows than these.
    truncated: bool,
    /// Which limit cut the rows off.
    #[serde(skip_serializing_if = "Option::is_none")]
    truncated_by: Option<&'static str>,
}

/// Runs one statement and keeps at most `max_rows` rows.
pub(super) async fn fetch(
    tx: &Tx<'_>,
    sql: &str,
    kind: Kind,
    params: &[Value],
    max_rows: usize,
) -> Result<Table, ToolError> {
    let (statement, columns) = prepare(tx, sql, kind).await?;
    if statement.params().len() != params.len() {
        return Err(ToolError::invalid(format!(
            "the SQL has {} parameters, params has {}",
            statement.params().len(),
            params.len()
        )));
    }
    let params: Vec<_> = params.iter().map(Param).collect();
    let portal = tx.tx.bind(&statement, &refs(&params)).await.map_err(|error| tx.error(&error))?;
    let mut table = Table { columns, rows: Vec::new(), row_count: 0, truncated: false, truncated_by: None };
    let mut bytes = 0;
    'all: loop {
        tx.refill();
        // One row more than wanted tells whether there are more.
        let wanted = i32::try_from(max_rows + 1 - table.rows.len()).unwrap_or(BATCH).min(BATCH);
        let batch = tx.tx.query_portal(&portal, wanted).await.map_err(|error| tx.error(&error))?;
        let last = batch.len() < usize::try_from(wanted).unwrap_or_default();
        for row in &batch {
            if table.rows.len() == max_rows {
                table.cut("max_rows");
                break 'all;
            }
            let row = cells(row)?;
            bytes += row.iter().map(size).sum::<usize>();
            if bytes > MAX_BYTES {
                if table.rows.is_empty() {
                    return Err(ToolError::new(
                        ErrorCode::TooLarge,
                        format!(
                            "the first row alone is larger than {MAX_BYTES} bytes: select fewer columns or shorter values"
                        ),
                    ));
                }
                table.cut("max_bytes");
                break 'all;
            }
            table.rows.push(row);
        }
        if last {
            break;
        }
    }
    table.row_count = table.rows.len();
    Ok(table)
}

impl Table {
    fn cut(&mut self, by: &'static str) {
        self.truncated = true;
        self.truncated_by = Some(by);
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The first value of each row, for statements that answer one column of JSON.
    pub(super) fn into_first_column(self) -> Vec<Value> {
        self.rows.into_iter().filter_map(|row| row.into_iter().next()).collect()
    }
}

/// Prepares the statement; when a column has a type without a form of ours, a query around it selects that as text.
async fn prepare(tx: &Tx<'_>, sql: &str, kind: Kind) -> Result<(Statement, Vec<Column>), ToolError> {
    let statement = tx.tx.prepare(sql).await.map_err(|error| tx.error(&error))?;
    if statement.columns().len() > MAX_COLUMNS {
        return Err(ToolError::new(ErrorCode::TooLarge, format!("the result has more than {MAX_COLUMNS} columns")));
    }
    let columns = statement
        .columns()
        .iter()
        .map(|column| Column { name: column.name().to_owned(), type_name: column.type_().name().to_owned() })
        .collect();
    if kind == Kind::Other || statement.columns().iter().all(|column| is_readable(column.type_())) {
        return Ok((statement, columns));
    }
    let names: Vec<_> = (0..statement.columns().len()).map(|index| quoted(&format!("c{index}"))).collect();
    let selected: Vec<_> = statement
        .columns()
        .iter()
        .zip(&names)
        .map(|(column, name)| if is_readable(column.type_()) { name.clone() } else { format!("{name}::text") })
        .collect();
    // The text has been parsed as one whole query; the line break ends a comment at its end.
    let inner = sql.trim_end().trim_end_matches(';');
    let wrapped = format!("SELECT {} FROM (\n{inner}\n) AS q({})", selected.join(", "), names.join(", "));
    let statement = tx.tx.prepare(&wrapped).await.map_err(|error| tx.error(&error))?;
    Ok((statement, columns))
}

fn cells(row: &Row) -> Result<Vec<Value>, ToolError> {
    (0..row.len())
        .map(|index| match row.try_get::<_, Cell>(index) {
            Ok(cell) => Ok(cell.0),
            Err(_) => {
                let column = row.columns().get(index);
                let name = column.map(|c| c.type_().name()).unwrap_or_default();
                Err(ToolError::upstream(format!("a value of type {name} could not be read: cast the column to text")))
            }
        })
        .collect()
}

/// About how many bytes a value takes as JSON.
fn size(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 5,
        Value::Number(_) => 12,
        Value::String(text) => text.len() + 3,
        Value::Array(items) => items.iter().map(size).sum::<usize>() + 2,
        Value::Object(map) => map.iter().map(|(key, value)| key.len() + 4 + size(value)).sum::<usize>() + 2,
    }
}
