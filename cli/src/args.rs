//! Command line → [`Args`].

use clap::{Parser, Subcommand};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Safe access for AI agents to company systems, through MCP.
#[derive(Debug, Parser)]
#[command(name = "aperium", version)]
pub(crate) struct Args {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Starts the gateway and every service of a folder of YAML in this one process, without a cluster.
    Up(UpArgs),
    /// Prints the CustomResourceDefinitions.
    Crds,
    /// Makes a token for a client: prints it, and the hash that the settings hold.
    Token,
}

/// `aperium up`.
#[derive(Debug, clap::Args)]
pub(crate) struct UpArgs {
    /// The folder: Connector, Grant and Secret manifests, and settings.yaml.
    #[arg(default_value = ".")]
    pub(crate) folder: PathBuf,
    /// Where the gateway listens. Loopback only: whoever reaches it is its admin.
    #[arg(long, env = "APERIUM_LISTEN", default_value = "127.0.0.1:8080", value_parser = loopback)]
    pub(crate) listen: SocketAddr,
    /// Where the encryption keys are kept, with mode 0600, and what else must outlive a run. Default: `.aperium` in the
    /// folder.
    #[arg(long, env = "APERIUM_DATA")]
    pub(crate) data: Option<PathBuf>,
}

fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr =
        text.parse().map_err(|_| "must be an address and a port, as in 127.0.0.1:8080".to_owned())?;
    if address.ip().is_loopback() {
        Ok(address)
    } else {
        Err("must be a loopback address: aperium up trusts whoever reaches it".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gateway_of_a_laptop_listens_on_loopback_only() {
        assert!(Args::try_parse_from(["aperium", "up", "--listen", "127.0.0.1:1"]).is_ok());
        assert!(Args::try_parse_from(["aperium", "up", "--listen", "[::1]:1"]).is_ok());
        for refused in ["0.0.0.0:8080", "10.0.0.1:8080", "8080", "localhost:8080"] {
            assert!(Args::try_parse_from(["aperium", "up", "--listen", refused]).is_err(), "{refused}");
        }
    }
}
