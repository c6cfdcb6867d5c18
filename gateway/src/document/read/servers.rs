//! `connectors.servers` and `mcp.servers` → servers, each checked by itself.

use super::auth::{self, ServerAuth};
use crate::document::decode::{Fields, Unknown};
use crate::document::finding::{Findings, Path, Severity};
use crate::document::hujson::Node;
use aperium_core::id::ConnectorId;
use aperium_crds::connector::Protocol;

/// Where a server is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    /// `connectors.servers`.
    Connectors,
    /// `mcp.servers`: older, MCP only, without authentication.
    Mcp,
}

/// One server.
pub(crate) struct Server {
    /// The key.
    pub(crate) id: ConnectorId,
    /// Where it is written.
    pub(crate) section: Section,
    /// Its place, for findings.
    pub(crate) path: Path,
    /// Where it starts in the text.
    pub(crate) at: usize,
    /// The resource's name, where the id does not give it.
    pub(crate) name: Option<String>,
    /// MCP or HTTP.
    pub(crate) protocol: Protocol,
    /// Where it is; a server without one is not served.
    pub(crate) url: Option<String>,
    /// `Custom`, or the provider of a verified connector.
    pub(crate) provider: Option<String>,
    /// For people.
    pub(crate) display_name: Option<String>,
    /// For people.
    pub(crate) description: Option<String>,
    /// For models.
    pub(crate) context: Option<serde_json::Value>,
    /// For grants.
    pub(crate) labels: Vec<String>,
    /// Limit of a call.
    pub(crate) timeout_seconds: Option<i32>,
    /// Whether it is switched off.
    pub(crate) suspend: bool,
    /// How to authenticate there.
    pub(crate) auth: Option<ServerAuth>,
}

/// Reads all servers of a section.
pub(super) fn read(node: &Node, path: &Path, section: Section, findings: &mut Findings<'_>) -> Vec<Server> {
    let Some(members) = node.members() else {
        // Reports the wrong kind.
        Fields::of(node, path.clone(), Severity::Warning, findings);
        return Vec::new();
    };
    let mut servers: Vec<Server> = Vec::new();
    for member in members {
        let path = path.key(&member.key);
        let id = id(&member.key, member.key_span.start, &path, findings);
        let server = one(&member.value, &member.key, path, section, findings);
        let (Some(id), Some(server)) = (id, server) else { continue };
        // Of a key that comes twice the last counts, as everywhere.
        servers.retain(|before| before.id != id);
        servers.push(Server { id, ..server });
    }
    servers
}

/// The key as an id, in the words of the seeds.
fn id(key: &str, at: usize, path: &Path, findings: &mut Findings<'_>) -> Option<ConnectorId> {
    let shown: String = key.chars().filter(|c| !c.is_control()).take(64).collect();
    let well_formed =
        key.starts_with(|c: char| c.is_ascii_alphabetic()) && key.bytes().all(|b| b.is_ascii_alphanumeric());
    let message = match ConnectorId::parse(key) {
        Ok(id) => return Some(id),
        Err(_) if !well_formed => format!("invalid ID \"{shown}\"; connector IDs must match [a-zA-Z][a-zA-Z0-9]*"),
        Err(_) if key.len() > ConnectorId::MAX_LEN => {
            format!("invalid ID \"{shown}\"; connector IDs must hold at most {} characters", ConnectorId::MAX_LEN)
        }
        Err(_) => format!("\"{shown}\" is a reserved identifier"),
    };
    findings.add(Severity::Error, at, path, message);
    None
}

/// Reads a server under a stand-in id; `None` when it cannot be served.
fn one(node: &Node, key: &str, path: Path, section: Section, findings: &mut Findings<'_>) -> Option<Server> {
    let mut fields = Fields::of(node, path.clone(), Severity::Warning, findings)?;
    let protocol = protocol(&mut fields, key, section, findings);
    let url = fields.text("url", findings).filter(|url| !url.is_empty());
    let named = |text: Option<String>| text.filter(|text| !text.is_empty());
    let mut server = Server {
        id: ConnectorId::any("x").ok()?,
        section,
        at: node.span.start,
        name: named(fields.text("name", findings)),
        protocol: protocol.unwrap_or(Protocol::Mcp),
        url,
        provider: named(fields.text("provider", findings)),
        display_name: named(fields.text("displayName", findings)),
        description: fields.text("description", findings),
        context: fields.node("context").map(Node::to_json),
        labels: fields.texts("labels", findings).into_iter().map(|(_, label)| label).collect(),
        timeout_seconds: fields.integer("timeoutSeconds", findings),
        suspend: fields.boolean("suspend", findings).unwrap_or_default(),
        auth: match (section, fields.node("auth")) {
            (Section::Connectors, Some(auth)) => match auth::read(auth, key, protocol, &path.key("auth"), findings) {
                Some(auth) => Some(auth),
                // Without its credentials the server must not be called.
                None => {
                    fields.broken = true;
                    None
                }
            },
            (Section::Mcp, Some(auth)) => {
                let message = format!(
                    "server \"{key}\" of 'mcp.servers' cannot have auth: move it to 'connectors.servers' and give it a protocol"
                );
                findings.add(Severity::Error, auth.span.start, &path.key("auth"), message);
                None
            }
            (_, None) => None,
        },
        path,
    };
    if server.labels.iter().any(|label| label == "system") {
        findings.add(Severity::Error, server.at, &server.path.key("labels"), "label \"system\" is reserved");
        server.labels.retain(|label| label != "system");
    }
    if server.url.is_none() && !fields.has("url") || server.url.is_none() && !fields.broken {
        findings.add(Severity::Warning, server.at, &server.path, format!("connector {key} has no url configured"));
    }
    let usable = !fields.broken && protocol.is_some();
    fields.finish(Unknown::ConfigKey, findings);
    usable.then_some(server)
}

fn protocol(fields: &mut Fields<'_>, key: &str, section: Section, findings: &mut Findings<'_>) -> Option<Protocol> {
    let was_broken = fields.broken;
    let text = fields.text("protocol", findings);
    let (at, path) = (fields.at(), fields.path().clone());
    match (text.as_deref(), section) {
        (Some("mcp"), _) => Some(Protocol::Mcp),
        (Some("http"), Section::Connectors) => Some(Protocol::Http),
        (None, Section::Mcp) => Some(Protocol::Mcp),
        (None | Some(""), _) => {
            if fields.broken == was_broken {
                findings.add(Severity::Error, at, &path, "protocol is required (e.g. \"mcp\" or \"http\")");
            }
            None
        }
        (Some(other), _) => {
            let other: String = other.chars().filter(|c| !c.is_control()).take(64).collect();
            let message = format!("connector {key} has invalid protocol: {other}");
            findings.add(Severity::Error, at, &path.key("protocol"), message);
            None
        }
    }
}
