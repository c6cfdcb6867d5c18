//! The one map from failures to HTTP and JSON-RPC.
//!
//! Every failure has an outside message (what the caller reads: nothing about other callers, grants, addresses or
//! credentials) and, where there is more to say, an inside message (what the log reads). A denied tool is the same
//! variant as an unknown one, so the two cannot differ by a byte.

use crate::entry::http::{self as proxy, ProxyError};
use crate::raw::RawWriter;
use crate::trail;
use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use serde_json::value::RawValue;

/// Versions of the protocol that the gateway speaks with clients, newest first.
pub(crate) const SUPPORTED_VERSIONS: [&str; 5] = ["2026-07-28", "2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"];

/// Why a request is not served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    // Before a caller is known: answered as plain HTTP.
    /// Not exactly one `Host` that this gateway is reached under.
    #[error("host not allowed: use a name of this gateway, or list this one in hosts.allowedHosts")]
    Host,
    /// A web page of an origin that is not listed.
    #[error("origin not allowed: list it in hosts.allowedOrigins if its pages may call this gateway")]
    Origin,
    /// A header that only a delegate may send.
    #[error("header {0} is not accepted here: leave it out")]
    InternalHeader(String),
    /// No token, or none that is accepted.
    #[error("unauthorized: send a valid token as Authorization: Bearer")]
    Unauthenticated {
        /// Whether a token came with the request.
        presented: bool,
    },
    /// Tokens cannot be checked at the moment.
    #[error("authentication is temporarily unavailable: try again later")]
    AuthenticationDown(String),
    /// No Grant matches the caller at all.
    #[error("access denied: no role granted")]
    NoRole,
    /// No such path, or a connector that the caller is granted nothing on.
    #[error("not found: check the path and the id of the connector")]
    NotFound,
    /// Only an admin may do this.
    #[error("access denied: this needs the role admin")]
    NotAdmin,
    /// The token lacks scopes that the settings want of its issuer: these.
    #[error("access denied: the token lacks a scope that is needed here")]
    InsufficientScope(String),
    /// Tenants are configured, and the caller has none.
    #[error("access denied: the caller belongs to no tenant")]
    NoTenant,
    /// The caller may not do this; says what it would take.
    #[error("{0}")]
    Forbidden(String),
    /// The caller has as many of something as it may have.
    #[error("{0}")]
    TooMany(String),
    /// A server that was named in the request does not do its part.
    #[error("{0}")]
    BadGateway(String),
    /// What was sent to the API cannot be used; says what to do.
    #[error("{0}")]
    Rejected(String),
    /// What was sent to the API is well-formed and not valid; says what to do.
    #[error("{0}")]
    Invalid(String),
    /// What is asked for does not fit what is there; says what to do.
    #[error("{0}")]
    Conflict(String),
    /// It was changed since the caller read it; says what to do.
    #[error("{0}")]
    Stale(String),
    /// Something that is needed for the answer is not there at the moment.
    #[error("{outside}")]
    Unavailable {
        /// What the caller reads.
        outside: &'static str,
        /// What the log says.
        inside: String,
    },
    /// A request on a proxy path.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// A session id that is none, or none of this caller, or that has ended: the same answer.
    #[error("session not found: send initialize again")]
    UnknownSession,
    /// An answer to a request that does not wait here.
    #[error("no request of this session waits for this answer: it was answered, cancelled, or took too long")]
    NotAsked,
    /// The path takes POST only.
    #[error("method not allowed")]
    Method,
    // A caller is known, a message is not: JSON-RPC without an id.
    /// The body is not `application/json`.
    #[error("Content-Type must be application/json")]
    MediaType,
    /// The client takes neither JSON nor an event stream.
    #[error("Accept must allow application/json or text/event-stream")]
    NotAcceptable,
    /// The body is larger than the limit.
    #[error("request body holds more than {0} bytes: send less")]
    TooLarge(usize),
    /// The body did not arrive, or not in time.
    #[error("request body could not be read: send all of it, without long pauses")]
    Body(StatusCode),
    /// Not JSON.
    #[error("{0}")]
    Parse(String),
    /// JSON, but no message.
    #[error("{0}")]
    InvalidRequest(&'static str),
    // A message is known: JSON-RPC with its id.
    /// The method is not served.
    #[error("Method not found: {0}")]
    MethodNotFound(String),
    /// The parameters are no good.
    #[error("Invalid params: {0}")]
    InvalidParams(String),
    /// A field of `_meta` that the stateless protocol needs is missing.
    #[error("Invalid params: request _meta must hold {0}")]
    MissingMeta(&'static str),
    /// The caller, or all callers together, listen to as many streams as they may.
    #[error("too many subscriptions are open: end one of them first")]
    TooManySubscriptions,
    /// A header says something else than the body.
    #[error("Header mismatch: {0}")]
    HeaderMismatch(String),
    /// A version of the protocol that is not spoken here.
    #[error("Unsupported protocol version")]
    UnsupportedVersion(String),
    /// The tool does not exist, or the caller may not use it: the same answer.
    #[error("Unknown tool: {0}")]
    UnknownTool(String),
    /// The same of a prompt.
    #[error("Unknown prompt: {0}")]
    UnknownPrompt(String),
    /// The same of a resource.
    #[error("Resource not found")]
    UnknownResource(String),
    /// The same of a resource template.
    #[error("Unknown resource template: {0}")]
    UnknownTemplate(String),
}

impl Failure {
    /// The outcome in metrics: a closed set.
    pub(crate) fn outcome(&self) -> &'static str {
        match self {
            Self::Host | Self::Origin | Self::InternalHeader(_) => "refused",
            Self::Unauthenticated { .. } => "unauthenticated",
            Self::AuthenticationDown(_) => "authentication_down",
            Self::NoRole => "no_role",
            Self::Proxy(error) => error.outcome(),
            Self::InsufficientScope(_) => "insufficient_scope",
            Self::NoTenant => "no_tenant",
            Self::NotAdmin | Self::Forbidden(_) => "not_admin",
            Self::TooMany(_) | Self::TooManySubscriptions => "too_many",
            Self::BadGateway(_) => "unavailable",
            Self::Conflict(_) | Self::Stale(_) => "conflict",
            Self::Unavailable { .. } => "unavailable",
            Self::UnknownTool(_) => "unknown_tool",
            Self::UnknownPrompt(_) => "unknown_prompt",
            Self::UnknownResource(_) | Self::UnknownTemplate(_) => "unknown_resource",
            Self::NotFound | Self::MethodNotFound(_) | Self::Method | Self::UnknownSession => "not_found",
            _ => "invalid",
        }
    }

    /// Whether it is the caller who may not: an unknown thing and a denied one are the same failure.
    fn denies(&self) -> bool {
        matches!(
            self,
            Self::NoRole
                | Self::InternalHeader(_)
                | Self::InsufficientScope(_)
                | Self::NoTenant
                | Self::NotAdmin
                | Self::Forbidden(_)
                | Self::NotFound
                | Self::UnknownTool(_)
                | Self::UnknownPrompt(_)
                | Self::UnknownResource(_)
                | Self::UnknownTemplate(_)
                | Self::Proxy(ProxyError::Denied | ProxyError::NoTenant)
        )
    }

    /// What the caller asked for, where it is not there or not for it.
    fn asked(&self) -> Option<&str> {
        match self {
            Self::UnknownTool(name) | Self::UnknownPrompt(name) => Some(name),
            Self::UnknownResource(name) | Self::UnknownTemplate(name) => Some(name),
            _ => None,
        }
    }

    /// What only the log says.
    pub(crate) fn inside(&self) -> Option<&str> {
        match self {
            Self::AuthenticationDown(cause) | Self::Unavailable { inside: cause, .. } => Some(cause),
            Self::Proxy(error) => error.inside(),
            _ => None,
        }
    }

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

/// A JSON-RPC error message around an error object.
pub(crate) fn rpc_error(id: Option<&RawValue>, error: &[u8]) -> Vec<u8> {
    let mut message = RawWriter::object(error.len() + 64);
    message.raw("jsonrpc", "\"2.0\"").raw("id", id.map_or("null", RawValue::get)).bytes("error", error);
    message.finish()
}

/// A JSON-RPC result message.
pub(crate) fn rpc_result(id: &RawValue, result: &[u8]) -> Vec<u8> {
    let mut message = RawWriter::object(result.len() + id.get().len() + 40);
    message.raw("jsonrpc", "\"2.0\"").raw("id", id.get()).bytes("result", result);
    message.finish()
}

/// A response that carries JSON.
pub(crate) fn json(status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A tool's own failure, as every client shows it to its model: an `isError` result.
pub(crate) fn tool_error(code: &str, message: &str, request_id: &str) -> Vec<u8> {
    let result = serde_json::json!({
        "resultType": "complete",
        "content": [{ "type": "text", "text": message }],
        "structuredContent": { "code": code, "message": message, "request_id": request_id },
        "isError": true,
    });
    result.to_string().into_bytes()
}

/// The same for what is no tool call: a JSON-RPC error object.
pub(crate) fn upstream_error(code: &str, message: &str, request_id: &str) -> Vec<u8> {
    let data = serde_json::json!({ "code": code, "request_id": request_id });
    let mut error = RawWriter::object(160);
    error.raw("code", "-32603").text("message", message).raw("data", &data.to_string());
    error.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;

    async fn read(response: Response) -> (u16, serde_json::Value) {
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap())
    }

    #[tokio::test]
    async fn before_a_message_is_known_failures_are_plain_http() {
        let (status, body) = read(Failure::NoRole.respond(None, false)).await;
        assert_eq!((status, body), (403, serde_json::json!({ "error": "access denied: no role granted" })));
        let response = Failure::Unauthenticated { presented: true }.respond(None, false);
        assert_eq!(response.headers()[header::WWW_AUTHENTICATE], "Bearer error=\"invalid_token\"");
    }

    #[tokio::test]
    async fn an_unknown_method_is_404_only_under_the_stateless_protocol() {
        let id: Box<RawValue> = serde_json::from_str("\"a\"").unwrap();
        let failure = Failure::MethodNotFound("x".into());
        let (status, body) = read(failure.respond(Some(&id), true)).await;
        assert_eq!((status, &body["id"], &body["error"]["code"]), (404, &"a".into(), &(-32601).into()));
        assert_eq!(read(failure.respond(Some(&id), false)).await.0, 200);
    }

    #[tokio::test]
    async fn an_unsupported_version_names_the_supported_ones_and_the_one_asked_for() {
        let (status, body) = read(Failure::UnsupportedVersion("v9".into()).respond(None, true)).await;
        assert_eq!((status, &body["error"]["code"]), (400, &(-32022).into()));
        assert_eq!(body["error"]["data"]["requested"], "v9");
        assert_eq!(body["error"]["data"]["supported"][0], "2026-07-28");
    }

    #[test]
    fn the_cause_of_an_outage_stays_inside() {
        let failure = Failure::AuthenticationDown("connect 10.0.0.1:443 refused".into());
        assert!(!failure.to_string().contains("10.0.0.1"));
        assert_eq!(failure.inside(), Some("connect 10.0.0.1:443 refused"));
    }

    /// One of each. The compiler does not check it: who adds a variant adds it here.
    fn every() -> Vec<Failure> {
        let said = || "name the field".to_owned();
        vec![
            Failure::Host,
            Failure::Origin,
            Failure::InternalHeader("x-aperium-user".into()),
            Failure::Unauthenticated { presented: false },
            Failure::AuthenticationDown("10.0.0.1:443".into()),
            Failure::NoRole,
            Failure::NotFound,
            Failure::NotAdmin,
            Failure::Forbidden(said()),
            Failure::InsufficientScope("mcp".into()),
            Failure::NoTenant,
            Failure::TooMany(said()),
            Failure::BadGateway(said()),
            Failure::Rejected(said()),
            Failure::Invalid(said()),
            Failure::Conflict(said()),
            Failure::Stale(said()),
            Failure::Unavailable { outside: "try again later", inside: "10.0.0.1:443".into() },
            Failure::Proxy(ProxyError::Upgrade),
            Failure::UnknownSession,
            Failure::NotAsked,
            Failure::Method,
            Failure::MediaType,
            Failure::NotAcceptable,
            Failure::TooLarge(1),
            Failure::Body(StatusCode::REQUEST_TIMEOUT),
            Failure::Parse("Parse error: malformed JSON at line 1 column 2".into()),
            Failure::InvalidRequest("`method` is missing"),
            Failure::MethodNotFound("x".into()),
            Failure::InvalidParams(said()),
            Failure::MissingMeta("a field"),
            Failure::TooManySubscriptions,
            Failure::HeaderMismatch("Mcp-Name and params.name differ".into()),
            Failure::UnsupportedVersion("v9".into()),
            Failure::UnknownTool("x".into()),
            Failure::UnknownPrompt("x".into()),
            Failure::UnknownResource("x".into()),
            Failure::UnknownTemplate("x".into()),
        ]
    }

    #[tokio::test]
    async fn every_failure_is_answered_with_its_own_message_on_one_line_and_nothing_from_inside() {
        let failures = every();
        let mut kinds: Vec<_> = failures.iter().map(std::mem::discriminant).collect();
        kinds.dedup();
        assert_eq!(kinds.len(), failures.len(), "one of each");
        let mut messages = std::collections::HashSet::new();
        for failure in failures {
            let message = failure.to_string();
            assert!(message.len() > 8 && message.len() < 160 && !message.contains('\n'), "{message:?}");
            for stateless in [false, true] {
                let (status, body) = read(failure.respond(None, stateless)).await;
                let (text, code) =
                    (body["error"]["message"].as_str().or(body["error"].as_str()), &body["error"]["code"]);
                assert_eq!(text, Some(&*message), "{failure:?}");
                assert!(status >= 400 || code.as_i64().is_some_and(|code| code < 0), "{failure:?}: {status} {body}");
                assert!(!body.to_string().contains("10.0.0.1"), "{body}");
            }
            let (_, body) = read(failure.respond_api("request-1")).await;
            assert_eq!((&body["error"], &body["request_id"]), (&message.as_str().into(), &"request-1".into()));
            messages.insert(message);
        }
        assert!(messages.len() > 25, "they can be told apart: {messages:?}");
    }
}
