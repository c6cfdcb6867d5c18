//! Command line and environment → [`Args`]. Values parse into the types that are used; nothing is checked later.

use clap::Parser;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// Reconciles Connectors into Deployments, Services and what belongs to them.
#[derive(Debug, Clone, Parser)]
#[command(name = "aperium-operator", version)]
pub struct Args {
    /// Namespaces to watch, separated by commas. Default: the system namespace alone.
    #[arg(long, env = "APERIUM_NAMESPACES", value_delimiter = ',')]
    pub namespaces: Vec<String>,
    /// The system namespace: where the gateway and the operator run. Default: the namespace of the client configuration.
    #[arg(long, env = "APERIUM_SYSTEM_NAMESPACE")]
    pub system_namespace: Option<String>,
    /// The settings file; read again when it changes. Without one, the defaults hold.
    #[arg(long, env = "APERIUM_SETTINGS_FILE")]
    pub settings: Option<PathBuf>,
    /// Where `/healthz`, `/readyz` and `/metrics` are served.
    #[arg(long, env = "APERIUM_LISTEN", default_value = "0.0.0.0:9090")]
    pub listen: SocketAddr,
    /// The DNS domain of the cluster.
    #[arg(long, env = "APERIUM_CLUSTER_DOMAIN", default_value = "cluster.local")]
    pub cluster_domain: String,
    /// Whether one of several replicas is elected by a Lease. Without it there must be one replica.
    #[arg(long, env = "APERIUM_LEADER_ELECT", default_value_t = true, action = clap::ArgAction::Set)]
    pub leader_elect: bool,
    /// An address of the API server, closed to connectors.
    #[arg(long, env = "KUBERNETES_SERVICE_HOST")]
    pub api_server: Option<IpAddr>,
    /// The name that this replica has in the Lease and in events, unique among the replicas. Default: the host name,
    /// which is the pod's.
    #[arg(long, env = "HOSTNAME")]
    pub identity: Option<String>,
    /// Connectors that are reconciled at the same time. 1 to 256.
    #[arg(long, env = "APERIUM_CONCURRENCY", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub concurrency: u16,
    /// How long a Connector that is as it should be waits until it is looked at again, in seconds. 60 to 86400.
    #[arg(long, env = "APERIUM_RESYNC_SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(60..=86_400))]
    pub resync_seconds: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_are_separated_by_commas() {
        let args = Args::parse_from(["aperium-operator", "--namespaces", "a,b", "--leader-elect", "false"]);
        assert_eq!(args.namespaces, ["a", "b"]);
        assert!(!args.leader_elect);
        assert!(Args::parse_from(["aperium-operator"]).leader_elect);
    }

    #[test]
    fn limits_are_checked_when_parsing() {
        assert!(Args::try_parse_from(["aperium-operator", "--concurrency", "0"]).is_err());
        assert!(Args::try_parse_from(["aperium-operator", "--resync-seconds", "5"]).is_err());
    }
}
