//! The broker's listener (9443): TLS, a ServiceAccount token of a pod or of a delegate, one answer. Nothing of the other
//! listeners is here.

use super::{Broker, BrokerError, Loaded, delegated};
use crate::state::State as Gateway;
use aperium_platform::lease::{Audience, LEASE_HEADER, LeaseError};
use aperium_platform::{bearer, body, request_id};
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::from_fn;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use secrecy::ExposeSecret as _;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The largest sealed values of a trial, in bytes.
const MAX_SEALED: usize = 512 * 1024;
/// How long they may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(10);

/// What pods and delegates reach.
pub(crate) fn router(gateway: &Arc<Gateway>) -> Router {
    Router::new()
        .route("/broker/v1/redeem", post(redeem))
        .route("/broker/v1/own", post(own))
        .with_state(Arc::clone(&gateway.broker))
        .merge(delegated::routes(gateway))
        .layer(from_fn(request_id::request_id))
}

async fn redeem(State(broker): State<Arc<Broker>>, headers: HeaderMap, body: Body) -> Response {
    let given = async {
        let pod = pod(&broker, &headers).await?;
        let lease = lease(&headers)?;
        let sealed = body::read(body, MAX_SEALED, BODY_TIME).await.map_err(|_| LeaseError::Malformed)?;
        let sealed = std::str::from_utf8(&sealed).map_err(|_| LeaseError::Malformed)?;
        broker.redeem(&pod, lease, sealed).await
    };
    answer(given.await)
}

async fn own(State(broker): State<Arc<Broker>>, headers: HeaderMap) -> Response {
    let given = async { broker.own(&pod(&broker, &headers).await?).await };
    answer(given.await)
}

async fn pod(broker: &Broker, headers: &HeaderMap) -> Result<Audience, BrokerError> {
    let identified = match bearer::presented(headers) {
        Some(token) => broker.pod(token).await,
        None => Err(BrokerError::NotAPod),
    };
    identified.inspect_err(|error| tracing::warn!(reason = error.reason(), "broker: refused"))
}

/// The one lease of a request.
fn lease(headers: &HeaderMap) -> Result<&str, BrokerError> {
    let mut values = headers.get_all(LEASE_HEADER).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().map_err(|_| LeaseError::Malformed.into()),
        _ => Err(BrokerError::NeedsLease),
    }
}

fn answer(given: Result<Loaded, BrokerError>) -> Response {
    let mut response = match given {
        Ok(loaded) => {
            let fields: BTreeMap<&str, &str> =
                loaded.fields.iter().map(|(field, value)| (field.as_str(), value.expose_secret())).collect();
            Json(json!({ "fields": fields })).into_response()
        }
        Err(error) => (status(error), Json(json!({ "error": error.reason() }))).into_response(),
    };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn status(error: BrokerError) -> StatusCode {
    match error {
        BrokerError::NotAPod => StatusCode::UNAUTHORIZED,
        BrokerError::Lease(LeaseError::NoKeys) | BrokerError::ReviewDown | BrokerError::Down => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        BrokerError::Lease(_) | BrokerError::NeedsLease => StatusCode::FORBIDDEN,
        BrokerError::Replayed => StatusCode::CONFLICT,
        BrokerError::Missing => StatusCode::NOT_FOUND,
    }
}
