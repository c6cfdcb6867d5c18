//! One exchange with Prefect: an endpoint and a typed body come in, a typed answer or a [`ToolError`] goes out, once.

use std::sync::Arc;

use aperium_core::effect::Effect;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, header};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::address::{Base, Endpoint};
use super::auth;
use super::csrf::Csrf;
use super::failure;
use crate::connector::{ErrorCode, Reply, ToolError, Upstream};

/// The largest answer that is read, in bytes; what a tool returns is capped again by the service.
const MAX_ANSWER: usize = 8 * 1024 * 1024;

/// What stays the same for as long as the credentials do.
struct Api {
    base: Base,
    headers: HeaderMap,
    csrf: Csrf,
}

/// Prefect, for one call.
pub(super) struct Client<'a> {
    up: &'a Upstream,
    api: Arc<Api>,
}

impl<'a> Client<'a> {
    /// The client of these credentials.
    pub(super) async fn of(up: &'a Upstream) -> Result<Self, ToolError> {
        let api = up
            .session(|| async {
                Ok(Api { base: Base::parse(up.text("api_url")?)?, headers: auth::headers(up)?, csrf: Csrf::new() })
            })
            .await?;
        Ok(Self { up, api })
    }

    /// The id of the call: the same call twice is the same change.
    pub(super) fn idempotency_key(&self) -> &str {
        self.up.request_id().as_str()
    }

    /// `GET`.
    pub(super) async fn get<T: DeserializeOwned>(&self, endpoint: &Endpoint) -> Result<T, ToolError> {
        self.send(Method::GET, endpoint, None, Effect::Read).await?.json()
    }

    /// `POST` of a filter: changes nothing.
    pub(super) async fn query<B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        endpoint: &Endpoint,
        filter: &B,
    ) -> Result<T, ToolError> {
        self.send(Method::POST, endpoint, Some(json(filter)?), Effect::Read).await?.json()
    }

    /// The one request of a tool that changes something.
    pub(super) async fn change<B: Serialize + Sync>(
        &self,
        method: Method,
        endpoint: &Endpoint,
        body: Option<&B>,
        effect: Effect,
    ) -> Result<Reply, ToolError> {
        self.send(method, endpoint, body.map(json).transpose()?, effect).await
    }

    /// A cheap request that needs the credentials and that only a Prefect API answers.
    pub(super) async fn probe(&self) -> Result<(), ToolError> {
        let answer = if self.api.base.is_cloud() {
            self.query(&Endpoint::new("/flows/count"), &serde_json::Map::new()).await.map(|_: u64| ())
        } else {
            self.get(&Endpoint::new("/admin/version")).await.map(|_: String| ())
        };
        answer.map_err(|error| match error.code {
            // Another page, or nothing, where the API should be.
            ErrorCode::NotFound | ErrorCode::Upstream if error.upstream_status.is_none_or(|status| status < 500) => {
                let hint = "\"api_url\" does not lead to a Prefect API: it ends in /api, for Cloud in /workspaces/<id>";
                ToolError { code: ErrorCode::InvalidArgument, message: format!("{hint} ({})", error.message), ..error }
            }
            _ => error,
        })
    }

    async fn send(
        &self,
        method: Method,
        endpoint: &Endpoint,
        body: Option<Bytes>,
        effect: Effect,
    ) -> Result<Reply, ToolError> {
        let mut headers = self.api.headers.clone();
        if method != Method::GET && !self.api.base.is_cloud() {
            self.api.csrf.apply(&mut headers, self.csrf_token()).await?;
        }
        let reply = self.exchange(method, endpoint, headers, body, effect).await?;
        let outcome = failure::success(reply, self.up);
        if let Err(refusal) = &outcome
            && refusal.code == ErrorCode::Forbidden
        {
            self.api.csrf.refused(&refusal.message).await;
        }
        outcome
    }

    /// Asks for a token. A refusal of the credentials is told as such, other refusals are for [`Csrf`] to read.
    async fn csrf_token(&self) -> Result<Reply, ToolError> {
        let endpoint = Endpoint::new("/csrf-token").query("client", &self.api.csrf.client().to_string());
        let reply = self.exchange(Method::GET, &endpoint, self.api.headers.clone(), None, Effect::Read).await?;
        if reply.status.is_client_error() && !matches!(reply.status.as_u16(), 401 | 429) {
            return Ok(reply);
        }
        failure::success(reply, self.up)
    }

    async fn exchange(
        &self,
        method: Method,
        endpoint: &Endpoint,
        mut headers: HeaderMap,
        body: Option<Bytes>,
        effect: Effect,
    ) -> Result<Reply, ToolError> {
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        if body.is_some() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let mut request = Request::builder()
            .method(method)
            .uri(self.api.base.url(endpoint))
            .body(body.unwrap_or_default())
            .map_err(|_| ToolError::invalid("the address of this request would be no URL: a name is too long"))?;
        *request.headers_mut() = headers;
        self.up.send(request, effect, MAX_ANSWER).await
    }
}

fn json<B: Serialize>(body: &B) -> Result<Bytes, ToolError> {
    serde_json::to_vec(body).map(Bytes::from).map_err(|_| ToolError::invalid("the arguments cannot be written as JSON"))
}
