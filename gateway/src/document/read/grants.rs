//! `grants` → entries: who, and what each capability of the entry gives.

use crate::document::decode::{Fields, Unknown};
use crate::document::finding::{Findings, Path, Severity};
use crate::document::hujson::{Node, Value};
use aperium_core::grant::{Pattern, Subject};

/// The name of the capability in `app`.
pub(crate) const CAPABILITY: &str = "tailscale.com/cap/aperture";

/// One entry of `grants`.
pub(crate) struct GrantEntry {
    /// The name of the resource, or the beginning of it, where one is wanted.
    pub(crate) name: Option<String>,
    /// Who, as subjects of a Grant.
    pub(crate) subjects: Vec<String>,
    /// What each capability gives.
    pub(crate) capabilities: Vec<Capability>,
    /// Its position among all entries, those that are broken too.
    pub(crate) index: usize,
    /// Where it starts in the text.
    pub(crate) at: usize,
    /// Its place, for findings.
    pub(crate) path: Path,
}

/// One capability of an entry: what becomes one Grant.
#[derive(Default)]
pub(crate) struct Capability {
    /// `user`, `admin` or `auditor`.
    pub(crate) role: Option<String>,
    /// Patterns of `connectors`.
    pub(crate) connectors: Vec<(usize, String)>,
    /// Patterns of the deprecated `mcp_tools`, `mcp_resources`, `mcp_templates`.
    pub(crate) deprecated: [Vec<(usize, String)>; 3],
    /// Whether `/metrics` may be read.
    pub(crate) read_metrics: bool,
    /// Whether dynamic registration may be used.
    pub(crate) register: bool,
    /// Where it starts in the text.
    pub(crate) at: usize,
    /// Its place, for findings.
    pub(crate) path: Path,
}

/// Names of the deprecated fields, in the order of [`Capability::deprecated`].
pub(crate) const DEPRECATED: [&str; 3] = ["mcp_tools", "mcp_resources", "mcp_templates"];

impl Capability {
    /// Whether it says nothing that counts here.
    pub(crate) fn is_empty(&self) -> bool {
        self.role.is_none()
            && self.connectors.is_empty()
            && self.deprecated.iter().all(Vec::is_empty)
            && !self.read_metrics
            && !self.register
    }
}

/// Reads all entries; what is broken is left out.
pub(super) fn read(node: &Node, path: &Path, findings: &mut Findings<'_>) -> Vec<GrantEntry> {
    let Value::Array(items) = &node.value else {
        let message = format!("grants: json: cannot use {} as an array", node.kind());
        findings.add(Severity::Warning, node.span.start, path, message);
        return Vec::new();
    };
    items.iter().enumerate().filter_map(|(index, item)| entry(item, index, path.item(index), findings)).collect()
}

fn entry(node: &Node, index: usize, path: Path, findings: &mut Findings<'_>) -> Option<GrantEntry> {
    let mut fields = Fields::of(node, path.clone(), Severity::Warning, findings)?;
    let name = fields.text("name", findings).filter(|name| !name.is_empty());
    let mut subjects = Vec::new();
    for (at, src) in fields.texts("src", findings) {
        match subject(&src) {
            Ok(subject) => subjects.push(subject),
            Err(message) => findings.add(Severity::Warning, at, &path.key("src"), message),
        }
    }
    if subjects.is_empty() && !fields.broken {
        let message = "src must name whom the grant is for; the grant does not count";
        findings.add(Severity::Warning, fields.at(), &path, message);
    }
    let app = fields.node("app");
    let capabilities = app.map_or_else(Vec::new, |app| capabilities(app, &path.key("app"), findings));
    let usable = !fields.broken && !subjects.is_empty();
    fields.finish(Unknown::Strict(Severity::Warning), findings);
    usable.then_some(GrantEntry { name, subjects, capabilities, index, at: node.span.start, path })
}

/// `app` may hold capabilities of other systems.
fn capabilities(app: &Node, path: &Path, findings: &mut Findings<'_>) -> Vec<Capability> {
    let Some(mut fields) = Fields::of(app, path.clone(), Severity::Warning, findings) else { return Vec::new() };
    let path = path.key(CAPABILITY);
    match fields.node(CAPABILITY) {
        None => Vec::new(),
        Some(Node { value: Value::Array(items), .. }) => {
            items.iter().enumerate().filter_map(|(index, item)| capability(item, path.item(index), findings)).collect()
        }
        Some(other) => {
            let message = format!("{CAPABILITY}: json: cannot use {} as an array", other.kind());
            findings.add(Severity::Warning, other.span.start, &path, message);
            Vec::new()
        }
    }
}

