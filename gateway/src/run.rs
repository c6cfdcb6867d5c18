//! The wiring: configuration → tasks and listeners, until the token is cancelled.

use crate::access::Access;
use crate::app;
use crate::audit::{Audit, Scribe, retention};
use crate::broker::Broker;
use crate::broker::pods::Pods;
use crate::broker::probe::{Prober, Where};
use crate::catalog::{Catalog, Resources};
use crate::changes::hub::Hub;
use crate::config::{CatalogSource, GatewayConfig, Listeners, SettingsSource};
use crate::database::Database;
use crate::discovery::Manager;
use crate::document::follow;
use crate::given;
use crate::login::Login;
use crate::metrics::Metrics;
use crate::pipeline::authn::token_review::Reviewer;
use crate::registration::{Numbers, Registrations};
use crate::session::Sessions;
use crate::settings;
use crate::snapshot::Snapshot;
use crate::spans::{Spans, SpansError};
use crate::state::State;
use crate::tally;
use crate::writer::{ClusterWriter, Writer};
use aperium_crds::Settings;
use aperium_platform::serve::{ServerLimits, ServerTls, serve, serve_tls};
use arc_swap::ArcSwap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long the last records get, once the last request has ended.
const LAST_RECORDS: Duration = Duration::from_secs(5);

