//! Command line → [`Args`].

use crate::database::Place;
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
    /// Reads the audit log: whether anybody has changed it, and what is in it.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Starts the gateway in this one process, without a cluster: over a folder of YAML with every service in it, or over
    /// a configuration document.
    Up(UpArgs),
    /// Checks a configuration document, or converts between it and resources.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Prints the CustomResourceDefinitions.
    Crds,
    /// Says who may do something, by which Grant, and if not, why not.
    Explain(ExplainArgs),
    /// Keeps the key ring that everything stored is sealed with.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Reads a password from standard input and prints the hash that the settings hold.
    Password,
    /// Makes a token for a client: prints it, and the hash that the settings hold.
    Token,
}

/// `aperium up`.
#[derive(Debug, clap::Args)]
pub(crate) struct UpArgs {
    /// The folder: Connector, Grant and Secret manifests, and settings.yaml.
    #[arg(default_value = ".")]
    pub(crate) folder: PathBuf,
    /// A configuration document (JSON or HuJSON) instead of a folder. It is read again when it changes, and saved by
    /// `PUT /api/config`; `${APERIUM_CONFIG_…}` in it stands for variables of the environment.
    #[arg(long, value_name = "FILE", conflicts_with = "folder")]
    pub(crate) config: Option<PathBuf>,
    /// The settings that go with `--config`; in a folder they are `settings.yaml`.
    #[arg(long, value_name = "FILE", requires = "config")]
    pub(crate) settings: Option<PathBuf>,
    /// Where the gateway listens. Loopback only: whoever reaches it is its admin.
    #[arg(long, env = "APERIUM_LISTEN", default_value = "127.0.0.1:8080", value_parser = loopback)]
    pub(crate) listen: SocketAddr,
    /// Where the encryption keys are kept, with mode 0600, and what else must outlive a run. Default: `.aperium` in the
    /// folder, or beside the document.
    #[arg(long, env = "APERIUM_DATA")]
    pub(crate) data: Option<PathBuf>,
}

/// `aperium audit`.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// Looks for records that were removed, altered or moved. Ends with 1 when it finds any.
    Verify(VerifyArgs),
    /// Writes all records as they are stored, one line of JSON each, chain by chain.
    Export(AuditExportArgs),
}

/// `aperium audit verify`.
#[derive(Debug, clap::Args)]
pub(crate) struct VerifyArgs {
    /// The ring and the database.
    #[command(flatten)]
    pub(crate) place: Place,
    /// What an earlier run named as the last checkpoint, `<number>:<hash>`: it must still be there. Kept where whoever has
    /// the database cannot change it, it shows that nothing was cut off the end and that the key is the same.
    #[arg(long, value_name = "CHECKPOINT", value_parser = crate::audit::noted)]
    pub(crate) noted: Option<crate::audit::Noted>,
    /// The public key that must have signed, as an earlier run named it; may be repeated. Without it that of the database.
    #[arg(long = "key", value_name = "KEY", value_parser = crate::audit::key)]
    pub(crate) keys: Vec<aperium_store::audit::PublicKey>,
}

/// `aperium audit export`.
#[derive(Debug, clap::Args)]
pub(crate) struct AuditExportArgs {
    /// The ring and the database.
    #[command(flatten)]
    pub(crate) place: Place,
    /// The records of this tenant alone.
    #[arg(long)]
    pub(crate) tenant: Option<aperium_core::id::TenantId>,
    /// Into this file, which must not be there yet, with mode 0600. Otherwise to standard output.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// `aperium keys`.
#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Gives the ring a new key and seals the data keys of all tenants with it, while everything goes on. In steps: add
    /// the key, make it the one that seals, seal anew; between them it waits until every replica has read the ring.
    Rotate(RotateArgs),
}

