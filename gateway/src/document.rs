//! The configuration document in the seeds' shape (JSON or HuJSON): text in, Connectors, Grants and Secrets out, with
//! every finding in the words of the seeds; and back.
//!
//! ```text
//! text ──hujson──► tree ──macros──► tree ──read──► sections ──check, to_resources──► resources, findings
//!   ▲                └──mask──► text without secrets        resources ──from_resources──► text
//!   └── store: the text itself is what is kept, comments and all
//! ```
//! What is a warning when a file is loaded is an error when a document is saved.

use crate::catalog::Catalog;
use crate::folder::Folder;
use aperium_core::egress::EgressRules;
use aperium_crds::condition::reasons;
use std::collections::BTreeSet;
use std::sync::Arc;

mod change;
mod check;
mod decode;
mod edit;
mod finding;
pub(crate) mod follow;
mod from_resources;
mod hujson;
mod macros;
mod mask;
mod read;
pub(crate) mod store;
#[cfg(test)]
mod tests;
mod to_resources;

pub use finding::{Finding, Severity};
pub use from_resources::{Export, LeftOut, Source, export};
pub use macros::Macros;
pub use store::{DocumentError, DocumentStore, Loaded};

use finding::Findings;
use hujson::Node;
use read::Sections;
use read::servers::Section;

/// What a text means, and what is wrong with it.
#[derive(Debug, Default)]
pub struct Reading {
    /// Connectors, Grants and Secrets; without what is broken.
    pub folder: Folder,
    /// Whether servers may register themselves.
    pub accept_registrations: bool,
    /// Whether connectors may be added (`flags.connectors.value`).
    pub connectors_flag: bool,
    /// Ids of `connectors.servers`, without regard to case.
    pub connector_ids: BTreeSet<String>,
    /// All findings.
    pub findings: Vec<Finding>,
}

impl Reading {
    /// Whether anything is at least this bad.
    #[must_use]
    pub fn has(&self, severity: Severity) -> bool {
        self.findings.iter().any(|finding| finding.severity >= severity)
    }
}

/// Reads a text that was loaded from a file. `egress`: addresses that these rules close are reported.
#[must_use]
pub fn read_file(text: &str, macros: &Macros, egress: Option<&EgressRules>) -> Reading {
    let mut findings = Findings::of(text);
    let mut tree = match hujson::parse(text) {
        Ok(tree) => tree,
        Err(error) => return unreadable(findings, &error),
    };
    let missing = macros.substitute(&mut tree);
    if !missing.is_empty() {
        findings.whole(Severity::Error, unsubstituted(&missing));
    }
    read_tree(&tree, egress, findings)
}

fn unreadable(mut findings: Findings<'_>, error: &hujson::HujsonError) -> Reading {
    findings.whole(Severity::Error, error.to_string());
    Reading { findings: findings.into_vec(), ..Reading::default() }
}

fn unsubstituted(names: &BTreeSet<String>) -> String {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    format!("unsubstituted macros: [{}]", names.join(" "))
}

/// Reads a tree whose macros were substituted.
fn read_tree(tree: &Node, egress: Option<&EgressRules>, mut findings: Findings<'_>) -> Reading {
    let mut sections = read::read(tree, &mut findings);
    check::check(&mut sections, egress, &mut findings);
    let folder = to_resources::convert(&sections, &mut findings);
    refusals(&folder, &sections, &mut findings);
    let of_connectors = sections.servers.iter().filter(|server| server.section == Section::Connectors);
    Reading {
        connector_ids: of_connectors.map(|server| server.id.key()).collect(),
        accept_registrations: sections.accept_registrations,
        connectors_flag: sections.connectors_flag,
        folder,
        findings: findings.into_vec(),
    }
}

/// What the Catalog would refuse. What this version cannot serve yet may be saved all the same.
fn refusals(folder: &Folder, sections: &Sections, findings: &mut Findings<'_>) {
    let catalog = Catalog::build(&folder.resources, Arc::default(), "");
    for (key, refused) in &catalog.refused {
        let severity = match refused.reason {
            reasons::SUSPENDED => continue,
            reasons::UNSUPPORTED_VALUE => Severity::Note,
            _ => Severity::Warning,
        };
        let named = |server: &&read::servers::Server| to_resources::connector_name(server) == key.name;
        if let Some(server) = sections.servers.iter().find(named) {
            let message = format!("connector {}: {}", server.id, refused.message);
            findings.add(severity, server.at, &server.path, message);
        }
    }
}
