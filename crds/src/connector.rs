//! `Connector`: one external system, reached as a remote MCP server or HTTP API (`url`) or through a pod that the
//! operator runs (`service`). Blueprint §4.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

mod auth;
mod calls;
mod service;

pub use auth::{
    ApiKey, ApiKeyPlace, Auth, AuthType, AuthorizationCode, ClientCredentials, DynamicClient, SecretRef, SharedSecret,
};
pub use calls::{Calls, Discovery, Smoke, SmokeRead, Tools, Writes};
pub use service::{Autoscaling, CredentialSource, Credentials, NetworkPolicySettings, Service, TokenSecret};

/// How agents reach the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Tools, prompts and resources behind `/v1/mcp`.
    Mcp,
    /// A credential-injecting reverse proxy behind `/v1/connectors/<id>/`.
    Http,
}

/// One external system that agents and backends may reach through Aperium.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "aperium.dev",
    version = "v1alpha1",
    kind = "Connector",
    plural = "connectors",
    singular = "connector",
    shortname = "apcon",
    category = "aperium",
    namespaced,
    status = "ConnectorStatus",
    derive = "PartialEq",
    doc = "A Connector makes one external system reachable for agents and backends, with credentials injected on the way.",
    selectable = ".spec.protocol",
    selectable = ".spec.provider",
    scale(
        spec_replicas_path = ".spec.service.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Protocol", type_ = "string", json_path = ".spec.protocol", description = "mcp or http"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        description = "Whether the connector can be used"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        priority = 1,
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason",
        description = "Why it is, or is not"
    ),
    printcolumn(name = "Tools", type_ = "integer", json_path = ".status.tools", description = "Number of tools discovered"),
    printcolumn(name = "URL", type_ = "string", json_path = ".status.url", description = "Where the gateway reaches it"),
    printcolumn(name = "Replicas", type_ = "integer", priority = 1, json_path = ".status.replicas", description = "Pods of the service"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp", description = "Time since creation"),
    validation = Rule::new("self.metadata.name.size() <= 51 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')")
        .message("`metadata.name` must be a DNS label that starts with a letter and hold at most 51 characters"),
    validation = Rule::new("has(self.spec.id) || self.metadata.name.replace('-', '').size() <= 32")
        .message("`metadata.name` without hyphens must hold at most 32 characters where `spec.id` is not set"),
    validation = Rule::new("has(self.spec.id) || !(self.metadata.name.replace('-', '') in ['tailscale', 'internal', 'aperture', 'aperium', 'system', 'register'])")
        .message("`metadata.name` must not be a reserved identifier where `spec.id` is not set: 'tailscale', 'internal', 'aperture', 'aperium', 'system', 'register'"),
    validation = Rule::new("has(self.spec.id) || !self.metadata.name.replace('-', '').matches('^auto[0-9]+$')")
        .message("`metadata.name` must not be 'auto' and a number where `spec.id` is not set: these belong to dynamic registration")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.url) != has(self.service)").message("exactly one of `url` and `service` must be set"),
    validation = Rule::new("!has(self.service) || self.protocol == 'mcp'").message("`service` needs `protocol` 'mcp'"),
    validation = Rule::new("!has(self.auth) || has(self.url)").message("`auth` may be set only with `url`"),
    validation = Rule::new("!has(self.auth) || self.protocol == 'mcp' || !(self.auth.type in ['oauth2_authorization_code', 'oauth2_dcr'])")
        .message("`auth.type` must not be a per-user type for `protocol` 'http': HTTP credentials are always shared"),
    validation = Rule::new("has(self.id) == has(oldSelf.id) && (!has(self.id) || self.id == oldSelf.id)").message("`id` is immutable"),
    validation = Rule::new("self.protocol == oldSelf.protocol").message("`protocol` is immutable")
)]
pub struct ConnectorSpec {
    /// Id in grants, tool names and paths. Default: the name without hyphens. Letters and digits, starting with a
    /// letter, at most 32 characters; immutable; unique in one gateway without regard to case.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 32), regex(pattern = r"^[a-zA-Z][a-zA-Z0-9]*$"))]
    #[x_kube(
        validation = Rule::new("!(self.lowerAscii() in ['tailscale', 'internal', 'aperture', 'aperium', 'system', 'register'])")
            .message("`id` must not be a reserved identifier: 'tailscale', 'internal', 'aperture', 'aperium', 'system', 'register'"),
        validation = Rule::new("!self.lowerAscii().matches('^auto[0-9]+$')")
            .message("`id` must not be 'auto' and a number: these belong to dynamic registration")
    )]
    pub id: Option<String>,
    /// `mcp` for MCP servers, `http` for HTTP APIs. Immutable; a service needs `mcp`.
    pub protocol: Protocol,
    /// Name for people, at most 128 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub display_name: Option<String>,
    /// What the connector is for, at most 4096 characters. Visible to all users: nothing sensitive here.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub description: Option<String>,
    /// Guidance for models: a string or an object, at most 16 KiB, visible to all authenticated users.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_value")]
    pub context: Option<serde_json::Value>,
    /// Labels that a Grant can name with `label:<label>`. `system` is reserved; at most 32.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 32),
        inner(length(min = 1, max = 63), regex(pattern = r"^[a-zA-Z0-9]([-_.a-zA-Z0-9]*[a-zA-Z0-9])?$"))
    )]
    #[x_kube(
        merge_strategy = ListMerge::Set,
        validation = Rule::new("!('system' in self)").message("label 'system' is reserved")
    )]
    pub labels: Vec<String>,
    /// Entry of the verified registry that the connector was made from, such as `salesforce`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub provider: Option<String>,
    /// Stops the connector without deleting it: its pods are scaled to 0 and its tools are unregistered.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspend: bool,
    /// Remote MCP server or base URL of an HTTP API, without user info or fragment. One of `url` and `service`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 8, max = 2048), regex(pattern = r"^https?://[^\s/?#@]+([/?][^\s#]*)?$"))]
    pub url: Option<String>,
    /// Credentials that the gateway adds to each request. Only with `url`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// A pod that the operator runs. One of `url` and `service`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<Service>,
    /// How the upstream's tools are discovered.
    #[serde(default)]
    pub discovery: Discovery,
    /// Limits of calls, and whether tools that write may be called.
    #[serde(default)]
    pub calls: Calls,
    /// Which tools are expected, hidden or accepted.
    #[serde(default, skip_serializing_if = "Tools::is_empty")]
    pub tools: Tools,
    /// Calls that show that the connector works.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smoke: Option<Smoke>,
}

/// What was last seen of a Connector.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConnectorStatus {
    /// The effective id.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32))]
    pub id: Option<String>,
    /// The generation that the conditions speak of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Where the gateway reaches the connector.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub url: Option<String>,
    /// Number of tools discovered.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub tools: Option<i32>,
    /// `sha256:` and the digest of the tools' names and definitions.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 80))]
    pub tools_digest: Option<String>,
    /// Pods of the service, for the scale subresource.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub replicas: Option<i32>,
    /// Label selector of the pods, for the scale subresource.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub selector: Option<String>,
    /// Accepted, ResolvedRefs, Available, CredentialsAvailable, ToolsDiscovered, InventoryMatches, ReadVerified,
    /// WriteVerified, Ready. Those that do not apply to the kind of Connector are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// A field of any shape. The API server cannot hold `context` to "string or object" (a structural schema has no
/// such union), so [`crate::structural::check_context`] does.
pub(crate) fn any_value(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "x-kubernetes-preserve-unknown-fields": true })
}

/// An object of any shape.
pub(crate) fn any_object(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}
