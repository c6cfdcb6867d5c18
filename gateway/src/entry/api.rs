//! `/api`: what the dashboard and the CLI ask. JSON in, JSON out, errors as `{"error": …, "request_id": …}`.
//!
//! Each area has a file with its own `routes()`; they are put together here. A handler names what it needs in its
//! arguments: [`Asker`] is any caller with a grant, [`Admin`] one with the role, [`Body`] a JSON body.

use super::register;
use crate::error::{self, Failure};
use crate::snapshot::{Identity, Snapshot, View};
use crate::state::State as Gateway;
use aperium_platform::body::{self, BodyError};
use aperium_platform::json;
use axum::Router;
use axum::extract::{FromRequest, FromRequestParts, Path, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;

mod audit;
mod change;
mod config;
mod connectors;
mod credentials;
mod explain;
mod grants;
mod openapi;
mod registry;
mod tenants;
mod whoami;

/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(30);

/// All routes of the API, ready to be served.
pub(crate) fn routes(gateway: &Arc<Gateway>) -> Router<Arc<Gateway>> {
    Router::from(areas())
        .method_not_allowed_fallback(|| async { ApiFailure(Failure::Method) })
        .route_layer(from_fn_with_state(Arc::clone(gateway), finish))
}

/// The routes of each area, with their descriptions.
fn areas() -> OpenApiRouter<Arc<Gateway>> {
    OpenApiRouter::new()
        .merge(audit::routes())
        .merge(config::routes())
        .merge(connectors::routes())
        .merge(credentials::routes())
        .merge(explain::routes())
        .merge(grants::routes())
        .merge(openapi::routes())
        .merge(register::routes())
        .merge(registry::routes())
        .merge(tenants::routes())
        .merge(whoami::routes())
}

/// How every failure is answered.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Error {
    /// What is wrong, and what to do about it.
    error: String,
    /// What the logs know it by.
    request_id: String,
}

/// What a handler gives.
pub(crate) type Answer = Result<Response, ApiFailure>;

/// A failure that has not been written yet: only [`finish`] knows the request id.
#[derive(Debug, Clone)]
pub(crate) struct ApiFailure(pub(crate) Failure);

impl From<Failure> for ApiFailure {
    fn from(failure: Failure) -> Self {
        Self(failure)
    }
}

impl IntoResponse for ApiFailure {
    fn into_response(self) -> Response {
        let mut response = Response::default();
        response.extensions_mut().insert(self);
        response
    }
}

/// A JSON answer with 200.
///
/// # Errors
/// None in practice: what is answered can be written.
pub(crate) fn ok(value: &impl Serialize) -> Answer {
    match serde_json::to_vec(value) {
        Ok(body) => Ok(error::json(StatusCode::OK, body)),
        Err(error) => {
            let inside = error.to_string();
            Err(Failure::Unavailable { outside: "the answer cannot be written", inside }.into())
        }
    }
}

/// An answer that says nothing but that it was done.
pub(crate) fn no_content() -> Response {
    let mut answer = Response::default();
    *answer.status_mut() = StatusCode::NO_CONTENT;
    answer
}

/// Middleware: writes failures, counts and logs them.
async fn finish(State(gateway): State<Arc<Gateway>>, request: Request, next: Next) -> Response {
    let id = request.headers().get("x-request-id").and_then(|id| id.to_str().ok()).unwrap_or_default().to_owned();
    let mut response = next.run(request).await;
    let Some(ApiFailure(failure)) = response.extensions_mut().remove::<ApiFailure>() else {
        gateway.metrics.request("api", "ok");
        return response;
    };
    gateway.metrics.request("api", failure.outcome());
    if let Some(cause) = failure.inside() {
        tracing::warn!(request_id = id, outcome = failure.outcome(), cause, "API request failed");
    }
    let mut written = failure.respond_api(&id);
    // Which methods the path takes: the router has said so.
    if let Some(allow) = response.headers_mut().remove(http::header::ALLOW) {
        written.headers_mut().insert(http::header::ALLOW, allow);
    }
    written
}

