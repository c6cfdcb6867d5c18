//! Arguments → what the gateway is started with.

use clap::Parser;
use secrecy::SecretString;
use std::net::IpAddr;
use std::path::PathBuf;

/// The gateway of Aperium.
#[derive(Debug, Parser)]
#[command(name = "aperium-gateway", version)]
pub(crate) struct Args {
    /// Settings file.
    #[arg(long, env = "APERIUM_SETTINGS_FILE", default_value = "/etc/aperium/settings.yaml")]
    pub(crate) settings: PathBuf,
    /// Facts of the cluster, which the operator publishes; they complete the egress rules. May be missing.
    #[arg(long, env = "APERIUM_CLUSTER_FACTS", default_value = "/var/run/aperium/cluster/facts.json")]
    pub(crate) cluster_facts: PathBuf,
    /// Folder with one file per static client: lines `sha256:<hex>`, at most two.
    #[arg(long, env = "APERIUM_TOKENS_DIR", default_value = "/etc/aperium/tokens")]
    pub(crate) tokens_dir: PathBuf,
    /// Folder with what sign-in needs: `oidc.<name>` holds a client's secret, `local.<name>` the hash of a password.
    #[arg(long, env = "APERIUM_LOGIN_DIR", default_value = "/etc/aperium/login")]
    pub(crate) login_dir: PathBuf,
    /// The key ring that seals sessions: `{"current": "<id>", "keys": {"<id>": "<base64, 32 bytes>"}}`. The same for
    /// all replicas; read again when it changes. Without it legacy clients get no session.
    #[arg(long, env = "APERIUM_ENCRYPTION_KEYS", default_value = "/etc/aperium/encryption/keys.json")]
    pub(crate) encryption_keys: PathBuf,
    /// The key ring that signs leases, in the same form; its public half is what services verify with. Without it calls
    /// of services with credentials of the platform fail.
    #[arg(long, env = "APERIUM_LEASE_SIGNING_KEYS", default_value = "/etc/aperium/lease-signing/keys.json")]
    pub(crate) lease_keys: PathBuf,
    /// Folder with certificate and key of the broker: `tls.crt`, `tls.key`. Without them it answers nobody.
    #[arg(long, env = "APERIUM_BROKER_TLS_DIR", default_value = "/etc/aperium/broker-tls")]
    pub(crate) broker_tls: PathBuf,
    /// The platform database: `postgres://user:password@host/database`. Given through the environment, where it is in no
    /// list of processes. Without it nothing is stored for tenants.
    #[arg(long, env = "DATABASE_URL", hide = true, hide_env_values = true)]
    pub(crate) database_url: Option<SecretString>,
    /// A file with that URL instead.
    #[arg(long, env = "APERIUM_DATABASE_URL_FILE", conflicts_with = "database_url")]
    pub(crate) database_url_file: Option<PathBuf>,
    /// Folder with manifests of Connectors and Grants; without it they come from the API server.
    #[arg(long, env = "APERIUM_FOLDER")]
    pub(crate) folder: Option<PathBuf>,
    /// Namespaces to watch, besides the own one.
    #[arg(long, env = "APERIUM_NAMESPACES", value_delimiter = ',')]
    pub(crate) namespaces: Vec<String>,
    /// The own namespace, which is the system namespace.
    #[arg(long, env = "POD_NAMESPACE", default_value = "aperium-system")]
    pub(crate) namespace: String,
    /// Name of the own pod: the holder of the Lease.
    #[arg(long, env = "POD_NAME", default_value = "aperium-gateway")]
    pub(crate) pod_name: String,
    /// Addresses of the own pod: names under which probes reach it.
    #[arg(long, env = "POD_IPS", value_delimiter = ',')]
    pub(crate) pod_ips: Vec<IpAddr>,
    /// Name of the own Service.
    #[arg(long, env = "APERIUM_SERVICE", default_value = "aperium-gateway")]
    pub(crate) service: String,
}
