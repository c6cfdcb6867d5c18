//! A request body in, bytes up to a limit out; and whether a request says that it carries JSON.

use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header::CONTENT_TYPE};
use http_body_util::BodyExt as _;
use hyper::body::Body as _;
use tokio::time;

/// Why a body was not read to its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// More bytes than the limit (413).
    #[error("body is larger than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// Not complete in time (408).
    #[error("body did not arrive in time")]
    Slow,
    /// The connection broke or its framing is wrong (400).
    #[error("body could not be read")]
    Broken(#[source] axum::Error),
}

impl BodyError {
    /// `PascalCase` reason.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "BodyTooLarge",
            Self::Slow => "BodyTimeout",
            Self::Broken(_) => "BodyBroken",
        }
    }

    /// The status that says so.
    #[must_use]
    pub const fn status(&self) -> http::StatusCode {
        match self {
            Self::TooLarge { .. } => http::StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow => http::StatusCode::REQUEST_TIMEOUT,
            Self::Broken(_) => http::StatusCode::BAD_REQUEST,
        }
    }
}

/// Reads the whole body: at most `limit` bytes, within `within` altogether. A body that announces more is refused
/// before a byte of it is read; one that comes in a single piece is not copied.
///
/// # Errors
/// [`BodyError`].
pub async fn read(body: Body, limit: usize, within: Duration) -> Result<Bytes, BodyError> {
    if body.size_hint().lower() > limit as u64 {
        return Err(BodyError::TooLarge { limit });
    }
    time::timeout(within, collect(body, limit)).await.map_err(|_| BodyError::Slow)?
}

async fn collect(mut body: Body, limit: usize) -> Result<Bytes, BodyError> {
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(BodyError::Broken)?.into_data() else { continue };
        if first.len() + rest.len() + data.len() > limit {
            return Err(BodyError::TooLarge { limit });
        }
        if first.is_empty() {
            first = data;
        } else {
            rest.extend_from_slice(&data);
        }
    }
    if rest.is_empty() {
        return Ok(first);
    }
    let mut whole = BytesMut::with_capacity(first.len() + rest.len());
    whole.extend_from_slice(&first);
    whole.extend_from_slice(&rest);
    Ok(whole.freeze())
}

/// Does exactly one `Content-Type` say `application/json` (parameters aside; a charset other than UTF-8 does not)?
///
/// A web page cannot send this type to another origin without being asked first, which is why MCP and API bodies need it.
#[must_use]
pub fn is_json(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let Ok(text) = value.to_str() else { return false };
    let mut parts = text.split(';').map(str::trim);
    let json = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"));
    json && parts.filter_map(|parameter| parameter.split_once('=')).all(|(name, value)| {
        !name.trim().eq_ignore_ascii_case("charset") || value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
    })
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    const LONG: Duration = Duration::from_secs(5);

    fn streamed(pieces: Vec<&'static str>) -> Body {
        Body::from_stream(stream::iter(pieces.into_iter().map(Ok::<_, std::io::Error>)))
    }

    #[tokio::test]
    async fn a_body_up_to_the_limit_is_read_whole() {
        assert_eq!(read(Body::from("12345"), 5, LONG).await.unwrap(), "12345");
        assert_eq!(read(streamed(vec!["12", "", "345", "6"]), 6, LONG).await.unwrap(), "123456");
        assert_eq!(read(Body::empty(), 0, LONG).await.unwrap(), "");
    }

    #[tokio::test]
    async fn one_byte_more_is_too_large_announced_or_not() {
        for body in [Body::from("123456"), streamed(vec!["123", "456"]), streamed(vec!["123456"])] {
            let error = read(body, 5, LONG).await.unwrap_err();
            assert_eq!((error.reason(), error.status().as_u16()), ("BodyTooLarge", 413));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_ends_is_given_up() {
        let body = Body::from_stream(stream::pending::<Result<&'static str, std::io::Error>>());
        assert_eq!(read(body, 5, LONG).await.unwrap_err().reason(), "BodyTimeout");
    }

    #[tokio::test]
    async fn a_broken_body_is_an_error_and_no_short_body() {
        let body = Body::from_stream(stream::iter([Ok("12"), Err(std::io::Error::other("reset"))]));
        assert_eq!(read(body, 50, LONG).await.unwrap_err().reason(), "BodyBroken");
    }

    #[test]
    fn json_is_told_by_exactly_one_content_type() {
        let headers = |values: &[&'static str]| {
            values.iter().map(|v| (CONTENT_TYPE, http::HeaderValue::from_static(v))).collect::<HeaderMap>()
        };
        for good in [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            "application/json;charset=\"UTF-8\"",
            "application/json; x=1",
        ] {
            assert!(is_json(&headers(&[good])), "{good}");
        }
        for bad in [
            "",
            "text/plain",
            "application/jsonp",
            "application/json, text/plain",
            "application/json; charset=utf-16",
            "text/plain; application/json",
        ] {
            assert!(!is_json(&headers(&[bad])), "{bad}");
        }
        assert!(!is_json(&HeaderMap::new()));
        assert!(!is_json(&headers(&["application/json", "application/json"])));
    }
}
