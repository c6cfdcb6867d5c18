//! A pod's projected ServiceAccount token → the service that it is, as the API server says.

use super::BrokerError;
use aperium_platform::digest::sha256;
use aperium_platform::lease::{Audience, BROKER_AUDIENCE};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::api::{Api, PostParams};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// How long an answer is believed. A pod that is deleted may redeem that long, and only leases that were sent to it.
const BELIEVED: Duration = Duration::from_secs(30);
/// How long the API server may take.
const LIMIT: Duration = Duration::from_secs(5);
/// Reviews at the same time.
const CONCURRENT: usize = 16;
/// Answers that are remembered.
const MAX_KNOWN: usize = 4096;
/// The longest token that is looked at.
const MAX_TOKEN: usize = 16 * 1024;
/// A token that is bound to a pod says so (Kubernetes: "additional token data").
const POD_NAME: &str = "authentication.kubernetes.io/pod-name";

/// Asks the API server who a pod is.
pub(crate) struct Pods {
    client: kube::Client,
    known: Mutex<HashMap<[u8; 32], (Instant, Audience)>>,
    running: Semaphore,
}

impl Pods {
    /// Asks through this client.
    pub(crate) fn new(client: kube::Client) -> Self {
        Self { client, known: Mutex::default(), running: Semaphore::new(CONCURRENT) }
    }

    /// The API server.
    pub(super) fn client(&self) -> &kube::Client {
        &self.client
    }

    /// The service whose pod has this token.
    pub(super) async fn identify(&self, token: &str) -> Result<Audience, BrokerError> {
        if token.len() > MAX_TOKEN {
            return Err(BrokerError::NotAPod);
        }
        let digest = sha256(token.as_bytes());
        if let Some(known) = self.remembered(&digest) {
            return Ok(known);
        }
        let audience = accept(&self.review(token).await?).ok_or(BrokerError::NotAPod)?;
        self.remember(digest, audience.clone());
        Ok(audience)
    }

    fn remembered(&self, digest: &[u8; 32]) -> Option<Audience> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(digest).filter(|(at, _)| at.elapsed() < BELIEVED).map(|(_, audience)| audience.clone())
    }

    fn remember(&self, digest: [u8; 32], audience: Audience) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_KNOWN {
            known.retain(|_, (at, _)| at.elapsed() < BELIEVED);
        }
        if known.len() < MAX_KNOWN {
            known.insert(digest, (Instant::now(), audience));
        }
    }

    async fn review(&self, token: &str) -> Result<TokenReviewStatus, BrokerError> {
        let down = |cause: String| {
            tracing::error!(cause, "broker: TokenReview failed");
            BrokerError::ReviewDown
        };
        let spec = TokenReviewSpec { token: token.to_owned(), audiences: Some(vec![BROKER_AUDIENCE.to_owned()]) };
        let review = TokenReview { spec, ..TokenReview::default() };
        let ask = async {
            let _running = self.running.acquire().await;
            Api::<TokenReview>::all(self.client.clone()).create(&PostParams::default(), &review).await
        };
        match tokio::time::timeout(LIMIT, ask).await {
            Ok(Ok(answer)) => answer.status.ok_or_else(|| down("no status".to_owned())),
            // The error quotes the API server, which does not quote the token.
            Ok(Err(error)) => Err(down(error.to_string())),
            Err(_) => Err(down("no answer in time".to_owned())),
        }
    }
}

/// The service that an answer stands for: authenticated, for the broker, and bound to a pod.
fn accept(status: &TokenReviewStatus) -> Option<Audience> {
    let audiences = status.audiences.as_deref().unwrap_or_default();
    // A server that does not know audiences returns none: such a token was issued for anyone.
    if status.authenticated != Some(true) || !audiences.iter().any(|audience| audience == BROKER_AUDIENCE) {
        return None;
    }
    let user = status.user.as_ref()?;
    let bound = user.extra.as_ref()?.get(POD_NAME)?;
    bound.first().filter(|pod| !pod.is_empty())?;
    let (namespace, name) = user.username.as_deref()?.strip_prefix("system:serviceaccount:")?.split_once(':')?;
    Some(Audience::service_account(namespace, name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn status(change: impl FnOnce(&mut Value)) -> TokenReviewStatus {
        let mut status = json!({
            "authenticated": true, "audiences": ["aperium-broker"],
            "user": { "username": "system:serviceaccount:erp:aperium-mcp-odoo", "extra": { POD_NAME: ["odoo-1"] } },
        });
        change(&mut status);
        serde_json::from_value(status).unwrap()
    }

    #[test]
    fn only_a_token_of_a_pod_for_the_broker_is_a_service() {
        assert_eq!(accept(&status(|_| {})).unwrap().as_str(), "erp/aperium-mcp-odoo");
        let refused: [fn(&mut Value); 6] = [
            |status| status["authenticated"] = json!(false),
            |status| status["audiences"] = json!(["aperium"]),
            |status| status["audiences"] = json!([]),
            |status| status["user"]["extra"] = json!({}),
            |status| status["user"]["extra"][POD_NAME] = json!([]),
            |status| status["user"]["username"] = json!("alice"),
        ];
        for change in refused {
            assert!(accept(&status(change)).is_none(), "{:?}", status(change));
        }
    }
}
