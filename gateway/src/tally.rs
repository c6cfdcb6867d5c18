//! Counts the stored credentials of tenants for the metrics, every replica for itself: they are in the database, where the
//! replica that probes has written what came of it.

use crate::catalog::Place;
use crate::database;
use crate::state::State;
use aperium_store::StoreError;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Time between two counts.
const EVERY: Duration = Duration::from_secs(15);

/// Until the token is cancelled.
pub(crate) async fn run(state: Arc<State>, stop: CancellationToken) {
    loop {
        if let Err(error) = count(&state).await {
            tracing::debug!(reason = database::failure(&error).inside(), "credentials could not be counted");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// Counts once.
///
/// # Errors
/// [`StoreError`]; then the metrics stay what they were.
pub(crate) async fn count(state: &State) -> Result<(), StoreError> {
    let Some(database) = &state.database else { return Ok(()) };
    let counts = database.store().every_tenant().credential_counts().await?;
    for entry in state.snapshot.load().connectors() {
        if matches!(&entry.config.place, Place::Service { whose, .. } if whose.platform) {
            let of_it = counts.get(&entry.config.id.key()).copied().unwrap_or_default();
            state.metrics.credentials.set(entry.config.id.as_str(), of_it);
        }
    }
    Ok(())
}
