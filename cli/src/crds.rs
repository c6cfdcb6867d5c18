//! Types → CustomResourceDefinitions on standard output, as `kubectl apply -f -` takes them.

use anyhow::Context;
use aperium_crds::{crd, yaml};
use std::io::Write;

/// Prints both definitions.
pub(crate) fn print() -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    for crd in [crd::connector(), crd::grant()] {
        let text = yaml::to_document(&crd).context("a definition cannot be written")?;
        write!(out, "---\n{text}").context("standard output is closed")?;
    }
    Ok(())
}
