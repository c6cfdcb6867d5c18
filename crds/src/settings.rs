//! The settings file: what is no resource. Helm values → ConfigMap `aperium-settings`; `settings.yaml` under
//! `aperium up`. Read by the gateway and the operator, again whenever it changes.

use aperium_core::egress::{EgressRules, HostPort};
use aperium_core::id::TenantId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;

mod audit;
mod identity;
mod login;
pub use audit::{Arguments, Audit};
pub use identity::{Claims, Delegate, IdentityError, OidcIssuer};
pub use login::{LocalUser, Login, LoginError, OidcLogin, is_password_hash};

/// All settings; every part has a default, unknown fields are refused.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Settings {
    /// Where the gateway listens.
    pub listeners: Listeners,
    /// Who may reach the gateway under which name.
    pub hosts: Hosts,
    /// Who callers are.
    pub authentication: Authentication,
    /// What the gateway and the services may reach.
    pub egress: EgressRules,
    /// Limits of requests and connections.
    pub limits: Limits,
    /// Servers that register themselves.
    pub registration: Registration,
    /// What is told of requests.
    pub telemetry: Telemetry,
    /// What stays on record of them.
    pub audit: Audit,
    /// What the operator gives to the pods it makes.
    pub services: Services,
}

/// Addresses that the gateway listens on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Listeners {
    /// Agents, IDEs, dashboard: what an Ingress targets.
    pub public: SocketAddr,
    /// In-cluster backends; the only one where `X-Aperium-*` headers may ever count.
    pub in_cluster: SocketAddr,
    /// Probes and metrics.
    pub admin: SocketAddr,
    /// The broker, for the pods of services.
    pub broker: SocketAddr,
}

impl Default for Listeners {
    fn default() -> Self {
        let any = |port| SocketAddr::from(([0, 0, 0, 0], port));
        Self { public: any(8080), in_cluster: any(8081), admin: any(9090), broker: any(9443) }
    }
}

/// Names under which the gateway may be called. Its own Service names are always allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Hosts {
    /// `Host` values, without port: `mcp.example.com`.
    pub allowed_hosts: Vec<String>,
    /// `Origin` values: `https://app.example.com`.
    pub allowed_origins: Vec<String>,
    /// The base URL that callers outside reach the gateway under, without a slash at its end:
    /// `https://mcp.example.com`. Needed with `authentication.oidc` and `authentication.login`.
    pub public_url: String,
}

/// The ways in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Authentication {
    /// Named clients with a static token.
    pub static_tokens: Vec<StaticClient>,
    /// Kubernetes ServiceAccounts.
    pub service_accounts: ServiceAccounts,
    /// Issuers whose tokens are accepted.
    pub oidc: Vec<OidcIssuer>,
    /// Who may act for persons.
    pub delegates: Vec<Delegate>,
    /// How people sign in with a browser.
    pub login: Login,
}

impl Authentication {
    /// Whether callers have tenants at all. Where they do, one without a tenant calls nothing.
    #[must_use]
    pub fn has_tenants(&self) -> bool {
        self.oidc.iter().any(|issuer| !issuer.claims.tenant.is_empty())
            || self.delegates.iter().any(|delegate| !delegate.tenants.is_empty())
            || !self.service_accounts.tenants.is_empty()
            || self.static_tokens.iter().any(|client| client.tenant.is_some())
            || self.login.local.iter().any(|user| user.tenant.is_some())
    }
}

/// A client with a static token. The settings hold its hash only; where `sha256` is empty, the hashes are in the
/// file `<tokens folder>/<name>`, one `sha256:<hex>` a line, at most two during rotation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StaticClient {
    /// The name that a Grant gives as `client:<name>`.
    pub name: String,
    /// Hashes of the token, `sha256:<hex>`; at most two.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sha256: Vec<String>,
    /// The client's tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantId>,
    /// The client's groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// The client's tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

/// ServiceAccount tokens, reviewed by the API server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ServiceAccounts {
    /// Whether they are accepted. Never under `aperium up`.
    pub enabled: bool,
    /// The audience that a token must have been issued for.
    pub audience: String,
    /// Tenants of ServiceAccounts, by `<namespace>:<name>`.
    pub tenants: BTreeMap<String, TenantId>,
}

impl Default for ServiceAccounts {
    fn default() -> Self {
        Self { enabled: true, audience: "aperium".to_owned(), tenants: BTreeMap::new() }
    }
}

