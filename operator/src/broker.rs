//! What leases and the broker need: Secrets `aperium-lease-signing` and `aperium-broker-tls` in the system namespace, and
//! their public half, ConfigMap `aperium-lease-keys`, in every watched namespace.
//!
//! ```text
//! none there ──make (POST; 409: somebody else did)──► Secrets ──read──► public keys, CA ──apply──► ConfigMaps
//! certificate two thirds through its life ──sign anew, same CA──► aperium-broker-tls
//! ```
//! Whoever rotates the signing keys edits the Secret; the public half of every key in it follows within a minute, and
//! reaches the pods with the kubelet's next look.

mod certificate;

use crate::context::Context;
use crate::names::{LEASE_KEYS, MANAGER, Names};
use aperium_platform::lease::{BROKER_CA, LeaseError, LeaseSigner, PublicKeys};
use aperium_platform::seal::{KeyRing, RingError, SealError};
use certificate::{Certificate, CertificateError};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use secrecy::ExposeSecret as _;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio_util::sync::CancellationToken;

/// The Secret with the keys that sign leases.
pub const SIGNING: &str = "aperium-lease-signing";
/// Its key: the ring, in the form of [`KeyRing::parse`].
pub const SIGNING_KEY: &str = "keys.json";
/// The Secret with the broker's certificate.
pub const TLS: &str = "aperium-broker-tls";
/// Annotation on it: seconds since 1970 from when on the certificate is made anew.
const RENEW_AFTER: &str = "aperium.dev/renew-after";
const CA_CERT: &str = "ca.crt";
const CA_KEY: &str = "ca.key";
const TLS_CERT: &str = "tls.crt";
const TLS_KEY: &str = "tls.key";

/// How often is looked whether a key was added.
const PERIOD: Duration = Duration::from_secs(60);
/// When what could not be made is tried again.
const RETRY: Duration = Duration::from_secs(15);
/// How long the API server may take for all of it.
const LIMIT: Duration = Duration::from_secs(20);

