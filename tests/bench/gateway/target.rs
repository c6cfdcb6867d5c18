//! What is measured: the upstream itself, or a program in front of it that has CPU 1 alone.

use aperium_tests::process::{Process, Program};
use http::Uri;
use std::ffi::OsString;
use std::time::Duration;

pub(crate) mod gateway;
pub(crate) mod issuer;
pub(crate) mod peers;

/// Kernel clock ticks a second, as /proc counts CPU time on Linux.
const TICKS: u32 = 100;
/// On whose behalf the connections ask, in turn.
pub(crate) const USERS: u32 = 4;

/// One target of the load.
pub(crate) struct Target {
    pub(crate) name: &'static str,
    pub(crate) port: u16,
    /// The MCP endpoint.
    pub(crate) mcp: &'static str,
    /// Where the HTTP API lies, where it has one; the item's number follows.
    pub(crate) http: Option<&'static str>,
    /// The tool that is called.
    pub(crate) tool: &'static str,
    /// Tools of its list.
    pub(crate) tools: usize,
    /// The tokens of the connections, in turn.
    tokens: Vec<String>,
    process: Option<Process>,
    _folder: Option<tempfile::TempDir>,
}

impl Target {
    /// The upstream, without anything in front.
    pub(crate) fn direct(port: u16) -> Self {
        let tools = crate::asked::TOOLS;
        Self {
            name: "direct",
            port,
            mcp: "/mcp",
            http: Some("/item/"),
            tool: "echo",
            tools,
            tokens: Self::tokens(),
            process: None,
            _folder: None,
        }
    }

    /// For what proxies MCP only.
    fn without_http(self) -> Self {
        Self { http: None, ..self }
    }

    fn with_tools(self, tools: usize) -> Self {
        Self { tools, ..self }
    }

    /// A static token of each user.
    fn tokens() -> Vec<String> {
        (0..USERS).map(|user| format!("benchmark-token-{user}")).collect()
    }

    /// The token of the connection with this number.
    pub(crate) fn token(&self, number: u32) -> &str {
        &self.tokens[number as usize % self.tokens.len()]
    }

    /// The address of an item.
    pub(crate) fn item(&self, number: u64) -> Uri {
        format!("{}{number}", self.http.unwrap_or_default()).parse().expect("a path")
    }

    /// CPU time of the process and its children so far.
    pub(crate) fn cpu(&self) -> Option<Duration> {
        let own = self.process.as_ref()?.id();
        let ticks = std::fs::read_dir("/proc").ok()?.flatten().filter_map(|entry| {
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            // Fields after the command, which is in parentheses: state, parent, group, …, 11: user, 12: system.
            let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
            let group: u32 = fields.get(2)?.parse().ok()?;
            let (user, system): (u32, u32) = (fields.get(11)?.parse().ok()?, fields.get(12)?.parse().ok()?);
            (group == own).then_some(user + system)
        });
        Some(Duration::from_secs(ticks.map(u64::from).sum()) / TICKS)
    }

    /// Resident memory in MiB.
    pub(crate) fn resident_mib(&self) -> Option<f64> {
        self.resident_kib().map(|kib| kib / 1024.0)
    }

    /// Resident memory in KiB.
    pub(crate) fn resident_kib(&self) -> Option<f64> {
        self.process.as_ref().map(|process| process.resident_bytes() as f64 / 1024.0)
    }

    /// What of it are no pages of files, in KiB.
    pub(crate) fn own_kib(&self) -> Option<f64> {
        self.process.as_ref().map(|process| process.own_bytes() as f64 / 1024.0)
    }
}

/// A program on CPU 1.
fn alone(name: &str, program: impl Into<OsString>) -> Program {
    Program::new(name, "taskset").args(["-c", "1"]).arg(program)
}