/// Why a gateway does not start, or ends.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The settings cannot be used.
    #[error(transparent)]
    Settings(#[from] settings::SettingsFileError),
    /// Without authentication the gateway must not be reachable from elsewhere.
    #[error("the loopback principal needs a listener on loopback, not on {0}")]
    NotLoopback(std::net::SocketAddr),
    /// The collector of spans.
    #[error(transparent)]
    Spans(#[from] SpansError),
    /// A listener, or the data folder.
    #[error("{0}")]
    Listener(#[from] io::Error),
}

/// Runs a gateway until the token is cancelled and its requests have ended.
///
/// # Errors
/// [`RunError`]; everything that is wrong with the configuration is said before the first request is served.
pub async fn run(config: GatewayConfig, shutdown: CancellationToken) -> Result<(), RunError> {
    check_loopback(&config)?;
    let (settings, tokens) = settings::first(&config.settings, config.tokens_dir.as_deref())?;
    let document = if let CatalogSource::Document(store) = &config.source { Some(Arc::clone(store)) } else { None };
    let plain = settings.clone();
    let settings = match &document {
        Some(store) => follow::complete(&settings, store.current().reading.accept_registrations),
        None => settings,
    };
    let settings = Arc::new(settings);
    let catalog = Catalog::build(&Resources::default(), Arc::clone(&settings), &config.own.namespace);
    let reviewer = match &config.source {
        CatalogSource::Cluster { client, .. } => Some(Reviewer::new(client.clone())),
        CatalogSource::Given(_) | CatalogSource::Folder(_) | CatalogSource::Document(_) => None,
    };
    let writer = match &config.source {
        CatalogSource::Cluster { client, namespaces, .. } => {
            Writer::Cluster(ClusterWriter::new(client.clone(), namespaces.clone()))
        }
        CatalogSource::Folder(store) => Writer::Folder(Arc::clone(store)),
        CatalogSource::Document(store) => Writer::Document(Arc::clone(store)),
        CatalogSource::Given(_) => Writer::Fixed,
    };
    let numbers = match &config.data {
        Some(folder) => Numbers::in_folder(folder)?,
        None => Numbers::in_memory(),
    };
    let (events, receiver) = mpsc::channel(256);
    let (changed, snapshots) = watch::channel(());
    let snapshot = Arc::new(ArcSwap::from_pointee(Snapshot::new(Arc::new(catalog), Vec::new(), None)));
    let metrics = Arc::new(Metrics::new());
    let spans = Spans::start(&settings, shutdown.clone())?;
    let (audit, scribe) = audit(&config, &settings, &metrics);
    let mut broker = config.broker;
    let listener = broker.listener.take();
    let pods = match &config.source {
        CatalogSource::Cluster { client, .. } => Some(Pods::new(client.clone())),
        CatalogSource::Given(_) | CatalogSource::Folder(_) | CatalogSource::Document(_) => None,
    };
    let broker = Broker::new(broker, pods, Arc::clone(&snapshot), audit.clone(), config.sealer.clone());
    let state = Arc::new(State {
        access: ArcSwap::from_pointee(Access::new(&config.own, &settings, &tokens, None)),
        changes: Hub::new(Arc::clone(&snapshot), snapshots.clone(), Arc::clone(&metrics), shutdown.clone()),
        snapshot,
        metrics,
        sessions: Sessions::new(config.sealer),
        parked: Arc::default(),
        events: events.clone(),
        registrations: Registrations::new(
            numbers,
            events.clone(),
            &config.own.namespace,
            config.database.clone(),
            shutdown.clone(),
        ),
        writer,
        changing: Mutex::default(),
        stopping: shutdown.clone(),
        reviewer,
        login: Login::new(config.login_dir),
        broker,
        database: config.database.map(Database::new),
        audit,
        spans,
        loaded: AtomicBool::new(false),
    });
    let manager = Manager::new(Arc::clone(&state), config.own.clone(), Arc::clone(&settings), events.clone(), changed);
    let mut tasks = JoinSet::new();
    tasks.spawn(manager.run(receiver, shutdown.clone()));
    tasks.spawn(Arc::clone(&state.sessions).run(shutdown.clone()));
    tasks.spawn(Arc::clone(&state.registrations).run());
    // The database outlives the last request and its record.
    let (last_request, last_record) = (CancellationToken::new(), CancellationToken::new());
    if let Some(database) = &state.database {
        tasks.spawn(Arc::clone(database).run(last_record.clone()));
        tasks.spawn(tally::run(Arc::clone(&state), shutdown.clone()));
    }
    let scribe = scribe.map(|scribe| tokio::spawn(scribe.run(last_request.clone())));
    if let (Some(database), true) = (&state.database, state.audit.is_on()) {
        let snapshot = Arc::clone(&state.snapshot);
        tasks.spawn(retention::run(database.store().clone(), snapshot, shutdown.clone()));
    }
    let read_tokens = tokens.clone();
    if !matches!(config.settings, SettingsSource::Fixed(_)) || config.tokens_dir.is_some() {
        let watcher = settings::Watcher::new(config.settings, config.tokens_dir, (*settings).clone(), tokens);
        tasks.spawn(watcher.run(events.clone(), Arc::clone(&state.metrics), shutdown.clone()));
    }
    if !matches!(config.source, CatalogSource::Cluster { .. }) {
        let prober = Prober::new(Arc::clone(&state.broker), Arc::clone(&state.snapshot), Where::Links);
        tasks.spawn(prober.run(shutdown.clone()));
    }
    match config.source {
        CatalogSource::Given(given) => {
            tasks.spawn(given::forward(given, config.own.namespace.clone(), events, shutdown.clone()));
        }
        CatalogSource::Folder(store) => {
            tasks.spawn(given::forward(store.given(), config.own.namespace.clone(), events, shutdown.clone()));
            tasks.spawn(store.look_again(shutdown.clone()));
        }
        CatalogSource::Document(store) => {
            let (given, namespace) = (store.given(), config.own.namespace.clone());
            tasks.spawn(given::forward(given, namespace, events.clone(), shutdown.clone()));
            tasks.spawn(follow::run(store, plain, read_tokens, events, shutdown.clone()));
        }
        CatalogSource::Cluster { client, namespaces, replica } => {
            let cluster =
                crate::cluster::Cluster { client, namespaces, replica, system_namespace: config.own.namespace.clone() };
            tasks.spawn(cluster.run(Arc::clone(&state), events, snapshots, shutdown.clone()));
        }
    }
    let served = serve_all(config.listeners, listener, &state, &settings, shutdown.clone()).await;
    shutdown.cancel();
    last_request.cancel();
    if let Some(scribe) = scribe
        && tokio::time::timeout(LAST_RECORDS, scribe).await.is_err()
    {
        tracing::error!("the last records of the audit log were not written in time");
    }
    last_record.cancel();
    // They have heard it; the Lease is given back so that no other replica has to wait for its end.
    let ended = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(Duration::from_secs(5), ended).await.is_err() {
        tracing::warn!("some tasks did not end in time");
    }
    served.map_err(RunError::from)
}

/// The audit log, where there is a database to keep it.
fn audit(config: &GatewayConfig, settings: &Settings, metrics: &Metrics) -> (Audit, Option<Scribe>) {
    let Some(store) = config.database.clone().filter(|_| settings.audit.enabled) else {
        let why = if settings.audit.enabled { "there is no database" } else { "the settings say so" };
        tracing::warn!("no audit log is kept: {why}");
        return (Audit::default(), None);
    };
    let replica = match &config.source {
        CatalogSource::Cluster { replica, .. } => replica,
        CatalogSource::Given(_) | CatalogSource::Folder(_) | CatalogSource::Document(_) => "gateway",
    };
    let (audit, scribe) = Audit::new(store, replica, metrics.audit());
    (audit, Some(scribe))
}

fn check_loopback(config: &GatewayConfig) -> Result<(), RunError> {
    let listeners = &config.listeners;
    let all = [Some(&listeners.public), listeners.in_cluster.as_ref()];
    for listener in all.into_iter().flatten().filter(|_| config.own.loopback) {
        let address = listener.local_addr()?;
        if !address.ip().is_loopback() {
            return Err(RunError::NotLoopback(address));
        }
    }
    Ok(())
}

async fn serve_all(
    listeners: Listeners,
    broker: Option<(TcpListener, ServerTls)>,
    state: &Arc<State>,
    settings: &Settings,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let limits = ServerLimits {
        max_connections: settings.limits.max_connections,
        drain: Duration::from_secs(settings.limits.drain_seconds),
        refusals: state.metrics.refusals(),
        // A kept-alive connection may idle longer than its head may take to arrive.
        ..ServerLimits::default()
    };
    let mut servers: JoinSet<io::Result<()>> = JoinSet::new();
    servers.spawn(serve(listeners.public, app::public(state), limits.clone(), shutdown.clone()));
    if let Some(listener) = listeners.in_cluster {
        servers.spawn(serve(listener, app::in_cluster(state), limits.clone(), shutdown.clone()));
    }
    if let Some((listener, tls)) = broker {
        let app = crate::broker::router(state);
        servers.spawn(serve_tls(listener, tls, app, limits.clone(), shutdown.clone()));
    }
    if let Some(listener) = listeners.admin {
        servers.spawn(serve(listener, app::admin(state), limits, shutdown));
    }
    while let Some(ended) = servers.join_next().await {
        ended.map_err(io::Error::other)??;
    }
    Ok(())
}
