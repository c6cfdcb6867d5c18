//! Connectors, Grants and Secrets → a document that says the same, and a list of what a document cannot say.

use super::macros::escape;
use super::mask::MASK;
use super::read::auth::Scheme;
use super::read::grants::{CAPABILITY, src};
use crate::catalog::Resources;
use crate::folder::FolderSecret;
use aperium_core::id::ConnectorName;
use aperium_core::name::effective_id;
use aperium_crds::connector::{Auth, Calls, Connector, Discovery, Protocol};
use aperium_crds::grant::{Grant, Role};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt;

/// A document made of resources.
#[derive(Debug)]
pub struct Export {
    /// Its text; what is left out stands in comments at its beginning.
    pub text: String,
    /// What a document cannot say.
    pub left_out: Vec<LeftOut>,
}

/// Something that a document cannot say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// `Connector` or `Grant`, and its name.
    pub resource: String,
    /// The field.
    pub what: &'static str,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.resource, self.what)
    }
}

/// What resources are made into.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// All of them.
    pub resources: &'a Resources,
    /// Their Secrets by name; without them every secret is `"***"`.
    pub secrets: Option<&'a BTreeMap<String, FolderSecret>>,
    /// The namespace whose Grants count everywhere; empty: all do.
    pub system_namespace: &'a str,
    /// Whether servers may register themselves.
    pub accept_registrations: bool,
}

/// Makes the document.
#[must_use]
pub fn export(source: Source<'_>) -> Export {
    let mut left_out = Vec::new();
    let mut servers: Vec<(String, Fields)> = Vec::new();
    for connector in &source.resources.connectors {
        servers.extend(server(connector, source.secrets, &mut left_out));
    }
    servers.sort_by(|a, b| a.0.cmp(&b.0));
    let servers: Fields = servers.into_iter().map(|(id, fields)| (id, Json::Object(fields))).collect();
    let mut top = vec![
        field("flags", json!({ "connectors": { "value": true } })),
        ("connectors".to_owned(), Json::Object(vec![("servers".to_owned(), Json::Object(servers))])),
    ];
    if source.accept_registrations {
        top.push(field("mcp", json!({ "accept_registrations": true })));
    }
    let grants = grants(source, &mut left_out);
    top.push(("grants".to_owned(), Json::Array(grants)));
    let mut text = String::new();
    for left_out in &left_out {
        text.push_str(&format!("// not in this document: {left_out}\n"));
    }
    Json::Object(top).write(&mut text, 0);
    text.push('\n');
    Export { text, left_out }
}

/// A Connector as a server of a document: its id and its JSON, secrets as `"***"`.
///
/// # Errors
/// The first thing that a document cannot say.
pub(super) fn server_json(connector: &Connector) -> Result<(String, String), LeftOut> {
    let mut left_out = Vec::new();
    let server = server(connector, None, &mut left_out);
    if let Some(first) = left_out.into_iter().next() {
        return Err(first);
    }
    let nothing = || LeftOut { resource: "Connector".to_owned(), what: "a Connector without a usable name" };
    let (id, fields) = server.ok_or_else(nothing)?;
    let mut json = String::new();
    Json::Object(fields).write(&mut json, 3);
    Ok((id, json))
}

/// A Grant as an entry of a document.
pub(super) fn entry_json(name: Option<&str>, grant: &Grant) -> String {
    let mut json = String::new();
    if let Some(entry) = entry(name, &[grant]) {
        entry.write(&mut json, 2);
    }
    json
}

/// A Grant as one of several capabilities of an entry.
pub(super) fn capability_json(grant: &Grant) -> String {
    escaped(&capability(grant)).to_string()
}

/// JSON whose keys keep their order.
enum Json {
    Plain(Value),
    Array(Vec<Self>),
    Object(Fields),
}

type Fields = Vec<(String, Json)>;

fn field(key: &str, value: Value) -> (String, Json) {
    (key.to_owned(), Json::Plain(value))
}

