//! A document's tree → what it says, and everything that is wrong with it.
//!
//! ```text
//! flags ──────────────┐
//! connectors.servers ─┼──► Sections ──check──► findings about what they say together
//! mcp.servers ────────┤
//! grants ─────────────┘
//! ```
//! What is broken is left out: an error refuses the document, after a warning the rest of it still counts.

use super::decode::{Fields, Unknown};
use super::finding::{Findings, Path, Severity};
use super::hujson::{Node, Value};

pub(super) mod auth;
pub(super) mod grants;
pub(super) mod servers;

use grants::GrantEntry;
use servers::{Section, Server};

/// What a document says.
#[derive(Default)]
pub(crate) struct Sections {
    /// Whether `flags.connectors.value` is true.
    pub(crate) connectors_flag: bool,
    /// All servers: `mcp.servers` are folded in as MCP connectors without authentication.
    pub(crate) servers: Vec<Server>,
    /// The keys of all servers that are written down, also of those that are broken.
    pub(crate) declared: Vec<String>,
    /// `mcp.accept_registrations`.
    pub(crate) accept_registrations: bool,
    /// All grants.
    pub(crate) grants: Vec<GrantEntry>,
    /// Whether there are providers of models, which are kept and not served.
    pub(crate) providers: bool,
    /// Whether there are `temp_grants`, which are kept and do not count.
    pub(crate) temp_grants: bool,
}

/// Sections of the original that have no meaning here: they are kept and have no effect.
const NOT_SERVED: [&str; 8] =
    ["providers", "quotas", "hooks", "exporters", "database", "auto_cost_basis", "temp_grants", "chat_models"];

/// Reads all sections.
pub(super) fn read(tree: &Node, findings: &mut Findings<'_>) -> Sections {
    duplicates(tree, &Path::default(), findings);
    let mut sections = Sections::default();
    let Some(mut top) = Fields::of(tree, Path::default(), Severity::Error, findings) else { return sections };
    let root = Path::default();
    if let Some(flags) = top.node("flags") {
        sections.connectors_flag = read_flags(flags, &root.key("flags"), findings);
    }
    if let Some(connectors) = top.node("connectors") {
        let path = root.key("connectors");
        if let Some(mut fields) = Fields::of(connectors, path.clone(), Severity::Warning, findings) {
            if let Some(servers) = fields.node("servers") {
                sections.declared.extend(declared(servers));
                sections.servers.extend(servers::read(servers, &path.key("servers"), Section::Connectors, findings));
            }
            fields.finish(Unknown::ConfigKey, findings);
        }
    }
    if let Some(mcp) = top.node("mcp") {
        let path = root.key("mcp");
        if let Some(mut fields) = Fields::of(mcp, path.clone(), Severity::Warning, findings) {
            sections.accept_registrations = fields.boolean("accept_registrations", findings).unwrap_or_default();
            if let Some(servers) = fields.node("servers") {
                sections.declared.extend(declared(servers));
                sections.servers.extend(servers::read(servers, &path.key("servers"), Section::Mcp, findings));
            }
            fields.finish(Unknown::ConfigKey, findings);
        }
    }
    if let Some(grants) = top.node("grants") {
        sections.grants = grants::read(grants, &root.key("grants"), findings);
    }
    for key in NOT_SERVED {
        if let Some(node) = top.node(key).filter(|node| !is_empty(node)) {
            sections.providers |= key == "providers";
            sections.temp_grants |= key == "temp_grants";
            let message = format!("\"{key}\" is kept and has no effect here");
            findings.add(Severity::Note, node.span.start, &root.key(key), message);
        }
    }
    top.finish(Unknown::ConfigKey, findings);
    sections
}

fn declared(servers: &Node) -> impl Iterator<Item = String> + '_ {
    servers.members().unwrap_or_default().iter().map(|member| member.key.clone())
}

/// `{"connectors": {"value": true}}`; other flags may hold anything.
fn read_flags(node: &Node, path: &Path, findings: &mut Findings<'_>) -> bool {
    if node.members().is_none() {
        // Reports the wrong kind.
        Fields::of(node, path.clone(), Severity::Warning, findings);
        return false;
    }
    let Some(flag) = node.get("connectors") else { return false };
    let Some(mut fields) = Fields::of(flag, path.key("connectors"), Severity::Warning, findings) else { return false };
    let value = fields.boolean("value", findings).unwrap_or_default();
    fields.finish(Unknown::ConfigKey, findings);
    value
}

fn is_empty(node: &Node) -> bool {
    match &node.value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    }
}

/// Every key that comes twice in one object, wherever that is.
fn duplicates(node: &Node, path: &Path, findings: &mut Findings<'_>) {
    match &node.value {
        Value::Object(members) => {
            let mut seen = std::collections::HashSet::new();
            for member in members {
                let path = path.key(&member.key);
                if !seen.insert(&member.key) {
                    let key: String = member.key.chars().filter(|c| !c.is_control()).take(64).collect();
                    let message = format!("duplicate config key \"{key}\"");
                    findings.add(Severity::Warning, member.key_span.start, &path, message);
                }
                duplicates(&member.value, &path, findings);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                duplicates(item, &path.item(index), findings);
            }
        }
        _ => {}
    }
}
