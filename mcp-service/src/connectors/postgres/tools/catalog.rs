//! What there is: schemas, tables, columns and functions, page by page, from the system catalogues.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::reading;
use crate::connector::{Args, Count, Cursor, Page, Text, ToolError, Upstream};
use crate::connectors::postgres::settings::Settings;

/// Longest name or pattern: a PostgreSQL name has at most 63 bytes.
pub(super) type Name = Text<128>;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListSchemas {
    /// How many schemas at most.
    #[serde(default)]
    limit: Count<100, 500>,
    /// `next_cursor` of the page before.
    cursor: Option<Cursor>,
}
impl Args for ListSchemas {}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Schema {
    name: String,
    owner: String,
    comment: Option<String>,
    /// Tables, views, materialized views and foreign tables in it.
    tables: i64,
}

const SCHEMAS: &str = "SELECT n.nspname::text, pg_catalog.pg_get_userbyid(n.nspowner)::text, \
       pg_catalog.obj_description(n.oid, 'pg_namespace'), \
       (SELECT count(*) FROM pg_catalog.pg_class c WHERE c.relnamespace = n.oid AND c.relkind IN ('r','p','v','m','f')) \
     FROM pg_catalog.pg_namespace n \
     WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' \
       AND pg_catalog.has_schema_privilege(n.oid, 'USAGE') \
       AND ($1::text[] IS NULL OR n.nspname = ANY ($1)) AND ($2::text IS NULL OR n.nspname > $2) \
     ORDER BY n.nspname LIMIT $3";

pub(super) async fn list_schemas(up: &Upstream, args: ListSchemas) -> Result<Page<Schema>, ToolError> {
    let after: Option<String> = args.cursor.as_ref().map(Cursor::position).transpose()?;
    let allowed = allowed_schemas(up)?;
    let limit = args.limit.get();
    let schemas = list(up, SCHEMAS, vec![Box::new(allowed), Box::new(after), Box::new(over(limit))], |row| {
        Ok(Schema { name: row.try_get(0)?, owner: row.try_get(1)?, comment: row.try_get(2)?, tables: row.try_get(3)? })
    })
    .await?;
    Page::from_overfetch(schemas, limit as usize, |schema| schema.name.clone())
}

/// What kind of relation.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// Ordinary and partitioned tables.
    Table,
    View,
    MaterializedView,
    ForeignTable,
}

