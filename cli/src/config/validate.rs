//! `aperium config validate`: a document → everything that is wrong with it.

use super::read;
use anyhow::Context;
use aperium_gateway::document::Severity;
use std::io::Write as _;
use std::path::Path;

/// Checks it as `aperium up --config` would, or as strictly as `PUT /api/config` would.
pub(crate) fn run(file: &Path, strict: bool) -> anyhow::Result<()> {
    let reading = read(file, if strict { Severity::Warning } else { Severity::Error })?;
    let resources = &reading.folder.resources;
    let (connectors, grants) = (resources.connectors.len(), resources.grants.len());
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}: valid: connectors: {connectors}, grants: {grants}", file.display())
        .context("standard output is closed")
}
