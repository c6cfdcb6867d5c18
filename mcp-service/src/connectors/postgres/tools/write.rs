//! Changes: rows or one statement come in; what was changed goes out, after it was committed, or nothing was changed.
//!
//! Each runs once, in one transaction. When the commit's answer is lost the error is `outcome_unknown`.

use std::collections::BTreeMap;

use aperium_core::effect::Effect;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::catalog::Name;
use super::query::{Sql, check_params};
use super::{allowed, describe, writing};
use crate::connector::{Args, ErrorCode, Items, ToolError, Upstream};
use crate::connectors::postgres::gate::{self, Kind};
use crate::connectors::postgres::param::{Param, refs};
use crate::connectors::postgres::rows::{Table, fetch};
use crate::connectors::postgres::settings::Settings;
use crate::connectors::postgres::transaction::{Tx, quoted};

/// The most columns that a row, a SET or a WHERE names.
const MAX_COLUMNS: usize = 500;

/// The most parameters of one statement (a 16-bit count in the protocol).
const MAX_VALUES: usize = 65_535;

type Columns = BTreeMap<String, Value>;

/// What to do with a row that breaks a unique constraint.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum OnConflict {
    /// Insert nothing at all.
    #[default]
    Error,
    /// Leave that row out.
    Nothing,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct InsertRows {
    /// Schema of the table.
    schema: Name,
    /// Name of the table, exactly as listed.
    table: Name,
    /// The rows: column names and values. A column that a row leaves out gets its default.
    rows: Items<Columns, 500>,
    /// What to do with a row that is already there.
    #[serde(default)]
    on_conflict: OnConflict,
}

impl Args for InsertRows {
    fn check(&self) -> Result<(), ToolError> {
        self.rows.iter().try_for_each(|row| check_columns("rows", row))
    }
}

/// What was inserted.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Inserted {
    /// How many rows were inserted.
    inserted: u64,
    /// Their primary keys, when the table has one.
    keys: Option<Table>,
}

pub(super) async fn insert_rows(up: &Upstream, args: InsertRows) -> Result<Inserted, ToolError> {
    allowed(up, &args.schema)?;
    writing(up, Effect::Write, move |tx| Box::pin(async move { insert(tx, &args).await })).await
}

async fn insert(tx: &Tx<'_>, args: &InsertRows) -> Result<Inserted, ToolError> {
    let key = primary_key(tx, &args.schema, &args.table).await?;
    let (sql, values) = insert_sql(args, &key)?;
    if key.is_empty() {
        let params: Vec<_> = values.iter().map(Param).collect();
        let count = tx.tx.execute(&sql, &refs(&params)).await.map_err(|error| tx.error(&error))?;
        return Ok(Inserted { inserted: count, keys: None });
    }
    let keys = fetch(tx, &sql, Kind::Other, &values, args.rows.len()).await?;
    Ok(Inserted { inserted: keys.len() as u64, keys: Some(keys) })
}