impl Json {
    /// Writes it; arrays and objects whose values are all plain stand on one line.
    fn write(&self, out: &mut String, indent: usize) {
        let (brackets, items): (_, Vec<(Option<&str>, &Self)>) = match self {
            Self::Plain(value) => return out.push_str(&escaped(value).to_string()),
            Self::Array(items) => (('[', ']'), items.iter().map(|item| (None, item)).collect()),
            Self::Object(fields) => {
                (('{', '}'), fields.iter().map(|(key, value)| (Some(key.as_str()), value)).collect())
            }
        };
        out.push(brackets.0);
        for (at, (key, item)) in items.iter().enumerate() {
            out.push_str(if at == 0 { "\n" } else { ",\n" });
            out.push_str(&"  ".repeat(indent + 1));
            if let Some(key) = key {
                out.push_str(&format!("{}: ", Value::from(*key)));
            }
            item.write(out, indent + 1);
        }
        if !items.is_empty() {
            out.push('\n');
            out.push_str(&"  ".repeat(indent));
        }
        out.push(brackets.1);
    }
}

/// What is no macro in a resource must be none in a document.
fn escaped(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::from(escape(text)),
        Value::Array(items) => items.iter().map(escaped).collect(),
        Value::Object(fields) => fields.iter().map(|(key, value)| (key.clone(), escaped(value))).collect(),
        other => other.clone(),
    }
}

/// A Connector as a server; `None` when a document cannot say it at all.
fn server(
    connector: &Connector,
    secrets: Option<&BTreeMap<String, FolderSecret>>,
    left_out: &mut Vec<LeftOut>,
) -> Option<(String, Fields)> {
    let (name, spec) = (connector.metadata.name.as_deref().unwrap_or_default(), &connector.spec);
    let mut leave = |what| left_out.push(LeftOut { resource: format!("Connector \"{name}\""), what });
    let parsed = ConnectorName::parse(name).ok()?;
    let id = effective_id(spec.id.as_deref(), &parsed).ok()?;
    let Some(url) = &spec.url else {
        leave("spec.service, and so all of it");
        return None;
    };
    let calls = Calls { timeout_seconds: spec.calls.timeout_seconds, ..Calls::default() };
    for (told, what) in [
        (spec.discovery != Discovery::default(), "spec.discovery"),
        (spec.calls != calls, "spec.calls other than timeoutSeconds"),
        (!spec.tools.is_empty(), "spec.tools"),
        (spec.smoke.is_some(), "spec.smoke"),
    ] {
        if told {
            leave(what);
        }
    }
    let mut fields = Vec::new();
    let mut set = |key: &str, value: Value| fields.push(field(key, value));
    if name != id.key() {
        set("name", json!(name));
    }
    set("protocol", json!(if spec.protocol == Protocol::Mcp { "mcp" } else { "http" }));
    set("url", json!(url));
    for (key, text) in
        [("provider", &spec.provider), ("displayName", &spec.display_name), ("description", &spec.description)]
    {
        if let Some(text) = text {
            set(key, json!(text));
        }
    }
    if let Some(context) = &spec.context {
        set("context", context.clone());
    }
    if !spec.labels.is_empty() {
        set("labels", json!(spec.labels));
    }
    if spec.calls.timeout_seconds != Calls::default().timeout_seconds {
        set("timeoutSeconds", json!(spec.calls.timeout_seconds));
    }
    if spec.suspend {
        set("suspend", json!(true));
    }
    if let Some(auth) = &spec.auth {
        let auth = auth_fields(auth, secrets, &mut leave)?;
        fields.push(("auth".to_owned(), Json::Object(auth)));
    }
    Some((id.to_string(), fields))
}

