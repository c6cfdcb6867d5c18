//! Names, labels and annotations that the operator gives, and the pure half of its context.

use crate::stores::Key;
use aperium_core::egress::EgressRules;
use aperium_core::id::{ConnectorName, IdError};
use aperium_core::name::child_name;
use aperium_crds::Settings;
use serde_json::{Value, json};

/// Field manager of the children and of the routing table.
pub const MANAGER: &str = "aperium-operator";
/// Field manager of statuses.
pub const STATUS_MANAGER: &str = "aperium-operator-status";
/// Annotation with the hash of what was applied last.
pub const APPLIED_HASH: &str = "aperium.dev/applied-hash";
/// Annotation on a token Secret that says under which policy it is shared.
pub const SHARED_TOKEN_POLICY: &str = "aperium.dev/shared-token-policy";
/// Label that admits a backend's pods to the services.
pub const CLIENT_LABEL: &str = "aperium.dev/mcp-client";
/// Label of all children with the name of their Connector.
pub const CONNECTOR_LABEL: &str = "aperium.dev/connector";
/// The key of a token Secret that the operator makes.
pub const TOKEN_KEY: &str = "mcp_auth_token";
/// The routing table of a namespace.
pub const ROUTING: &str = "aperium-mcp-routing";
/// The port of the broker.
pub const BROKER_PORT: u16 = 9443;
/// The one container of a service's pod.
pub const CONTAINER: &str = "mcp";
/// Where the service token is mounted.
pub const TOKEN_DIR: &str = "/var/run/aperium/token";
/// Where the upstream's credentials are mounted.
pub const CREDENTIALS_DIR: &str = "/var/run/aperium/credentials";
/// Where the facts of the cluster are mounted.
pub const FACTS_DIR: &str = "/var/run/aperium/cluster";
/// Where the public keys of leases and the CA of the broker are mounted.
pub const BROKER_DIR: &str = "/var/run/aperium/broker";
/// Where the token is mounted by which the broker knows a pod.
pub const IDENTITY_DIR: &str = "/var/run/aperium/identity";
/// The volume with that token: only the service's own container may mount it.
pub const IDENTITY_VOLUME: &str = "identity";
/// The ConfigMap with the public keys of leases and the CA of the broker, in every watched namespace.
pub const LEASE_KEYS: &str = "aperium-lease-keys";
/// Where a backend mounts the tokens of the services it calls: `<dir>/<connector>/<key>`.
pub const BACKEND_TOKENS_DIR: &str = "/var/run/aperium/tokens";

/// What planning needs to know besides the Connector: pure values, no client.
#[derive(Debug, Clone, PartialEq)]
pub struct Names {
    /// Where the gateway and the operator run.
    pub system_namespace: String,
    /// The DNS domain of the cluster.
    pub cluster_domain: String,
    /// The settings file.
    pub settings: Settings,
    /// The egress rules of the settings, completed with what the operator knows from its start.
    pub egress: EgressRules,
    /// Whether the cluster's ranges are known, from the settings or from the cluster.
    pub ranges_known: bool,
}

impl Names {
    /// The label that a Secret must carry so that a Connector may refer to it.
    #[must_use]
    pub fn secret_label(connector: &str) -> String {
        format!("connector.aperium.dev/{connector}")
    }

    /// The token Secret that the operator makes.
    #[must_use]
    pub fn token_secret(name: &ConnectorName) -> String {
        format!("{}-token", child_name(name))
    }

    /// The selector of a Connector's pods. It never changes: a Deployment's selector is immutable.
    #[must_use]
    pub fn selector(name: &ConnectorName) -> Value {
        json!({"app.kubernetes.io/name": "aperium-mcp", "app.kubernetes.io/instance": name.as_str()})
    }

    /// The same as text, for the scale subresource.
    #[must_use]
    pub fn selector_text(name: &ConnectorName) -> String {
        format!("app.kubernetes.io/name=aperium-mcp,app.kubernetes.io/instance={name}")
    }

    /// The labels of every child.
    #[must_use]
    pub fn labels(name: &ConnectorName) -> Value {
        json!({
            "app.kubernetes.io/name": "aperium-mcp",
            "app.kubernetes.io/instance": name.as_str(),
            "app.kubernetes.io/component": "mcp-service",
            "app.kubernetes.io/part-of": "aperium",
            "app.kubernetes.io/managed-by": MANAGER,
            CONNECTOR_LABEL: name.as_str(),
        })
    }

    /// The name of the gateway's Service in full, which its certificate carries.
    #[must_use]
    pub fn gateway_host(&self) -> String {
        format!("aperium-gateway.{}.svc.{}", self.system_namespace, self.cluster_domain)
    }

    /// Where the gateway and backends reach a Connector's service.
    #[must_use]
    pub fn service_url(&self, name: &ConnectorName, namespace: &str, port: u16) -> String {
        format!("http://{}.{namespace}.svc.{}:{port}/mcp", child_name(name), self.cluster_domain)
    }

    /// The names under which a service may be called.
    #[must_use]
    pub fn service_hosts(&self, name: &ConnectorName, namespace: &str) -> [String; 4] {
        let service = child_name(name);
        let domain = &self.cluster_domain;
        [
            service.clone(),
            format!("{service}.{namespace}"),
            format!("{service}.{namespace}.svc"),
            format!("{service}.{namespace}.svc.{domain}"),
        ]
    }
}

/// The key of a Connector's children.
///
/// # Errors
/// [`IdError::ConnectorName`].
pub fn child_key(connector: &Key) -> Result<Key, IdError> {
    let name = ConnectorName::parse(&connector.name)?;
    Ok(Key { namespace: connector.namespace.clone(), name: child_name(&name).into() })
}
