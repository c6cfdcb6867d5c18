//! Why a step cannot be done.

use crate::egress::EgressError;

/// Why a step of the flow failed. Holds nothing that another server wrote but codes of the specifications.
#[derive(Debug, Clone, thiserror::Error)]
pub enum OauthError {
    /// Somebody cannot be reached.
    #[error("{what}: {error}")]
    Egress {
        /// What was asked.
        what: &'static str,
        /// Why not.
        error: EgressError,
    },
    /// No whole answer within 10 s.
    #[error("{0} did not answer in time")]
    Timeout(&'static str),
    /// An answer broke off or is larger than 64 KiB.
    #[error("the answer of {0} broke off or is too large")]
    Broken(&'static str),
    /// Another status than the step knows.
    #[error("{what} answered with HTTP {status}")]
    Status {
        /// What was asked.
        what: &'static str,
        /// The status.
        status: u16,
    },
    /// An answer that is not what the specification says.
    #[error("{what}: {problem}")]
    Malformed {
        /// What was read.
        what: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A URL that is no absolute https URL without user and fragment.
    #[error("{0} is no https URL that can be used")]
    Url(&'static str),
    /// The upstream names no authorization server.
    #[error("the upstream publishes no authorization server")]
    NoServer,
    /// The resource metadata speak of another resource (RFC 9728 §3.3).
    #[error("the resource metadata are those of another resource")]
    ResourceMismatch,
    /// The server metadata speak of another issuer (RFC 8414 §3.3).
    #[error("the authorization server's metadata are those of another issuer")]
    IssuerMismatch,
    /// The authorization server does not say that it knows PKCE with S256.
    #[error("the authorization server does not offer PKCE with S256")]
    NoPkce,
    /// The gateway cannot become a client there.
    #[error("the authorization server takes neither a client metadata document nor a registration")]
    NoRegistration,
    /// The server refused: 400, 401 or 403.
    #[error("{what} refused with HTTP {status} ({code})")]
    Refused {
        /// What was asked.
        what: &'static str,
        /// The status.
        status: u16,
        /// A code of the specification, or "no known error code".
        code: &'static str,
    },
    /// The system gave no random numbers.
    #[error("no random numbers")]
    Random,
}

impl OauthError {
    /// `PascalCase` reason.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Egress { error, .. } => error.reason(),
            Self::Timeout(_) => "OAuthTimeout",
            Self::Broken(_) | Self::Status { .. } => "OAuthRequestFailed",
            Self::Malformed { .. } => "OAuthMalformed",
            Self::Url(_) => "OAuthInvalidUrl",
            Self::NoServer => "NoAuthorizationServer",
            Self::ResourceMismatch => "ResourceMismatch",
            Self::IssuerMismatch => "IssuerMismatch",
            Self::NoPkce => "PkceMissing",
            Self::NoRegistration => "RegistrationMissing",
            Self::Refused { .. } => "OAuthRefused",
            Self::Random => "NoRandomness",
        }
    }

    /// Whether the authorization server says that a consent counts no more: the user has to give it again.
    #[must_use]
    pub fn ends_consent(&self) -> bool {
        matches!(self, Self::Refused { code: "invalid_grant", .. })
    }
}
