//! What the service and its SQL child say to each other: two JSON lines in, one JSON line out.
//!
//! ```text
//! service ── Limits ──► child sets its limits ── Request ──► child works ── Answer ──► service
//! ```
//! The limits come in a line of their own because the child must be bound by them before it reads anything that a
//! caller wrote.

use serde::{Deserialize, Serialize};

use super::lake::Table;

/// The longest line of limits, in bytes.
pub(super) const MAX_LIMITS_LINE: u64 = 1024;

/// The longest request line, in bytes: 10,000 files of a data lake and one query.
pub(super) const MAX_REQUEST_LINE: u64 = 16 * 1024 * 1024;

/// What a line of the child's stderr starts with that names the kind of an error and nothing else.
pub(super) const ERROR_KIND: &str = "error of the query engine: ";

/// What one child may use.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Limits {
    /// Memory on top of what the program itself maps, in MiB.
    pub memory_mib: u64,
    /// Wall-clock seconds after which the parent kills the child; the child derives its processor time from it.
    pub seconds: u64,
    /// Threads that run the query.
    pub threads: usize,
}

/// One job: a folder, its tables and what to do with them.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Request {
    /// The folder of the data lake, absolute.
    pub root: std::path::PathBuf,
    /// The tables that the job may see.
    pub tables: Vec<Table>,
    /// What to do.
    pub job: Job,
}

/// What a child can be asked to do.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Job {
    /// Runs one SELECT.
    Query { sql: String, caps: Caps },
    /// Plans one SELECT without running it.
    Explain { sql: String },
    /// Reads the columns of one table and, for Parquet, counts its rows.
    Describe { table: String },
    /// Reads the first rows of one table.
    Preview { table: String, caps: Caps },
}

/// How much a result may hold.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Caps {
    /// Rows.
    pub rows: usize,
    /// Bytes of the rows written as JSON.
    pub bytes: usize,
}

/// The answer of a child.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    /// Rows of a query or a preview.
    Rows(Rows),
    /// The plans of a query.
    Plans { logical: String, physical: String },
    /// A table's first columns, how many it has, and its rows where that is known.
    Shape { columns: Vec<Column>, column_count: usize, rows: Option<u64> },
    /// The job failed.
    Failed(Failure),
}

/// A bounded result.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Rows {
    pub columns: Vec<Column>,
    /// One array per row, in the order of the columns.
    pub rows: Vec<Vec<serde_json::Value>>,
    /// Which cap ended the result early, if one did.
    pub cut_by: Option<Cap>,
    /// How many cells were longer than the cell limit and were shortened.
    pub shortened_cells: u64,
}

/// The caps of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Cap {
    /// More rows than the caller or the settings allow.
    Rows,
    /// More bytes than the settings allow.
    Bytes,
}

/// One column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub(super) struct Column {
    /// The name as it stands in the data.
    pub name: String,
    /// Its type, such as `int64`, `string`, `decimal(10,2)`, `timestamp`, `list<string>`.
    #[serde(rename = "type")]
    pub data_type: String,
}

/// Why a job failed, in words for the caller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Failure {
    pub kind: FailureKind,
    pub message: String,
}

impl Failure {
    pub(super) fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

/// The kinds of failure that a child can tell apart by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum FailureKind {
    /// The SQL is wrong, or is no single SELECT.
    InvalidQuery,
    /// A table does not exist.
    NoSuchTable,
    /// The query needs more memory than it may use.
    MemoryLimit,
    /// A file of the data lake cannot be read or is damaged.
    UnreadableData,
    /// A defect of ours or of the query engine.
    Internal,
}
