//! One object of a document → its fields, each of the kind that is wanted; whatever else it holds is a finding.
//!
//! The words are those of the system that the documents come from, a JSON decoder of Go.

use super::finding::{Findings, Path, Severity};
use super::hujson::{Member, Node, Value};

/// How keys that nobody asked for are reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unknown {
    /// `unknown config key "…"`.
    ConfigKey,
    /// `json: unknown field "…"`, as bad as this.
    Strict(Severity),
}

/// An object that is being read.
pub(super) struct Fields<'n> {
    path: Path,
    at: usize,
    members: &'n [Member],
    asked: Vec<&'static str>,
    /// How bad a value of the wrong kind is.
    mismatch: Severity,
    /// Whether a value was of the wrong kind: what the object describes is not what was meant.
    pub(super) broken: bool,
}

impl<'n> Fields<'n> {
    /// Starts reading; anything but an object is a finding.
    pub(super) fn of(node: &'n Node, path: Path, mismatch: Severity, findings: &mut Findings<'_>) -> Option<Self> {
        let Some(members) = node.members() else {
            findings.add(mismatch, node.span.start, &path, wrong_kind(&path, "an object", node));
            return None;
        };
        Some(Self { path, at: node.span.start, members, asked: Vec::new(), mismatch, broken: false })
    }

    /// The place of the object.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the object starts in the text.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The value of a key, of two the last; `null` is as if it were not there.
    pub(super) fn node(&mut self, key: &'static str) -> Option<&'n Node> {
        self.asked.push(key);
        let found = self.members.iter().rev().find(|member| member.key == key).map(|member| &member.value);
        found.filter(|node| !matches!(node.value, Value::Null))
    }

    /// Whether a key is there at all.
    pub(super) fn has(&self, key: &str) -> bool {
        self.members.iter().any(|member| member.key == key)
    }

    /// A string.
    pub(super) fn text(&mut self, key: &'static str, findings: &mut Findings<'_>) -> Option<String> {
        let node = self.node(key)?;
        self.wanted(node, key, "a string", node.text().map(str::to_owned), findings)
    }

    /// A boolean.
    pub(super) fn boolean(&mut self, key: &'static str, findings: &mut Findings<'_>) -> Option<bool> {
        let node = self.node(key)?;
        let value = if let Value::Bool(value) = node.value { Some(value) } else { None };
        self.wanted(node, key, "a boolean", value, findings)
    }

    /// A whole number.
    pub(super) fn integer(&mut self, key: &'static str, findings: &mut Findings<'_>) -> Option<i32> {
        let node = self.node(key)?;
        let value = if let Value::Number(spelled) = &node.value { spelled.parse().ok() } else { None };
        self.wanted(node, key, "a whole number", value, findings)
    }

    /// Strings with the bytes at which they start; absent means none.
    pub(super) fn texts(&mut self, key: &'static str, findings: &mut Findings<'_>) -> Vec<(usize, String)> {
        let Some(node) = self.node(key) else { return Vec::new() };
        let items = if let Value::Array(items) = &node.value { Some(items) } else { None };
        let texts = items.and_then(|items| {
            items.iter().map(|item| item.text().map(|text| (item.span.start, text.to_owned()))).collect()
        });
        self.wanted(node, key, "an array of strings", texts, findings).unwrap_or_default()
    }

    /// The rest is unknown.
    pub(super) fn finish(self, unknown: Unknown, findings: &mut Findings<'_>) {
        for member in self.members.iter().filter(|member| !self.asked.contains(&member.key.as_str())) {
            let key: String = member.key.chars().filter(|c| !c.is_control()).take(64).collect();
            let (severity, message) = match unknown {
                Unknown::ConfigKey => (Severity::Warning, format!("unknown config key \"{key}\"")),
                Unknown::Strict(severity) => (severity, format!("json: unknown field \"{key}\"")),
            };
            findings.add(severity, member.key_span.start, &self.path.key(&member.key), message);
        }
    }

    fn wanted<T>(
        &mut self,
        node: &Node,
        key: &str,
        kind: &str,
        value: Option<T>,
        findings: &mut Findings<'_>,
    ) -> Option<T> {
        if value.is_none() {
            self.broken = true;
            let path = self.path.key(key);
            findings.add(self.mismatch, node.span.start, &path, wrong_kind(&key, kind, node));
        }
        value
    }
}

/// Field name and what the decoder says; never the value.
fn wrong_kind(field: &dyn std::fmt::Display, wanted: &str, node: &Node) -> String {
    let got = match (&node.value, wanted) {
        (Value::Array(_), "an array of strings") => "an array of something else",
        (Value::Number(_), "a whole number") => "another number",
        _ => node.kind(),
    };
    let field = field.to_string();
    let field = if field.is_empty() { "config" } else { &field };
    format!("{field}: json: cannot use {got} as {wanted}")
}
