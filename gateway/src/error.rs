//! The one map from failures to HTTP and JSON-RPC.
//!
//! Every failure has an outside message (what the caller reads: nothing about other callers, grants, addresses or
//! credentials) and, where there is more to say, an inside message (what the log reads). A denied tool is the same
//! variant as an unknown one, so the two cannot differ by a byte.

use crate::entry::http::ProxyError;
use http::StatusCode;

mod answer;
mod message;
#[cfg(test)]
mod tests;

pub(crate) use message::{json, rpc_error, rpc_result, tool_error, upstream_error};

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
}
