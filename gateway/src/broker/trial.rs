//! Values that an admin has not saved yet are tried by a pod of the service, step by step.
//!
//! ```text
//! fields ──sealed for one lease──► pod ──the lease, the sealed fields, its own token──► broker ──► the fields, once
//! ```
//! So nothing is stored, any replica can open them, and they are in clear nowhere but at the gateway and in that pod.

use super::Broker;
use super::credentials::Fields;
use super::mint::Who;
use super::probe::pods_of;
use crate::pipeline::credential::CredentialError;
use crate::snapshot::Entry;
use aperium_platform::body;
use aperium_platform::egress::{ClusterClient, ClusterEndpoint};
use aperium_platform::lease::{Claims, Now, TRIAL};
use aperium_platform::seal::{Purpose, SealError, Sealer};
use aperium_platform::trial::Trial;
use axum::body::Body;
use http::{Method, Request, StatusCode, Uri};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

const PURPOSE: Purpose = Purpose::new("trial");
/// Trials at the same time.
const CONCURRENT: usize = 8;
/// Pods that are asked, one after the other, until one answers.
const MAX_PODS: usize = 3;
/// How long a pod may take: it asks its upstream.
const LIMIT: Duration = Duration::from_secs(20);
/// The largest answer of a pod.
const MAX_ANSWER: usize = 16 * 1024;

/// Why nothing was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TrialError {
    /// As many run as may.
    #[error("too many credentials are being tried: try again later")]
    Busy,
    /// Nobody knows where the pods are, or none of them answers.
    #[error("no pod of the service answers: look at the connector's status")]
    NoPod,
    /// No lease, or nothing to seal with.
    #[error("the values could not be sealed")]
    Seal(&'static str),
}

/// Seals the values of trials. The keys are those that every replica has.
pub(super) struct Trials {
    sealer: Sealer,
    client: ClusterClient,
    running: Semaphore,
}

impl Trials {
    pub(super) fn new(sealer: Sealer) -> Self {
        Self { sealer, client: ClusterClient::new(), running: Semaphore::new(CONCURRENT) }
    }

    fn seal(&self, claims: &Claims, fields: &Fields) -> Result<String, SealError> {
        let values: BTreeMap<&str, &str> =
            fields.iter().map(|(field, value)| (field.as_str(), value.expose_secret())).collect();
        let text = serde_json::to_vec(&values).map(Zeroizing::new).map_err(|_| SealError::Invalid)?;
        self.sealer.seal_text(PURPOSE, bound_to(claims).as_bytes(), &text)
    }

    /// The values that were sealed for this lease.
    pub(super) fn open(&self, claims: &Claims, sealed: &str) -> Result<Fields, SealError> {
        let text = self.sealer.open_text(PURPOSE, bound_to(claims).as_bytes(), sealed)?;
        serde_json::from_slice::<BTreeMap<String, SecretString>>(&text).map_err(|_| SealError::Invalid)
    }
}

/// One lease, which is of one tenant, connector and service.
fn bound_to(claims: &Claims) -> String {
    format!("{}|{}|{}|{}", claims.id.as_str(), claims.tenant, claims.connector.key(), claims.audience)
}

impl Broker {
    /// Has these values tried by a pod of the service. `who` asks for it.
    ///
    /// # Errors
    /// [`TrialError`].
    pub(crate) async fn try_out(&self, entry: &Arc<Entry>, who: Who, fields: &Fields) -> Result<Trial, TrialError> {
        let _running = self.trials.running.try_acquire().map_err(|_| TrialError::Busy)?;
        let client = self.pods.as_ref().map(super::Pods::client);
        let pods = pods_of(client, entry).await.map_err(|error| {
            tracing::warn!(connector = %entry.config.id, %error, "the pods of a service are not known");
            TrialError::NoPod
        })?;
        for pod in pods.iter().take(MAX_PODS) {
            // A pod that does not answer may have used its lease: the next one gets another.
            let sent = self.sealed_for(entry, who.clone(), fields).await?;
            if let Ok(Some(trial)) = tokio::time::timeout(LIMIT, self.ask(pod, sent)).await {
                return Ok(trial);
            }
        }
        Err(TrialError::NoPod)
    }

    /// The request for one pod: the service token, a lease, and the values sealed for it.
    async fn sealed_for(&self, entry: &Entry, who: Who, fields: &Fields) -> Result<Request<Body>, TrialError> {
        let (name, lease) = self.lease(&entry.config, TRIAL, who).await.map_err(|error| unsealed(&error))?;
        let claims = lease.to_str().ok().and_then(|lease| self.signer.open(lease, Now::clock()).ok());
        let claims = claims.ok_or(TrialError::Seal("LeaseMalformed"))?;
        let sealed = self.trials.seal(&claims, fields).map_err(|error| TrialError::Seal(error.reason()))?;
        let mut request = Request::new(Body::from(sealed));
        *request.method_mut() = Method::POST;
        let mut uri = Uri::from_static("/trial");
        entry.credential.insert(request.headers_mut(), &mut uri).await.map_err(|error| unsealed(&error))?;
        request.headers_mut().insert(name, lease);
        *request.uri_mut() = uri;
        Ok(request)
    }

    async fn ask(&self, pod: &ClusterEndpoint, request: Request<Body>) -> Option<Trial> {
        let response = match self.trials.client.send(pod, request).await {
            Ok(response) => response,
            Err(error) => {
                tracing::debug!(%pod, %error, "a pod could not be asked to try credentials");
                return None;
            }
        };
        if response.status() != StatusCode::OK {
            tracing::warn!(%pod, status = response.status().as_u16(), "a pod refused to try credentials");
            return None;
        }
        let body = body::read(Body::new(response.into_body()), MAX_ANSWER, LIMIT).await.ok()?;
        serde_json::from_slice(&body).ok()
    }
}

fn unsealed(error: &CredentialError) -> TrialError {
    TrialError::Seal(error.reason())
}

#[cfg(test)]
mod tests {
    use super::*;
    use aperium_core::id::{ConnectorId, ConnectorName, RequestId, TenantId};
    use aperium_platform::lease::{Audience, LeaseSigner, Scope};
    use aperium_platform::seal::KeyRing;

    #[test]
    fn sealed_values_open_for_their_lease_alone() {
        let signer = LeaseSigner::fixed(KeyRing::generate().unwrap());
        let claims = |tenant: &str| {
            let scope = Scope {
                audience: Audience::of("erp", &ConnectorName::parse("odoo").unwrap()),
                connector: ConnectorId::parse("odoo").unwrap(),
                tool: TRIAL.to_owned(),
                tenant: TenantId::parse(tenant).unwrap(),
                user: "client:admin".to_owned(),
                delegate: None,
                request: RequestId::accept(None),
                version: 0,
            };
            signer.open(&signer.sign(&scope).unwrap(), Now::clock()).unwrap()
        };
        let trials = Trials::new(Sealer::ephemeral().unwrap());
        let (own, again, other) = (claims("acme"), claims("acme"), claims("globex"));
        let fields: Fields = [("password".to_owned(), SecretString::from("s3cret-canary"))].into();
        let sealed = trials.seal(&own, &fields).unwrap();
        assert!(!sealed.contains("s3cret"));
        assert_eq!(trials.open(&own, &sealed).unwrap()["password"].expose_secret(), "s3cret-canary");
        for claims in [&again, &other] {
            assert_eq!(trials.open(claims, &sealed).unwrap_err(), SealError::Invalid);
        }
        assert!(Trials::new(Sealer::ephemeral().unwrap()).open(&own, &sealed).is_err(), "another ring");
    }
}