/// `aperium keys rotate`.
#[derive(Debug, clap::Args)]
pub(crate) struct RotateArgs {
    /// The ring and the database.
    #[command(flatten)]
    pub(crate) place: Place,
    /// One step alone, where the ring reaches the replicas by another way: bring the file there after `add` and after
    /// `use`, and wait until all have it.
    #[arg(long, value_enum)]
    pub(crate) only: Option<RotateStep>,
    /// Seconds that replicas which read the same file get to see a change.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) settle: u64,
    /// Takes the old keys away at the end. Clients of the older protocol era begin a new session then.
    #[arg(long)]
    pub(crate) retire: bool,
}

/// A step of a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum RotateStep {
    /// Adds a key that seals nothing yet.
    Add,
    /// Makes the newest key the one that seals.
    Use,
    /// Seals what the database holds with the key that seals.
    Rewrap,
    /// Takes the old keys away, if the database needs none of them.
    Retire,
}

/// `aperium config`.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Prints everything that is wrong with a document. Ends with 1 when it cannot be loaded.
    Validate {
        /// The document (JSON or HuJSON).
        file: PathBuf,
        /// Ends with 1 for warnings too: the document could not be saved through the API.
        #[arg(long)]
        strict: bool,
    },
    /// Document → Connector, Grant and Secret manifests.
    Import {
        /// The document (JSON or HuJSON).
        file: PathBuf,
        /// Writes connectors.yaml, grants.yaml and secrets.yaml into this folder, which must not hold them yet.
        /// Otherwise all of it goes to standard output, secrets in clear.
        #[arg(long, value_name = "FOLDER")]
        out: Option<PathBuf>,
        /// The namespace of the manifests.
        #[arg(long)]
        namespace: Option<String>,
        /// Goes on when there are warnings; what they speak of is left out.
        #[arg(long)]
        allow_warnings: bool,
    },
    /// Manifests of a folder, or the configuration of a running gateway → document.
    Export(ExportArgs),
}

/// `aperium config export`.
#[derive(Debug, clap::Args)]
pub(crate) struct ExportArgs {
    /// A folder of manifests; values of its Secrets become part of the document.
    #[arg(required_unless_present = "url", conflicts_with = "url")]
    pub(crate) folder: Option<PathBuf>,
    /// A running gateway, as in http://127.0.0.1:8080; its secrets are shown as "***".
    #[arg(long)]
    pub(crate) url: Option<url::Url>,
    /// A file with the token of an admin, for `--url`.
    #[arg(long, value_name = "FILE", requires = "url")]
    pub(crate) token_file: Option<PathBuf>,
    /// Goes on when resources say what a document cannot; the document names it in comments.
    #[arg(long)]
    pub(crate) allow_loss: bool,
}

/// `aperium explain`.
#[derive(Debug, clap::Args)]
pub(crate) struct ExplainArgs {
    /// The connector's id.
    pub(crate) connector: String,
    /// tools, prompts, resources, templates or proxy.
    pub(crate) category: String,
    /// The name or URI; nothing for the proxy.
    pub(crate) name: Option<String>,
    /// Whom it is about, as a Grant names them: user:alice@example.com, group:finance, client:ci. May be repeated: somebody
    /// who is all of these. Without it, whoever asks.
    #[arg(long = "as", value_name = "SUBJECT")]
    pub(crate) subjects: Vec<String>,
    /// A running gateway, as in http://127.0.0.1:8080.
    #[arg(long, conflicts_with = "folder")]
    pub(crate) url: Option<url::Url>,
    /// A file with the token to ask with, for `--url`.
    #[arg(long, value_name = "FILE", requires = "url")]
    pub(crate) token_file: Option<PathBuf>,
    /// A folder of manifests: what its grants say, whatever the connectors offer.
    #[arg(long, required_unless_present = "url", requires = "subjects")]
    pub(crate) folder: Option<PathBuf>,
    /// Prints the answer as JSON.
    #[arg(long)]
    pub(crate) json: bool,
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
