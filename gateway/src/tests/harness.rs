//! A gateway without listeners and upstreams with real sockets.

use crate::catalog::{ResourceKey, Resources};
use crate::discovery::{Event, Events, SecretSeen};
use crate::front::Front;
use crate::pipeline::authn::static_tokens::TokenFiles;
use crate::snapshot::Snapshot;
use crate::state::State;
use aperium_crds::{Settings, structural};
use axum::Router;
use axum::extract::Request;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

mod browser;
mod changing;
mod issuer;
mod legacy_sse;
mod lines;
mod offering;
mod origin;
mod requests;
mod setup;
mod upstream;
pub(super) use browser::*;
pub(super) use changing::*;
pub(super) use issuer::*;
pub(super) use legacy_sse::*;
pub(super) use lines::*;
pub(super) use offering::*;
pub(super) use origin::*;
pub(super) use requests::*;
pub(super) use setup::*;
pub(super) use upstream::*;

/// A gateway.
pub(super) struct Gateway {
    pub(super) state: Arc<State>,
    pub(super) router: Front,
    pub(super) in_cluster: Front,
    pub(super) admin: Router,
    pub(super) events: Events,
    snapshots: watch::Receiver<()>,
    pub(super) stop: CancellationToken,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Gateway {
    pub(super) async fn tell(&self, event: Event) {
        self.events.send(event).await.unwrap();
    }

    /// Other settings from now on.
    pub(super) async fn settings(&self, settings: Settings) {
        self.tell(Event::Settings(Arc::new(settings), TokenFiles::default())).await;
        self.state.settled().await;
    }

    pub(super) async fn secret(&self, connector: &str, seen: SecretSeen) {
        let key = ResourceKey { namespace: "aperium-system".into(), name: connector.into() };
        self.tell(Event::Secret(key, Some(seen))).await;
    }

    pub(super) async fn resources(&self, connectors: &[Value], grants: &[Value]) {
        let connectors = connectors.iter().map(|c| Arc::new(structural::connector(c).unwrap())).collect();
        let grants = grants.iter().map(|g| Arc::new(structural::grant(g).unwrap())).collect();
        self.tell(Event::Resources(Resources { connectors, grants })).await;
    }

    /// Waits until the Snapshot is as it should be.
    pub(super) async fn until(&self, good: impl Fn(&Snapshot) -> bool) {
        let mut snapshots = self.snapshots.clone();
        let wait = async {
            loop {
                snapshots.borrow_and_update();
                if good(&self.state.snapshot.load()) {
                    return;
                }
                snapshots.changed().await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(10), wait)
            .await
            .expect("the Snapshot did not become what it should be");
    }

    /// Sends a request as it is.
    pub(super) async fn send(&self, request: Request) -> Answer {
        Answer::read(self.router.clone().oneshot(request).await.unwrap()).await
    }

    /// Sends a request as it is to the in-cluster listener.
    pub(super) async fn send_inside(&self, request: Request) -> Answer {
        Answer::read(self.in_cluster.clone().oneshot(request).await.unwrap()).await
    }

    /// Posts a body with the agent's token.
    pub(super) async fn post(&self, path: &str, body: &str) -> Answer {
        self.send(post(path, body)).await
    }

    /// Calls a method the legacy way; the whole answer.
    pub(super) async fn rpc(&self, path: &str, method: &str, params: &Value) -> Value {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        self.post(path, &body.to_string()).await.json()
    }

    /// The names that `tools/list` gives.
    pub(super) async fn tools(&self, path: &str) -> Vec<String> {
        self.names(path, crate::snapshot::Kind::Tools).await
    }

    /// The names, URIs or templates that a list gives.
    pub(super) async fn names(&self, path: &str, kind: crate::snapshot::Kind) -> Vec<String> {
        let list = self.rpc(path, kind.list_method(), &json!({})).await;
        let items = list["result"][kind.list_field()].as_array().unwrap();
        items.iter().map(|item| item[kind.key()].as_str().unwrap().to_owned()).collect()
    }
}

/// Waits until something is so.
pub(super) async fn soon(what: impl Fn() -> bool) {
    let wait = async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait).await.expect("it did not happen");
}
