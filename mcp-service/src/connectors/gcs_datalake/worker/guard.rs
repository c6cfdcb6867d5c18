//! Which SQL is planned at all: text comes in, one bounded SELECT goes out.
//!
//! All of this runs before the planner sees anything, because planning is where small texts do the most harm: it
//! recurses over the expression and evaluates constants.

use std::ops::ControlFlow;

use datafusion::sql::parser::{DFParserBuilder, Statement};
use sqlparser::ast::{Expr, Query, Select, Statement as SqlStatement, TableFactor, Visit, Visitor};
use sqlparser::dialect::GenericDialect;
use sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer};

use super::super::protocol::{Failure, FailureKind};
use super::super::settings::MAX_SQL_BYTES;

/// Most words, numbers and signs of one query.
const MAX_TOKENS: usize = 20_000;
/// Deepest nesting of expressions. A chain such as `a + b + c` nests once per operator.
const MAX_DEPTH: u32 = 200;
/// Most expressions of one query.
const MAX_EXPRESSIONS: u32 = 10_000;
/// Most SELECTs of one query, sub-queries and the parts of a UNION included.
const MAX_SELECTS: u32 = 100;
/// Most tables and sub-queries in all FROM clauses together.
const MAX_RELATIONS: u32 = 64;
/// Deepest nesting of parentheses and sub-queries that is parsed.
const MAX_PARSER_RECURSION: usize = 50;

/// Reads the text as one SELECT within the limits.
///
/// # Errors
/// `InvalidQuery` with a sentence that says which rule it breaks.
pub(super) fn select(sql: &str) -> Result<Statement, Failure> {
    if sql.len() > MAX_SQL_BYTES {
        return Err(refuse(format!("the query is longer than {MAX_SQL_BYTES} bytes")));
    }
    let statement = only_statement(tokens(sql)?)?;
    let Statement::Statement(inner) = &statement else { return Err(not_a_select(sql)) };
    let SqlStatement::Query(query) = inner.as_ref() else { return Err(not_a_select(sql)) };
    match query.visit(&mut Limits::default()) {
        ControlFlow::Continue(()) => Ok(statement),
        ControlFlow::Break(limit) => Err(refuse(limit.to_string())),
    }
}

fn tokens(sql: &str) -> Result<Vec<TokenWithSpan>, Failure> {
    let tokens = Tokenizer::new(&GenericDialect {}, sql)
        .tokenize_with_location()
        .map_err(|error| refuse(format!("the SQL cannot be read: {error}")))?;
    let words = tokens.iter().filter(|token| !matches!(token.token, Token::Whitespace(_))).count();
    if words > MAX_TOKENS {
        return Err(refuse(format!("the query has {words} words and signs; at most {MAX_TOKENS} are allowed")));
    }
    Ok(tokens)
}

fn only_statement(tokens: Vec<TokenWithSpan>) -> Result<Statement, Failure> {
    let mut statements = DFParserBuilder::new(tokens)
        .with_recursion_limit(MAX_PARSER_RECURSION)
        .build()
        .and_then(|mut parser| parser.parse_statements())
        .map_err(|error| refuse(format!("the SQL cannot be read: {}", error.strip_backtrace())))?;
    match (statements.pop_front(), statements.is_empty()) {
        (Some(statement), true) => Ok(statement),
        (Some(_), false) => Err(refuse("only one statement at a time is allowed".to_owned())),
        (None, _) => Err(refuse("the query is empty".to_owned())),
    }
}

fn not_a_select(sql: &str) -> Failure {
    let first: String = sql.trim_start().chars().take_while(|c| c.is_ascii_alphabetic()).take(20).collect();
    let first = first.to_ascii_uppercase();
    refuse(match first.as_str() {
        // EXPLAIN ANALYZE would run the query; the plan alone has a tool of its own.
        "EXPLAIN" => "give the SELECT without EXPLAIN; gcs_explain_query shows its plan".to_owned(),
        "DESCRIBE" | "DESC" | "SHOW" => {
            "only SELECT is allowed; gcs_list_tables and gcs_describe_table show what there is".to_owned()
        }
        _ => format!("only SELECT is allowed; the data lake is read-only (found {first})"),
    })
}

fn refuse(message: String) -> Failure {
    Failure::new(FailureKind::InvalidQuery, message)
}

/// The limit that a query is over. Small, because a visitor carries it through its recursion.
#[derive(Debug, Clone, Copy, thiserror::Error)]
enum Over {
    #[error(
        "the query nests expressions more than {MAX_DEPTH} levels deep (a chain such as a + b + c nests once per \
         operator); use IN, functions or sub-queries instead"
    )]
    Depth,
    #[error("the query has more than {MAX_EXPRESSIONS} expressions")]
    Expressions,
    #[error("the query has more than {MAX_SELECTS} SELECTs")]
    Selects,
    #[error("the query names more than {MAX_RELATIONS} tables and sub-queries in its FROM clauses")]
    Relations,
}

/// Counts while walking, and stops walking at the first limit, so that the walk itself stays shallow.
#[derive(Default)]
struct Limits {
    depth: u32,
    expressions: u32,
    selects: u32,
    relations: u32,
}

fn within(count: u32, max: u32, over: Over) -> ControlFlow<Over> {
    if count > max { ControlFlow::Break(over) } else { ControlFlow::Continue(()) }
}

impl Visitor for Limits {
    type Break = Over;

    fn pre_visit_expr(&mut self, _: &Expr) -> ControlFlow<Over> {
        self.depth += 1;
        self.expressions += 1;
        within(self.depth, MAX_DEPTH, Over::Depth)?;
        within(self.expressions, MAX_EXPRESSIONS, Over::Expressions)
    }

    fn post_visit_expr(&mut self, _: &Expr) -> ControlFlow<Over> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<Over> {
        self.depth += 1;
        within(self.depth, MAX_DEPTH, Over::Depth)
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<Over> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, _: &Select) -> ControlFlow<Over> {
        self.selects += 1;
        within(self.selects, MAX_SELECTS, Over::Selects)
    }

    fn pre_visit_table_factor(&mut self, _: &TableFactor) -> ControlFlow<Over> {
        self.relations += 1;
        within(self.relations, MAX_RELATIONS, Over::Relations)
    }
}

#[cfg(test)]
mod tests;
