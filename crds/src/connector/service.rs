//! The pod that the operator runs for a Connector.

use super::{SecretRef, any_object};
use k8s_openapi::api::core::v1::{Affinity, ResourceRequirements, Toleration};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A pod that the operator runs: one MCP server in front of one system.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Service {
    /// Built-in connector, such as `postgres`. The spelling `mcp_servers.<module>_http` is accepted too.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^([a-z][a-z0-9_]*|mcp_servers\.[a-z][a-z0-9_]*_http)$"))]
    pub module: String,
    /// Port of the service. Default: the module's own (8081 to 8095). 1024 to 65535.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1024, max = 65535))]
    pub port: Option<i32>,
    /// Number of pods. Default 1; 0 to 100. Left to the autoscaler where there is one.
    #[serde(default = "one")]
    #[schemars(range(min = 0, max = 100))]
    pub replicas: i32,
    /// CPU and memory. Default: requests 10m and 32Mi, memory limit 256Mi.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// Nodes that the pods may run on.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "string_map")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that the pods tolerate. At most 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub tolerations: Vec<Toleration>,
    /// Affinity of the pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,
    /// Strategic merge over the pod template, checked again afterwards: restricted profile, no service account, no
    /// foreign Secret or token volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_object")]
    pub pod_template: Option<serde_json::Value>,
    /// Scales the pods by CPU.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub autoscaling: Option<Autoscaling>,
    /// Who may reach the pods, and what they may reach.
    #[serde(default)]
    pub network_policy: NetworkPolicySettings,
    /// A token Secret of your own. Default: the operator makes `aperium-mcp-<name>-token`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<TokenSecret>,
    /// Where the pods get the system's credentials from.
    #[serde(default)]
    pub credentials: Credentials,
    /// The one tenant of a single-tenant service.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-zA-Z0-9][a-zA-Z0-9._-]*$"))]
    pub tenant: Option<String>,
    /// Non-secret settings of the connector, checked by its own schema.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_object")]
    pub settings: Option<serde_json::Value>,
}

/// Scales the pods by CPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.minReplicas <= self.maxReplicas").message("`minReplicas` must be at most `maxReplicas`")
)]
pub struct Autoscaling {
    /// Fewest pods. Default 1; 1 to 100.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 100))]
    pub min_replicas: i32,
    /// Most pods. 1 to 100.
    #[schemars(range(min = 1, max = 100))]
    pub max_replicas: i32,
    /// CPU use, in percent of the request, that is aimed at. Default 80; 1 to 100.
    #[serde(default = "eighty", rename = "targetCPUUtilizationPercentage")]
    #[schemars(range(min = 1, max = 100))]
    pub target_cpu_utilization_percentage: i32,
}

/// Who may reach the pods, and what they may reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkPolicySettings {
    /// Whether the operator makes a NetworkPolicy. Default true.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Ranges that the pods may reach besides DNS and the broker. Empty: any; the egress guard decides. At most 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty", rename = "egressCIDRs")]
    #[schemars(length(max = 64), inner(length(min = 3, max = 43), regex(pattern = r"^[0-9a-fA-F.:]+/[0-9]{1,3}$")))]
    pub egress_cidrs: Vec<String>,
}

impl Default for NetworkPolicySettings {
    fn default() -> Self {
        Self { enabled: true, egress_cidrs: Vec::new() }
    }
}

/// A token Secret in the Connector's namespace, labelled `connector.aperium.dev/<connector>: "true"`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TokenSecret {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub existing_secret: String,
    /// Key in the Secret. Default `mcp_auth_token`. Its value may have two lines, old and new, during rotation.
    #[serde(default = "token_key")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}

/// Where credentials come from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CredentialSource {
    /// The platform's store, per tenant, through the broker.
    #[default]
    Platform,
    /// A mounted Secret: single-tenant by nature.
    Secret,
}

/// Where the pods get the system's credentials from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.secretRef) == (self.source == 'secret')").message("`secretRef` must be set with `source` 'secret', and only then")
)]
pub struct Credentials {
    /// `platform` (default) or `secret`.
    #[serde(default)]
    pub source: CredentialSource,
    /// The Secret whose keys are the connector's credential fields. With `source: secret`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretRef>,
}

fn string_map(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object", "maxProperties": 32,
        "additionalProperties": { "type": "string", "maxLength": 63 }
    })
}
const fn one() -> i32 {
    1
}
const fn eighty() -> i32 {
    80
}
const fn yes() -> bool {
    true
}
fn token_key() -> String {
    "mcp_auth_token".to_owned()
}
