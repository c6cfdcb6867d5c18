//! The upstream's head → the caller's.

use super::down::{CAP, Down};
use super::{PREFIX, ProxyError, Record};
use crate::pipeline::route::proxy::ProxyTarget;
use aperium_core::{header_rules, path_join};
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use http_body::Body as HttpBody;
use std::collections::HashSet;

/// Says that the body was cut at the cap.
const TRUNCATED: HeaderName = HeaderName::from_static("x-aperium-truncated");

/// The answer for the caller.
///
/// # Errors
/// [`ProxyError::Redirect`]: a caller that follows would leave the gateway, and its grants with it.
pub(super) fn of<B>(
    target: &ProxyTarget,
    method: &Method,
    answer: http::Response<B>,
    mut record: Record,
) -> Result<Response, ProxyError>
where
    B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    let (parts, body) = answer.into_parts();
    let status = parts.status;
    if status.is_redirection() && status != StatusCode::NOT_MODIFIED {
        let error = ProxyError::Redirect(status.as_u16());
        record.failed(&error);
        return Err(error);
    }
    record.answered(status);
    let mut headers = head(&parts.headers);
    if matches!(status, StatusCode::CREATED | StatusCode::ACCEPTED)
        && let Some(here) = location(target.base(), record.connector(), &parts.headers)
    {
        headers.insert(header::LOCATION, here);
    }
    // The answer to HEAD announces a length that does not come; 204 and 304 have none.
    let bodiless = method == Method::HEAD || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let length = body.size_hint().exact().filter(|_| !bodiless);
    if status == StatusCode::NO_CONTENT {
        headers.remove(header::CONTENT_LENGTH);
    }
    if length.is_some_and(|length| length > CAP) {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(CAP));
        headers.insert(TRUNCATED, HeaderValue::from_static("true"));
    }
    let mut response = Response::new(Body::new(Down::new(body, length, record)));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

/// The headers that pass, and those that the gateway adds: what an upstream sends is data of another system, and must
/// not run as a page of the gateway's own origin.
fn head(upstream: &HeaderMap) -> HeaderMap {
    let connection = upstream.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let nominated: HashSet<String> = header_rules::nominated(connection).collect();
    let mut headers = HeaderMap::with_capacity(upstream.len() + 4);
    for (name, value) in upstream {
        if header_rules::passes_down(name.as_str()) && !nominated.contains(name.as_str()) {
            headers.append(name, value.clone());
        }
    }
    if let Some(private) = private(upstream) {
        headers.insert(header::CACHE_CONTROL, private);
    }
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; frame-ancestors 'none'"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers
}

/// `Cache-Control` without leave for shared caches: the next caller may be granted less.
fn private(upstream: &HeaderMap) -> Option<HeaderValue> {
    let mut kept = vec!["private"];
    let mut any = false;
    for value in upstream.get_all(header::CACHE_CONTROL) {
        any = true;
        let directives = value.to_str().unwrap_or_default().split(',').map(str::trim);
        kept.extend(directives.filter(|directive| {
            let name = directive.split('=').next().unwrap_or_default().trim().to_ascii_lowercase();
            !matches!(name.as_str(), "" | "public" | "private" | "s-maxage" | "proxy-revalidate")
        }));
    }
    any.then(|| HeaderValue::from_str(&kept.join(", ")).unwrap_or(HeaderValue::from_static("no-store")))
}

/// The `Location` of something new, as a path of the gateway; none when it lies elsewhere than below the base.
fn location(base: &Uri, id: &str, upstream: &HeaderMap) -> Option<HeaderValue> {
    let text = upstream.get(header::LOCATION)?.to_str().ok()?;
    let path_and_query = if text.starts_with('/') {
        text
    } else {
        let uri: Uri = text.parse().ok()?;
        let authority =
            |uri: &Uri| Some((uri.scheme_str()?.to_owned(), uri.authority()?.as_str().to_ascii_lowercase()));
        let at = text.find("://")? + 3;
        let path = text.get(at..)?.find('/').and_then(|slash| text.get(at + slash..))?;
        (authority(&uri)? == authority(base)?).then_some(path)?
    };
    let (path, query) =
        path_and_query.split_once('?').map_or((path_and_query, None), |(path, query)| (path, Some(query)));
    let rest = path_join::below(base.path(), path)?;
    let here = format!("{PREFIX}{id}{rest}{}", query.map(|query| format!("?{query}")).unwrap_or_default());
    HeaderValue::from_str(&here).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn a_location_below_the_base_becomes_one_of_the_gateway() {
        let base: Uri = "https://api.example.com/v3".parse().unwrap();
        let ask = |value: &str| {
            location(&base, "github", &headers(&[("location", value)])).map(|v| v.to_str().unwrap().to_owned())
        };
        assert_eq!(ask("/v3/items/7?x=1").unwrap(), "/v1/connectors/github/items/7?x=1");
        assert_eq!(ask("https://API.example.com/v3/items/7").unwrap(), "/v1/connectors/github/items/7");
        for elsewhere in [
            "/v4/items",
            "//evil.com/v3/x",
            "https://evil.com/v3/x",
            "http://api.example.com/v3/x",
            "https://api.example.com:8443/v3/x",
            "https://api.example.com@evil.com/v3/x",
            "items/7",
            "/v3/../x",
            "https://api.example.com",
            "javascript:x",
        ] {
            assert_eq!(ask(elsewhere), None, "{elsewhere}");
        }
    }

    #[test]
    fn no_shared_cache_may_keep_an_answer() {
        let ask = |value: &str| private(&headers(&[("cache-control", value)])).unwrap();
        assert_eq!(ask("public, max-age=60, s-maxage=600"), "private, max-age=60");
        assert_eq!(ask("no-store"), "private, no-store");
        assert_eq!(ask("PUBLIC"), "private");
        assert_eq!(private(&HeaderMap::new()), None);
    }

    #[test]
    fn what_the_upstream_nominates_is_left_out() {
        let head = head(&headers(&[("connection", "x-internal"), ("x-internal", "1"), ("x-other", "2")]));
        assert!(!head.contains_key("x-internal") && !head.contains_key("connection"));
        assert_eq!(head["x-other"], "2");
        assert_eq!(head["content-security-policy"], "sandbox; frame-ancestors 'none'");
    }
}
