//! HTTP for connectors: one request in, one bounded answer or a [`ToolError`] out; never a retry, never a redirect.

use std::time::Duration;

use aperium_core::effect::Effect;
use aperium_platform::egress::EgressError;
use aperium_platform::trial::Step;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use super::error::{ErrorCode, ToolError};
use super::upstream::Upstream;

/// A complete answer of an upstream, whatever its status.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body, within the limit of the call.
    pub body: Bytes,
    effect: Effect,
}

impl Upstream {
    /// Sends one request and reads at most `limit` bytes of the answer.
    ///
    /// `effect` is that of the tool: when the answer to anything but a read is lost after it was sent, the error is
    /// `outcome_unknown`.
    ///
    /// # Errors
    /// `forbidden` when the egress policy refuses the host, `upstream_unavailable`, `outcome_unknown`, or `too_large`.
    pub async fn send(&self, request: Request<Bytes>, effect: Effect, limit: usize) -> Result<Reply, ToolError> {
        let request = request.map(axum::body::Body::from);
        let answer = self.http().send(request).await.map_err(|error| from_egress(&error, effect))?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, limit).collect().await.map_err(|error| {
            if error.downcast_ref::<LengthLimitError>().is_some() {
                return too_large(head.status, effect, limit);
            }
            lost(effect, "the answer of the upstream broke off")
        })?;
        Ok(Reply { status: head.status, headers: head.headers, body: body.to_bytes(), effect })
    }
}

impl Reply {
    /// The answer itself when its status is 2xx.
    ///
    /// # Errors
    /// The status as a code of ours, with `retry_after` where the upstream gave one. The body is not quoted: a
    /// connector that knows its vendor's error format looks at `body` before it calls this.
    pub fn success(self) -> Result<Self, ToolError> {
        if self.status.is_success() { Ok(self) } else { Err(self.error("")) }
    }

    /// The body as JSON of a 2xx answer.
    ///
    /// # Errors
    /// As [`Reply::success`], and `upstream` when the body is not what was expected.
    pub fn json<T: DeserializeOwned>(self) -> Result<T, ToolError> {
        let reply = self.success()?;
        serde_json::from_slice(&reply.body).map_err(|error| {
            let message = format!("the upstream answered something unexpected ({:?} error)", error.classify());
            let code = if reply.effect == Effect::Read { ErrorCode::Upstream } else { ErrorCode::OutcomeUnknown };
            ToolError::new(code, message).with_status(reply.status.as_u16())
        })
    }

    /// The status as a code of ours; `detail` is what the vendor says, in words that may be shown.
    #[must_use]
    pub fn error(&self, detail: &str) -> ToolError {
        let status = self.status.as_u16();
        let code = match status {
            400 | 422 => ErrorCode::InvalidArgument,
            401 => ErrorCode::AuthFailed,
            403 => ErrorCode::Forbidden,
            404 | 410 => ErrorCode::NotFound,
            409 | 412 => ErrorCode::Conflict,
            413 => ErrorCode::TooLarge,
            429 => ErrorCode::RateLimited,
            // A gateway in between gave up: what the upstream did is not known.
            502 | 504 if self.effect != Effect::Read => ErrorCode::OutcomeUnknown,
            502..=504 => ErrorCode::UpstreamUnavailable,
            _ => ErrorCode::Upstream,
        };
        let message = if detail.is_empty() {
            format!("the upstream answered {status}")
        } else {
            format!("the upstream answered {status}: {detail}")
        };
        let error = ToolError::new(code, message).with_status(status);
        match retry_after(&self.headers) {
            Some(wait) => error.with_retry_after(wait),
            None => error,
        }
    }
}

/// `Retry-After` in seconds (RFC 9110 §10.2.3); the date form is rare and not worth a wrong clock.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.min(86_400)))
}

/// What a failed connection means for the tool.
fn from_egress(error: &EgressError, effect: Effect) -> ToolError {
    if error.refused() {
        let message = format!("the egress policy refuses this host ({})", error.reason());
        return ToolError::forbidden(message).at(failed_at(error));
    }
    if error.before_send() {
        let message = format!("the upstream cannot be reached ({})", error.reason());
        return ToolError::unavailable(message).at(failed_at(error));
    }
    lost(effect, "the connection to the upstream was lost")
}

/// The step that a connection got to; nothing where it came about.
pub(crate) fn failed_at(error: &EgressError) -> Option<Step> {
    match error {
        EgressError::Url(_) => Some(Step::Fields),
        EgressError::Resolve { .. } | EgressError::ResolveTimeout { .. } => Some(Step::Dns),
        EgressError::Refused { .. } => Some(Step::Policy),
        EgressError::Connect { .. } | EgressError::ConnectTimeout { .. } => Some(Step::Tcp),
        EgressError::Tls { .. } | EgressError::TlsSetup(_) => Some(Step::Tls),
        _ => None,
    }
}

fn lost(effect: Effect, what: &str) -> ToolError {
    if effect == Effect::Read {
        ToolError::unavailable(what)
    } else {
        ToolError::new(
            ErrorCode::OutcomeUnknown,
            format!("{what} after the request was sent: it may or may not have taken effect"),
        )
    }
}

fn too_large(status: StatusCode, effect: Effect, limit: usize) -> ToolError {
    let message = format!("the answer of the upstream is larger than {limit} bytes");
    // A write that succeeded stays a success that cannot be shown, not a failure that invites a repeat.
    let code = if effect == Effect::Read { ErrorCode::TooLarge } else { ErrorCode::OutcomeUnknown };
    ToolError::new(code, message).with_status(status.as_u16())
}
