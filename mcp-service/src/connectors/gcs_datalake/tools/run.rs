//! From a call to the child and back: settings and a job come in, an answer or a [`ToolError`] goes out.

use std::sync::Arc;
use std::time::Duration;

use super::super::engine::{Engine, EngineError};
use super::super::lake::{Lake, LakeError, Table, discover};
use super::super::protocol::{Answer, Caps, FailureKind, Job, Request};
use super::super::settings::Settings;
use crate::connector::{ErrorCode, ToolError, Upstream};

/// After which time a busy data lake is worth another try.
const BUSY_RETRY: Duration = Duration::from_secs(5);

/// The folder as it is now.
///
/// # Errors
/// When there is none, when it may not be used here, when it cannot be read.
pub(super) async fn lake(up: &Upstream) -> Result<Lake, ToolError> {
    let folder = up.settings::<Settings>()?.folder(up.is_local())?.to_owned();
    let found = tokio::task::spawn_blocking(move || discover(&folder)).await;
    let found = found.map_err(|_| ToolError::upstream("looking through the data lake failed"))?;
    found.map_err(|error| match error {
        LakeError::Open(_) | LakeError::NotAFolder | LakeError::Read(_) => {
            ToolError::unavailable(format!("settings.location: {error}"))
        }
        LakeError::TooManyTables | LakeError::TooManyFiles | LakeError::TooManyEntries => {
            ToolError::new(ErrorCode::TooLarge, format!("settings.location: {error}"))
        }
    })
}

/// A lake in which one table only can be seen, and that table.
///
/// # Errors
/// `not_found` when there is no such table.
pub(super) async fn one_table(up: &Upstream, name: &str) -> Result<(Lake, Table), ToolError> {
    let mut lake = lake(up).await?;
    lake.tables.retain(|table| table.name == name);
    match lake.tables.first().cloned() {
        Some(table) => Ok((lake, table)),
        None => Err(ToolError::not_found(format!("there is no table {name:?}; gcs_list_tables shows what there is"))),
    }
}

/// What a result may hold: what the caller asks for, within the settings.
pub(super) fn caps(up: &Upstream, rows: u32) -> Result<Caps, ToolError> {
    let settings = up.settings::<Settings>()?;
    let rows = rows.min(settings.query_max_rows.get()) as usize;
    Ok(Caps { rows, bytes: settings.query_max_kib.get() as usize * 1024 })
}

/// Does the job in a child that sees the tables of this lake.
///
/// # Errors
/// What the child or the engine says, as an answer to the caller.
pub(super) async fn run(up: &Upstream, lake: Lake, job: Job) -> Result<Answer, ToolError> {
    let request = Request { root: lake.root, tables: lake.tables, job };
    let settings = up.settings::<Settings>()?;
    let make = || async { Engine::new(settings).map_err(|error| told(&error)) };
    let engine: Arc<Engine> = up.session(make).await?;
    engine.run(&request, up.time_left()).await.map_err(|error| told(&error))
}

/// The one place where errors of the engine become answers.
fn told(error: &EngineError) -> ToolError {
    tracing::debug!(reason = error.reason(), "no query result");
    let code = match error {
        EngineError::Busy(_) => {
            return ToolError::new(ErrorCode::RateLimited, error.to_string()).with_retry_after(BUSY_RETRY);
        }
        EngineError::TimeLimit(_) => ErrorCode::Timeout,
        EngineError::MemoryLimit(_) => ErrorCode::TooLarge,
        EngineError::TooDeep => ErrorCode::InvalidArgument,
        EngineError::Failed(failure) => match failure.kind {
            FailureKind::InvalidQuery => ErrorCode::InvalidArgument,
            FailureKind::NoSuchTable => ErrorCode::NotFound,
            FailureKind::MemoryLimit => ErrorCode::TooLarge,
            FailureKind::UnreadableData | FailureKind::Internal => ErrorCode::Upstream,
        },
        EngineError::FindWorker(_)
        | EngineError::Start(_)
        | EngineError::Talk(_)
        | EngineError::Died(_)
        | EngineError::Unreadable(_) => {
            tracing::warn!(reason = error.reason(), %error, "a query could not be run");
            return ToolError::upstream("the query could not be run");
        }
    };
    ToolError::new(code, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_limit_has_its_own_code_and_names_itself() {
        let time = told(&EngineError::TimeLimit(Duration::from_secs(20)));
        assert_eq!((time.code, time.message.as_str()), (ErrorCode::Timeout, "query exceeded the time limit of 20 s"));
        let memory = told(&EngineError::MemoryLimit(512));
        assert_eq!(memory.code, ErrorCode::TooLarge);
        assert_eq!(memory.message, "query exceeded the memory limit of 512 MiB");
        let busy = told(&EngineError::Busy(4));
        assert_eq!((busy.code, busy.retry_after), (ErrorCode::RateLimited, Some(BUSY_RETRY)));
    }
}
