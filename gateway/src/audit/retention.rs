//! What is older than the settings want it kept is removed, so that the log still verifies.

use crate::snapshot::Snapshot;
use aperium_store::audit::Retained;
use aperium_store::{Store, now_ms};
use arc_swap::ArcSwap;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Between two looks. Every replica looks; whoever comes first does it.
const LOOK_EVERY: Duration = Duration::from_secs(3600);
/// The first look comes that long after the start.
const FIRST: Duration = Duration::from_secs(60);
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Until the token is cancelled.
pub(crate) async fn run(store: Store, snapshot: Arc<ArcSwap<Snapshot>>, stop: CancellationToken) {
    let mut pause = FIRST;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        pause = LOOK_EVERY;
        let days = i64::from(snapshot.load().catalog.settings.audit.retention_days);
        if days == 0 {
            continue;
        }
        match store.audit_retain(now_ms() - days * DAY_MS).await {
            Ok(Retained { removed, altered }) => {
                if removed > 0 {
                    tracing::info!(records = removed, days, "old records of the audit log were removed");
                }
                for chain in altered {
                    tracing::error!(%chain, "the audit log was altered: nothing of this chain is removed; see aperium audit verify");
                }
            }
            Err(error) => {
                tracing::warn!(reason = error.reason(), %error, "old records of the audit log could not be removed");
            }
        }
    }
}
