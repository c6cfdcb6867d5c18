//! The edge of the flow: one bounded exchange with an authorization server or a metadata document.

use super::{Challenge, OauthError, Trust, web};
use crate::egress::{EgressError, EgressPolicy, ExternalClient};
use aperium_core::egress::Reach;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use std::time::Duration;
use url::{Origin, Url};

/// From the connection to the last byte of an answer.
const LIMIT: Duration = Duration::from_secs(10);
/// Bytes of an answer.
const MAX_ANSWER: usize = 64 * 1024;

/// Asks on behalf of one connector.
#[derive(Debug, Clone)]
pub struct Fetcher {
    told: ExternalClient,
    admin: ExternalClient,
    origin: Origin,
    local: bool,
}

/// What is sent.
pub(super) enum Send {
    Nothing,
    Json(Vec<u8>),
    Form(super::token::Form),
}

impl Fetcher {
    /// For the connector at `upstream`, an admin's own URL. What the upstream names is reached at public addresses only,
    /// its own origin aside; and on this machine, where the upstream is here too and the policy opens loopback.
    ///
    /// # Errors
    /// [`EgressError::TlsSetup`].
    pub fn new(policy: &EgressPolicy, upstream: &Url) -> Result<Self, EgressError> {
        Ok(Self {
            told: ExternalClient::new(policy.clone(), Reach::Untrusted)?,
            admin: ExternalClient::new(policy.clone(), Reach::Admin)?,
            origin: upstream.origin(),
            local: web::is_loopback(upstream),
        })
    }

    fn client(&self, url: &Url, trust: Trust) -> &ExternalClient {
        let own = trust == Trust::Admin || url.origin() == self.origin;
        if own || (self.local && web::is_loopback(url)) { &self.admin } else { &self.told }
    }

    /// What the upstream answers to a message without a token: its challenge, where it has one.
    ///
    /// # Errors
    /// [`OauthError`].
    pub async fn challenge(&self, upstream: &Url) -> Result<Option<Challenge>, OauthError> {
        let what = "the upstream";
        let mut request = Request::new(Body::from(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = upstream.as_str().parse().map_err(|_| OauthError::Url(what))?;
        let both = HeaderValue::from_static("application/json, text/event-stream");
        request.headers_mut().insert(header::ACCEPT, both);
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let answered = tokio::time::timeout(LIMIT, self.admin.send(request)).await;
        let response = answered.map_err(|_| OauthError::Timeout(what))?;
        let response = response.map_err(|error| OauthError::Egress { what, error })?;
        Ok(Challenge::of(response.headers()).filter(|_| response.status() == StatusCode::UNAUTHORIZED))
    }

    /// One exchange. Redirects are not followed.
    pub(super) async fn send(
        &self,
        what: &'static str,
        method: Method,
        url: &Url,
        trust: Trust,
        send: Send,
    ) -> Result<(StatusCode, Bytes), OauthError> {
        let mut request = Request::new(Body::empty());
        *request.method_mut() = method;
        *request.uri_mut() = url.as_str().parse().map_err(|_| OauthError::Url(what))?;
        request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        let kind = match send {
            Send::Nothing => None,
            Send::Json(body) => {
                *request.body_mut() = Body::from(body);
                Some("application/json")
            }
            Send::Form(form) => {
                if let Some(value) = form.authorization {
                    request.headers_mut().insert(header::AUTHORIZATION, value);
                }
                *request.body_mut() = Body::from(form.body.as_bytes().to_vec());
                Some("application/x-www-form-urlencoded")
            }
        };
        if let Some(kind) = kind {
            request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        let exchange = async {
            let response = self.client(url, trust).send(request).await;
            let response = response.map_err(|error| OauthError::Egress { what, error })?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
            Ok((status, body.map_err(|_| OauthError::Broken(what))?.to_bytes()))
        };
        tokio::time::timeout(LIMIT, exchange).await.unwrap_or(Err(OauthError::Timeout(what)))
    }
}
