//! One table in full: its name comes in; columns, constraints, indexes and comments go out.

use postgres_types::Json;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::catalog::Name;
use super::{allowed, reading};
use crate::connector::{Args, ToolError, Upstream};
use crate::connectors::postgres::transaction::Tx;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OneTable {
    /// Schema of the table.
    pub(super) schema: Name,
    /// Name of the table or view, exactly as listed.
    pub(super) table: Name,
}
impl Args for OneTable {}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Description {
    schema: String,
    name: String,
    /// `table`, `partitioned_table`, `view`, `materialized_view` or `foreign_table`.
    kind: String,
    comment: Option<String>,
    columns: Vec<Column>,
    /// Columns of the primary key, in order; empty without one.
    primary_key: Vec<String>,
    constraints: Vec<Constraint>,
    indexes: Vec<Index>,
    /// The query behind a view.
    #[serde(skip_serializing_if = "Option::is_none")]
    view_definition: Option<String>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct Column {
    name: String,
    #[serde(rename = "type")]
    type_name: String,
    nullable: bool,
    /// Default, or the expression of a generated column.
    default: Option<String>,
    /// `always`, `by_default` for identity columns, `generated` for computed ones.
    generated: Option<String>,
    comment: Option<String>,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct Constraint {
    name: String,
    /// `primary_key`, `unique`, `foreign_key`, `check` or `exclusion`.
    kind: String,
    columns: Vec<String>,
    /// `schema.table` that a foreign key points to.
    references: Option<String>,
    definition: String,
}

#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct Index {
    name: String,
    definition: String,
    unique: bool,
    /// False when the index must be rebuilt before it is used.
    valid: bool,
}

/// The oid of a relation by its exact names, so that nothing is looked up through a search path.
const FIND: &str = "SELECT c.oid, \
       CASE c.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned_table' WHEN 'v' THEN 'view' \
         WHEN 'm' THEN 'materialized_view' ELSE 'foreign_table' END, \
       pg_catalog.obj_description(c.oid, 'pg_class') \
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
     WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r','p','v','m','f') \
       AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')";

const COLUMNS: &str = "SELECT COALESCE(json_agg(json_build_object('name', a.attname, \
       'type', pg_catalog.format_type(a.atttypid, a.atttypmod), 'nullable', NOT a.attnotnull, \
       'default', pg_catalog.pg_get_expr(d.adbin, d.adrelid), \
       'generated', CASE WHEN a.attgenerated <> '' THEN 'generated' WHEN a.attidentity = 'a' THEN 'always' \
         WHEN a.attidentity = 'd' THEN 'by_default' END, \
       'comment', pg_catalog.col_description(a.attrelid, a.attnum)) ORDER BY a.attnum), '[]'::json) \
     FROM pg_catalog.pg_attribute a \
       LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
     WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped";

const CONSTRAINTS: &str = "SELECT COALESCE(json_agg(json_build_object('name', k.conname, \
       'kind', CASE k.contype WHEN 'p' THEN 'primary_key' WHEN 'u' THEN 'unique' WHEN 'f' THEN 'foreign_key' \
         WHEN 'c' THEN 'check' ELSE 'exclusion' END, \
       'columns', (SELECT COALESCE(json_agg(a.attname ORDER BY i.n), '[]'::json) \
         FROM unnest(k.conkey) WITH ORDINALITY i(num, n) \
         JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = i.num), \
       'references', CASE WHEN k.confrelid <> 0 THEN (SELECT n.nspname || '.' || c.relname \
         FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = k.confrelid) END, \
       'definition', pg_catalog.pg_get_constraintdef(k.oid)) ORDER BY k.contype, k.conname), '[]'::json) \
     FROM pg_catalog.pg_constraint k WHERE k.conrelid = $1 AND k.contype IN ('p','u','f','c','x')";

const INDEXES: &str = "SELECT COALESCE(json_agg(json_build_object('name', c.relname, \
       'definition', pg_catalog.pg_get_indexdef(i.indexrelid), 'unique', i.indisunique, 'valid', i.indisvalid) \
       ORDER BY c.relname), '[]'::json) \
     FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = $1";

const VIEW: &str = "SELECT CASE WHEN c.relkind IN ('v','m') THEN pg_catalog.pg_get_viewdef(c.oid) END \
     FROM pg_catalog.pg_class c WHERE c.oid = $1";

pub(super) async fn describe_table(up: &Upstream, args: OneTable) -> Result<Description, ToolError> {
    allowed(up, &args.schema)?;
    reading(up, None, move |tx| Box::pin(async move { describe(tx, &args.schema, &args.table).await })).await
}

async fn describe(tx: &Tx<'_>, schema: &str, table: &str) -> Result<Description, ToolError> {
    let found = find(tx, schema, table).await?;
    let columns: Vec<Column> = json(tx, COLUMNS, found.oid).await?;
    let constraints: Vec<Constraint> = json(tx, CONSTRAINTS, found.oid).await?;
    let indexes: Vec<Index> = json(tx, INDEXES, found.oid).await?;
    let view = tx.tx.query_one(VIEW, &[&found.oid]).await.map_err(|error| tx.error(&error))?;
    let primary_key =
        constraints.iter().find(|c| c.kind == "primary_key").map(|c| c.columns.clone()).unwrap_or_default();
    Ok(Description {
        schema: schema.to_owned(),
        name: table.to_owned(),
        kind: found.kind,
        comment: found.comment,
        columns,
        primary_key,
        constraints,
        indexes,
        view_definition: view.try_get(0).map_err(|error| tx.error(&error))?,
    })
}

/// A relation that exists and may be seen.
pub(super) struct Found {
    pub(super) oid: u32,
    pub(super) kind: String,
    comment: Option<String>,
}

/// Looks a relation up.
pub(super) async fn find(tx: &Tx<'_>, schema: &str, table: &str) -> Result<Found, ToolError> {
    let row = tx.tx.query_opt(FIND, &[&schema, &table]).await.map_err(|error| tx.error(&error))?;
    let Some(row) = row else {
        return Err(ToolError::not_found(format!("there is no table or view {schema}.{table} that the role may see")));
    };
    let read = || -> Result<Found, tokio_postgres::Error> {
        Ok(Found { oid: row.try_get(0)?, kind: row.try_get(1)?, comment: row.try_get(2)? })
    };
    read().map_err(|error| tx.error(&error))
}

async fn json<T: serde::de::DeserializeOwned>(tx: &Tx<'_>, sql: &str, oid: u32) -> Result<T, ToolError> {
    let row = tx.tx.query_one(sql, &[&oid]).await.map_err(|error| tx.error(&error))?;
    let Json(value) = row.try_get::<_, Json<T>>(0).map_err(|error| tx.error(&error))?;
    Ok(value)
}
