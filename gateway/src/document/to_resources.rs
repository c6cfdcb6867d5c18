//! What a document says → the Connectors, Grants and Secrets that say the same.
//!
//! The manifests pass the same schema as in a cluster; one that does not is a finding and left out.

use super::finding::{Findings, Severity};
use super::read::Sections;
use super::read::auth::ServerAuth;
use super::read::grants::{Capability, GrantEntry};
use super::read::servers::Server;
use crate::folder::{Folder, FolderSecret};
use aperium_core::id::ConnectorName;
use aperium_core::name::effective_id;
use aperium_crds::connector::{AuthType, Protocol};
use aperium_crds::structural::{self, Faults};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The provider that is none.
const CUSTOM: &str = "custom";

/// Makes all of them.
pub(super) fn convert(sections: &Sections, findings: &mut Findings<'_>) -> Folder {
    let mut folder = Folder::default();
    let mut names = BTreeSet::new();
    for server in sections.servers.iter().filter(|server| server.url.is_some()) {
        let name = connector_name(server);
        if !names.insert(name.clone()) {
            let message = format!("name \"{name}\" is already taken by another connector");
            findings.add(Severity::Error, server.at, &server.path, message);
            continue;
        }
        match structural::connector(&connector(server, &name)) {
            Ok(connector) => {
                if let Some(auth) = server.auth.as_ref().filter(|auth| !auth.secrets.is_empty()) {
                    folder.secrets.insert(secret_name(&name), secret(auth, &name));
                }
                folder.resources.connectors.push(Arc::new(connector));
            }
            Err(faults) => {
                let message = format!("connector {}: {}", server.id, described(&faults));
                findings.add(Severity::Warning, server.at, &server.path, message);
            }
        }
    }
    let mut names = BTreeSet::new();
    for entry in &sections.grants {
        for (name, capability) in grant_names(entry) {
            if !names.insert(name.clone()) {
                let message = format!("name \"{name}\" is already taken by another grant");
                findings.add(Severity::Error, entry.at, &entry.path, message);
                continue;
            }
            match structural::grant(&grant(&name, &entry.subjects, capability)) {
                Ok(grant) => folder.resources.grants.push(Arc::new(grant)),
                Err(faults) => {
                    findings.add(Severity::Warning, capability.at, &capability.path, described(&faults));
                }
            }
        }
    }
    folder
}

/// The resource's name: the one given, else the id in lower case.
pub(super) fn connector_name(server: &Server) -> String {
    server.name.clone().unwrap_or_else(|| server.id.key())
}

/// The Secret of a Connector that came from a document.
pub(crate) fn secret_name(connector: &str) -> String {
    format!("{connector}-auth")
}

/// `grant-<entry>-<capability>`, counted from 1, unless the entry has a name: then that, with the number of the
/// capability behind it where there are several.
pub(super) fn grant_names(entry: &GrantEntry) -> Vec<(String, &Capability)> {
    let capabilities: Vec<&Capability> =
        entry.capabilities.iter().filter(|capability| !capability.is_empty()).collect();
    let several = capabilities.len() > 1;
    let name = |number: usize| match &entry.name {
        Some(name) if several => format!("{name}-{number}"),
        Some(name) => name.clone(),
        None => format!("grant-{}-{number}", entry.index + 1),
    };
    capabilities.into_iter().enumerate().map(|(at, capability)| (name(at + 1), capability)).collect()
}

fn manifest(kind: &str, name: &str, spec: &Map<String, Value>) -> Value {
    json!({ "apiVersion": "aperium.dev/v1alpha1", "kind": kind, "metadata": { "name": name }, "spec": spec })
}

