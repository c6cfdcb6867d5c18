//! What a caller can ask of an upstream through the gateway, and how each is spelled in the protocol.

/// One of the methods that are passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// `tools/call`.
    Call,
    /// `prompts/get`.
    Get,
    /// `resources/read`.
    Read,
    /// `completion/complete`.
    Complete,
}

impl Action {
    /// The action of a method, if the method is one that is passed on.
    pub(crate) fn of(method: &str) -> Option<Self> {
        Some(match method {
            "tools/call" => Self::Call,
            "prompts/get" => Self::Get,
            "resources/read" => Self::Read,
            "completion/complete" => Self::Complete,
            _ => return None,
        })
    }

    /// Its method.
    pub(crate) fn method(self) -> &'static str {
        match self {
            Self::Call => "tools/call",
            Self::Get => "prompts/get",
            Self::Read => "resources/read",
            Self::Complete => "completion/complete",
        }
    }

    /// The field of its parameters that says what it is about.
    pub(crate) fn field(self) -> &'static str {
        match self {
            Self::Call | Self::Get => "name",
            Self::Read => "uri",
            Self::Complete => "ref",
        }
    }

    /// Whether that field is repeated in `Mcp-Name` (specification 2026-07-28, "Standard Request Headers").
    pub(crate) fn is_named_in_header(self) -> bool {
        self != Self::Complete
    }
}
