//! `aperium config`: a document or manifests in, findings, manifests or a document out.

mod export;
mod import;
mod validate;
pub(crate) mod variables;

use crate::args::ConfigCommand;
use anyhow::{Context, bail};
use aperium_gateway::document::{Reading, Severity, read_file};
use std::io::Write as _;
use std::path::Path;

/// Does what was asked for.
pub(crate) fn run(command: &ConfigCommand) -> anyhow::Result<()> {
    match command {
        ConfigCommand::Validate { file, strict } => validate::run(file, *strict),
        ConfigCommand::Import { file, out, namespace, allow_warnings } => {
            import::run(file, out.as_deref(), namespace.as_deref(), *allow_warnings)
        }
        ConfigCommand::Export(args) => export::run(args),
    }
}

/// Reads a document as `aperium up --config` would, and fails when anything is at least this bad. Findings go to
/// standard error.
fn read(file: &Path, bad: Severity) -> anyhow::Result<Reading> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let reading = read_file(&text, &variables::macros(), None);
    let mut err = std::io::stderr().lock();
    for finding in &reading.findings {
        writeln!(err, "{}: {finding}", file.display()).context("standard error is closed")?;
    }
    if reading.has(bad) {
        let count = |severity| reading.findings.iter().filter(|finding| finding.severity == severity).count();
        let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
        bail!("{}: not valid: errors: {errors}, warnings: {warnings}", file.display());
    }
    Ok(reading)
}
