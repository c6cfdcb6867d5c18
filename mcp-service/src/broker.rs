//! Credentials from the platform: a lease comes in, the fields of its tenant go out, once.
//!
//! ```text
//! lease + the pod's own ServiceAccount token ──POST /broker/v1/redeem──► broker ──► version, fields
//! ```
//! Nothing is asked for on the pod's own word; a service of a single tenant aside, which asks without a lease.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aperium_platform::body::{self, BodyError};
use aperium_platform::egress::{BrokerClient, EgressError};
use aperium_platform::lease::{LEASE_HEADER, LeaseVerifier};
use axum::body::Body;
use axum::http::{HeaderValue, Method, Request, StatusCode, header};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::connector::Fields;

/// The path that redeems a lease.
pub const REDEEM: &str = "/broker/v1/redeem";
/// The path that answers a single-tenant service without a lease.
pub const OWN: &str = "/broker/v1/own";
/// The largest answer, in bytes: all fields of one connector.
const MAX_ANSWER: usize = 256 * 1024;
/// How long the answer may take to arrive.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest ServiceAccount token, in bytes.
const MAX_TOKEN: usize = 16 * 1024;

/// What the broker gives: the fields of one tenant for this connector.
#[derive(Debug)]
pub struct Redeemed {
    /// The fields.
    pub fields: Fields,
}

/// Why it gives nothing.
#[derive(Debug, thiserror::Error)]
pub enum RedeemError {
    /// The pod's own ServiceAccount token is not there.
    #[error("the pod's own token for the broker cannot be read")]
    Identity,
    /// The broker cannot be reached.
    #[error("the broker cannot be reached ({})", .0.reason())]
    Unreachable(#[source] EgressError),
    /// It answers something else than a broker does.
    #[error("the broker's answer cannot be read")]
    Answer,
    /// It is there and cannot answer now.
    #[error("the broker cannot answer now")]
    Down,
    /// It refuses this pod or this lease.
    #[error("the broker refuses the lease")]
    Refused,
    /// The tenant has no credential for this connector.
    #[error("the platform holds no credentials of this tenant for this connector")]
    Missing,
}

/// Who redeems leases: the broker over the network, or the one of this process under `aperium up`.
#[async_trait::async_trait]
pub trait Broker: Send + Sync {
    /// The fields that a lease is for.
    ///
    /// # Errors
    /// [`RedeemError`].
    async fn redeem(&self, lease: &str) -> Result<Redeemed, RedeemError>;

    /// The fields of the one tenant of a single-tenant service.
    ///
    /// # Errors
    /// [`RedeemError`].
    async fn own(&self) -> Result<Redeemed, RedeemError>;

    /// The fields that an admin has not saved yet: a lease for their trial, and what came sealed with it.
    ///
    /// # Errors
    /// [`RedeemError`].
    async fn trial(&self, lease: &str, sealed: &str) -> Result<Redeemed, RedeemError>;
}

/// How this service gets credentials from the platform.
#[derive(Clone)]
pub struct Platform {
    /// Verifies the leases of calls.
    pub leases: LeaseVerifier,
    /// Redeems them.
    pub broker: Arc<dyn Broker>,
}

impl std::fmt::Debug for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Platform").field("leases", &self.leases).finish_non_exhaustive()
    }
}

/// The broker over the network.
#[derive(Debug)]
pub struct HttpBroker {
    client: BrokerClient,
    /// The projected ServiceAccount token; the kubelet replaces it, so it is read for every request.
    token: PathBuf,
}

impl HttpBroker {
    /// A broker that is shown the token in this file.
    #[must_use]
    pub fn new(client: BrokerClient, token: PathBuf) -> Self {
        Self { client, token }
    }

    async fn identity(&self) -> Result<HeaderValue, RedeemError> {
        let token = tokio::fs::read(&self.token).await.map(Zeroizing::new).map_err(|_| RedeemError::Identity)?;
        let text = std::str::from_utf8(&token).map_err(|_| RedeemError::Identity)?.trim();
        if text.is_empty() || text.len() > MAX_TOKEN {
            return Err(RedeemError::Identity);
        }
        let bearer = Zeroizing::new(format!("Bearer {text}"));
        let mut value = HeaderValue::from_str(&bearer).map_err(|_| RedeemError::Identity)?;
        value.set_sensitive(true);
        Ok(value)
    }

    async fn ask(&self, path: &str, lease: Option<&str>, body: Body) -> Result<Redeemed, RedeemError> {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(header::AUTHORIZATION, self.identity().await?)
            .body(body)
            .map_err(|_| RedeemError::Answer)?;
        if let Some(lease) = lease {
            let mut value = HeaderValue::from_str(lease).map_err(|_| RedeemError::Refused)?;
            value.set_sensitive(true);
            request.headers_mut().insert(LEASE_HEADER, value);
        }
        let response = self.client.send(request).await.map_err(RedeemError::Unreachable)?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Err(RedeemError::Missing),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::CONFLICT => {
                return Err(RedeemError::Refused);
            }
            status if status.is_server_error() => return Err(RedeemError::Down),
            _ => return Err(RedeemError::Answer),
        }
        let body = body::read(Body::new(response.into_body()), MAX_ANSWER, ANSWER_TIMEOUT).await;
        parse(&body.map_err(|_: BodyError| RedeemError::Answer)?)
    }
}

#[async_trait::async_trait]
impl Broker for HttpBroker {
    async fn redeem(&self, lease: &str) -> Result<Redeemed, RedeemError> {
        self.ask(REDEEM, Some(lease), Body::empty()).await
    }

    async fn own(&self) -> Result<Redeemed, RedeemError> {
        self.ask(OWN, None, Body::empty()).await
    }

    async fn trial(&self, lease: &str, sealed: &str) -> Result<Redeemed, RedeemError> {
        self.ask(REDEEM, Some(lease), Body::from(sealed.to_owned())).await
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    fields: BTreeMap<String, SecretString>,
}

fn parse(body: &[u8]) -> Result<Redeemed, RedeemError> {
    let answer: Answer = serde_json::from_slice(body).map_err(|_| RedeemError::Answer)?;
    let fields = answer.fields.into_iter().filter(|(_, value)| !value.expose_secret().is_empty()).collect();
    Ok(Redeemed { fields })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_fields_and_nothing_else() {
        let redeemed = parse(br#"{"fields":{"host":"db","password":"s3cret","empty":""}}"#).unwrap();
        assert_eq!(redeemed.fields.get("password").unwrap().expose_secret(), "s3cret");
        assert!(redeemed.fields.get("empty").is_none());
        assert!(!format!("{redeemed:?}").contains("s3cret"));
        for bad in ["", "[]", r#"{"fields":{"a":1}}"#, r#"{"fields":{},"more":1}"#, r#"{"error":"x"}"#] {
            assert!(matches!(parse(bad.as_bytes()), Err(RedeemError::Answer)), "{bad}");
        }
    }
}
