//! What is wrong with a document, in the words of the seeds: severity, message, where.

use serde::Serialize;
use std::fmt;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; nothing is refused for it.
    Note,
    /// What it speaks of does not count when a file is loaded; nothing with a warning is saved.
    Warning,
    /// The document is not taken.
    Error,
}

impl Severity {
    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One thing that is wrong. Neither text nor path quotes a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// Where in the document, as in `connectors.servers.github.auth`; empty for all of it.
    pub path: String,
    /// The line of the text, from 1; 0 where there is none.
    pub line: usize,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { severity, message, path, line } = self;
        if *line > 0 {
            write!(f, "line {line}: ")?;
        }
        write!(f, "{}: ", severity.as_str())?;
        if !path.is_empty() {
            write!(f, "{path}: ")?;
        }
        f.write_str(message)
    }
}

/// All findings of one text, in the order in which they were made.
pub(crate) struct Findings<'t> {
    text: &'t str,
    /// Where its lines begin; empty until the first finding wants to know.
    lines: Vec<usize>,
    all: Vec<Finding>,
}

impl<'t> Findings<'t> {
    /// None yet.
    pub(crate) fn of(text: &'t str) -> Self {
        Self { text, lines: Vec::new(), all: Vec::new() }
    }

    /// Adds one about the byte at which something stands.
    pub(crate) fn add(&mut self, severity: Severity, at: usize, path: &Path, message: impl Into<String>) {
        let line = self.line_of(at);
        self.all.push(Finding { severity, message: message.into(), path: path.0.clone(), line });
    }

    /// Line (from 1) of a byte of the text. There may be as many findings as lines, so they are not counted each time.
    fn line_of(&mut self, at: usize) -> usize {
        if self.lines.is_empty() {
            let ends = self.text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
            self.lines = std::iter::once(0).chain(ends.map(|(end, _)| end + 1)).collect();
        }
        self.lines.partition_point(|start| *start <= at)
    }

    /// Adds one about the document as a whole.
    pub(crate) fn whole(&mut self, severity: Severity, message: impl Into<String>) {
        self.all.push(Finding { severity, message: message.into(), path: String::new(), line: 0 });
    }

    /// Gives them.
    pub(crate) fn into_vec(self) -> Vec<Finding> {
        self.all
    }
}

/// A way into the document.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Path(String);

impl Path {
    /// The value of a key.
    pub(crate) fn key(&self, key: &str) -> Self {
        let plain = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
        let step = match (plain, self.0.is_empty()) {
            (true, true) => key.to_owned(),
            (true, false) => format!(".{key}"),
            (false, _) => format!("[{}]", serde_json::Value::from(key.chars().take(64).collect::<String>())),
        };
        Self(format!("{}{step}", self.0))
    }

    /// An item of an array, from 0.
    pub(crate) fn item(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }

    /// Any item of an array.
    pub(crate) fn any_item(&self) -> Self {
        Self(format!("{}[]", self.0))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_as_people_write_it() {
        let path = Path::default().key("grants").item(0).key("app").key("tailscale.com/cap/aperture").item(1);
        assert_eq!(path.to_string(), "grants[0].app[\"tailscale.com/cap/aperture\"][1]");
    }

    #[test]
    fn a_finding_says_line_severity_place_and_problem() {
        let mut findings = Findings::of("{\n\"a\": 1}");
        findings.add(Severity::Warning, 3, &Path::default().key("a"), "is bad");
        findings.whole(Severity::Error, "all is bad");
        let lines: Vec<String> = findings.into_vec().iter().map(ToString::to_string).collect();
        assert_eq!(lines, ["line 2: warning: a: is bad", "error: all is bad"]);
    }
}
