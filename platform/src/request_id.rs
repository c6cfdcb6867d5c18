//! One id per request: taken from `X-Request-Id` or made, in the extensions, in the span of every log line, echoed.

use aperium_core::id::RequestId;
use axum::{extract::Request, middleware::Next, response::Response};
use http::{HeaderName, HeaderValue};
use tracing::{Instrument as _, Span};

/// `X-Request-Id`: 1 to 128 characters of `[A-Za-z0-9._-]`; anything else is replaced.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Middleware: gives the request its [`RequestId`] (as an extension and as its only `X-Request-Id` header), runs the
/// rest in a span with the field `request_id`, and puts the id on the response.
pub async fn request_id(mut request: Request, next: Next) -> Response {
    let (value, span) = begin(&mut request);
    let id = accept(&request);
    request.extensions_mut().insert(id);
    let mut response = next.run(request).instrument(span).await;
    end(&mut response, value);
    response
}

/// Gives the request its id, as its only `X-Request-Id` header, and the span that belongs to it: for services that have
/// no layers. Hand the id to [`end`].
pub fn begin(request: &mut Request) -> (Option<HeaderValue>, Span) {
    let id = accept(request);
    // The form of an id is a subset of header values, so this never fails.
    let value = HeaderValue::from_str(id.as_str()).ok();
    if let Some(value) = &value {
        request.headers_mut().insert(X_REQUEST_ID, value.clone());
    }
    let span =
        tracing::info_span!("request", request_id = %id, method = %request.method(), path = request.uri().path());
    (value, span)
}

/// Puts the id on the response.
pub fn end(response: &mut Response, id: Option<HeaderValue>) {
    if let Some(id) = id {
        response.headers_mut().insert(X_REQUEST_ID, id);
    }
}

fn accept(request: &Request) -> RequestId {
    let mut values = request.headers().get_all(X_REQUEST_ID).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => RequestId::accept(value.to_str().ok()),
        _ => RequestId::accept(None),
    }
}

#[cfg(test)]
mod tests {
    use axum::{Extension, Router, body::Body, routing::get};
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;

    async fn answer(sent: &[&str]) -> (String, String) {
        let app = Router::new()
            .route(
                "/",
                get(|Extension(id): Extension<RequestId>, request: Request| async move {
                    assert_eq!(request.headers().get_all(X_REQUEST_ID).iter().collect::<Vec<_>>(), [id.as_str()]);
                    id.to_string()
                }),
            )
            .layer(axum::middleware::from_fn(request_id));
        let mut request = Request::new(Body::empty());
        for id in sent {
            request.headers_mut().append(X_REQUEST_ID, HeaderValue::from_bytes(id.as_bytes()).unwrap());
        }
        let response = app.oneshot(request).await.unwrap();
        let echoed = response.headers()[X_REQUEST_ID].to_str().unwrap().to_owned();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (echoed, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_good_id_is_kept_and_echoed() {
        let (echoed, seen) = answer(&["run-7.A_b"]).await;
        assert_eq!((echoed.as_str(), seen.as_str()), ("run-7.A_b", "run-7.A_b"));
    }

    #[tokio::test]
    async fn bad_missing_and_repeated_ids_are_replaced() {
        for sent in [&[][..], &["a b"], &[""], &["é"], &["a", "b"], &["a", "a"]] {
            let (echoed, seen) = answer(sent).await;
            assert_eq!(echoed, seen);
            assert_eq!(echoed.len(), 36, "{sent:?}");
        }
    }
}