fn capability(node: &Node, path: Path, findings: &mut Findings<'_>) -> Option<Capability> {
    let mut fields = Fields::of(node, path.clone(), Severity::Warning, findings)?;
    let mut role = fields.text("role", findings).filter(|role| !role.is_empty());
    if let Some(unknown) = role.take_if(|role| !matches!(role.as_str(), "user" | "admin" | "auditor")) {
        let unknown: String = unknown.chars().filter(|c| !c.is_control()).take(64).collect();
        let message = format!("role must be \"user\", \"admin\" or \"auditor\", not \"{unknown}\"");
        findings.add(Severity::Warning, fields.at(), &path.key("role"), message);
        fields.broken = true;
    }
    let connectors = patterns(&mut fields, findings);
    let deprecated = DEPRECATED.map(|field| fields.texts(field, findings));
    for (field, _) in DEPRECATED.iter().zip(&deprecated).filter(|(_, entries)| !entries.is_empty()) {
        let message = format!("\"{field}\" is deprecated: use \"connectors\"");
        findings.add(Severity::Note, fields.at(), &path.key(field), message);
    }
    let (read_metrics, register) = (fields.boolean("read_metrics", findings), fields.boolean("register", findings));
    check_headers(&mut fields, findings);
    for field in ["models", "quotas", "send_hooks", "enable_chat_ui"] {
        if let Some(node) = fields.node(field) {
            let message = format!("\"{field}\" is kept and has no effect here");
            findings.add(Severity::Note, node.span.start, &path.key(field), message);
        }
    }
    let capability = Capability {
        role,
        connectors,
        deprecated,
        read_metrics: read_metrics.unwrap_or_default(),
        register: register.unwrap_or_default(),
        at: node.span.start,
        path,
    };
    let usable = !fields.broken;
    fields.finish(Unknown::Strict(Severity::Warning), findings);
    usable.then_some(capability)
}

/// Patterns that are well-formed; the others are dropped, which can only take away.
fn patterns(fields: &mut Fields<'_>, findings: &mut Findings<'_>) -> Vec<(usize, String)> {
    let path = fields.path().key("connectors");
    let mut patterns = fields.texts("connectors", findings);
    patterns.retain(|(at, pattern)| {
        let good = pattern.parse::<Pattern>().is_ok();
        if !good {
            let pattern: String = pattern.chars().filter(|c| !c.is_control()).take(256).collect();
            findings.add(Severity::Warning, *at, &path, format!("connectors pattern \"{pattern}\" is malformed"));
        }
        good
    });
    patterns
}

/// They have no effect here; a malformed one is reported all the same. Behind its first word may stand a secret.
fn check_headers(fields: &mut Fields<'_>, findings: &mut Findings<'_>) {
    let path = fields.path().key("add_headers");
    for (at, header) in fields.texts("add_headers", findings) {
        let name = header.split_once(": ").map(|(name, _)| name);
        if name.is_none_or(|name| http::HeaderName::try_from(name).is_err()) {
            let mut words = header.split_whitespace();
            let first = words.next().unwrap_or_default();
            let cut = if words.next().is_some() { "…" } else { "" };
            let message = format!("add_headers entry \"{first}{cut}\" must be in \"Header-Name: value\" format");
            findings.add(Severity::Warning, at, &path, message);
        }
    }
}

/// A `src` as a subject of a Grant: what has an `@` and no kind is a user.
pub(crate) fn subject(src: &str) -> Result<String, String> {
    if src.parse::<Subject>().is_ok() {
        return Ok(src.to_owned());
    }
    let user = format!("user:{src}");
    match user.parse::<Subject>() {
        Ok(_) if src.contains('@') => Ok(user),
        _ => {
            let src: String = src.chars().filter(|c| !c.is_control()).take(64).collect();
            Err(format!(
                "src \"{src}\" must be *, (loopback), a login with an @, group:<name>, tag:<tag>, \
                 serviceaccount:<namespace>:<name>, client:<name> or tenant:<tenant>"
            ))
        }
    }
}

/// The `src` of a subject, so that [`subject`] gives it back.
pub(crate) fn src(of: &str) -> &str {
    match of.strip_prefix("user:") {
        Some(user) if subject(user).is_ok_and(|back| back == of) => user,
        _ => of,
    }
}
