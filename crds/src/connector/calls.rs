//! Discovery, calls, the tools' inventory, and smoke calls.

use super::any_object;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How often and how long the gateway asks for the upstream's tools.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Discovery {
    /// Seconds between two polls. Default 5; 1 to 3600.
    #[serde(default = "five")]
    #[schemars(range(min = 1, max = 3600))]
    pub period_seconds: i32,
    /// Seconds after which a poll has failed. Default 4; 1 to 300.
    #[serde(default = "four")]
    #[schemars(range(min = 1, max = 300))]
    pub timeout_seconds: i32,
}

impl Default for Discovery {
    fn default() -> Self {
        Self { period_seconds: five(), timeout_seconds: four() }
    }
}

/// Whether tools that write may be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Writes {
    /// Tools that write are neither listed nor callable.
    Disabled,
    /// Tools that write may be called by those who are granted them.
    Enabled,
}

/// Limits of calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Calls {
    /// Seconds after which a call has failed. Default 30; 1 to 300.
    #[serde(default = "thirty")]
    #[schemars(range(min = 1, max = 300))]
    pub timeout_seconds: i32,
    /// Read tools that may be tried once more when the connection failed before anything was sent. At most 256.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 128)))]
    pub retryable_read_tools: Vec<String>,
    /// Calls that run at the same time in one pod; more wait. Default 64; 1 to 1024.
    #[serde(default = "sixty_four")]
    #[schemars(range(min = 1, max = 1024))]
    pub max_concurrent: i32,
    /// Whether tools that write may be called. Default: Disabled for services with a module.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub writes: Option<Writes>,
}

impl Default for Calls {
    fn default() -> Self {
        Self { timeout_seconds: thirty(), retryable_read_tools: Vec::new(), max_concurrent: sixty_four(), writes: None }
    }
}

/// Which tools are expected, hidden or accepted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tools {
    /// Names that discovery must find, no more and no fewer. Empty: any. At most 512.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512), inner(length(min = 1, max = 128)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub expected: Vec<String>,
    /// Digest that the tools' definitions must have (`sha256:` and 64 hexadecimal digits).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^sha256:[0-9a-f]{64}$"), length(max = 71))]
    pub expected_digest: Option<String>,
    /// Names that are neither listed nor callable, whatever is granted. At most 512.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512), inner(length(min = 1, max = 128)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub hide: Vec<String>,
    /// Hashes of quarantined tools that an admin has accepted. At most 512.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 512), inner(length(max = 71), regex(pattern = r"^sha256:[0-9a-f]{64}$")))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub accepted_hashes: Vec<String>,
}

impl Tools {
    /// Whether nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Calls that show that the connector works (the seeds' smoke gates).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Smoke {
    /// A representative read.
    pub read: SmokeRead,
}

/// One read call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SmokeRead {
    /// The upstream's own name of the tool.
    #[schemars(length(min = 1, max = 128))]
    pub tool: String,
    /// Its arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_object")]
    pub arguments: Option<serde_json::Value>,
    /// The tenant to call for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-zA-Z0-9][a-zA-Z0-9._-]*$"))]
    pub tenant: Option<String>,
}

const fn five() -> i32 {
    5
}
const fn four() -> i32 {
    4
}
const fn thirty() -> i32 {
    30
}
const fn sixty_four() -> i32 {
    64
}
