//! What all requests share: the current rules of access, the current Snapshot, metrics.

use crate::access::Access;
use crate::audit::Audit;
use crate::broker::Broker;
use crate::changes::hub::Hub;
use crate::database::Database;
use crate::discovery::{Event, Events};
use crate::entry::mcp::KeptCall;
use crate::error::Failure;
use crate::login::Login;
use crate::metrics::Metrics;
use crate::pipeline::authn::token_review::Reviewer;
use crate::registration::Registrations;
use crate::session::Sessions;
use crate::session::parked::Parked;
use crate::snapshot::Snapshot;
use crate::spans::Spans;
use crate::writer::Writer;
use arc_swap::ArcSwap;
use axum::response::Response;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tokio::sync::{Mutex, oneshot};
use tokio_util::sync::CancellationToken;

/// Shared by all listeners.
#[derive(Debug)]
pub(crate) struct State {
    /// Who gets in.
    pub(crate) access: ArcSwap<Access>,
    /// What is served.
    pub(crate) snapshot: Arc<ArcSwap<Snapshot>>,
    /// Who is told of changes.
    pub(crate) changes: Arc<Hub>,
    /// Sessions of clients of the older era.
    pub(crate) sessions: Arc<Sessions>,
    /// Calls that wait for another round of their client.
    pub(crate) parked: Arc<Parked<KeptCall>>,
    /// What happened.
    pub(crate) metrics: Arc<Metrics>,
    /// The way to the Manager.
    pub(crate) events: Events,
    /// The servers that registered themselves with this replica.
    pub(crate) registrations: Arc<Registrations>,
    /// Where Connectors and Grants are changed.
    pub(crate) writer: Writer,
    /// Held from the check of a change until it is served: the next one is checked against what it has made.
    pub(crate) changing: Mutex<()>,
    /// Cancelled when the gateway stops: answers without an end end then.
    pub(crate) stopping: CancellationToken,
    /// Asks the API server about ServiceAccount tokens; none without a cluster.
    pub(crate) reviewer: Option<Reviewer>,
    /// Signs people in.
    pub(crate) login: Login,
    /// Makes leases, and gives credentials for them.
    pub(crate) broker: Arc<Broker>,
    /// The platform database; without one nothing is kept for tenants, and nobody can authorise the gateway.
    pub(crate) database: Option<Arc<Database>>,
    /// What stays on record; nothing without a database.
    pub(crate) audit: Audit,
    /// Takes the spans of finished requests; none unless a collector is configured.
    pub(crate) spans: Option<Spans>,
    /// Whether the Catalog has been read once: before that nobody can be served.
    pub(crate) loaded: AtomicBool,
}

impl State {
    /// Waits until the Snapshot shows all that the Manager was told before.
    pub(crate) async fn settled(&self) {
        let (told, heard) = oneshot::channel();
        // A Manager that has ended changes nothing any more.
        if self.events.send(Event::Settled(told)).await.is_ok() {
            let _ = heard.await;
        }
    }

    /// Answers a request that is refused before its message was looked at.
    pub(crate) fn refuse(&self, failure: &Failure) -> Response {
        self.refuse_as("none", failure)
    }

    /// The same, counted under a class of requests.
    pub(crate) fn refuse_as(&self, class: &'static str, failure: &Failure) -> Response {
        if let Some(cause) = failure.inside() {
            tracing::warn!(outcome = failure.outcome(), cause, "request refused");
        }
        self.metrics.request(class, failure.outcome());
        failure.respond(None, false)
    }
}