/// One INSERT of all rows, with a parameter for every value that is given.
fn insert_sql(args: &InsertRows, key: &[String]) -> Result<(String, Vec<Value>), ToolError> {
    let columns: Vec<&String> = {
        let mut names: Vec<_> = args.rows.iter().flat_map(BTreeMap::keys).collect();
        names.sort_unstable();
        names.dedup();
        names
    };
    let mut values = Vec::new();
    let mut tuples = Vec::with_capacity(args.rows.len());
    for row in args.rows.iter() {
        let tuple: Vec<_> = columns
            .iter()
            .map(|column| match row.get(*column) {
                None => "DEFAULT".to_owned(),
                Some(value) => {
                    values.push(value.clone());
                    format!("${}", values.len())
                }
            })
            .collect();
        tuples.push(format!("({})", tuple.join(", ")));
    }
    if values.len() > MAX_VALUES {
        return Err(ToolError::invalid(format!(
            "{} values are more than {MAX_VALUES}: insert fewer rows",
            values.len()
        )));
    }
    let conflict = match args.on_conflict {
        OnConflict::Error => "",
        OnConflict::Nothing => " ON CONFLICT DO NOTHING",
    };
    let returning = if key.is_empty() { String::new() } else { format!(" RETURNING {}", list(key.iter())) };
    let sql = format!(
        "INSERT INTO {}.{} ({}) VALUES {}{conflict}{returning}",
        quoted(&args.schema),
        quoted(&args.table),
        list(columns.into_iter()),
        tuples.join(", ")
    );
    Ok((sql, values))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UpdateRows {
    /// Schema of the table.
    schema: Name,
    /// Name of the table, exactly as listed.
    table: Name,
    /// New values by column.
    set: Columns,
    /// Which rows: all of these columns have these values; null matches null.
    #[serde(rename = "where")]
    filter: Columns,
    /// How many rows must match; with any other number nothing is changed.
    #[schemars(range(min = 0, max = 100_000))]
    expected_rows: u64,
}

impl Args for UpdateRows {
    fn check(&self) -> Result<(), ToolError> {
        check_columns("set", &self.set)?;
        check_columns("where", &self.filter)?;
        check_expected(self.expected_rows)
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DeleteRows {
    /// Schema of the table.
    schema: Name,
    /// Name of the table, exactly as listed.
    table: Name,
    /// Which rows: all of these columns have these values; null matches null.
    #[serde(rename = "where")]
    filter: Columns,
    /// How many rows must match; with any other number nothing is deleted.
    #[schemars(range(min = 0, max = 100_000))]
    expected_rows: u64,
}

impl Args for DeleteRows {
    fn check(&self) -> Result<(), ToolError> {
        check_columns("where", &self.filter)?;
        check_expected(self.expected_rows)
    }
}

/// What was changed.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Changed {
    /// How many rows were changed or deleted.
    affected: u64,
}

pub(super) async fn update_rows(up: &Upstream, args: UpdateRows) -> Result<Changed, ToolError> {
    let mut values = Vec::new();
    let set: Vec<_> = args
        .set
        .iter()
        .map(|(column, value)| {
            values.push(value.clone());
            format!("{} = ${}", quoted(column), values.len())
        })
        .collect();
    let filter = where_sql(&args.filter, &mut values);
    let sql = format!("UPDATE {}.{} SET {} WHERE {filter}", quoted(&args.schema), quoted(&args.table), set.join(", "));
    let (schema, table, expected) = (args.schema, args.table, args.expected_rows);
    change_counted(up, Change { effect: Effect::Write, schema, table, sql, values, expected }).await
}

pub(super) async fn delete_rows(up: &Upstream, args: DeleteRows) -> Result<Changed, ToolError> {
    let mut values = Vec::new();
    let filter = where_sql(&args.filter, &mut values);
    let sql = format!("DELETE FROM {}.{} WHERE {filter}", quoted(&args.schema), quoted(&args.table));
    let (schema, table, expected) = (args.schema, args.table, args.expected_rows);
    change_counted(up, Change { effect: Effect::Destructive, schema, table, sql, values, expected }).await
}

fn where_sql(filter: &Columns, values: &mut Vec<Value>) -> String {
    let terms: Vec<_> = filter
        .iter()
        .map(|(column, value)| {
            if value.is_null() {
                return format!("{} IS NULL", quoted(column));
            }
            values.push(value.clone());
            format!("{} = ${}", quoted(column), values.len())
        })
        .collect();
    terms.join(" AND ")
}

/// A change of rows by key.
struct Change {
    effect: Effect,
    schema: Name,
    table: Name,
    sql: String,
    values: Vec<Value>,
    expected: u64,
}

/// Changes rows and keeps the change only when it hit as many as expected.
async fn change_counted(up: &Upstream, change: Change) -> Result<Changed, ToolError> {
    allowed(up, &change.schema)?;
    writing(up, change.effect, move |tx| {
        Box::pin(async move {
            describe::find(tx, &change.schema, &change.table).await?;
            let params: Vec<_> = change.values.iter().map(Param).collect();
            let affected = tx.tx.execute(&change.sql, &refs(&params)).await.map_err(|error| tx.error(&error))?;
            if affected == change.expected {
                return Ok(Changed { affected });
            }
            let message = format!("{affected} rows match, expected_rows is {}: nothing was changed", change.expected);
            Err(ToolError::new(ErrorCode::Conflict, message))
        })
    })
    .await
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ExecuteStatement {
    /// One INSERT, UPDATE, DELETE or MERGE; parameters are $1, $2, …
    sql: Sql,
    /// Values of the parameters, in order.
    #[serde(default)]
    #[schemars(length(max = 1000))]
    params: Vec<Value>,
}

impl Args for ExecuteStatement {
    fn check(&self) -> Result<(), ToolError> {
        check_params(&self.params)
    }
}

/// What a statement did.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Executed {
    /// How many rows were changed; absent when the statement returns rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    affected: Option<u64>,
    /// The rows of RETURNING.
    #[serde(skip_serializing_if = "Option::is_none")]
    returned: Option<Table>,
}

pub(super) async fn execute_statement(up: &Upstream, args: ExecuteStatement) -> Result<Executed, ToolError> {
    let settings = up.settings::<Settings>()?;
    gate::change(&args.sql, settings)?;
    let most = settings.max_rows.get() as usize;
    writing(up, Effect::Destructive, move |tx| Box::pin(async move { execute(tx, &args, most).await })).await
}

async fn execute(tx: &Tx<'_>, args: &ExecuteStatement, most: usize) -> Result<Executed, ToolError> {
    let statement = tx.tx.prepare(&args.sql).await.map_err(|error| tx.error(&error))?;
    if !statement.columns().is_empty() {
        let returned = fetch(tx, &args.sql, Kind::Other, &args.params, most).await?;
        return Ok(Executed { affected: None, returned: Some(returned) });
    }
    if statement.params().len() != args.params.len() {
        let (wanted, given) = (statement.params().len(), args.params.len());
        return Err(ToolError::invalid(format!("the SQL has {wanted} parameters, params has {given}")));
    }
    let params: Vec<_> = args.params.iter().map(Param).collect();
    let affected = tx.tx.execute(&statement, &refs(&params)).await.map_err(|error| tx.error(&error))?;
    Ok(Executed { affected: Some(affected), returned: None })
}

const PRIMARY_KEY: &str = "SELECT a.attname::text FROM pg_catalog.pg_index i \
       JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey) \
     WHERE i.indrelid = $1 AND i.indisprimary ORDER BY array_position(i.indkey::int2[], a.attnum)";

/// The key columns that the role may read: without that right, RETURNING would make the insert fail.
async fn primary_key(tx: &Tx<'_>, schema: &str, table: &str) -> Result<Vec<String>, ToolError> {
    let found = describe::find(tx, schema, table).await?;
    let rows = tx.tx.query(PRIMARY_KEY, &[&found.oid]).await.map_err(|error| tx.error(&error))?;
    let key: Vec<String> =
        rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>().map_err(|error| tx.error(&error))?;
    for column in &key {
        let sql = "SELECT pg_catalog.has_column_privilege($1::oid, $2::text, 'SELECT')";
        let row = tx.tx.query_one(sql, &[&found.oid, column]).await.map_err(|error| tx.error(&error))?;
        if !row.try_get::<_, bool>(0).map_err(|error| tx.error(&error))? {
            return Ok(Vec::new());
        }
    }
    Ok(key)
}

fn check_columns(field: &str, columns: &Columns) -> Result<(), ToolError> {
    if columns.is_empty() {
        return Err(ToolError::invalid(format!("{field}: at least one column is needed")));
    }
    if columns.len() > MAX_COLUMNS {
        return Err(ToolError::invalid(format!("{field}: {} columns are more than {MAX_COLUMNS}", columns.len())));
    }
    match columns.keys().find(|name| name.is_empty() || name.len() > 128 || name.contains('\0')) {
        None => Ok(()),
        Some(_) => Err(ToolError::invalid(format!("{field}: a column name is empty, too long, or holds NUL"))),
    }
}

fn check_expected(rows: u64) -> Result<(), ToolError> {
    if rows > 100_000 { Err(ToolError::invalid("expected_rows: more than 100000")) } else { Ok(()) }
}

fn list<'a>(columns: impl Iterator<Item = &'a String>) -> String {
    columns.map(|column| quoted(column)).collect::<Vec<_>>().join(", ")
}