fn connector(server: &Server, name: &str) -> Value {
    let mut spec = Map::new();
    let mut set = |field: &str, value: Value| spec.insert(field.to_owned(), value);
    // An id that the name gives anyway is not repeated.
    let own = ConnectorName::parse(name).and_then(|name| effective_id(None, &name));
    if own.ok().as_ref() != Some(&server.id) {
        set("id", json!(server.id));
    }
    set("protocol", json!(if server.protocol == Protocol::Mcp { "mcp" } else { "http" }));
    for (field, text) in
        [("url", &server.url), ("displayName", &server.display_name), ("description", &server.description)]
    {
        if let Some(text) = text {
            set(field, json!(text));
        }
    }
    if let Some(context) = &server.context {
        set("context", context.clone());
    }
    if let Some(provider) = server.provider.as_ref().map(|name| provider_id(name)).filter(|name| name != CUSTOM) {
        set("provider", json!(provider));
    }
    if !server.labels.is_empty() {
        set("labels", json!(server.labels));
    }
    if let Some(seconds) = server.timeout_seconds {
        set("calls", json!({ "timeoutSeconds": seconds }));
    }
    if server.suspend {
        set("suspend", json!(true));
    }
    if let Some(auth) = &server.auth {
        set("auth", auth_spec(auth, name));
    }
    manifest("Connector", name, &spec)
}

/// `Google Calendar` → `google-calendar`.
fn provider_id(name: &str) -> String {
    name.trim().to_lowercase().replace(' ', "-")
}

fn auth_spec(auth: &ServerAuth, name: &str) -> Value {
    let mut block = auth.spec.clone();
    if auth.scheme.auth == AuthType::ApiKey {
        block.entry("in").or_insert_with(|| json!("header"));
        block.entry("name").or_insert_with(|| json!(aperium_core::auth::DEFAULT_KEY_HEADER));
    }
    if auth.scheme.auth != AuthType::Dcr {
        block.insert("secretRef".to_owned(), json!({ "name": secret_name(name) }));
    }
    let mut spec = Map::from_iter([("type".to_owned(), json!(auth.scheme.name))]);
    if !block.is_empty() {
        spec.insert(auth.scheme.block.to_owned(), Value::Object(block));
    }
    Value::Object(spec)
}

fn secret(auth: &ServerAuth, connector: &str) -> FolderSecret {
    let label = format!("connector.aperium.dev/{connector}");
    FolderSecret { labels: [(label, "true".to_owned())].into(), data: auth.secrets.clone() }
}

fn grant(name: &str, subjects: &[String], capability: &Capability) -> Value {
    let mut spec = Map::from_iter([("subjects".to_owned(), json!(subjects))]);
    let mut set = |field: &str, value: Value| spec.insert(field.to_owned(), value);
    if let Some(role) = &capability.role {
        set("role", json!(role));
    }
    let texts = |entries: &[(usize, String)]| json!(entries.iter().map(|(_, text)| text).collect::<Vec<_>>());
    if !capability.connectors.is_empty() {
        set("connectors", texts(&capability.connectors));
    }
    for (field, entries) in ["mcpTools", "mcpResources", "mcpTemplates"].iter().zip(&capability.deprecated) {
        if !entries.is_empty() {
            set(field, json!(entries.iter().map(|(_, text)| spelled_out(text)).collect::<Vec<_>>()));
        }
    }
    if capability.read_metrics {
        set("readMetrics", json!(true));
    }
    if capability.register {
        set("register", json!(true));
    }
    manifest("Grant", name, &spec)
}

/// A deprecated pattern of one segment is about everything of every server.
fn spelled_out(pattern: &str) -> String {
    if matches!(pattern, "*" | "**") { "*/**".to_owned() } else { pattern.to_owned() }
}

/// Faults without the text of a manifest that nobody wrote.
fn described(faults: &Faults) -> String {
    let one = |fault: &structural::Fault| {
        let field = fault.field.strip_prefix("spec.").unwrap_or(&fault.field);
        if field.is_empty() || field == "spec" { fault.message.clone() } else { format!("{field}: {}", fault.message) }
    };
    faults.0.iter().map(one).collect::<Vec<_>>().join("; ")
}
