//! The API server as the source of everything: resources by watch, tokens by GET, and the status of remote Connectors
//! written back by the one replica that holds the Lease.

use crate::broker::probe::{Prober, Where};
use crate::discovery::Events;
use crate::state::State;
use aperium_platform::leader::Elector;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

mod credentials;
mod kept;
mod lease;
mod reader;
mod report;
mod tokens;
mod watcher;

/// What is needed of a cluster.
pub(crate) struct Cluster {
    /// The way to the API server.
    pub(crate) client: kube::Client,
    /// The namespaces that are watched.
    pub(crate) namespaces: Vec<String>,
    /// The name of this replica.
    pub(crate) replica: String,
    /// Where the Lease is.
    pub(crate) system_namespace: String,
}

impl Cluster {
    /// Runs until the token is cancelled.
    pub(crate) async fn run(
        self,
        state: Arc<State>,
        events: Events,
        snapshots: watch::Receiver<()>,
        shutdown: CancellationToken,
    ) {
        let Self { client, namespaces, replica, system_namespace } = self;
        let (connectors, seen) = watch::channel(Vec::new());
        let (leading, leads) = watch::channel(false);
        let place = Where::Slices { client: client.clone(), namespaces: namespaces.clone(), leads: leads.clone() };
        let prober = Prober::new(Arc::clone(&state.broker), Arc::clone(&state.snapshot), place);
        let elector = Elector::new(client.clone(), &system_namespace, lease::NAME, replica);
        let reporter =
            report::Reporter { client: client.clone(), state, connectors: seen, leads, snapshots, system_namespace };
        let watcher = watcher::Watcher::new(client, namespaces, events, connectors);
        let mut tasks = JoinSet::new();
        tasks.spawn(watcher.run());
        tasks.spawn(lease::lead(elector, leading, shutdown.clone()));
        tasks.spawn(reporter.run());
        tasks.spawn({
            let shutdown = shutdown.clone();
            async move {
                prober.run(shutdown).await;
                lease::Ended::Stopped
            }
        });
        // The lease gives itself back; the others just stop.
        shutdown.cancelled().await;
        let _ = tokio::time::timeout(std::time::Duration::from_secs(3), async {
            while let Some(ended) = tasks.join_next().await {
                if matches!(ended, Ok(lease::Ended::Released)) {
                    return;
                }
            }
        })
        .await;
    }
}
