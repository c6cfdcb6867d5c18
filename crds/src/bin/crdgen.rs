//! Prints the CustomResourceDefinitions: `crdgen connector`, `crdgen grant`, or both without an argument.

use aperium_crds::{crd, yaml};
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let wanted = std::env::args().nth(1);
    let crds = match wanted.as_deref() {
        Some("connector") => vec![crd::connector()],
        Some("grant") => vec![crd::grant()],
        None => vec![crd::connector(), crd::grant()],
        Some(_) => return usage(),
    };
    let mut out = std::io::stdout().lock();
    for (index, crd) in crds.iter().enumerate() {
        let separator = if index > 0 { "---\n" } else { "" };
        match yaml::to_document(crd) {
            Ok(text) if write!(out, "{separator}{text}").is_ok() => {}
            _ => return ExitCode::FAILURE,
        }
    }
    ExitCode::SUCCESS
}

fn usage() -> ExitCode {
    let _ = writeln!(std::io::stderr(), "usage: crdgen [connector|grant]");
    ExitCode::from(2)
}
