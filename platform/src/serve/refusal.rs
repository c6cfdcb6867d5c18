//! Why a request is refused before anything but its framing was looked at, and the answer to it.

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
};

/// Why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A line of the head ends with LF alone, or a CR stands alone.
    #[error("lines of a request head must end with CR LF")]
    LineEnd,
    /// Not `method SP target SP HTTP/1.x`.
    #[error("malformed request line")]
    RequestLine,
    /// A method that nobody here serves.
    #[error("method not allowed")]
    Method,
    /// Absolute-form, authority-form, asterisk-form, or characters that a target cannot hold.
    #[error("the request target must be a path")]
    Target,
    /// Not HTTP/1.0 or HTTP/1.1.
    #[error("HTTP version not supported")]
    Version,
    /// A header line without a name, with a folded value, or with characters that a header cannot hold.
    #[error("malformed header")]
    Header,
    /// An underscore: some programs read it as a hyphen.
    #[error("header names must not hold underscores")]
    Underscore,
    /// Not exactly one `Host` of the form `host[:port]`.
    #[error("exactly one Host of the form host[:port] is needed")]
    Host,
    /// Twice, with a sign, with leading zeros, a list, or too large.
    #[error("malformed Content-Length")]
    Length,
    /// Twice, or anything else than `chunked`, or under HTTP/1.0.
    #[error("Transfer-Encoding may be `chunked` only")]
    Coding,
    /// `Content-Length` and `Transfer-Encoding`.
    #[error("Content-Length and Transfer-Encoding exclude each other")]
    TwoLengths,
    /// `Connection` names a header that belongs to the message.
    #[error("Connection may not name other headers")]
    Connection,
    /// `Expect` with something else than `100-continue`.
    #[error("expectation cannot be met")]
    Expect,
    /// More bytes or headers than the limits allow.
    #[error("request head is too large")]
    HeadSize,
}

impl Refusal {
    /// `PascalCase` reason for metric labels.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::LineEnd => "LineEnd",
            Self::RequestLine => "RequestLine",
            Self::Method => "Method",
            Self::Target => "Target",
            Self::Version => "Version",
            Self::Header => "Header",
            Self::Underscore => "Underscore",
            Self::Host => "Host",
            Self::Length => "ContentLength",
            Self::Coding => "TransferEncoding",
            Self::TwoLengths => "TwoLengths",
            Self::Connection => "Connection",
            Self::Expect => "Expect",
            Self::HeadSize => "HeadTooLarge",
        }
    }

    /// The status of the answer.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::Expect => StatusCode::EXPECTATION_FAILED,
            Self::HeadSize => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// The answer; the connection ends with it.
    pub(super) fn respond(self) -> Response<Body> {
        let mut response = Response::new(Body::from(format!("{{\"error\":\"{self}\"}}")));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        if self == Self::Method {
            headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
        }
        response
    }
}

/// Counts refusals by reason, for whoever registers it.
#[derive(Debug, Clone, Default)]
pub struct Refusals(Family<Label, Counter>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Label {
    reason: &'static str,
}

impl Refusals {
    /// Puts the counter into a registry.
    pub fn register(&self, registry: &mut prometheus_client::registry::Registry) {
        let help = "Requests refused for their framing, before anything else was looked at";
        registry.register("refused_framing", help, self.0.clone());
    }

    pub(super) fn count(&self, refusal: Refusal) {
        self.0.get_or_create(&Label { reason: refusal.reason() }).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_is_json_as_it_stands() {
        for refusal in [Refusal::Host, Refusal::Coding, Refusal::Method] {
            let text = format!("{{\"error\":\"{refusal}\"}}");
            serde_json::from_str::<serde_json::Value>(&text).unwrap();
        }
        assert!(Refusal::Method.respond().headers().contains_key(header::ALLOW));
    }
}
