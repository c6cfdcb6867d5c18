//! What a tool does upstream → its MCP annotations and how often it may be attempted.

use serde::{Deserialize, Serialize};

/// What a tool may change upstream. Decides annotations and attempts, in this one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Changes nothing.
    Read,
    /// Changes something; the same call again changes nothing more.
    IdempotentWrite,
    /// Changes something each time it runs.
    Write,
    /// Deletes or overwrites.
    Destructive,
}

/// The four hints of an MCP tool (specification, `ToolAnnotations`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hints {
    /// The tool does not change its environment.
    pub read_only: bool,
    /// The tool may delete or overwrite.
    pub destructive: bool,
    /// The same call again has no further effect.
    pub idempotent: bool,
    /// The tool talks to the outside world: true for every connector.
    pub open_world: bool,
}

impl Effect {
    /// Whether the tool changes nothing upstream.
    #[must_use]
    pub fn is_read(self) -> bool {
        self == Self::Read
    }

    /// `read` or `write`: the label in metrics, logs and audit.
    #[must_use]
    pub fn access(self) -> &'static str {
        if self.is_read() { "read" } else { "write" }
    }

    /// The annotations that tell a client what the tool may do.
    #[must_use]
    pub fn hints(self) -> Hints {
        Hints {
            read_only: self.is_read(),
            destructive: self == Self::Destructive,
            idempotent: matches!(self, Self::Read | Self::IdempotentWrite),
            open_world: true,
        }
    }

    /// How often a call may be attempted: twice for a read that an admin allowlisted, once for all else.
    ///
    /// The second attempt is only ever made when the first failed before anything was sent.
    #[must_use]
    pub fn max_attempts(self, allowlisted: bool) -> u32 {
        if self.is_read() && allowlisted { 2 } else { 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_is_attempted_once_even_when_allowlisted() {
        for write in [Effect::IdempotentWrite, Effect::Write, Effect::Destructive] {
            assert_eq!(write.max_attempts(true), 1);
            assert_eq!(write.max_attempts(false), 1);
            assert_eq!(write.access(), "write");
            assert!(!write.hints().read_only);
        }
        assert_eq!(Effect::Read.max_attempts(true), 2);
        assert_eq!(Effect::Read.max_attempts(false), 1);
    }

    #[test]
    fn only_a_destructive_tool_says_it_destroys() {
        assert!(Effect::Destructive.hints().destructive);
        for other in [Effect::Read, Effect::IdempotentWrite, Effect::Write] {
            assert!(!other.hints().destructive);
        }
    }
}
