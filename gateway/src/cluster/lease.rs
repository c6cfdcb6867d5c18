//! Which replica writes status: the one that holds the Lease.

use aperium_platform::leader::Elector;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The name of the Lease.
pub(super) const NAME: &str = "aperium-gateway-status";

/// Why one of the cluster's tasks has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// The Lease was given back.
    Released,
    /// Nobody listens any more.
    Stopped,
}

/// Claims and renews until the token is cancelled, then gives the Lease back.
pub(super) async fn lead(mut elector: Elector, leading: watch::Sender<bool>, shutdown: CancellationToken) -> Ended {
    while elector.acquire(&shutdown).await {
        tracing::info!("this replica writes the status of remote connectors");
        leading.send_replace(true);
        tokio::select! {
            lost = elector.hold() => tracing::warn!(%lost, "another replica may write the status of remote connectors"),
            () = shutdown.cancelled() => break,
        }
        leading.send_replace(false);
    }
    leading.send_replace(false);
    elector.release().await;
    Ended::Released
}
