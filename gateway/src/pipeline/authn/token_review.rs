//! ServiceAccount tokens: the API server says whose they are, the returned audiences must hold ours.

use crate::error::Failure;
use crate::snapshot::Identity;
use aperium_core::caller::{Caller, Principal};
use aperium_crds::settings::ServiceAccounts;
use base64::Engine as _;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::api::{Api, PostParams};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// Asks the API server, and remembers good answers for at most a minute.
pub(crate) struct Reviewer {
    client: kube::Client,
    known: Mutex<HashMap<[u8; 32], Known>>,
    running: Semaphore,
}

#[derive(Debug)]
struct Known {
    identity: Arc<Identity>,
    /// The settings that the answer was made under: other audiences or tenants need another answer.
    settings: ServiceAccounts,
    until: Instant,
}

/// The longest time an answer is used (blueprint §5).
const MAX_AGE: Duration = Duration::from_secs(60);
/// How long the API server may take.
const LIMIT: Duration = Duration::from_secs(5);
/// Reviews at the same time: a flood of made-up tokens must not become a flood at the API server.
const CONCURRENT: usize = 16;
/// Answers that are remembered.
const MAX_KNOWN: usize = 4096;

impl std::fmt::Debug for Reviewer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reviewer(..)")
    }
}

impl Reviewer {
    /// A reviewer that asks through this client.
    pub(crate) fn new(client: kube::Client) -> Self {
        Self { client, known: Mutex::default(), running: Semaphore::new(CONCURRENT) }
    }

    /// Whose token with this SHA-256 this is; `None`: nobody's that may come in here.
    ///
    /// # Errors
    /// [`Failure::AuthenticationDown`] when the API server cannot be asked.
    pub(crate) async fn identify(
        &self,
        token: &str,
        digest: [u8; 32],
        settings: &ServiceAccounts,
    ) -> Result<Option<Arc<Identity>>, Failure> {
        // What is no JWT for our audience, or has expired, needs no review to be refused.
        let Some(left) = remaining(token, &settings.audience) else { return Ok(None) };
        if let Some(identity) = self.remembered(&digest, settings) {
            return Ok(Some(identity));
        }
        let status = self.review(token, settings).await?;
        let identity = accept(&status, settings);
        if let Some(identity) = &identity {
            self.remember(digest, identity, settings, left);
        }
        Ok(identity)
    }

    fn remembered(&self, digest: &[u8; 32], settings: &ServiceAccounts) -> Option<Arc<Identity>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = known.get(digest).filter(|entry| entry.until > Instant::now() && entry.settings == *settings)?;
        Some(Arc::clone(&entry.identity))
    }

    fn remember(&self, digest: [u8; 32], identity: &Arc<Identity>, settings: &ServiceAccounts, left: Duration) {
        let until = Instant::now() + left.min(MAX_AGE);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_KNOWN {
            let now = Instant::now();
            known.retain(|_, entry| entry.until > now);
            if known.len() >= MAX_KNOWN {
                known.clear();
            }
        }
        known.insert(digest, Known { identity: Arc::clone(identity), settings: settings.clone(), until });
    }

    async fn review(&self, token: &str, settings: &ServiceAccounts) -> Result<TokenReviewStatus, Failure> {
        let down = |cause: &str| Failure::AuthenticationDown(format!("TokenReview: {cause}"));
        let review = TokenReview {
            spec: TokenReviewSpec { token: token.to_owned(), audiences: Some(vec![settings.audience.clone()]) },
            ..TokenReview::default()
        };
        let ask = async {
            let _running = self.running.acquire().await;
            Api::<TokenReview>::all(self.client.clone()).create(&PostParams::default(), &review).await
        };
        match tokio::time::timeout(LIMIT, ask).await {
            Ok(Ok(answer)) => answer.status.ok_or_else(|| down("the API server gave no status")),
            // The error quotes the API server, which does not quote the token.
            Ok(Err(error)) => Err(down(&error.to_string())),
            Err(_) => Err(down("no answer in time")),
        }
    }
}

/// The caller that an answer of the API server stands for.
fn accept(status: &TokenReviewStatus, settings: &ServiceAccounts) -> Option<Arc<Identity>> {
    let audiences = status.audiences.as_deref().unwrap_or_default();
    // A server that does not know audiences returns none: such a token was issued for anyone.
    if status.authenticated != Some(true) || !audiences.contains(&settings.audience) {
        return None;
    }
    let username = status.user.as_ref()?.username.as_deref()?;
    let (namespace, name) = username.strip_prefix("system:serviceaccount:")?.split_once(':')?;
    let mut caller = Caller::new(Principal::ServiceAccount { namespace: namespace.to_owned(), name: name.to_owned() });
    caller.tenant = settings.tenants.get(&format!("{namespace}:{name}")).cloned();
    Some(Identity::new(caller))
}

/// How long an (unverified) token for our audience is still good; `None` if it is none or has expired.
fn remaining(token: &str, audience: &str) -> Option<Duration> {
    let mut parts = token.split('.');
    let (_, payload, _, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next()) else { return None };
    let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).ok()?;
    let claims: serde_json::Value = serde_json::from_slice(&payload).ok()?;
    let ours = match claims.get("aud")? {
        serde_json::Value::String(one) => one == audience,
        serde_json::Value::Array(many) => many.iter().any(|one| one == audience),
        _ => false,
    };
    let expires = UNIX_EPOCH.checked_add(Duration::from_secs(claims.get("exp")?.as_u64()?))?;
    expires.duration_since(SystemTime::now()).ok().filter(|_| ours)
}
