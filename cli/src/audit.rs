//! `aperium audit`: the log in a database → what is wrong with it, or all of it.

use crate::args::{AuditCommand, AuditExportArgs, VerifyArgs};
use anyhow::{Context, bail};
use aperium_store::audit::{Hash, PublicKey};
use std::fs::OpenOptions;
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;

/// A checkpoint as somebody has noted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Noted(u64, Hash);

/// `<number>:<hash>`.
pub(crate) fn noted(text: &str) -> Result<Noted, String> {
    let parts = text.split_once(':').and_then(|(seq, hash)| Some(Noted(seq.parse().ok()?, Hash::parse(hash)?)));
    parts.ok_or_else(|| "must be <number>:<hash>, as an earlier run named it".to_owned())
}

/// 64 hexadecimal digits.
pub(crate) fn key(text: &str) -> Result<PublicKey, String> {
    PublicKey::parse(text).ok_or_else(|| "must be 64 hexadecimal digits, as an earlier run named it".to_owned())
}

pub(crate) fn run(command: &AuditCommand) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    match command {
        AuditCommand::Verify(args) => runtime.block_on(verify(args)),
        AuditCommand::Export(args) => runtime.block_on(export(args)),
    }
}

async fn verify(args: &VerifyArgs) -> anyhow::Result<()> {
    let store = args.place.store().await?;
    let own = store.audit_key().await.context("the key that signs")?.public();
    let keys = if args.keys.is_empty() { vec![own] } else { args.keys.clone() };
    let noted = args.noted.map(|Noted(seq, hash)| (seq, hash));
    let report = store.audit_verify(&keys, noted).await.context("the audit log")?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    for finding in &report.findings {
        writeln!(out, "{finding}").context(CLOSED)?;
    }
    let (entries, chains, uncovered) = (report.entries, report.chains, report.uncovered);
    writeln!(out, "{entries} records in {chains} chains, {uncovered} of them not covered by a checkpoint yet")
        .context(CLOSED)?;
    if let Some((seq, hash)) = report.last {
        writeln!(out, "last checkpoint: {seq}:{hash}").context(CLOSED)?;
    }
    for key in &keys {
        writeln!(out, "key: {key}").context(CLOSED)?;
    }
    out.flush().context(CLOSED)?;
    match report.findings.len() {
        0 => Ok(()),
        1 => bail!("the audit log is not intact: 1 finding"),
        findings => bail!("the audit log is not intact: {findings} findings"),
    }
}

const CLOSED: &str = "standard output is closed";

async fn export(args: &AuditExportArgs) -> anyhow::Result<()> {
    let store = args.place.store().await?;
    let mut out: BufWriter<Box<dyn Write>> = BufWriter::new(match &args.out {
        Some(path) => {
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
            Box::new(file.with_context(|| path.display().to_string())?)
        }
        None => Box::new(std::io::stdout().lock()),
    });
    let tenant = args.tenant.as_ref().map(|tenant| tenant.as_str());
    let mut last = None;
    loop {
        let page = store.audit_page(last.as_ref()).await.context("the audit log")?;
        for entry in page.iter().filter(|entry| tenant.is_none_or(|tenant| entry.chain.tenant == tenant)) {
            writeln!(out, "{}", entry.line).context("the records cannot be written")?;
        }
        match page.into_iter().next_back() {
            Some(entry) => last = Some(entry),
            None => return out.flush().context("the records cannot be written"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_noted_checkpoint_is_read_as_it_was_printed() {
        let text = format!("7:{}", Hash::GENESIS);
        assert_eq!(noted(&text), Ok(Noted(7, Hash::GENESIS)));
        for bad in ["", "7", "x:00", "7:00", &text.to_uppercase().replace("7:", "-1:")] {
            assert!(noted(bad).is_err(), "{bad}");
        }
    }
}
