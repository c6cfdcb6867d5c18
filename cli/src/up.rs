//! A folder of YAML, or a configuration document → a running system in this one process, until Ctrl-C.
//!
//! ```text
//! folder ──► manifests, settings ──► services on loopback ports, each with a token of its own
//!                                └─► gateway before them ──► what is running, and lines to try
//! ```

mod banner;
pub(crate) mod keys;
mod local;
mod relative;
mod secrets;
mod services;
mod state;

use crate::args::UpArgs;
use crate::config::variables;
use anyhow::{Context, bail};
use aperium_core::egress::{EgressRules, LoopbackOpening};
use aperium_crds::Settings;
use aperium_gateway::document::{DocumentStore, Severity};
use aperium_gateway::{BrokerConfig, CatalogSource, GatewayConfig, Given, Listeners, Own, SettingsSource, folder};
use aperium_platform::egress::EgressPolicy;
use aperium_store::{Store, Target};
use services::Services;
use std::io::{ErrorKind, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

/// How long the first discovery may take before the banner is printed without it.
const DISCOVERY: Duration = Duration::from_secs(10);
/// The database in the data folder.
pub(crate) const DATABASE: &str = "aperium.db";
/// The namespace that a folder counts as.
const NAMESPACE: &str = "aperium-system";

/// Runs until Ctrl-C.
pub(crate) fn run(args: &UpArgs) -> anyhow::Result<()> {
    let began = Instant::now();
    let (folder, settings) = match &args.config {
        None => (folder::load(&args.folder)?, optional_settings(&args.folder.join("settings.yaml"))?),
        Some(_) => (folder::Folder::default(), args.settings.as_deref().map(settings).transpose()?.unwrap_or_default()),
    };
    aperium_platform::telemetry::init_quiet().context("the logs cannot be set up")?;
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("the runtime cannot be started")?;
    runtime.block_on(start(args, folder, settings, began))
}

async fn start(
    args: &UpArgs,
    mut folder: folder::Folder,
    mut settings: Settings,
    began: Instant,
) -> anyhow::Result<()> {
    let stop = aperium_platform::shutdown::on_signal().context("the signals cannot be handled")?;
    let public = bind(args.listen).await?;
    let admin = TcpListener::bind("127.0.0.1:0").await.context("no free loopback port")?;
    let addresses = [&public, &admin].map(TcpListener::local_addr);
    let [Ok(address), Ok(probes)] = addresses else { bail!("a listener has no address") };
    relative::resolve(&mut folder.resources.connectors, &args.folder)?;

    let services = Services::prepare(&folder).await?;
    settings.egress = egress(&settings, services.ports().chain([address.port(), probes.port()]));
    let data = args.data.clone().unwrap_or_else(|| home(args).join(".aperium"));
    let sealer = keys::sealer(&data)?;
    let database = Store::open(&Target::Sqlite(data.join(DATABASE)), sealer.clone());
    let database = database.with_context(|| format!("{}: the database cannot be opened", data.display()))?;
    let policy = EgressPolicy::new(settings.egress.clone()).context("settings: egress")?;
    let broker = BrokerConfig::without_credentials(keys::leases(&data)?).with_store(database.clone());
    let services = services.start(&folder, &policy, &broker, &stop)?;

    let (source, resources) = match &args.config {
        Some(file) => {
            let store = document(file, &settings.egress)?;
            let resources = store.current().reading.folder.resources.clone();
            (CatalogSource::Document(store), resources)
        }
        None => {
            let resources = folder.resources.clone();
            let given = Given { resources: folder.resources, secrets: folder.secrets, services };
            let home = args.folder.clone();
            let prepare = move |folder: &mut folder::Folder| {
                relative::resolve(&mut folder.resources.connectors, &home).map_err(|error| format!("{error:#}"))
            };
            let store = folder::FolderStore::new(&args.folder, given, Box::new(prepare));
            (CatalogSource::Folder(Arc::new(store)), resources)
        }
    };
    let mut gateway = tokio::spawn(aperium_gateway::run(
        GatewayConfig {
            settings: SettingsSource::Fixed(Box::new(settings)),
            source,
            own: Own { namespace: NAMESPACE.to_owned(), loopback: true, ..Own::default() },
            tokens_dir: None,
            // Whoever reaches the listener is the person at the machine: nobody signs in.
            login_dir: None,
            data: Some(data),
            sealer,
            broker,
            database: Some(database),
            listeners: Listeners { public, in_cluster: None, admin: Some(admin) },
        },
        stop.clone(),
    ));
    let states = tokio::select! {
        ended = &mut gateway => return ended.context("the gateway failed")?.context("the gateway ended"),
        states = state::settled(probes, &resources, DISCOVERY) => states,
    };
    banner::print(&states, address, began.elapsed())?;
    gateway.await.context("the gateway failed")?.context("the gateway ended")
}

/// The folder that things are kept in: that of the manifests, or that of the document.
fn home(args: &UpArgs) -> &Path {
    match &args.config {
        // A bare file name has an empty parent: the current folder.
        Some(file) => file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")),
        None => &args.folder,
    }
}

/// The document, and what is wrong with it on standard error.
fn document(file: &Path, egress: &EgressRules) -> anyhow::Result<Arc<DocumentStore>> {
    let store = DocumentStore::open(file, variables::macros(), Some(egress.clone()));
    let store = store.with_context(|| format!("{} cannot be loaded", file.display()))?;
    for finding in store.current().reading.findings.iter().filter(|finding| finding.severity > Severity::Note) {
        writeln!(std::io::stderr(), "{}: {finding}", file.display()).context("standard error is closed")?;
    }
    Ok(Arc::new(store))
}

fn settings(path: &Path) -> anyhow::Result<Settings> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    Settings::parse(&text).with_context(|| path.display().to_string())
}

fn optional_settings(path: &Path) -> anyhow::Result<Settings> {
    if path.try_exists().with_context(|| path.display().to_string())? {
        settings(path)
    } else {
        Ok(Settings::default())
    }
}

/// The one port that people know; a clear word when somebody else has it.
async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            bail!("{address} is in use: stop what listens there, or choose another with --listen")
        }
        Err(error) => Err(error).with_context(|| format!("cannot listen on {address}")),
    }
}

/// There is no cluster, so no range of one; loopback is open for an admin's own URLs, our own ports aside.
fn egress(settings: &Settings, own_ports: impl Iterator<Item = u16>) -> EgressRules {
    let mut rules = settings.egress.clone();
    rules.cluster_ranges.get_or_insert_default();
    rules.loopback = Some(LoopbackOpening { own_ports: own_ports.collect() });
    rules
}
