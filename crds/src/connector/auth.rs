//! How the gateway authenticates to a `url` Connector: a type and the one block that belongs to it.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The schemes, spelled as in seed 002.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AuthType {
    /// `Authorization: Bearer <secret>`.
    #[serde(rename = "bearer_token")]
    BearerToken,
    /// A named header or query parameter.
    #[serde(rename = "api_key")]
    ApiKey,
    /// HTTP basic.
    #[serde(rename = "basic")]
    Basic,
    /// OAuth 2.0 client credentials, shared by all callers.
    #[serde(rename = "oauth2_client_credentials")]
    ClientCredentials,
    /// OAuth 2.0 authorization code, one consent per user; MCP only.
    #[serde(rename = "oauth2_authorization_code")]
    AuthorizationCode,
    /// OAuth 2.0 with a client that registers itself, one consent per user; MCP only.
    #[serde(rename = "oauth2_dcr")]
    Dcr,
}

/// A Secret in the Connector's namespace, labelled `connector.aperium.dev/<connector>: "true"`.
///
/// Its keys are the field names of the JSON document: `secret`, `username`, `password`, `client_id`, `client_secret`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecretRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"))]
    pub name: String,
}

/// `type` and exactly the block that belongs to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.bearerToken) == (self.type == 'bearer_token')").message("`bearerToken` must be set with `type` 'bearer_token', and only then"),
    validation = Rule::new("has(self.apiKey) == (self.type == 'api_key')").message("`apiKey` must be set with `type` 'api_key', and only then"),
    validation = Rule::new("has(self.basic) == (self.type == 'basic')").message("`basic` must be set with `type` 'basic', and only then"),
    validation = Rule::new("has(self.clientCredentials) == (self.type == 'oauth2_client_credentials')").message("`clientCredentials` must be set with `type` 'oauth2_client_credentials', and only then"),
    validation = Rule::new("has(self.authorizationCode) == (self.type == 'oauth2_authorization_code')").message("`authorizationCode` must be set with `type` 'oauth2_authorization_code', and only then"),
    validation = Rule::new("!has(self.dcr) || self.type == 'oauth2_dcr'").message("`dcr` may be set only with `type` 'oauth2_dcr'")
)]
pub struct Auth {
    /// The scheme.
    #[serde(rename = "type")]
    pub auth_type: AuthType,
    /// For `bearer_token`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bearer_token: Option<SharedSecret>,
    /// For `api_key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key: Option<ApiKey>,
    /// For `basic`; keys `username` and `password`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basic: Option<SharedSecret>,
    /// For `oauth2_client_credentials`; keys `client_id` and `client_secret`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_credentials: Option<ClientCredentials>,
    /// For `oauth2_authorization_code`; keys `client_id` and `client_secret`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorization_code: Option<AuthorizationCode>,
    /// For `oauth2_dcr`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dcr: Option<DynamicClient>,
}

impl Auth {
    /// The Secret that the block refers to; none for a client that registers itself, or where the block is missing.
    #[must_use]
    pub fn secret_name(&self) -> Option<&str> {
        let secret = match self.auth_type {
            AuthType::BearerToken => self.bearer_token.as_ref().map(|block| &block.secret_ref),
            AuthType::ApiKey => self.api_key.as_ref().map(|block| &block.secret_ref),
            AuthType::Basic => self.basic.as_ref().map(|block| &block.secret_ref),
            AuthType::ClientCredentials => self.client_credentials.as_ref().map(|block| &block.secret_ref),
            AuthType::AuthorizationCode => self.authorization_code.as_ref().map(|block| &block.secret_ref),
            AuthType::Dcr => None,
        };
        secret.map(|secret| secret.name.as_str())
    }
}

/// A secret shared by all callers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SharedSecret {
    /// Where the secret is.
    pub secret_ref: SecretRef,
}

/// Where an API key goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ApiKeyPlace {
    /// A request header.
    Header,
    /// A query parameter.
    Query,
}

/// An API key in a named header or query parameter; key `secret`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApiKey {
    /// Header or query.
    #[serde(rename = "in")]
    pub place: ApiKeyPlace,
    /// Name of the header or parameter.
    #[schemars(length(min = 1, max = 128), regex(pattern = r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"))]
    pub name: String,
    /// Where the key is.
    pub secret_ref: SecretRef,
}

/// OAuth 2.0 client credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClientCredentials {
    /// Token endpoint.
    #[schemars(length(min = 8, max = 2048), regex(pattern = r"^https?://[^\s/?#@]+([/?][^\s#]*)?$"))]
    pub token_url: String,
    /// Scopes to ask for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)))]
    pub scopes: Vec<String>,
    /// Where client id and secret are.
    pub secret_ref: SecretRef,
}

/// OAuth 2.0 authorization code with PKCE, per user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthorizationCode {
    /// Authorization endpoint.
    #[schemars(length(min = 8, max = 2048), regex(pattern = r"^https?://[^\s/?#@]+([/?][^\s#]*)?$"))]
    pub auth_url: String,
    /// Token endpoint.
    #[schemars(length(min = 8, max = 2048), regex(pattern = r"^https?://[^\s/?#@]+([/?][^\s#]*)?$"))]
    pub token_url: String,
    /// Scopes to ask for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)))]
    pub scopes: Vec<String>,
    /// Further parameters of the authorization URL, such as Google's `access_type: offline`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "auth_params")]
    pub auth_params: BTreeMap<String, String>,
    /// Where client id and secret are.
    pub secret_ref: SecretRef,
}

/// OAuth 2.0 with a client id metadata document or dynamic registration, per user.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DynamicClient {
    /// Scopes to ask for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 256)))]
    pub scopes: Vec<String>,
}

fn auth_params(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object", "maxProperties": 32,
        "additionalProperties": { "type": "string", "maxLength": 1024 }
    })
}
