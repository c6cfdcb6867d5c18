//! A registry in, the OpenMetrics text of a scrape out.

use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, StatusCode, header};
use prometheus_client::{encoding::text, registry::Registry};

/// The media type of the OpenMetrics 1.0 text format.
pub const OPENMETRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// The registry as the answer to a scrape. 500 if a metric cannot be encoded.
#[must_use]
pub fn response(registry: &Registry) -> Response {
    let mut page = String::with_capacity(16 * 1024);
    if let Err(error) = text::encode(&mut page, registry) {
        tracing::error!(%error, "metrics cannot be encoded");
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    ([(header::CONTENT_TYPE, OPENMETRICS)], page).into_response()
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use prometheus_client::metrics::counter::Counter;

    use super::*;

    #[tokio::test]
    async fn a_scrape_is_openmetrics_text_that_ends_with_eof() {
        let mut registry = Registry::with_prefix("aperium");
        let calls: Counter = Counter::default();
        registry.register("calls", "Calls so far", calls.clone());
        calls.inc_by(3);
        let response = response(&registry);
        assert_eq!(response.headers()[header::CONTENT_TYPE], OPENMETRICS);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body = std::str::from_utf8(&body).unwrap();
        assert!(body.contains("aperium_calls_total 3\n"), "{body}");
        assert!(body.ends_with("# EOF\n"), "{body}");
    }
}
