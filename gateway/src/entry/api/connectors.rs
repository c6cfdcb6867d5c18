//! `GET /api/connectors`, `GET /api/connectors/<id>`, `POST /api/connectors/<id>/refresh`: what there is, how it is, and
//! what of it the caller may use.

use super::{Answer, ApiFailure, Asker, ok};
use crate::discovery::Event;
use crate::error::Failure;
use crate::snapshot::{Snapshot, View};
use crate::state::State;
use aperium_core::id::ConnectorId;
use axum::Router;
use axum::extract::{Path, State as Given};
use axum::routing::{get, post};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;

mod shown;

use shown::{Connector, Refused};

pub(super) fn routes() -> Router<Arc<State>> {
    Router::new()
        .route("/api/connectors", get(list))
        .route("/api/connectors/{id}", get(one))
        .route("/api/connectors/{id}/refresh", post(refresh))
}

/// All connectors.
#[derive(Debug, Serialize)]
struct Connectors {
    /// Those that are served, in the order of their ids.
    connectors: Vec<Connector>,
    /// For admins: those that are configured and not served, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<Vec<Refused>>,
}

async fn list(Asker { snapshot, view }: Asker) -> Answer {
    let connectors =
        (0..snapshot.connectors().len()).filter_map(|position| Connector::of(&snapshot, &view, position)).collect();
    let refused = view.is_admin().then(|| Refused::all(&snapshot));
    ok(&Connectors { connectors, refused })
}

async fn one(Path(id): Path<String>, Asker { snapshot, view }: Asker) -> Answer {
    let position = position(&snapshot, &id)?;
    show(&snapshot, &view, position)
}

/// What a poll may take beyond its own limit before the answer is given up.
const GRACE: Duration = Duration::from_secs(2);

/// Asks the upstream now, and answers with what it says. Whoever is granted nothing on the connector cannot make the
/// gateway ask.
async fn refresh(Given(gateway): Given<Arc<State>>, Path(id): Path<String>, Asker { snapshot, view }: Asker) -> Answer {
    let position = position(&snapshot, &id)?;
    let entry = snapshot.at(position).filter(|entry| view.is_admin() || view.concerns(position, entry));
    let entry = entry.ok_or(Failure::NotFound)?;
    if entry.polled() {
        let next = entry.pulse.next();
        let _ = gateway.events.send(Event::Wake(entry.config.key.clone())).await;
        // An upstream that does not answer in time is what the answer says.
        let _ = tokio::time::timeout(entry.config.poll_timeout + GRACE, entry.pulse.until(next)).await;
        gateway.settled().await;
    }
    let snapshot = gateway.snapshot.load_full();
    let view = snapshot.view(view.identity()).map_err(|_| Failure::NoRole)?;
    let position = self::position(&snapshot, &id)?;
    show(&snapshot, &view, position)
}

fn position(snapshot: &Snapshot, id: &str) -> Result<usize, Failure> {
    ConnectorId::any(id).ok().and_then(|id| snapshot.position(&id)).ok_or(Failure::NotFound)
}

fn show(snapshot: &Snapshot, view: &View, position: usize) -> Answer {
    ok(&Connector::of(snapshot, view, position).ok_or(ApiFailure(Failure::NotFound))?)
}
