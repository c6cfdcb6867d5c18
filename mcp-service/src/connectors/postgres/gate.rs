//! The parser gate: SQL text of others comes in; it goes on only as one statement of a permitted kind.
//!
//! This is one of four layers, not the only one: a READ ONLY transaction refuses writes, but lets a statement notify,
//! lock, terminate, change settings and, with a mighty role, read files. Functions are refused by a list of what is
//! known to do harm; a list of what is allowed makes people switch the gate off.

mod functions;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;

use sqlparser::ast::{Expr, ObjectName, Query, Select, SetExpr, Statement, TableFactor, Visit, Visitor};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;

use super::settings::Settings;
use crate::connector::ToolError;

/// How deep a statement may nest.
const MAX_DEPTH: usize = 50;

/// What kind of statement passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// SELECT, VALUES, WITH … SELECT: can be wrapped in another query.
    Query,
    /// EXPLAIN or SHOW: cannot.
    Other,
}

/// One statement that only reads.
///
/// # Errors
/// `invalid_argument` when it cannot be parsed, `forbidden` with the reason when it is not permitted.
pub(super) fn read_only(sql: &str, settings: &Settings) -> Result<Kind, ToolError> {
    let statement = single(sql)?;
    let kind = match &statement {
        Statement::Query(_) => Kind::Query,
        Statement::ShowVariable { .. } => return Ok(Kind::Other),
        Statement::Explain { statement, .. } if matches!(**statement, Statement::Query(_)) => Kind::Other,
        _ => {
            return Err(ToolError::forbidden(
                "only SELECT, VALUES, WITH … SELECT, EXPLAIN of these and SHOW are allowed",
            ));
        }
    };
    inspect(&statement, settings, false)?;
    Ok(kind)
}

/// One query, for EXPLAIN.
///
/// # Errors
/// As [`read_only`].
pub(super) fn query(sql: &str, settings: &Settings) -> Result<(), ToolError> {
    match read_only(sql, settings)? {
        Kind::Query => Ok(()),
        Kind::Other => Err(ToolError::forbidden("only a SELECT, VALUES or WITH … SELECT can be explained")),
    }
}

/// One INSERT, UPDATE, DELETE or MERGE.
///
/// # Errors
/// As [`read_only`].
pub(super) fn change(sql: &str, settings: &Settings) -> Result<(), ToolError> {
    let statement = single(sql)?;
    match &statement {
        Statement::Insert(_) | Statement::Update(_) | Statement::Delete(_) | Statement::Merge(_) => {
            inspect(&statement, settings, true)
        }
        // WITH … INSERT and the like are parsed as a query.
        Statement::Query(query) if changes(&query.body) => inspect(&statement, settings, true),
        _ => Err(ToolError::forbidden("only a single INSERT, UPDATE, DELETE or MERGE is allowed")),
    }
}

fn single(sql: &str) -> Result<Statement, ToolError> {
    let mut statements = Parser::new(&PostgreSqlDialect {})
        .with_recursion_limit(MAX_DEPTH)
        .try_with_sql(sql)
        .and_then(|mut parser| parser.parse_statements())
        .map_err(|error| ToolError::invalid(format!("the SQL cannot be parsed: {error}")))?;
    match (statements.pop(), statements.is_empty()) {
        (Some(statement), true) => Ok(statement),
        (None, _) => Err(ToolError::invalid("the SQL holds no statement")),
        (Some(_), false) => Err(ToolError::forbidden("only a single statement is allowed")),
    }
}

fn inspect(statement: &Statement, settings: &Settings, may_change: bool) -> Result<(), ToolError> {
    let mut inspector = Inspector { settings, may_change };
    match statement.visit(&mut inspector) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(reason) => Err(ToolError::forbidden(reason)),
    }
}

/// Whether the body of a query is, or combines, a change.
fn changes(body: &SetExpr) -> bool {
    match body {
        SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => true,
        SetExpr::SetOperation { left, right, .. } => changes(left) || changes(right),
        SetExpr::Query(query) => changes(&query.body),
        SetExpr::Select(_) | SetExpr::Values(_) | SetExpr::Table(_) => false,
    }
}

struct Inspector<'a> {
    settings: &'a Settings,
    may_change: bool,
}

impl Inspector<'_> {
    fn function(&self, name: &ObjectName) -> ControlFlow<String> {
        let parts: Vec<String> = parts(name);
        let function = parts.last().map(String::as_str).unwrap_or_default();
        let schema = parts.len().checked_sub(2).and_then(|i| parts.get(i)).map(String::as_str);
        if functions::is_denied(schema, function) {
            return ControlFlow::Break(format!("the function {function} is not allowed"));
        }
        match schema {
            Some(schema) if schema != "pg_catalog" && !self.settings.allows(schema) => self.outside(schema),
            _ => ControlFlow::Continue(()),
        }
    }

    fn outside(&self, schema: &str) -> ControlFlow<String> {
        ControlFlow::Break(format!("the schema {schema} is not one of allowedSchemas"))
    }
}

/// The parts of a name as the server would read them: unquoted ones in lower case.
fn parts(name: &ObjectName) -> Vec<String> {
    name.0
        .iter()
        .map(|part| match part.as_ident() {
            Some(ident) if ident.quote_style.is_some() => ident.value.clone(),
            Some(ident) => ident.value.to_lowercase(),
            // `a.func()` as part of a name: nothing that the server could mean.
            None => part.to_string(),
        })
        .collect()
}

impl Visitor for Inspector<'_> {
    type Break = String;

    fn pre_visit_statement(&mut self, statement: &Statement) -> ControlFlow<String> {
        match statement {
            Statement::Query(_) | Statement::Explain { .. } => ControlFlow::Continue(()),
            Statement::Insert(_) | Statement::Update(_) | Statement::Delete(_) | Statement::Merge(_)
                if self.may_change =>
            {
                ControlFlow::Continue(())
            }
            _ => ControlFlow::Break("the statement changes something".to_owned()),
        }
    }

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<String> {
        if !self.may_change && changes(&query.body) {
            return ControlFlow::Break("a part of the query changes something".to_owned());
        }
        if !query.locks.is_empty() {
            return ControlFlow::Break("FOR UPDATE and FOR SHARE lock rows and are not allowed".to_owned());
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<String> {
        if select.into.is_some() {
            return ControlFlow::Break("SELECT INTO creates a table and is not allowed".to_owned());
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, name: &ObjectName) -> ControlFlow<String> {
        let parts = parts(name);
        match parts.len().checked_sub(2).and_then(|i| parts.get(i)) {
            Some(schema) if !self.settings.allows(schema) && !is_catalog(schema) => self.outside(schema),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<String> {
        match factor {
            // A function in FROM is a table with arguments here; missing it is how such gates are bypassed.
            TableFactor::Table { name, args: Some(_), .. } | TableFactor::Function { name, .. } => self.function(name),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<String> {
        match expr {
            Expr::Function(function) => self.function(&function.name),
            _ => ControlFlow::Continue(()),
        }
    }
}

fn is_catalog(schema: &str) -> bool {
    schema == "pg_catalog" || schema == "information_schema"
}
