//! Connectors in, Deployments, Services and what belongs to them out.
//!
//! ```text
//! API server ──watch──► stores ──queue──► worker ──connector::reconcile──► API server
//!                         ▲                  ▲   (dereference → validate → plan → apply → observe → report)
//!                         └── answers to our own writes    │
//! pods' /readyz ──readiness───────────────────┘            ├──► routing (ConfigMap aperium-mcp-routing)
//! Grants ──grant──► their status                           └──► events
//! ```

pub mod args;
pub mod backoff;
pub mod broker;
pub mod cluster_facts;
pub mod connector;
pub mod context;
pub mod encryption;
pub mod events;
#[cfg(test)]
mod fixtures;
pub mod grant;
pub mod metrics;
pub mod names;
pub mod queue;
pub mod readiness;
pub mod routing;
pub mod server;
pub mod settings;
pub mod stores;
pub mod watch;
pub mod worker;

use anyhow::Context as _;
use aperium_platform::egress::{ClusterClient, api_server};
use aperium_platform::{leader, shutdown};
use args::Args;
use context::Context;
use server::Phase;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long running reconciles get at shutdown.
const DRAIN: Duration = Duration::from_secs(20);

/// Runs the operator until SIGTERM, or until another replica leads.
///
/// # Errors
/// The configuration cannot be used, the listener cannot be bound, or the Lease was lost.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let Args {
        namespaces,
        system_namespace,
        settings,
        listen,
        cluster_domain,
        api_server,
        leader_elect,
        identity,
        concurrency,
        resync_seconds,
    } = args;
    let stop = shutdown::on_signal()?;
    let mut config = kube::Config::infer().await.context("no client configuration: run in a pod or set KUBECONFIG")?;
    let agent = concat!("aperium-operator/", env!("CARGO_PKG_VERSION"));
    config.headers.push((http::header::USER_AGENT, http::HeaderValue::from_static(agent)));
    let system_namespace = system_namespace.unwrap_or_else(|| config.default_namespace.clone());
    let namespaces = if namespaces.is_empty() { vec![system_namespace.clone()] } else { namespaces };
    let fixed = settings::Fixed {
        system_namespace,
        cluster_domain,
        api_server: api_server.into_iter().collect(),
        discovered: Arc::default(),
    };
    let names = fixed.names(settings::read(settings.as_deref()).await?);
    let identity = identity.unwrap_or_else(|| format!("aperium-operator-{}", std::process::id()));
    let client = api_server::client(config).context("the client configuration cannot be used")?;
    let context = Arc::new(Context {
        cluster: ClusterClient::new(),
        names: arc_swap::ArcSwap::from_pointee(names),
        namespaces: namespaces.iter().map(|namespace| namespace.trim().to_owned()).collect(),
        resync: Duration::from_secs(resync_seconds),
        stores: Default::default(),
        queue: Default::default(),
        secrets: Default::default(),
        tokens: Default::default(),
        deployments: Default::default(),
        refusals: Default::default(),
        readiness: Default::default(),
        routing: Default::default(),
        grants: Default::default(),
        events: events::Events::start(client.clone(), &identity),
        metrics: Default::default(),
        uids: Default::default(),
        client,
    });

    let phase = Arc::new(Phase::default());
    let listener = tokio::net::TcpListener::bind(listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    let serving = CancellationToken::new();
    let server = tokio::spawn(server::run(listener, context.clone(), phase.clone(), serving.clone()));

    let followed = settings.map(|path| (path, fixed.clone()));
    let outcome = if leader_elect {
        let mut elector =
            leader::Elector::new(context.client.clone(), &fixed.system_namespace, "aperium-operator", identity);
        phase.standing_by();
        if elector.acquire(&stop).await {
            tracing::info!("this replica leads");
            let lost = tokio::select! {
                outcome = lead(&context, &phase, concurrency, followed, &fixed, &stop) => outcome,
                lost = elector.hold() => Err(anyhow::Error::new(lost)),
            };
            elector.release().await;
            lost
        } else {
            Ok(())
        }
    } else {
        lead(&context, &phase, concurrency, followed, &fixed, &stop).await
    };
    context.metrics.leading(false);
    serving.cancel();
    server.await.context("the server of probes and metrics panicked")??;
    outcome
}

/// Watches, reconciles, and at the end lets what is being done end.
async fn lead(
    context: &Arc<Context>,
    phase: &Phase,
    concurrency: u16,
    followed: Option<(std::path::PathBuf, settings::Fixed)>,
    fixed: &settings::Fixed,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let mut watches = JoinSet::new();
    let complete = watch::start(context, &mut watches);
    // Nothing is written before everything is known: a restart would write it all again.
    let all_complete = futures::future::join_all(complete.iter().map(CancellationToken::cancelled));
    tokio::select! {
        () = stop.cancelled() => return Ok(()),
        _ = all_complete => {}
    }
    tracing::info!(
        connectors = context.stores.connectors.keys().len(),
        children = context.stores.children.len(),
        "the watches are complete"
    );
    let facts_hold = cluster_facts::refresh(context, fixed).await;
    context.names.store(Arc::new(fixed.names(context.names.load().settings.clone())));
    phase.leading();
    context.metrics.leading(true);
    for key in context.stores.connectors.keys() {
        context.queue.add(key);
    }
    let mut work = JoinSet::new();
    worker::start(context, concurrency, stop, &mut work);
    work.spawn(readiness::run(context.clone(), stop.clone()));
    work.spawn(routing::run(context.clone(), stop.clone()));
    work.spawn(grant::run(context.clone(), stop.clone()));
    work.spawn(encryption::run(context.clone(), fixed.system_namespace.clone(), stop.clone()));
    work.spawn(broker::run(context.clone(), stop.clone()));
    work.spawn(cluster_facts::run(context.clone(), fixed.clone(), facts_hold, stop.clone()));
    if let Some((path, fixed)) = followed {
        work.spawn(settings::follow(context.clone(), path, fixed, stop.clone()));
    }
    stop.cancelled().await;
    phase.stopping();
    let drained = async { while work.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN, drained).await.is_err() {
        tracing::warn!("reconciles did not end in time");
    }
    Ok(())
}