impl Kind {
    fn relkinds(self) -> Vec<String> {
        let kinds: &[&str] = match self {
            Self::Table => &["r", "p"],
            Self::View => &["v"],
            Self::MaterializedView => &["m"],
            Self::ForeignTable => &["f"],
        };
        kinds.iter().map(|&kind| kind.to_owned()).collect()
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListTables {
    /// Only this schema.
    schema: Option<Name>,
    /// Only this kind.
    kind: Option<Kind>,
    /// Only names like this (ILIKE: % and _ are wildcards).
    name_like: Option<Name>,
    /// How many tables at most.
    #[serde(default)]
    limit: Count<100, 500>,
    /// `next_cursor` of the page before.
    cursor: Option<Cursor>,
}
impl Args for ListTables {}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Relation {
    schema: String,
    name: String,
    /// `table`, `partitioned_table`, `view`, `materialized_view` or `foreign_table`.
    kind: String,
    /// Rows as the planner estimates them; -1 when never analysed.
    estimated_rows: i64,
    /// Bytes on disk with indexes and TOAST.
    total_bytes: i64,
    comment: Option<String>,
}

const TABLES: &str = "SELECT n.nspname::text, c.relname::text, \
       CASE c.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned_table' WHEN 'v' THEN 'view' \
         WHEN 'm' THEN 'materialized_view' ELSE 'foreign_table' END, \
       c.reltuples::int8, \
       CASE WHEN c.relkind IN ('r','m') THEN COALESCE(pg_catalog.pg_total_relation_size(c.oid), 0) ELSE 0 END, \
       pg_catalog.obj_description(c.oid, 'pg_class') \
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE c.relkind IN ('r','p','v','m','f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' \
       AND pg_catalog.has_schema_privilege(n.oid, 'USAGE') \
       AND ($1::text[] IS NULL OR n.nspname = ANY ($1)) AND ($2::text IS NULL OR n.nspname = $2) \
       AND ($3::text[] IS NULL OR c.relkind = ANY ($3::\"char\"[])) AND ($4::text IS NULL OR c.relname ILIKE $4) \
       AND ($5::text IS NULL OR (n.nspname, c.relname) > ($5::name, $6::name)) \
     ORDER BY n.nspname, c.relname LIMIT $7";

pub(super) async fn list_tables(up: &Upstream, args: ListTables) -> Result<Page<Relation>, ToolError> {
    let (after_schema, after_name) = after_pair(args.cursor.as_ref())?;
    let limit = args.limit.get();
    let params: Vec<Box<dyn ToSql + Sync + Send>> = vec![
        Box::new(allowed_schemas(up)?),
        Box::new(text(args.schema)),
        Box::new(args.kind.map(Kind::relkinds)),
        Box::new(text(args.name_like)),
        Box::new(after_schema),
        Box::new(after_name),
        Box::new(over(limit)),
    ];
    let tables = list(up, TABLES, params, |row| {
        Ok(Relation {
            schema: row.try_get(0)?,
            name: row.try_get(1)?,
            kind: row.try_get(2)?,
            estimated_rows: row.try_get(3)?,
            total_bytes: row.try_get(4)?,
            comment: row.try_get(5)?,
        })
    })
    .await?;
    Page::from_overfetch(tables, limit as usize, |table| (table.schema.clone(), table.name.clone()))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SearchColumns {
    /// Pattern for the column's name (ILIKE: % and _ are wildcards).
    pattern: Name,
    /// Only this schema.
    schema: Option<Name>,
    /// How many columns at most.
    #[serde(default)]
    limit: Count<100, 500>,
    /// `next_cursor` of the page before.
    cursor: Option<Cursor>,
}
impl Args for SearchColumns {}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct FoundColumn {
    schema: String,
    table: String,
    column: String,
    #[serde(rename = "type")]
    type_name: String,
    comment: Option<String>,
}

const COLUMNS: &str = "SELECT n.nspname::text, c.relname::text, a.attname::text, \
       pg_catalog.format_type(a.atttypid, a.atttypmod), pg_catalog.col_description(c.oid, a.attnum) \
     FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid \
       JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r','p','v','m','f') \
       AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' \
       AND pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND a.attname ILIKE $1 \
       AND ($2::text[] IS NULL OR n.nspname = ANY ($2)) AND ($3::text IS NULL OR n.nspname = $3) \
       AND ($4::text IS NULL OR (n.nspname, c.relname, a.attname) > ($4::name, $5::name, $6::name)) \
     ORDER BY n.nspname, c.relname, a.attname LIMIT $7";

pub(super) async fn search_columns(up: &Upstream, args: SearchColumns) -> Result<Page<FoundColumn>, ToolError> {
    let after: Option<(String, String, String)> = args.cursor.as_ref().map(Cursor::position).transpose()?;
    let (schema, table, column) = after.map_or((None, None, None), |(s, t, c)| (Some(s), Some(t), Some(c)));
    let limit = args.limit.get();
    let params: Vec<Box<dyn ToSql + Sync + Send>> = vec![
        Box::new(args.pattern.as_str().to_owned()),
        Box::new(allowed_schemas(up)?),
        Box::new(text(args.schema)),
        Box::new(schema),
        Box::new(table),
        Box::new(column),
        Box::new(over(limit)),
    ];
    let columns = list(up, COLUMNS, params, |row| {
        Ok(FoundColumn {
            schema: row.try_get(0)?,
            table: row.try_get(1)?,
            column: row.try_get(2)?,
            type_name: row.try_get(3)?,
            comment: row.try_get(4)?,
        })
    })
    .await?;
    Page::from_overfetch(columns, limit as usize, |c| (c.schema.clone(), c.table.clone(), c.column.clone()))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ListFunctions {
    /// Only this schema.
    schema: Option<Name>,
    /// Only names like this (ILIKE: % and _ are wildcards).
    name_like: Option<Name>,
    /// How many functions at most.
    #[serde(default)]
    limit: Count<100, 500>,
    /// `next_cursor` of the page before.
    cursor: Option<Cursor>,
}
impl Args for ListFunctions {}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Routine {
    schema: String,
    name: String,
    /// Arguments that tell it apart from others of this name.
    arguments: String,
    /// What it returns; absent for procedures.
    result: Option<String>,
    /// `function`, `procedure`, `aggregate` or `window`.
    kind: String,
    /// `immutable`, `stable` or `volatile`.
    volatility: String,
    language: String,
    comment: Option<String>,
    #[serde(skip)]
    #[schemars(skip)]
    oid: u32,
}

const FUNCTIONS: &str = "SELECT n.nspname::text, p.proname::text, pg_catalog.pg_get_function_identity_arguments(p.oid), \
       pg_catalog.pg_get_function_result(p.oid), \
       CASE p.prokind WHEN 'f' THEN 'function' WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' ELSE 'window' END, \
       CASE p.provolatile WHEN 'i' THEN 'immutable' WHEN 's' THEN 'stable' ELSE 'volatile' END, \
       l.lanname::text, pg_catalog.obj_description(p.oid, 'pg_proc'), p.oid \
     FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace \
       JOIN pg_catalog.pg_language l ON l.oid = p.prolang \
     WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' \
       AND pg_catalog.has_schema_privilege(n.oid, 'USAGE') \
       AND ($1::text[] IS NULL OR n.nspname = ANY ($1)) AND ($2::text IS NULL OR n.nspname = $2) \
       AND ($3::text IS NULL OR p.proname ILIKE $3) \
       AND ($4::text IS NULL OR (n.nspname, p.proname, p.oid) > ($4::name, $5::name, $6::oid)) \
     ORDER BY n.nspname, p.proname, p.oid LIMIT $7";

pub(super) async fn list_functions(up: &Upstream, args: ListFunctions) -> Result<Page<Routine>, ToolError> {
    let after: Option<(String, String, u32)> = args.cursor.as_ref().map(Cursor::position).transpose()?;
    let (schema, name, oid) = after.map_or((None, None, None), |(s, n, o)| (Some(s), Some(n), Some(o)));
    let limit = args.limit.get();
    let params: Vec<Box<dyn ToSql + Sync + Send>> = vec![
        Box::new(allowed_schemas(up)?),
        Box::new(text(args.schema)),
        Box::new(text(args.name_like)),
        Box::new(schema),
        Box::new(name),
        Box::new(oid),
        Box::new(over(limit)),
    ];
    let routines = list(up, FUNCTIONS, params, |row| {
        Ok(Routine {
            schema: row.try_get(0)?,
            name: row.try_get(1)?,
            arguments: row.try_get(2)?,
            result: row.try_get(3)?,
            kind: row.try_get(4)?,
            volatility: row.try_get(5)?,
            language: row.try_get(6)?,
            comment: row.try_get(7)?,
            oid: row.try_get(8)?,
        })
    })
    .await?;
    Page::from_overfetch(routines, limit as usize, |r| (r.schema.clone(), r.name.clone(), r.oid))
}

/// Runs one catalogue query and reads its rows.
async fn list<T: Send + 'static>(
    up: &Upstream,
    sql: &'static str,
    params: Vec<Box<dyn ToSql + Sync + Send>>,
    read: impl Fn(&Row) -> Result<T, tokio_postgres::Error> + Send + Sync + 'static,
) -> Result<Vec<T>, ToolError> {
    reading(up, None, move |tx| {
        Box::pin(async move {
            let params: Vec<_> = params.iter().map(|param| &**param as &(dyn ToSql + Sync)).collect();
            let rows = tx.tx.query(sql, &params).await.map_err(|error| tx.error(&error))?;
            rows.iter().map(read).collect::<Result<_, _>>().map_err(|error| tx.error(&error))
        })
    })
    .await
}

fn allowed_schemas(up: &Upstream) -> Result<Option<Vec<String>>, ToolError> {
    Ok(up.settings::<Settings>()?.schemas().map(<[String]>::to_vec))
}

fn after_pair(cursor: Option<&Cursor>) -> Result<(Option<String>, Option<String>), ToolError> {
    let after: Option<(String, String)> = cursor.map(Cursor::position).transpose()?;
    Ok(after.map_or((None, None), |(first, second)| (Some(first), Some(second))))
}

/// One more than wanted, to know whether there is more.
fn over(limit: u32) -> i64 {
    i64::from(limit) + 1
}

fn text(name: Option<Name>) -> Option<String> {
    name.map(|name| name.as_str().to_owned())
}
