//! Secret `aperium-encryption`: the key ring that the gateway's replicas seal sessions with.
//!
//! Made once, by POST; what is there is kept, and its content never read. Whoever rotates keys edits it; it is made
//! again only when it is gone.

use crate::context::Context;
use crate::names::MANAGER;
use aperium_platform::seal::{KeyRing, SealError};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::api::PostParams;
use secrecy::ExposeSecret as _;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The name of the Secret.
pub const SECRET: &str = "aperium-encryption";
/// Its key: the ring, in the form of [`KeyRing::parse`].
pub const KEY: &str = "keys.json";

/// When a Secret that is there is looked for again.
const PERIOD: Duration = Duration::from_secs(600);
/// When one that could not be made is tried again.
const RETRY: Duration = Duration::from_secs(30);
/// How long the API server may take.
const LIMIT: Duration = Duration::from_secs(10);

/// Why there is no key ring.
#[derive(Debug, thiserror::Error)]
pub enum EncryptionError {
    /// The system gave no random numbers.
    #[error(transparent)]
    Random(#[from] SealError),
    /// The API server did not take or show the Secret.
    #[error("failed to make Secret aperium-encryption")]
    Make(#[source] kube::Error),
    /// The API server did not answer in time.
    #[error("the API server did not answer in time")]
    Timeout,
}

/// Looks after the Secret until the token is cancelled.
pub async fn run(context: Arc<Context>, namespace: String, stop: CancellationToken) {
    let api: Api<Secret> = Api::namespaced(context.client.clone(), &namespace);
    loop {
        let made = tokio::time::timeout(LIMIT, ensure(&context, &api)).await;
        let next = match made.unwrap_or(Err(EncryptionError::Timeout)) {
            Ok(()) => PERIOD,
            Err(error) => {
                tracing::warn!(error = %anyhow::Error::new(error), "sessions of clients cannot be sealed yet");
                RETRY
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(next) => {}
        }
    }
}

async fn ensure(context: &Context, api: &Api<Secret>) -> Result<(), EncryptionError> {
    if api.get_metadata_opt(SECRET).await.map_err(EncryptionError::Make)?.is_some() {
        return Ok(());
    }
    context.metrics.write("Secret", "create");
    let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
    match api.create(&params, &secret(&KeyRing::generate()?)).await {
        Ok(_) => {
            tracing::info!("Secret aperium-encryption made");
            Ok(())
        }
        // It was there before us.
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        Err(error) => Err(EncryptionError::Make(error)),
    }
}

fn secret(ring: &KeyRing) -> Secret {
    let labels = [("app.kubernetes.io/part-of", "aperium"), ("app.kubernetes.io/managed-by", MANAGER)];
    Secret {
        metadata: ObjectMeta {
            name: Some(SECRET.to_owned()),
            labels: Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
            ..ObjectMeta::default()
        },
        type_: Some("Opaque".to_owned()),
        string_data: Some([(KEY.to_owned(), ring.to_text().expose_secret().to_owned())].into()),
        ..Secret::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_holds_a_ring_that_the_gateway_can_read() {
        let made = secret(&KeyRing::generate().unwrap());
        let text = &made.string_data.unwrap()[KEY];
        assert!(KeyRing::parse(text.as_bytes()).is_ok());
        assert_eq!(made.metadata.name.as_deref(), Some("aperium-encryption"));
    }
}
