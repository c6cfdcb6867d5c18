//! Why a request on a proxy path is not answered by its upstream.

use crate::audit::Unrecorded;
use crate::pipeline::upstream::UpstreamError;
use aperium_core::path_join::PathError;
use aperium_platform::egress::EgressError;
use http::StatusCode;

/// Why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProxyError {
    /// The connector is not there, or the caller may not use its proxy path: the same answer.
    #[error("access denied")]
    Denied,
    /// Tenants are configured, and the caller has none.
    #[error("access denied: the caller belongs to no tenant")]
    NoTenant,
    /// A method that is not passed on.
    #[error("method not allowed")]
    Method,
    /// The path could leave the connector's own URL.
    #[error("path not allowed: {0}")]
    Path(PathError),
    /// The caller wants to change the protocol.
    #[error("protocol upgrades are not supported")]
    Upgrade,
    /// The body is larger than the limit.
    #[error("request body holds more than {0} bytes")]
    TooLarge(u64),
    /// The body did not arrive in time.
    #[error("request body was not received in time")]
    Slow,
    /// The upstream sends the caller somewhere else.
    #[error("upstream redirect blocked")]
    Redirect(u16),
    /// No answer within the limit of a call.
    #[error("upstream gave no answer in time")]
    Timeout,
    /// It may write, and cannot be put on record.
    #[error("the request was not sent on: {0}: try again later")]
    Unrecorded(#[from] Unrecorded),
    /// No usable answer.
    #[error(transparent)]
    Upstream(Unreached),
}

/// An upstream that gave no usable answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("upstream unavailable: {outside}")]
pub(crate) struct Unreached {
    /// For metrics.
    pub(super) reason: &'static str,
    outside: String,
    inside: String,
    /// Whether a kept connection was found closed before anything was sent.
    pub(super) unsent: bool,
}

impl From<UpstreamError> for ProxyError {
    fn from(error: UpstreamError) -> Self {
        match error {
            UpstreamError::Timeout | UpstreamError::Egress(EgressError::Timeout { .. }) => Self::Timeout,
            error => Self::Upstream(Unreached {
                reason: error.reason(),
                outside: error.outside(),
                inside: error.to_string(),
                unsent: matches!(error, UpstreamError::Egress(EgressError::Unsent { .. })),
            }),
        }
    }
}

impl ProxyError {
    /// The reason for logs and metric labels.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Denied => "AccessDenied",
            Self::NoTenant => "NoTenant",
            Self::Method => "MethodNotAllowed",
            Self::Path(error) => error.reason(),
            Self::Upgrade => "UpgradeRefused",
            Self::TooLarge(_) => "BodyTooLarge",
            Self::Slow => "BodyTimeout",
            Self::Redirect(_) => "RedirectBlocked",
            Self::Timeout => "Timeout",
            Self::Unrecorded(refused) => refused.reason(),
            Self::Upstream(unreached) => unreached.reason,
        }
    }

    /// The outcome in metrics: a closed set.
    pub(crate) fn outcome(&self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::NoTenant => "no_tenant",
            Self::Method | Self::Path(_) | Self::Upgrade | Self::TooLarge(_) | Self::Slow => "invalid",
            Self::Redirect(_) => "redirect_blocked",
            Self::Timeout => "timeout",
            Self::Unrecorded(_) => "unrecorded",
            Self::Upstream(_) => "unavailable",
        }
    }

    /// The status of the answer.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Denied | Self::NoTenant => StatusCode::FORBIDDEN,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Path(_) | Self::Upgrade => StatusCode::BAD_REQUEST,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Redirect(_) | Self::Upstream(_) => StatusCode::BAD_GATEWAY,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Unrecorded(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// What only the log says.
    pub(crate) fn inside(&self) -> Option<&str> {
        match self {
            Self::Upstream(unreached) => Some(&unreached.inside),
            _ => None,
        }
    }
}
