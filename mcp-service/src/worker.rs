//! The child process for SQL over files: the same binary, started again with one argument.
//!
//! A connector that runs somebody else's SQL in its own engine does so in a process that can be killed. The parent
//! starts `current_exe()` with [`SUBCOMMAND`]; every binary that serves connectors calls [`run_if_asked`] before it
//! does anything else.

use std::process::ExitCode;

/// The argument that turns the binary into a worker.
pub const SUBCOMMAND: &str = "sql-worker";

/// Runs the worker when this process was started as one; `None` means go on as usual.
#[must_use]
pub fn run_if_asked() -> Option<ExitCode> {
    let mut args = std::env::args_os().skip(1);
    match (args.next(), args.next()) {
        (Some(first), None) if first == SUBCOMMAND => Some(crate::connectors::gcs_datalake::worker::main()),
        _ => None,
    }
}
