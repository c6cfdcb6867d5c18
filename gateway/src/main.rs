//! `aperium-gateway`: arguments in, a running gateway out.

mod args;

use anyhow::Context as _;
use aperium_crds::Settings;
use aperium_gateway::{BrokerConfig, CatalogSource, GatewayConfig, Given, Listeners, Own, SettingsSource, folder, run};
use aperium_platform::egress::api_server;
use aperium_platform::lease::LeaseSigner;
use aperium_platform::seal::Sealer;
use aperium_platform::serve::ServerTls;
use aperium_platform::{shutdown, telemetry};
use aperium_store::{Store, Target};
use args::Args;
use clap::Parser as _;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::net::TcpListener;

/// A call makes and drops some sixty small objects; the system's allocator takes a seventh of its time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    telemetry::init()?;
    // Whatever was linked in beside it: there is one provider of cryptography.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let stop = shutdown::on_signal().context("signal handlers")?;
    let sealer = Sealer::file(&args.encryption_keys);
    let database = database(&args, &sealer)?;
    let (listeners, broker) = listen(&args).await?;
    let source = source(&args).await?;
    let own = Own { service: args.service, namespace: args.namespace, addresses: args.pod_ips, loopback: false };
    let leases = BrokerConfig::without_credentials(LeaseSigner::file(args.lease_keys));
    let leases = match &database {
        Some(store) => leases.with_store(store.clone()),
        None => leases,
    };
    let config = GatewayConfig {
        settings: SettingsSource::File { settings: args.settings, facts: Some(args.cluster_facts) },
        source,
        own,
        tokens_dir: Some(args.tokens_dir),
        login_dir: Some(args.login_dir),
        data: None,
        sealer,
        broker: BrokerConfig {
            listener: broker.map(|broker| {
                (broker, ServerTls::files(args.broker_tls.join("tls.crt"), args.broker_tls.join("tls.key")))
            }),
            ..leases
        },
        database,
        listeners,
    };
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "gateway starts");
    run(config, stop).await?;
    Ok(())
}

async fn listen(args: &Args) -> anyhow::Result<(Listeners, Option<TcpListener>)> {
    let text = std::fs::read_to_string(&args.settings).with_context(|| args.settings.display().to_string())?;
    let addresses = Settings::parse(&text).with_context(|| args.settings.display().to_string())?.listeners;
    let bind = async |address| TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"));
    let listeners = Listeners {
        public: bind(addresses.public).await?,
        in_cluster: Some(bind(addresses.in_cluster).await?),
        admin: Some(bind(addresses.admin).await?),
    };
    // Pods are told by the API server; beside a folder there are none.
    let broker = if args.folder.is_none() { Some(bind(addresses.broker).await?) } else { None };
    Ok((listeners, broker))
}

/// Names the database; whether it answers is a matter of readiness.
fn database(args: &Args, sealer: &Sealer) -> anyhow::Result<Option<Store>> {
    let url = match (&args.database_url, &args.database_url_file) {
        (Some(url), _) => url.clone(),
        (None, Some(path)) => std::fs::read_to_string(path).with_context(|| path.display().to_string())?.into(),
        (None, None) => return Ok(None),
    };
    let target = Target::postgres(&url).context("the database")?;
    Ok(Some(Store::open(&target, sealer.clone()).context("the database")?))
}

async fn source(args: &Args) -> anyhow::Result<CatalogSource> {
    if let Some(path) = &args.folder {
        let loaded = folder::load(path)?;
        let given = Given { resources: loaded.resources, secrets: loaded.secrets, services: HashMap::new() };
        return Ok(CatalogSource::Folder(Arc::new(folder::FolderStore::new(path, given, Box::new(|_| Ok(()))))));
    }
    let config = kube::Config::infer().await.context("no way to the API server")?;
    let client = api_server::client(config).context("the client configuration cannot be used")?;
    let mut namespaces = args.namespaces.clone();
    namespaces.push(args.namespace.clone());
    namespaces.retain(|namespace| !namespace.is_empty());
    namespaces.sort();
    namespaces.dedup();
    Ok(CatalogSource::Cluster { client, namespaces, replica: args.pod_name.clone() })
}
