//! Permit → Target: where a permitted call goes, and how it may be tried. There is no other way to make a Target.

use super::authz::Permit;
use super::upstream::Upstream;
use std::sync::Arc;
use std::time::Duration;

/// Where one permitted call goes.
#[derive(Debug)]
pub(crate) struct Target {
    upstream: Arc<Upstream>,
    tool: Box<str>,
    timeout: Duration,
    attempts: u32,
}

impl Target {
    /// Looks up where the call goes; `None` if the tool is gone, which a Permit of the same Snapshot rules out.
    pub(crate) fn of(permit: &Permit) -> Option<Self> {
        let entry = permit.connector();
        let tool = &permit.tool()?.name;
        // An admin names the read tools that may be tried again. Annotations come from the upstream and prove nothing.
        let attempts = if entry.config.retryable.contains(&**tool) { 2 } else { 1 };
        Some(Self {
            upstream: Arc::clone(&entry.upstream),
            tool: tool.clone(),
            timeout: entry.config.call_timeout,
            attempts,
        })
    }

    /// The upstream.
    pub(crate) fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }

    /// The upstream's own name of the tool.
    pub(crate) fn tool(&self) -> &str {
        &self.tool
    }

    /// The limit of the call.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// How often it may be attempted: a second time only when the first failed before anything was sent.
    pub(crate) fn attempts(&self) -> u32 {
        self.attempts
    }
}