/// Why something is not there.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The system gave no random numbers.
    #[error(transparent)]
    Random(#[from] SealError),
    /// The signing keys cannot be read.
    #[error("Secret {SIGNING}: {0}")]
    Ring(#[from] RingError),
    /// They are no keys that can sign.
    #[error("Secret {SIGNING}: {0}")]
    Keys(#[from] LeaseError),
    /// A certificate cannot be made.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// A Secret lacks a key.
    #[error("Secret {0} lacks {1}")]
    Lacks(&'static str, &'static str),
    /// The API server did not take or show an object.
    #[error("failed to make or read {0}")]
    Api(&'static str, #[source] kube::Error),
    /// The API server did not answer in time.
    #[error("the API server did not answer in time")]
    Timeout,
}

/// Looks after all of it until the token is cancelled.
pub async fn run(context: Arc<Context>, stop: CancellationToken) {
    loop {
        let done = tokio::time::timeout(LIMIT, ensure(&context)).await;
        let next = match done.unwrap_or(Err(BrokerError::Timeout)) {
            Ok(()) => PERIOD,
            Err(error) => {
                tracing::warn!(error = %anyhow::Error::new(error), "the broker lacks keys");
                RETRY
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(next) => {}
        }
    }
}

async fn ensure(context: &Context) -> Result<(), BrokerError> {
    let names = context.names.load_full();
    let secrets: Api<Secret> = Api::namespaced(context.client.clone(), &names.system_namespace);
    let signing = match get(&secrets, SIGNING).await? {
        Some(secret) => secret,
        None => create(context, &secrets, SIGNING, signing_secret(&KeyRing::generate()?)).await?,
    };
    let tls = match get(&secrets, TLS).await? {
        None => create(context, &secrets, TLS, tls_secret(&Certificate::new(&hosts(&names), now())?)).await?,
        Some(secret) if is_due(&secret, now()) => renew(context, &secrets, &names, secret).await?,
        Some(secret) => secret,
    };
    let data = public(&signing, &tls)?;
    for namespace in &context.namespaces {
        publish(context, namespace, &data).await?;
    }
    Ok(())
}

async fn get(api: &Api<Secret>, name: &'static str) -> Result<Option<Secret>, BrokerError> {
    api.get_opt(name).await.map_err(|error| BrokerError::Api(name, error))
}

/// Makes it, and reads what is there then: another replica may have been first.
async fn create(
    context: &Context,
    api: &Api<Secret>,
    name: &'static str,
    secret: Secret,
) -> Result<Secret, BrokerError> {
    context.metrics.write("Secret", "create");
    let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
    match api.create(&params, &secret).await {
        Ok(made) => {
            tracing::info!(secret = name, "Secret made");
            Ok(made)
        }
        Err(kube::Error::Api(status)) if status.code == 409 => {
            api.get(name).await.map_err(|error| BrokerError::Api(name, error))
        }
        Err(error) => Err(BrokerError::Api(name, error)),
    }
}

/// The same CA signs another certificate: pods notice nothing.
async fn renew(context: &Context, api: &Api<Secret>, names: &Names, secret: Secret) -> Result<Secret, BrokerError> {
    let (ca, key) = (text(&secret, TLS, CA_CERT)?, text(&secret, TLS, CA_KEY)?);
    let mut renewed = tls_secret(&Certificate::renewed(&ca, &key, &hosts(names), now())?);
    // Whoever has changed it meanwhile is not overwritten.
    renewed.metadata.resource_version = secret.metadata.resource_version;
    context.metrics.write("Secret", "update");
    let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
    let renewed = api.replace(TLS, &params, &renewed).await.map_err(|error| BrokerError::Api(TLS, error))?;
    tracing::info!(secret = TLS, "certificate renewed");
    Ok(renewed)
}

/// Whether the operator's own certificate has to be made anew. One that an admin brought carries no such annotation.
fn is_due(secret: &Secret, now: u64) -> bool {
    let after = secret.metadata.annotations.as_ref().and_then(|annotations| annotations.get(RENEW_AFTER));
    after.and_then(|after| after.parse::<u64>().ok()).is_some_and(|after| after <= now)
}

/// What everybody may know.
fn public(signing: &Secret, tls: &Secret) -> Result<BTreeMap<String, String>, BrokerError> {
    let ring = KeyRing::parse(text(signing, SIGNING, SIGNING_KEY)?.as_bytes())?;
    let keys = LeaseSigner::fixed(ring).public()?;
    let ca = text(tls, TLS, CA_CERT)?;
    Ok([(PublicKeys::KEY.to_owned(), keys.to_text()), (BROKER_CA.to_owned(), ca)].into())
}

/// Writes the ConfigMap where it says something else.
async fn publish(context: &Context, namespace: &str, data: &BTreeMap<String, String>) -> Result<(), BrokerError> {
    let api = Api::<ConfigMap>::namespaced(context.client.clone(), namespace);
    let failed = |error| BrokerError::Api(LEASE_KEYS, error);
    if api.get_opt(LEASE_KEYS).await.map_err(failed)?.is_some_and(|map| map.data.as_ref() == Some(data)) {
        return Ok(());
    }
    context.metrics.write("ConfigMap", "apply");
    let map = ConfigMap { metadata: metadata(LEASE_KEYS), data: Some(data.clone()), ..ConfigMap::default() };
    let params = PatchParams::apply(MANAGER).force();
    api.patch(LEASE_KEYS, &params, &Patch::Apply(&map)).await.map(drop).map_err(failed)
}

/// The names that the gateway's Service has for pods.
fn hosts(names: &Names) -> Vec<String> {
    let namespace = &names.system_namespace;
    vec![
        "aperium-gateway".to_owned(),
        format!("aperium-gateway.{namespace}"),
        format!("aperium-gateway.{namespace}.svc"),
        names.gateway_host(),
    ]
}

fn signing_secret(ring: &KeyRing) -> Secret {
    let data = [(SIGNING_KEY.to_owned(), ring.to_text().expose_secret().to_owned())];
    Secret {
        metadata: metadata(SIGNING),
        type_: Some("Opaque".to_owned()),
        string_data: Some(data.into()),
        ..Secret::default()
    }
}

fn tls_secret(certificate: &Certificate) -> Secret {
    let mut metadata = metadata(TLS);
    metadata.annotations = Some([(RENEW_AFTER.to_owned(), certificate.renew_after.to_string())].into());
    let data = [
        (CA_CERT, certificate.ca.clone()),
        (CA_KEY, certificate.ca_key.expose_secret().to_owned()),
        (TLS_CERT, certificate.certificate.clone()),
        (TLS_KEY, certificate.key.expose_secret().to_owned()),
    ];
    let data = data.map(|(key, text)| (key.to_owned(), text));
    Secret {
        metadata,
        type_: Some("kubernetes.io/tls".to_owned()),
        string_data: Some(data.into()),
        ..Secret::default()
    }
}

fn metadata(name: &str) -> ObjectMeta {
    let labels = [("app.kubernetes.io/part-of", "aperium"), ("app.kubernetes.io/managed-by", MANAGER)];
    ObjectMeta {
        name: Some(name.to_owned()),
        labels: Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
        ..ObjectMeta::default()
    }
}

/// A value of a Secret. Those that were just made may still be written as text.
fn text(secret: &Secret, name: &'static str, key: &'static str) -> Result<String, BrokerError> {
    let written = secret.string_data.as_ref().and_then(|data| data.get(key)).cloned();
    let stored = || secret.data.as_ref()?.get(key).and_then(|bytes| String::from_utf8(bytes.0.clone()).ok());
    written.or_else(stored).ok_or(BrokerError::Lacks(name, key))
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::names;

    #[test]
    fn what_is_made_can_be_read_and_only_its_public_half_is_published() {
        let ring = KeyRing::generate().unwrap();
        let signing = signing_secret(&ring);
        let tls = tls_secret(&Certificate::new(&hosts(&names()), now()).unwrap());
        let data = public(&signing, &tls).unwrap();
        assert!(PublicKeys::parse(data["lease-keys.json"].as_bytes()).is_ok());
        let all = serde_json::to_string(&data).unwrap();
        assert!(all.contains("BEGIN CERTIFICATE") && !all.contains("PRIVATE KEY"));
        let seed = serde_json::from_str::<serde_json::Value>(ring.to_text().expose_secret()).unwrap();
        assert!(!all.contains(seed["keys"]["k1"].as_str().unwrap()));
        assert_eq!(data.len(), 2);
    }

    #[test]
    fn a_certificate_is_renewed_when_it_is_time_and_a_foreign_one_never() {
        let made = tls_secret(&Certificate::new(&hosts(&names()), now()).unwrap());
        assert!(!is_due(&made, now()));
        assert!(is_due(&made, now() + 364 * 86_400));
        assert!(!is_due(&Secret::default(), u64::MAX));
    }

    #[test]
    fn a_secret_without_its_key_is_named() {
        let error = public(&Secret::default(), &Secret::default()).unwrap_err();
        assert_eq!(error.to_string(), "Secret aperium-lease-signing lacks keys.json");
    }
}
