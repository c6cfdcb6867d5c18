//! A failure → status, JSON-RPC code, headers and body.

use super::message::{json, rpc_error};
use super::{Failure, SUPPORTED_VERSIONS};
use crate::entry::http::{self as proxy, ProxyError};
use crate::raw::RawWriter;
use crate::trail;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use serde_json::value::RawValue;

impl Failure {
    fn status(&self, stateless: bool) -> StatusCode {
        match self {
            Self::Host | Self::Origin | Self::NoRole | Self::NotAdmin => StatusCode::FORBIDDEN,
            Self::Forbidden(_) | Self::InsufficientScope(_) | Self::NoTenant => StatusCode::FORBIDDEN,
            Self::TooMany(_) | Self::TooManySubscriptions => StatusCode::TOO_MANY_REQUESTS,
            Self::BadGateway(_) => StatusCode::BAD_GATEWAY,
            Self::Rejected(_) => StatusCode::BAD_REQUEST,
            Self::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::Stale(_) => StatusCode::PRECONDITION_FAILED,
            Self::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::Unauthenticated { .. } => StatusCode::UNAUTHORIZED,
            Self::AuthenticationDown(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::NotFound | Self::UnknownSession => StatusCode::NOT_FOUND,
            Self::Proxy(error) => error.status(),
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Body(status) => *status,
            Self::InternalHeader(_)
            | Self::Parse(_)
            | Self::InvalidRequest(_)
            | Self::NotAsked
            | Self::MissingMeta(_)
            | Self::HeaderMismatch(_)
            | Self::UnsupportedVersion(_) => StatusCode::BAD_REQUEST,
            // The stateless protocol maps an unknown method to 404; the older ones answer within a 200.
            Self::MethodNotFound(_) if stateless => StatusCode::NOT_FOUND,
            Self::MethodNotFound(_)
            | Self::InvalidParams(_)
            | Self::UnknownTool(_)
            | Self::UnknownPrompt(_)
            | Self::UnknownResource(_)
            | Self::UnknownTemplate(_) => StatusCode::OK,
        }
    }

    /// The JSON-RPC code; `None` for what is answered as plain HTTP.
    fn code(&self, stateless: bool) -> Option<i32> {
        match self {
            Self::Host
            | Self::Origin
            | Self::InternalHeader(_)
            | Self::Unauthenticated { .. }
            | Self::AuthenticationDown(_)
            | Self::NoRole
            | Self::NotAdmin
            | Self::Forbidden(_)
            | Self::InsufficientScope(_)
            | Self::NoTenant
            | Self::TooMany(_)
            | Self::BadGateway(_)
            | Self::Rejected(_)
            | Self::Invalid(_)
            | Self::Conflict(_)
            | Self::Stale(_)
            | Self::Unavailable { .. }
            | Self::NotFound
            | Self::Proxy(_)
            | Self::Method => None,
            Self::Parse(_) => Some(-32700),
            Self::MediaType
            | Self::NotAcceptable
            | Self::TooLarge(_)
            | Self::Body(_)
            | Self::InvalidRequest(_)
            | Self::UnknownSession
            | Self::NotAsked => Some(-32600),
            Self::MethodNotFound(_) => Some(-32601),
            // Until 2025-11-25 a resource that is not there had a code of its own (SEP-2164).
            Self::UnknownResource(_) if !stateless => Some(-32002),
            Self::InvalidParams(_)
            | Self::MissingMeta(_)
            | Self::UnknownTool(_)
            | Self::UnknownPrompt(_)
            | Self::UnknownResource(_)
            | Self::UnknownTemplate(_) => Some(-32602),
            Self::TooManySubscriptions => Some(-32603),
            Self::HeaderMismatch(_) => Some(-32020),
            Self::UnsupportedVersion(_) => Some(-32022),
        }
    }

    /// What goes with the code.
    fn data(&self) -> Option<serde_json::Value> {
        match self {
            Self::UnsupportedVersion(requested) => {
                Some(serde_json::json!({ "supported": SUPPORTED_VERSIONS, "requested": requested }))
            }
            Self::UnknownResource(uri) => Some(serde_json::json!({ "uri": uri })),
            _ => None,
        }
    }

    /// The answer. `stateless`: the message came under the stateless protocol.
    pub(crate) fn respond(&self, id: Option<&RawValue>, stateless: bool) -> Response {
        trail::failed(self.outcome(), self.denies(), self.asked());
        let message = self.to_string();
        let body = match self.code(stateless) {
            None => {
                let mut writer = RawWriter::object(64);
                writer.text("error", &message);
                writer.finish()
            }
            Some(code) => {
                let mut error = RawWriter::object(96);
                error.raw("code", &code.to_string()).text("message", &message);
                if let Some(data) = self.data() {
                    error.raw("data", &data.to_string());
                }
                rpc_error(id, &error.finish())
            }
        };
        let mut response = json(self.status(stateless), body);
        self.add_headers(response.headers_mut());
        response
    }

    /// The answer of `/api`, whoever asks and whatever was asked: `{"error": …, "request_id": …}`.
    pub(crate) fn respond_api(&self, request_id: &str) -> Response {
        trail::failed(self.outcome(), self.denies(), self.asked());
        let mut writer = RawWriter::object(96);
        writer.text("error", &self.to_string()).text("request_id", request_id);
        let mut response = json(self.status(false), writer.finish());
        // A router knows better than a failure which methods a path takes.
        if !matches!(self, Self::Method) {
            self.add_headers(response.headers_mut());
        }
        response
    }

    fn add_headers(&self, headers: &mut http::HeaderMap) {
        let (name, value) = match self {
            Self::Unauthenticated { presented: false } => (header::WWW_AUTHENTICATE, "Bearer"),
            // RFC 6750 §3.1.
            Self::Unauthenticated { presented: true } => (header::WWW_AUTHENTICATE, "Bearer error=\"invalid_token\""),
            Self::Method => (header::ALLOW, "POST"),
            Self::Proxy(ProxyError::Method) => proxy::ALLOW,
            Self::AuthenticationDown(_) | Self::Unavailable { .. } => (header::RETRY_AFTER, "5"),
            _ => return,
        };
        headers.insert(name, HeaderValue::from_static(value));
    }
}