/// Limits of the gateway. All are hard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Limits {
    /// Bytes of a request body; more is 413. Default 4 MiB.
    pub max_request_bytes: usize,
    /// Bytes of a request body on a proxy path, which is passed on piece by piece; more is 413. Default 1 GiB.
    pub max_proxy_request_bytes: u64,
    /// Bytes of an upstream's MCP answer; more is an error. Default 16 MiB.
    pub max_response_bytes: usize,
    /// Connections of one listener; more wait in the kernel's queue. Default 4096.
    pub max_connections: usize,
    /// Entries of one list of an upstream (tools, prompts, resources, templates); a longer list is not taken. Default
    /// 10000.
    pub max_tools: usize,
    /// Streams of changes that are open at a time; one more is 429. Default 4096.
    pub max_subscriptions: usize,
    /// The same for one caller. Default 1024.
    pub max_subscriptions_per_caller: usize,
    /// Seconds that running requests get at shutdown. Default 25.
    pub drain_seconds: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_request_bytes: 4 * 1024 * 1024,
            max_proxy_request_bytes: 1 << 30,
            max_response_bytes: 16 * 1024 * 1024,
            max_connections: 4096,
            max_tools: 10_000,
            max_subscriptions: 4096,
            max_subscriptions_per_caller: 1024,
            drain_seconds: 25,
        }
    }
}

/// Dynamic registration: `POST /v1/mcp/register` by admins and by callers whose Grant says `register: true`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Registration {
    /// Whether servers may register at all. Default false.
    pub accept: bool,
    /// The exact `host:port` pairs that a registered URL may name; nothing else is reached, whatever `egress` opens.
    pub allow_hosts: Vec<HostPort>,
    /// Servers registered at the same time: with all replicas of one platform database, or with one where there is none.
    /// Default 64.
    pub max_servers: usize,
    /// Of these, by one caller. Default 8.
    pub max_per_caller: usize,
}

impl Default for Registration {
    fn default() -> Self {
        Self { accept: false, allow_hosts: Vec::new(), max_servers: 64, max_per_caller: 8 }
    }
}

/// What the gateway tells of requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Telemetry {
    /// One line of the log for every request. Default true.
    pub access_log: bool,
    /// Where spans go: the traces endpoint of a collector that takes OTLP over HTTP, such as
    /// `https://collector.example.com:4318/v1/traces`. It is reached under the egress rules; one inside the cluster
    /// must be named in `egress.allowHosts`. Empty: no spans. Read when the gateway starts.
    pub otlp_endpoint: String,
    /// Of the requests that bring no decision of their own, how many in a hundred are traced. Default 100.
    pub sample_percent: u8,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self { access_log: true, otlp_endpoint: String::new(), sample_percent: 100 }
    }
}

/// What the operator gives to the pods it makes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Services {
    /// Image of mcp-service.
    pub image: String,
    /// `IfNotPresent`, `Always` or `Never`.
    pub image_pull_policy: String,
    /// Secrets for pulling it.
    pub image_pull_secrets: Vec<String>,
    /// Namespaces whose pods may reach the services when they carry the label `aperium.dev/mcp-client: "true"`.
    pub client_namespaces: Vec<String>,
    /// Namespace of the monitoring that scrapes `/metrics`; empty: none is admitted.
    pub monitoring_namespace: String,
    /// Whether `/metrics` of a service needs its token. Default true.
    pub metrics_require_token: bool,
}

impl Default for Services {
    fn default() -> Self {
        Self {
            image: format!("images.aperium.dev/mcp:{}", env!("CARGO_PKG_VERSION")),
            image_pull_policy: "IfNotPresent".to_owned(),
            image_pull_secrets: Vec::new(),
            client_namespaces: Vec::new(),
            monitoring_namespace: String::new(),
            metrics_require_token: true,
        }
    }
}

