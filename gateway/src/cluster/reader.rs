//! One Secret by GET, again and again: Secrets are never watched, because the right to watch is the right to list.

use crate::catalog::ResourceKey;
use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use std::time::Duration;

/// How often a Secret that was good is read again.
const READ_EVERY: Duration = Duration::from_secs(30);
/// The least time between a refusal and the next read.
const READ_AFTER_REFUSAL: Duration = Duration::from_secs(1);
const LIMIT: Duration = Duration::from_secs(5);

/// Whoever wants to know what a Secret says.
pub(super) trait Wants: Send {
    /// How soon a Secret that cannot be used is read again.
    const WHILE_MISSING: Duration;

    /// Takes the Secret as it is (`None`: it is not there). `None` when nobody listens any more, else whether it can
    /// be used.
    fn take(&mut self, secret: Option<Secret>) -> impl Future<Output = Option<bool>> + Send;

    /// Waits until what the Secret says was refused.
    fn refused(&self) -> impl Future<Output = ()> + Send;
}

/// Reads until nobody listens. What was read before stays while the API server is away: that is no revocation.
pub(super) async fn read<W: Wants>(api: Api<Secret>, connector: ResourceKey, secret: String, mut wants: W) {
    let mut usable = false;
    loop {
        match tokio::time::timeout(LIMIT, api.get_opt(&secret)).await {
            Ok(Ok(found)) => match wants.take(found).await {
                Some(now) => usable = now,
                None => return,
            },
            Ok(Err(error)) => tracing::warn!(%connector, secret, %error, "Secret cannot be read"),
            Err(_) => tracing::warn!(%connector, secret, "Secret cannot be read in time"),
        }
        let pause = if usable { READ_EVERY } else { W::WHILE_MISSING };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = wants.refused() => tokio::time::sleep(READ_AFTER_REFUSAL).await,
        }
    }
}
