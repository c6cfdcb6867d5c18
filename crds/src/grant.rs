//! `Grant`: who may use what. Deny by default, allow only, additive. Blueprint §4 "Grant".

#![expect(clippy::duplicated_attributes, reason = "each print column names its own type and path")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// What the subjects may do beyond the capabilities.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Uses what is granted.
    #[default]
    User,
    /// Administers the gateway. Counts in the system namespace only.
    Admin,
    /// Reads the audit trail. Counts in the system namespace only.
    Auditor,
}

/// Opens capabilities of connectors to subjects.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "aperium.dev",
    version = "v1alpha1",
    kind = "Grant",
    plural = "grants",
    singular = "grant",
    shortname = "apgrant",
    category = "aperium",
    namespaced,
    status = "GrantStatus",
    derive = "PartialEq",
    doc = "A Grant opens capabilities of Connectors to subjects. Without a matching Grant nothing is visible or usable.",
    printcolumn(name = "Subjects", type_ = "string", json_path = ".spec.subjects", description = "Who it is for"),
    printcolumn(name = "Connectors", type_ = "string", json_path = ".spec.connectors", description = "What it opens"),
    printcolumn(
        name = "Accepted",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Accepted\")].status",
        description = "Whether it counts"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp",
        description = "Time since creation"
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.role == 'user' || !self.subjects.exists(s, s == '*')").message("`role` must be 'user' where the subject is '*'")
)]
pub struct GrantSpec {
    /// Who it is for: `*`, `(loopback)`, `user:<email>`, `group:<name>`, `serviceaccount:<namespace>:<name>`,
    /// `client:<name>`, `tenant:<tenant>`, `tag:<tag>`. 1 to 256.
    #[schemars(schema_with = "subjects")]
    pub subjects: Vec<String>,
    /// `user` (default), `admin` or `auditor`.
    #[serde(default)]
    pub role: Role,
    /// What it opens, as `id/category/resource` with `*` within a segment and `**` across: `odoo/tools/*`,
    /// `github/proxy`, `local/**`, `label:erp`, `**`. At most 256.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "patterns")]
    pub connectors: Vec<String>,
    /// Deprecated: use `connectors` with `<id>/tools/<name>`. Each entry is `<id>/<name>`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "deprecated_patterns")]
    pub mcp_tools: Vec<String>,
    /// Deprecated: use `connectors` with `<id>/resources/<uri>`. Each entry is `<id>/<uri>`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "deprecated_patterns")]
    pub mcp_resources: Vec<String>,
    /// Deprecated: use `connectors` with `<id>/templates/<uri>`. Each entry is `<id>/<uri>`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "deprecated_patterns")]
    pub mcp_templates: Vec<String>,
    /// Whether the gateway's `/metrics` may be read. Counts in the system namespace only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_metrics: bool,
    /// Whether dynamic registration may be used. Counts in the system namespace only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub register: bool,
}

/// What was last seen of a Grant.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct GrantStatus {
    /// The generation that the conditions speak of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ids of the Connectors that the patterns reach, in order; the first 64.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 32)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub matched_connectors: Vec<String>,
    /// Accepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// The grammar is a rule on the item: one `matches` over at most 256 characters is what the API server's cost
/// budget allows for 256 items.
const SUBJECT_RULE: &str = r"self.matches('^([*]|[(]loopback[)]|(user|group|client|tenant|tag):[^\\x00-\\x1f\\x7f]+|serviceaccount:[^:\\x00-\\x1f\\x7f]+:[^:\\x00-\\x1f\\x7f]+)$')";
const PATTERN_RULE: &str = r"self.matches('^([*][*]|label:[^\\]\\[{}?!\\\\/*\\x00-\\x1f\\x7f]+|[*]?([a-zA-Z0-9]+[*]?)*/([*][*]|proxy|([*]|tools|prompts)/[^\\]\\[{}?!\\\\/\\x00-\\x1f\\x7f]+|(resources|templates)/[^\\]\\[{}?!\\\\\\x00-\\x1f\\x7f]+))$') && !self.startsWith('/')";

fn subjects(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array", "minItems": 1, "maxItems": 256, "x-kubernetes-list-type": "set",
        "items": {
            "type": "string", "minLength": 1, "maxLength": 256,
            "x-kubernetes-validations": [{
                "rule": SUBJECT_RULE,
                "message": "subject must be '*', '(loopback)', 'user:<email>', 'group:<name>', 'serviceaccount:<namespace>:<name>', 'client:<name>', 'tenant:<tenant>' or 'tag:<tag>'",
            }],
        },
    })
}

fn patterns(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array", "maxItems": 256, "x-kubernetes-list-type": "set",
        "items": {
            "type": "string", "minLength": 1, "maxLength": 256,
            "x-kubernetes-validations": [{
                "rule": PATTERN_RULE,
                "message": "pattern must be 'id/category/resource', 'id/proxy', 'id/**', 'label:<label>' or '**', with only '*' and '**' as wildcards and category 'tools', 'prompts', 'resources', 'templates' or 'proxy'",
            }],
        },
    })
}

fn deprecated_patterns(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array", "maxItems": 256, "x-kubernetes-list-type": "set",
        "items": { "type": "string", "minLength": 1, "maxLength": 240, "pattern": r"^[a-zA-Z0-9*]+/[^\x00-\x1f\x7f]+$" },
    })
}