/// A caller with at least one grant, and the one Snapshot that answers it.
#[derive(Debug)]
pub(crate) struct Asker {
    /// What is served.
    pub(crate) snapshot: Arc<Snapshot>,
    /// What the caller may see and use.
    pub(crate) view: Arc<View>,
}

impl FromRequestParts<Arc<Gateway>> for Asker {
    type Rejection = ApiFailure;

    async fn from_request_parts(parts: &mut Parts, gateway: &Arc<Gateway>) -> Result<Self, ApiFailure> {
        // Authentication stands before every route; a request without its mark is nobody's.
        let unknown = Failure::Unauthenticated { presented: false };
        let identity = parts.extensions.get::<Arc<Identity>>().ok_or(unknown)?;
        let snapshot = gateway.snapshot.load_full();
        let view = snapshot.view(identity).map_err(|_| Failure::NoRole)?;
        Ok(Self { snapshot, view })
    }
}

/// A caller with the role admin.
#[derive(Debug)]
pub(crate) struct Admin(pub(crate) Asker);

impl FromRequestParts<Arc<Gateway>> for Admin {
    type Rejection = ApiFailure;

    async fn from_request_parts(parts: &mut Parts, gateway: &Arc<Gateway>) -> Result<Self, ApiFailure> {
        let asker = Asker::from_request_parts(parts, gateway).await?;
        if asker.view.is_admin() { Ok(Self(asker)) } else { Err(Failure::NotAdmin.into()) }
    }
}

/// The last segment of the path. What is no text names nothing.
#[derive(Debug)]
pub(crate) struct Named(pub(crate) String);

impl FromRequestParts<Arc<Gateway>> for Named {
    type Rejection = ApiFailure;

    async fn from_request_parts(parts: &mut Parts, gateway: &Arc<Gateway>) -> Result<Self, ApiFailure> {
        let name = Path::<String>::from_request_parts(parts, gateway).await;
        name.map(|Path(name)| Self(name)).map_err(|_| Failure::NotFound.into())
    }
}

/// What the query says; unknown parameters are refused.
#[derive(Debug)]
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<Arc<Gateway>> for Query<T> {
    type Rejection = ApiFailure;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Gateway>) -> Result<Self, ApiFailure> {
        match axum::extract::Query::<T>::try_from_uri(&parts.uri) {
            Ok(axum::extract::Query(query)) => Ok(Self(query)),
            Err(error) => Err(Failure::Rejected(format!("the query: {error}")).into()),
        }
    }
}

/// A JSON body. No web page can send one without asking first, which is why nothing else is taken.
#[derive(Debug)]
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<Gateway>> for Body<T> {
    type Rejection = ApiFailure;

    async fn from_request(request: Request, gateway: &Arc<Gateway>) -> Result<Self, ApiFailure> {
        let limit = gateway.snapshot.load().catalog.settings.limits.max_request_bytes;
        let (parts, body) = request.into_parts();
        Ok(strict(&parts.headers, body, limit).await.map(Self)?)
    }
}

/// The value of a JSON body of at most so many bytes.
///
/// # Errors
/// [`Failure::Rejected`], [`Failure::TooLarge`], [`Failure::Body`]; none quotes a value.
pub(crate) async fn strict<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: axum::body::Body,
    limit: usize,
) -> Result<T, Failure> {
    if !body::is_json(headers) {
        return Err(Failure::Rejected("Content-Type must be application/json".to_owned()));
    }
    let bytes = body::read(body, limit, BODY_TIME).await.map_err(|error| match error {
        BodyError::TooLarge { limit } => Failure::TooLarge(limit),
        other => Failure::Body(other.status()),
    })?;
    json::check_strict(&bytes).map_err(|error| Failure::Rejected(format!("the body: {error}")))?;
    serde_json::from_slice(&bytes).map_err(|error| Failure::Rejected(unwanted(&error)))
}

/// What is wrong with a body that is JSON. Of a wrong value the parser would quote the value, which may be a secret;
/// names of fields are none.
fn unwanted(error: &serde_json::Error) -> String {
    let text = error.to_string();
    if text.starts_with("unknown field") || text.starts_with("missing field") || text.starts_with("unknown variant") {
        format!("the body: {text}")
    } else {
        format!("the body: a value of the wrong kind at line {} column {}", error.line(), error.column())
    }
}