/// The block of a document: what the Connector says, and what lies in its Secret.
fn auth_fields(
    auth: &Auth,
    secrets: Option<&BTreeMap<String, FolderSecret>>,
    leave: &mut impl FnMut(&'static str),
) -> Option<Fields> {
    let scheme = Scheme::of(auth.auth_type)?;
    let spec = serde_json::to_value(auth).ok()?;
    let block = &spec[scheme.block];
    let secret = block["secretRef"]["name"].as_str().and_then(|name| secrets?.get(name));
    let mut fields = vec![field("type", json!(scheme.name))];
    for known in scheme.fields {
        let value = match secret.and_then(|secret| secret.data.get(known.name)) {
            Some(value) if known.in_secret() => json!(value.expose_secret()),
            None if known.in_secret() && secrets.is_none() => json!(MASK),
            None if known.in_secret() && known.required => {
                leave("the values of its Secret, which are not there");
                json!(MASK)
            }
            _ => match &block[known.spec] {
                Value::Null => continue,
                value => value.clone(),
            },
        };
        fields.push(field(known.name, value));
    }
    Some(fields)
}

/// All Grants as entries: those that came from one entry of a document become one again.
fn grants(source: Source<'_>, left_out: &mut Vec<LeftOut>) -> Vec<Json> {
    let mut numbered: BTreeMap<usize, BTreeMap<usize, &Grant>> = BTreeMap::new();
    let mut named: BTreeMap<&str, &Grant> = BTreeMap::new();
    for grant in &source.resources.grants {
        let name = grant.metadata.name.as_deref().unwrap_or_default();
        let system = source.system_namespace;
        if !system.is_empty() && grant.metadata.namespace.as_deref().is_some_and(|namespace| namespace != system) {
            left_out
                .push(LeftOut { resource: format!("Grant \"{name}\""), what: "metadata.namespace, and so all of it" });
            continue;
        }
        match numbers(name) {
            Some((entry, capability)) => drop(numbered.entry(entry).or_default().insert(capability, grant)),
            None => drop(named.insert(name, grant)),
        }
    }
    let mut entries: Vec<Json> = Vec::new();
    for (number, capabilities) in numbered {
        let mut all = capabilities.values();
        let first = all.next().map(|grant| &grant.spec.subjects);
        let as_one = number == entries.len() + 1
            && capabilities.keys().copied().eq(1..=capabilities.len())
            && all.all(|grant| Some(&grant.spec.subjects) == first);
        if as_one {
            let grants: Vec<&Grant> = capabilities.into_values().collect();
            entries.extend(entry(None, &grants));
        } else {
            named.extend(capabilities.into_values().map(|g| (g.metadata.name.as_deref().unwrap_or_default(), g)));
        }
    }
    entries.extend(named.into_iter().filter_map(|(name, grant)| entry(Some(name), &[grant])));
    entries
}

/// `grant-2-1` → 2, 1.
fn numbers(name: &str) -> Option<(usize, usize)> {
    let (entry, capability) = name.strip_prefix("grant-")?.split_once('-')?;
    let number = |text: &str| text.parse().ok().filter(|n: &usize| n.to_string() == text && *n > 0);
    Some((number(entry)?, number(capability)?))
}

fn entry(name: Option<&str>, grants: &[&Grant]) -> Option<Json> {
    let subjects = &grants.first()?.spec.subjects;
    let mut fields = Vec::new();
    if let Some(name) = name {
        fields.push(field("name", json!(name)));
    }
    fields.push(field("src", json!(subjects.iter().map(|subject| src(subject)).collect::<Vec<_>>())));
    let capabilities = grants.iter().map(|grant| Json::Plain(capability(grant))).collect();
    fields.push(("app".to_owned(), Json::Object(vec![(CAPABILITY.to_owned(), Json::Array(capabilities))])));
    Some(Json::Object(fields))
}

fn capability(grant: &Grant) -> Value {
    let spec = &grant.spec;
    let mut capability = json!({});
    for (key, patterns) in [
        ("connectors", &spec.connectors),
        ("mcp_tools", &spec.mcp_tools),
        ("mcp_resources", &spec.mcp_resources),
        ("mcp_templates", &spec.mcp_templates),
    ] {
        if !patterns.is_empty() {
            capability[key] = json!(patterns);
        }
    }
    if spec.read_metrics {
        capability["read_metrics"] = json!(true);
    }
    if spec.register {
        capability["register"] = json!(true);
    }
    match spec.role {
        Role::Admin => capability["role"] = json!("admin"),
        Role::Auditor => capability["role"] = json!("auditor"),
        // A Grant that opens nothing still says that its subjects have a role.
        Role::User if capability.as_object().is_some_and(serde_json::Map::is_empty) => {
            capability["role"] = json!("user");
        }
        Role::User => {}
    }
    capability
}
