//! The keys of one issuer: fetched when they are first needed, again when they are old or a token names one that is
//! not there, and used on for a while when the issuer does not answer.

use super::jwks::KeySet;
use aperium_core::egress::{EgressRules, HostPort};
use aperium_platform::egress::{EgressError, ExternalClient};
use aperium_platform::oauth::Form;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Limited};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long keys are good for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    /// Older ones are fetched again, beside the calls that use them.
    pub(crate) fresh: Duration,
    /// Older ones are used no more, whatever the issuer does.
    pub(crate) stale: Duration,
    /// Between two attempts to fetch: tokens with made-up key names must not become a flood at the issuer.
    pub(crate) pause: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self { fresh: Duration::from_secs(600), stale: Duration::from_secs(3600), pause: Duration::from_secs(10) }
    }
}

/// For both documents together.
const LIMIT: Duration = Duration::from_secs(8);
/// Bytes of the discovery document.
const MAX_DOCUMENT: usize = 64 * 1024;
/// Bytes of the key set.
const MAX_KEYS: usize = 256 * 1024;

/// Why there are no keys, or no answer. Holds nothing that the issuer wrote.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum KeysError {
    /// It cannot be reached.
    #[error("issuer: {0}")]
    Egress(#[from] EgressError),
    /// Another status than 200.
    #[error("issuer: the {0} answered with HTTP {1}")]
    Status(&'static str, u16),
    /// Broken off, too large, or not what it should be.
    #[error("issuer: the {0} cannot be used")]
    Unusable(&'static str),
    /// The document is about another issuer.
    #[error("issuer: its discovery document names another issuer")]
    Issuer,
    /// Where the keys are, or another endpoint, is no place to ask.
    #[error("issuer: its endpoints must be https URLs; http only where egress.allowHosts names their host and port")]
    Place,
    /// No answer.
    #[error("issuer: no answer in time")]
    Timeout,
}

/// The keys of one issuer.
#[derive(Debug)]
pub(super) struct Keys {
    issuer: String,
    client: Option<Result<ExternalClient, EgressError>>,
    egress: EgressRules,
    held: Mutex<Held>,
    fetching: tokio::sync::Mutex<()>,
}

/// Where an issuer signs people in, and what it says of that.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Places {
    pub(super) authorization_endpoint: Option<String>,
    pub(super) token_endpoint: Option<String>,
    /// How clients may authenticate; nothing: `client_secret_basic` (OpenID Connect Discovery §3).
    pub(super) token_endpoint_auth_methods_supported: Option<Vec<String>>,
    /// Nothing: it does not say.
    pub(super) code_challenge_methods_supported: Option<Vec<String>>,
    /// Whether its answers carry `iss` (RFC 9207 §3).
    #[serde(default)]
    pub(super) authorization_response_iss_parameter_supported: bool,
}

#[derive(Debug, Default)]
struct Held {
    set: Option<(Arc<KeySet>, Instant)>,
    places: Arc<Places>,
    problem: Option<KeysError>,
    tried: Option<Instant>,
    /// How often it was tried: whoever waited for another's attempt makes none.
    attempts: u64,
    timing: Timing,
}

impl Keys {
    pub(super) fn new(
        issuer: &str,
        client: Option<Result<ExternalClient, EgressError>>,
        egress: &EgressRules,
    ) -> Arc<Self> {
        Arc::new(Self {
            issuer: issuer.to_owned(),
            client,
            egress: egress.clone(),
            held: Mutex::default(),
            fetching: tokio::sync::Mutex::default(),
        })
    }

    /// The key of this name for this algorithm; `None` where the issuer has none.
    ///
    /// # Errors
    /// [`KeysError`] while there are no keys at all.
    pub(super) async fn find(
        self: &Arc<Self>,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Option<DecodingKey>, KeysError> {
        let (found, attempts) = self.look(kid, algorithm);
        if let Some((key, age)) = found {
            if age > self.held().timing.fresh {
                self.refresh_beside(attempts);
            }
            return Ok(Some(key));
        }
        self.refresh(attempts).await;
        if let (Some((key, _)), _) = self.look(kid, algorithm) {
            return Ok(Some(key));
        }
        let held = self.held();
        if held.set.as_ref().is_some_and(|(_, at)| at.elapsed() <= held.timing.stale) {
            return Ok(None);
        }
        Err(held.problem.clone().unwrap_or(KeysError::Timeout))
    }

    /// What the discovery document says of sign-in.
    ///
    /// # Errors
    /// [`KeysError`] while there is no document.
    pub(super) async fn places(&self) -> Result<Arc<Places>, KeysError> {
        let fresh = |held: &Held| held.set.as_ref().is_some_and(|(_, at)| at.elapsed() <= held.timing.fresh);
        let attempts = {
            let held = self.held();
            if fresh(&held) {
                return Ok(Arc::clone(&held.places));
            }
            held.attempts
        };
        self.refresh(attempts).await;
        let held = self.held();
        match held.set.as_ref().is_some_and(|(_, at)| at.elapsed() <= held.timing.stale) {
            true => Ok(Arc::clone(&held.places)),
            false => Err(held.problem.clone().unwrap_or(KeysError::Timeout)),
        }
    }

    fn look(&self, kid: Option<&str>, algorithm: Algorithm) -> (Option<(DecodingKey, Duration)>, u64) {
        let held = self.held();
        let usable =
            held.set.as_ref().map(|(set, at)| (set, at.elapsed())).filter(|(_, age)| *age <= held.timing.stale);
        let found = usable.and_then(|(set, age)| Some((set.find(kid, algorithm)?.clone(), age)));
        (found, held.attempts)
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn set_timing(&self, timing: Timing) {
        self.held().timing = timing;
    }

    /// Whoever has a key need not wait for newer ones.
    fn refresh_beside(self: &Arc<Self>, seen: u64) {
        let keys = Arc::clone(self);
        tokio::spawn(async move { keys.refresh(seen).await });
    }

    /// One attempt, unless there was one since `seen`, or a moment ago.
    async fn refresh(&self, seen: u64) {
        let _turn = self.fetching.lock().await;
        {
            let held = self.held();
            if held.attempts != seen || held.tried.is_some_and(|at| at.elapsed() < held.timing.pause) {
                return;
            }
        }
        let outcome = tokio::time::timeout(LIMIT, self.fetch()).await.unwrap_or(Err(KeysError::Timeout));
        let mut held = self.held();
        held.attempts += 1;
        held.tried = Some(Instant::now());
        match outcome {
            Ok((set, places)) => {
                held.set = Some((Arc::new(set), Instant::now()));
                held.places = Arc::new(places);
                held.problem = None;
            }
            Err(problem) => {
                tracing::warn!(issuer = self.issuer, %problem, "the keys of an issuer cannot be fetched");
                held.problem = Some(problem);
            }
        }
    }

    async fn fetch(&self) -> Result<(KeySet, Places), KeysError> {
        #[derive(Deserialize)]
        struct Document {
            issuer: String,
            jwks_uri: String,
            #[serde(flatten)]
            places: Places,
        }
        const DOCUMENT: &str = "discovery document";
        let base = self.issuer.trim_end_matches('/');
        let text = self.get(&format!("{base}/.well-known/openid-configuration"), DOCUMENT, MAX_DOCUMENT).await?;
        let document: Document = serde_json::from_slice(&text).map_err(|_| KeysError::Unusable(DOCUMENT))?;
        if document.issuer != self.issuer {
            return Err(KeysError::Issuer);
        }
        let text = self.get(&document.jwks_uri, "key set", MAX_KEYS).await?;
        Ok((KeySet::parse(&text).ok_or(KeysError::Unusable("key set"))?, document.places))
    }

    async fn get(&self, url: &str, what: &'static str, limit: usize) -> Result<Bytes, KeysError> {
        let (status, body) = self.exchange(Request::new(Body::empty()), url, what, limit).await?;
        if status == StatusCode::OK { Ok(body) } else { Err(KeysError::Status(what, status.as_u16())) }
    }

    /// Posts a form to the token endpoint; whatever it answers.
    pub(super) async fn post(&self, url: &str, form: Form) -> Result<(StatusCode, Bytes), KeysError> {
        let mut request = Request::new(Body::from(form.body.as_bytes().to_vec()));
        *request.method_mut() = Method::POST;
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        request.headers_mut().insert(header::CONTENT_TYPE, kind);
        if let Some(value) = form.authorization {
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        let exchange = self.exchange(request, url, "token endpoint", MAX_DOCUMENT);
        tokio::time::timeout(LIMIT, exchange).await.unwrap_or(Err(KeysError::Timeout))
    }

    async fn exchange(
        &self,
        mut request: Request<Body>,
        url: &str,
        what: &'static str,
        limit: usize,
    ) -> Result<(StatusCode, Bytes), KeysError> {
        let uri: Uri = url.parse().map_err(|_| KeysError::Place)?;
        if !self.is_place(&uri) {
            return Err(KeysError::Place);
        }
        *request.uri_mut() = uri;
        request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        let client = match &self.client {
            Some(Ok(client)) => client,
            Some(Err(error)) => return Err(error.clone().into()),
            None => return Err(KeysError::Place),
        };
        let response = client.send(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), limit).collect().await;
        Ok((status, body.map_err(|_| KeysError::Unusable(what))?.to_bytes()))
    }

    /// Keys over a line that anyone could write on are nobody's, unless an admin has named the host.
    pub(super) fn is_place(&self, uri: &Uri) -> bool {
        match uri.scheme_str() {
            Some("https") => true,
            Some("http") => uri.host().is_some_and(|host| {
                HostPort::new(host, uri.port_u16().unwrap_or(80)).is_ok_and(|target| self.egress.opened(&target))
            }),
            _ => false,
        }
    }
}
