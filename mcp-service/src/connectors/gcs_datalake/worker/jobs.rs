//! The four jobs: a request comes in, an answer goes out.

use datafusion::common::TableReference;
use datafusion::execution::context::SQLOptions;
use datafusion::physical_plan::displayable;
use datafusion::prelude::{DataFrame, SessionContext};
use datafusion::sql::parser::Statement;
use futures::StreamExt as _;

use super::super::lake::{Format, Table};
use super::super::protocol::{Answer, Caps, Failure, FailureKind, Job, Limits, Request};
use super::rows::Collector;
use super::session;
use super::store::LakeStore;
use super::{guard, rows};

/// The longest plan that is shown, in characters.
const MAX_PLAN: usize = 60_000;
/// How many table names an error message lists.
const NAMES_SHOWN: usize = 20;

/// Does what the request asks for.
///
/// # Errors
/// A failure in words for the caller.
pub(super) async fn run(request: Request, limits: &Limits) -> Result<Answer, Failure> {
    let Request { root, tables, job } = request;
    // SQL is judged before anything is opened.
    let statement = match &job {
        Job::Query { sql, .. } | Job::Explain { sql } => Some(guard::select(sql)?),
        Job::Describe { .. } | Job::Preview { .. } => None,
    };
    let store = LakeStore::open(&root, &tables)
        .map_err(|_| Failure::new(FailureKind::UnreadableData, "the folder of the data lake cannot be opened"))?;
    let context = session::open(store, limits)?;
    match (job, statement) {
        (Job::Query { caps, .. }, Some(statement)) => collect(plan(&context, &tables, statement).await?, caps).await,
        (Job::Explain { .. }, Some(statement)) => explain(plan(&context, &tables, statement).await?).await,
        (Job::Describe { table }, _) => describe(&context, &tables, &table).await,
        (Job::Preview { table, caps }, _) => collect(whole(&context, &tables, &table).await?, caps).await,
        (Job::Query { .. } | Job::Explain { .. }, None) => Err(Failure::new(FailureKind::Internal, "no statement")),
    }
}

/// The logical plan of a statement that the guard let through. Checked once more, on the plan: no DDL, DML, statement.
async fn plan(context: &SessionContext, tables: &[Table], statement: Statement) -> Result<DataFrame, Failure> {
    let state = context.state();
    let references = state.resolve_table_references(&statement)?;
    session::register(context, tables, &references).await?;
    let plan = context.state().statement_to_plan(statement).await.map_err(|error| {
        let failure = Failure::from(error);
        missing_table(&failure, tables, &references).unwrap_or(failure)
    })?;
    SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false).verify_plan(&plan)?;
    Ok(DataFrame::new(context.state(), plan))
}

/// A better word for "table not found": the names that there are. Table functions are references, too, so only the
/// planner can say which one is really missing.
fn missing_table(failure: &Failure, tables: &[Table], references: &[TableReference]) -> Option<Failure> {
    if !(failure.message.contains("table '") && failure.message.contains("not found")) {
        return None;
    }
    let missing = references.iter().find(|r| !tables.iter().any(|table| session::refers_to(r, table)))?;
    Some(no_such_table(missing.table(), tables))
}

fn no_such_table(name: &str, tables: &[Table]) -> Failure {
    let mut names: Vec<&str> = tables.iter().take(NAMES_SHOWN).map(|table| table.name.as_str()).collect();
    if tables.len() > NAMES_SHOWN {
        names.push("…");
    }
    let name: String = name.chars().take(100).collect();
    let message = format!("there is no table {name:?}; the tables are: {}", names.join(", "));
    Failure::new(FailureKind::NoSuchTable, message)
}

async fn whole(context: &SessionContext, tables: &[Table], name: &str) -> Result<DataFrame, Failure> {
    let reference = TableReference::bare(name);
    if !tables.iter().any(|table| session::refers_to(&reference, table)) {
        return Err(no_such_table(name, tables));
    }
    session::register(context, tables, std::slice::from_ref(&reference)).await?;
    Ok(context.table(reference).await?)
}

/// Runs a plan until it ends or a cap is reached; what is not read is not computed.
async fn collect(frame: DataFrame, caps: Caps) -> Result<Answer, Failure> {
    // One row more than wanted tells "all" from "cut".
    let frame = frame.limit(0, Some(caps.rows.saturating_add(1)))?;
    let mut stream = frame.execute_stream().await?;
    let mut collector = Collector::new(&stream.schema(), caps)?;
    while let Some(batch) = stream.next().await {
        if collector.push(&batch?)?.is_break() {
            break;
        }
    }
    collector.finish().map(Answer::Rows)
}

async fn explain(frame: DataFrame) -> Result<Answer, Failure> {
    let (state, plan) = frame.into_parts();
    let logical = state.optimize(&plan)?;
    let physical = state.query_planner().create_physical_plan(&logical, &state).await?;
    Ok(Answer::Plans {
        logical: shortened(logical.display_indent().to_string()),
        physical: shortened(displayable(physical.as_ref()).indent(false).to_string()),
    })
}

fn shortened(plan: String) -> String {
    if plan.chars().count() <= MAX_PLAN {
        return plan;
    }
    plan.chars().take(MAX_PLAN).chain("\n… (the rest of the plan is left out)".chars()).collect()
}

async fn describe(context: &SessionContext, tables: &[Table], name: &str) -> Result<Answer, Failure> {
    let frame = whole(context, tables, name).await?;
    let columns = rows::columns(frame.schema().as_arrow());
    let column_count = frame.schema().fields().len();
    // The footer of a Parquet file says how many rows it has; any other file would have to be read to its end.
    let counted = tables.iter().any(|table| table.name == name && table.format == Format::Parquet);
    let rows = if counted { Some(frame.count().await? as u64) } else { None };
    Ok(Answer::Shape { columns, column_count, rows })
}
