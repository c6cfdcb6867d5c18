//! What all reconciles share. The pure half is [`Names`].

use crate::connector::dereference::Memory;
use crate::connector::observe::Deployments;
use crate::connector::refusals::Refusals;
use crate::connector::token::Seen;
use crate::events::Events;
use crate::metrics::Metrics;
use crate::names::{Names, child_key};
use crate::queue::Queue;
use crate::readiness::Readiness;
use crate::routing::Routing;
use crate::stores::{Key, Stores};
use aperium_platform::egress::ClusterClient;
use arc_swap::ArcSwap;
use kube::Client;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// The shared half with a client.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// The pods.
    pub cluster: ClusterClient,
    /// Names and settings; swapped whole when the settings file changes.
    pub names: ArcSwap<Names>,
    /// The watched namespaces.
    pub namespaces: Vec<String>,
    /// How long a settled Connector waits for its next look.
    pub resync: Duration,
    /// What is known of the cluster.
    pub stores: Stores,
    /// Connectors to reconcile.
    pub queue: Queue,
    /// What was found of referenced Secrets.
    pub secrets: Memory,
    /// Which token Secrets were seen.
    pub tokens: Seen,
    /// What the API server refused.
    pub refusals: Refusals,
    /// The Deployments' statuses.
    pub deployments: Deployments,
    /// What the pods say.
    pub readiness: Readiness,
    /// The routing tables.
    pub routing: Routing,
    /// Wakes the look at all Grants.
    pub grants: Notify,
    /// Events for people.
    pub events: Events,
    /// Numbers.
    pub metrics: Metrics,
    /// The uid that each Connector had when it was last seen, to forget it by.
    pub uids: Mutex<HashMap<Key, String>>,
}

impl Context {
    /// Remembers which uid a key had.
    pub fn saw(&self, key: &Key, uid: Option<&str>) {
        let mut uids = self.uids.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(uid) = uid else { return };
        if uids.get(key).is_none_or(|known| known != uid)
            && let Some(former) = uids.insert(key.clone(), uid.to_owned())
        {
            self.secrets.forget(&former);
            self.tokens.forget(&former);
        }
    }

    /// Forgets everything about a Connector that is gone.
    pub fn forget(&self, key: &Key) {
        let uid = self.uids.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
        if let Some(uid) = uid {
            self.secrets.forget(&uid);
            self.tokens.forget(&uid);
        }
        self.readiness.forget(key);
        self.routing.mark(key);
        self.metrics.forget(key);
        if let Ok(child) = child_key(key) {
            self.deployments.forget(&child);
            self.refusals.forget(&child);
        }
    }
}
