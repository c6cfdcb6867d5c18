//! Tokens of OIDC issuers (JWT, RFC 7519 and RFC 8725): whose they are, by keys that the issuer publishes.
//!
//! A token that was verified is remembered by its hash for at most a minute: calls with it cost a look into a table.

use crate::error::Failure;
use crate::snapshot::Identity;
use aperium_core::egress::{EgressRules, Reach};
use aperium_crds::Settings;
use aperium_crds::settings::OidcIssuer;
use aperium_platform::egress::{EgressError, EgressPolicy, ExternalClient};
use jsonwebtoken::{Algorithm, Validation};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::time::Instant;

mod claims;
mod jwks;
mod keys;
mod sign_in;
mod token;

use keys::Keys;
#[cfg(test)]
pub(crate) use keys::Timing;
pub(crate) use sign_in::{As, NoSignIn};

/// The longest time that a verified token is believed without another look (blueprint §5).
const MAX_AGE: Duration = Duration::from_secs(60);
/// Tokens that are remembered.
const MAX_KNOWN: usize = 16_384;

/// All issuers of the settings.
#[derive(Debug, Default)]
pub(crate) struct Oidc {
    issuers: Vec<Issuer>,
    egress: EgressRules,
    known: RwLock<HashMap<[u8; 32], Known>>,
}

#[derive(Debug)]
struct Issuer {
    settings: OidcIssuer,
    algorithms: Vec<Algorithm>,
    keys: Arc<Keys>,
}

#[derive(Debug)]
struct Known {
    identity: Arc<Identity>,
    until: Instant,
}

impl Oidc {
    /// The issuers of the settings; those before are kept, with their keys, where nothing about them has changed.
    pub(crate) fn new(settings: &Settings, before: Option<&Arc<Self>>) -> Arc<Self> {
        let wanted = &settings.authentication.oidc;
        if let Some(before) = before {
            let same = before.issuers.iter().map(|issuer| &issuer.settings).eq(wanted.iter());
            if same && before.egress == settings.egress {
                return Arc::clone(before);
            }
        }
        let client = if wanted.is_empty() { None } else { Some(client(&settings.egress)) };
        let issuer = |of: &OidcIssuer| Issuer {
            settings: of.clone(),
            // The settings were checked when they were read.
            algorithms: of.algorithms.iter().filter_map(|algorithm| algorithm.parse().ok()).collect(),
            keys: Keys::new(&of.issuer, client.clone(), &settings.egress),
        };
        Arc::new(Self {
            issuers: wanted.iter().map(issuer).collect(),
            egress: settings.egress.clone(),
            known: RwLock::default(),
        })
    }

    /// The issuers, as their tokens spell them.
    pub(crate) fn issuers(&self) -> impl Iterator<Item = &OidcIssuer> {
        self.issuers.iter().map(|issuer| &issuer.settings)
    }

    /// Whose token this is, where it was verified a moment ago.
    pub(crate) fn remembered(&self, digest: &[u8; 32]) -> Option<Arc<Identity>> {
        if self.issuers.is_empty() {
            return None;
        }
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(digest).filter(|entry| entry.until > Instant::now()).map(|entry| Arc::clone(&entry.identity))
    }

    /// Whose token this is; `None`: it is no token of one of these issuers, so somebody else may know it.
    ///
    /// # Errors
    /// [`Failure::Unauthenticated`] for a token that says it is an issuer's and is not good,
    /// [`Failure::InsufficientScope`], [`Failure::AuthenticationDown`] while the issuer's keys cannot be had.
    pub(crate) async fn identify(&self, token: &str, digest: [u8; 32]) -> Result<Option<Arc<Identity>>, Failure> {
        if self.issuers.is_empty() {
            return Ok(None);
        }
        let Some(presented) = token::Presented::read(token) else { return Ok(None) };
        let Some(issuer) = self.issuers.iter().find(|issuer| issuer.settings.issuer == presented.issuer) else {
            return Ok(None);
        };
        let refused = Failure::Unauthenticated { presented: true };
        // The algorithm must be allowed before any key is looked for; the key must be made for it.
        let algorithm = presented.algorithm().filter(|algorithm| issuer.algorithms.contains(algorithm));
        let algorithm = algorithm.ok_or(refused.clone())?;
        let found = issuer.keys.find(presented.kid.as_deref(), algorithm).await;
        let key = found.map_err(|problem| Failure::AuthenticationDown(problem.to_string()))?.ok_or(refused.clone())?;
        let validation = validation(&issuer.settings, &issuer.settings.audiences, algorithm);
        let verified =
            jsonwebtoken::decode::<claims::Verified>(token, &key, &validation).map_err(|_| refused.clone())?;
        let claims = verified.claims;
        let caller = claims.caller(&issuer.settings).ok_or(refused)?;
        if !claims.holds(&issuer.settings.scopes) {
            return Err(Failure::InsufficientScope(issuer.settings.scopes.join(" ")));
        }
        let identity = Identity::new(caller);
        self.remember(digest, &identity, claims.left());
        Ok(Some(identity))
    }

    #[cfg(test)]
    pub(crate) fn set_timing(&self, timing: Timing) {
        self.issuers.iter().for_each(|issuer| issuer.keys.set_timing(timing));
    }

    fn remember(&self, digest: [u8; 32], identity: &Arc<Identity>, left: Duration) {
        let now = Instant::now();
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_KNOWN {
            known.retain(|_, entry| entry.until > now);
            if known.len() >= MAX_KNOWN {
                known.clear();
            }
        }
        known.insert(digest, Known { identity: Arc::clone(identity), until: now + left.min(MAX_AGE) });
    }
}

/// What is known of an issuer comes from outside: public addresses only, and what `egress.allowHosts` names.
fn client(egress: &EgressRules) -> Result<ExternalClient, EgressError> {
    let policy = EgressPolicy::new(egress.clone()).map_err(|_| EgressError::Url("the egress rules cannot be used"))?;
    ExternalClient::new(policy, Reach::Untrusted)
}

/// What a token must say: issuer, audience, subject and end; what it says of its beginning counts too.
fn validation(settings: &OidcIssuer, audiences: &[String], algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    validation.set_issuer(&[&settings.issuer]);
    validation.set_audience(audiences);
    validation.leeway = settings.clock_skew_seconds;
    validation.validate_nbf = true;
    validation
}