/// Why a settings file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// Not YAML, an unknown field, or a value of the wrong kind.
    #[error("settings: {0}")]
    Read(#[from] crate::yaml::YamlError),
    /// A hash is not `sha256:` and 64 hexadecimal digits.
    #[error(
        "settings: authentication.staticTokens: client \"{0}\" must have at most two hashes of the form sha256:<64 hexadecimal digits>"
    )]
    Hash(String),
    /// A client's name is empty, too long, or taken.
    #[error(
        "settings: authentication.staticTokens: \"{0}\" must be a unique name of 1 to 63 letters, digits, '-', '_' or '.'"
    )]
    ClientName(String),
    /// Something about issuers or delegates.
    #[error("settings: {0}")]
    Identity(#[from] IdentityError),
    /// Something about sign-in.
    #[error("settings: {0}")]
    Login(#[from] LoginError),
    /// A limit is zero or out of its range.
    #[error("settings: limits.{0} is out of range")]
    Limit(&'static str),
    /// More registered servers than one gateway polls.
    #[error("settings: registration.maxServers must be at most 1000")]
    Registration,
    /// Records that would be kept for longer than anybody can mean.
    #[error("settings: audit.retentionDays must be at most 36500; 0 keeps records for good")]
    Retention,
}

impl Settings {
    /// Reads and checks a settings file; an empty one means the defaults.
    ///
    /// # Errors
    /// [`SettingsError`].
    pub fn parse(text: &str) -> Result<Self, SettingsError> {
        let settings: Self =
            if crate::yaml::documents(text)?.is_empty() { Self::default() } else { crate::yaml::from_document(text)? };
        settings.check()?;
        Ok(settings)
    }

    fn check(&self) -> Result<(), SettingsError> {
        let mut names = std::collections::BTreeSet::new();
        for client in &self.authentication.static_tokens {
            let usable = (1..=63).contains(&client.name.len())
                && client.name.starts_with(|c: char| c.is_ascii_alphanumeric())
                && client.name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
            if !usable || !names.insert(&client.name) {
                return Err(SettingsError::ClientName(client.name.chars().take(64).collect()));
            }
            if client.sha256.len() > 2 || !client.sha256.iter().all(|hash| is_hash(hash)) {
                return Err(SettingsError::Hash(client.name.clone()));
            }
        }
        identity::check(self)?;
        login::check(self)?;
        if self.registration.max_servers > 1000 {
            return Err(SettingsError::Registration);
        }
        if self.audit.retention_days > audit::MAX_RETENTION_DAYS {
            return Err(SettingsError::Retention);
        }
        let limits = &self.limits;
        let in_range = [
            ("maxRequestBytes", (1..=64 << 20).contains(&limits.max_request_bytes)),
            ("maxProxyRequestBytes", (1..=1 << 40).contains(&limits.max_proxy_request_bytes)),
            ("maxResponseBytes", (1..=256 << 20).contains(&limits.max_response_bytes)),
            ("maxConnections", (1..=65_536).contains(&limits.max_connections)),
            ("maxTools", (1..=100_000).contains(&limits.max_tools)),
            ("maxSubscriptions", limits.max_subscriptions <= 65_536),
            ("maxSubscriptionsPerCaller", limits.max_subscriptions_per_caller <= 65_536),
            ("drainSeconds", limits.drain_seconds <= 600),
        ];
        match in_range.into_iter().find(|(_, good)| !good) {
            Some((name, _)) => Err(SettingsError::Limit(name)),
            None => Ok(()),
        }
    }
}

/// Whether a text is `sha256:` and 64 hexadecimal digits.
#[must_use]
pub fn is_hash(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_file_means_the_defaults() {
        assert_eq!(Settings::parse("").unwrap(), Settings::default());
        assert_eq!(Settings::parse("# nothing\n").unwrap().listeners.public.port(), 8080);
    }

    #[test]
    fn an_unknown_field_is_refused_by_name() {
        let error = Settings::parse("limits:\n  maxRequestBites: 1\n").unwrap_err().to_string();
        assert!(error.contains("maxRequestBites"), "{error}");
    }

    #[test]
    fn only_hashes_of_tokens_are_taken() {
        let with =
            |hash: &str| format!("authentication:\n  staticTokens:\n    - name: ci\n      sha256: [\"{hash}\"]\n");
        assert!(Settings::parse(&with(&format!("sha256:{}", "a".repeat(64)))).is_ok());
        let error = Settings::parse(&with("hunter2")).unwrap_err().to_string();
        assert!(error.contains("ci") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn a_client_name_is_taken_once() {
        let text = "authentication:\n  staticTokens:\n    - name: ci\n    - name: ci\n";
        assert!(matches!(Settings::parse(text), Err(SettingsError::ClientName(_))));
    }

    #[test]
    fn limits_have_limits() {
        assert!(matches!(
            Settings::parse("limits:\n  maxConnections: 0\n"),
            Err(SettingsError::Limit("maxConnections"))
        ));
    }
}
