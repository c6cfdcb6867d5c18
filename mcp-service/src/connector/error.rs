//! The one error of all tools: any upstream failure comes in, a stable code and a short sentence go out.
//!
//! A message names what to do, in words of ours. It never holds a token, a header, a trace, or a whole upstream body.

use std::time::Duration;

use aperium_platform::trial::Step;

/// The longest message that leaves the service, in bytes.
const MAX_MESSAGE: usize = 600;

/// What went wrong, as one word that agents and dashboards can rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorCode {
    /// The arguments are wrong; repeating the same call is useless.
    InvalidArgument,
    /// What the arguments name does not exist.
    NotFound,
    /// The upstream refuses the credentials.
    AuthFailed,
    /// The credentials are good but may not do this, or a rule of ours forbids it.
    Forbidden,
    /// The state of the upstream is against it: a duplicate, a lost precondition, a deadlock.
    Conflict,
    /// A quota of the upstream is used up; see `retry_after_s`.
    RateLimited,
    /// The answer or the argument is larger than the limit.
    TooLarge,
    /// No answer within the time limit; nothing was changed.
    Timeout,
    /// The upstream cannot be reached or is down.
    UpstreamUnavailable,
    /// The upstream answered something else; see `upstream_status`.
    Upstream,
    /// A write whose answer was lost. It may or may not have happened and is never repeated.
    OutcomeUnknown,
}

impl ErrorCode {
    /// The word in the answer: snake case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidArgument => "invalid_argument",
            Self::NotFound => "not_found",
            Self::AuthFailed => "auth_failed",
            Self::Forbidden => "forbidden",
            Self::Conflict => "conflict",
            Self::RateLimited => "rate_limited",
            Self::TooLarge => "too_large",
            Self::Timeout => "timeout",
            Self::UpstreamUnavailable => "upstream_unavailable",
            Self::Upstream => "upstream",
            Self::OutcomeUnknown => "outcome_unknown",
        }
    }
}

/// A failed tool call, as the caller sees it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}: {message}", code.as_str())]
pub struct ToolError {
    /// What kind of failure.
    pub code: ErrorCode,
    /// One or two sentences for people and agents, free of secrets.
    pub message: String,
    /// The HTTP status of the upstream, where there was one.
    pub upstream_status: Option<u16>,
    /// The upstream's own code, such as an SQLSTATE.
    pub upstream_code: Option<String>,
    /// How long to wait before a repeat makes sense.
    pub retry_after: Option<Duration>,
    /// Where on the way to the upstream it failed, if it is known to be before an answer.
    pub failed_at: Option<Step>,
}

impl ToolError {
    /// An error with a code and a message (cut to 600 bytes, control characters removed).
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: tidy(&message.into()),
            upstream_status: None,
            upstream_code: None,
            retry_after: None,
            failed_at: None,
        }
    }

    /// The arguments are wrong.
    #[must_use]
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidArgument, message)
    }

    /// What is asked for does not exist.
    #[must_use]
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::NotFound, message)
    }

    /// The upstream refuses the credentials, or they are missing.
    #[must_use]
    pub fn auth_failed(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::AuthFailed, message)
    }

    /// Not allowed.
    #[must_use]
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Forbidden, message)
    }

    /// The upstream cannot be reached.
    #[must_use]
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::UpstreamUnavailable, message)
    }

    /// The upstream answered with something unexpected.
    #[must_use]
    pub fn upstream(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Upstream, message)
    }

    /// Adds the HTTP status of the upstream.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.upstream_status = Some(status);
        self
    }

    /// Adds the upstream's own code.
    #[must_use]
    pub fn with_upstream_code(mut self, code: impl Into<String>) -> Self {
        self.upstream_code = Some(tidy(&code.into()));
        self
    }

    /// Says where on the way to the upstream it failed.
    #[must_use]
    pub fn at(mut self, step: impl Into<Option<Step>>) -> Self {
        self.failed_at = step.into();
        self
    }

    /// Adds how long to wait.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }
}

/// One line, no control characters, at most [`MAX_MESSAGE`] bytes, cut at a character.
fn tidy(text: &str) -> String {
    let mut out: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if out.len() > MAX_MESSAGE {
        let mut end = MAX_MESSAGE;
        while !out.is_char_boundary(end) {
            end -= 1;
        }
        out.truncate(end);
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_of_bounded_length() {
        let error = ToolError::invalid(format!("a\nb\u{1b}[31m{}", "ä".repeat(1000)));
        assert!(error.message.starts_with("a b [31m"));
        assert!(error.message.len() <= MAX_MESSAGE + '…'.len_utf8());
        assert!(error.message.ends_with('…'));
    }
}
