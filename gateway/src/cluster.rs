//! The API server.
use crate::discovery::Events;
use crate::state::State;
use std::sync::Arc;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

pub(crate) struct Cluster {
    pub(crate) client: kube::Client,
    pub(crate) namespaces: Vec<String>,
    pub(crate) replica: String,
    pub(crate) system_namespace: String,
}

impl Cluster {
    pub(crate) async fn run(self, _state: Arc<State>, _events: Events, _changed: Arc<Notify>, shutdown: CancellationToken) {
        shutdown.cancelled().await;
    }
}
