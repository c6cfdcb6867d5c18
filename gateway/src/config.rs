//! What a gateway is started with. `aperium up` and tests fill it in; the binary makes it from its arguments.

use crate::access::Own;
use crate::broker::BrokerConfig;
use crate::catalog::Resources;
use crate::document::DocumentStore;
use crate::folder::{FolderSecret, FolderStore};
use aperium_crds::Settings;
use aperium_platform::bearer::TokenSource;
use aperium_platform::egress::ClusterEndpoint;
use aperium_platform::seal::Sealer;
use aperium_store::Store;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// All that a gateway needs.
#[derive(Debug)]
pub struct GatewayConfig {
    /// The settings.
    pub settings: SettingsSource,
    /// Where Connectors and Grants come from.
    pub source: CatalogSource,
    /// What the gateway knows of itself.
    pub own: Own,
    /// Files with the hashes of static tokens, one per client.
    pub tokens_dir: Option<PathBuf>,
    /// Folder with what sign-in needs: `oidc.<name>` (a client's secret), `local.<name>` (the hash of a password).
    pub login_dir: Option<PathBuf>,
    /// Where it keeps what must outlive it; without one, the numbers of registered servers begin anew.
    pub data: Option<PathBuf>,
    /// Seals sessions and what clients carry for us. All replicas of a gateway need the same keys.
    pub sealer: Sealer,
    /// Leases, and the credentials that they are for.
    pub broker: BrokerConfig,
    /// The platform database; without one, nothing is stored for tenants. It need not be prepared yet.
    pub database: Option<Store>,
    /// Where it listens.
    pub listeners: Listeners,
}

/// The settings.
#[derive(Debug)]
pub enum SettingsSource {
    /// These, for good.
    Fixed(Box<Settings>),
    /// Files that are read again when they change. A bad file at the start is an error; later the old settings stay.
    File {
        /// The settings file.
        settings: PathBuf,
        /// The facts of the cluster, which complete the egress rules; the file may be missing.
        facts: Option<PathBuf>,
    },
}

/// Where Connectors and Grants come from.
pub enum CatalogSource {
    /// What whoever holds the sender says they are at the moment.
    Given(watch::Receiver<Given>),
    /// A folder, read again when it changes, and written by the API.
    Folder(Arc<FolderStore>),
    /// A document in a file, loaded again when it changes and saved by `PUT /api/config`. The settings must be fixed: the
    /// document completes them.
    Document(Arc<DocumentStore>),
    /// The API server: Connectors, Grants, operator-owned Services and token Secrets of these namespaces. ServiceAccount
    /// tokens are accepted, and the replica that holds the Lease writes the status of `url` Connectors.
    Cluster {
        /// The client.
        client: kube::Client,
        /// The namespaces; the system namespace is always among them.
        namespaces: Vec<String>,
        /// The name of this replica, for the Lease.
        replica: String,
    },
}

/// Resources without an API server.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// Connectors and Grants, as `folder::load` gives them.
    pub resources: Resources,
    /// Secrets by name, as `folder::load` gives them: credentials of remote Connectors.
    pub secrets: BTreeMap<String, FolderSecret>,
    /// Where the services of `service` Connectors listen, by the Connector's name.
    pub services: HashMap<String, GivenService>,
}

/// A service that was started beside the gateway.
#[derive(Debug, Clone)]
pub struct GivenService {
    /// Its address.
    pub endpoint: ClusterEndpoint,
    /// Its token.
    pub token: TokenSource,
}

/// Bound listeners.
#[derive(Debug)]
pub struct Listeners {
    /// Agents and IDEs.
    pub public: TcpListener,
    /// In-cluster backends.
    pub in_cluster: Option<TcpListener>,
    /// Probes and metrics.
    pub admin: Option<TcpListener>,
}

impl std::fmt::Debug for CatalogSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Given(_) => f.write_str("Given(..)"),
            Self::Folder(store) => f.debug_tuple("Folder").field(store).finish(),
            Self::Document(_) => f.write_str("Document(..)"),
            Self::Cluster { namespaces, replica, .. } => f
                .debug_struct("Cluster")
                .field("namespaces", namespaces)
                .field("replica", replica)
                .finish_non_exhaustive(),
        }
    }
}
