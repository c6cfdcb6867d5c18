//! Why an upstream gave no usable answer: what callers read of it, and whether anything may have happened.

use crate::consent::ConsentError;
use crate::pipeline::credential::CredentialError;
use aperium_platform::egress::EgressError;

/// Why an upstream gave no usable answer.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum UpstreamError {
    /// Nothing is deployed.
    #[error("{0}")]
    Absent(String),
    /// The credential that belongs to the request is not there.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// No connection, or the exchange broke.
    #[error(transparent)]
    Egress(#[from] EgressError),
    /// It refused our credential.
    #[error("it refused the credential (HTTP {0})")]
    Refused(u16),
    /// It answered with another HTTP error.
    #[error("it answered with HTTP {0}")]
    Status(u16),
    /// Its session has ended.
    #[error("its session had ended and is being renewed")]
    SessionEnded,
    /// More requests are under way on its stream than it may carry.
    #[error("too many requests to it are under way")]
    Busy,
    /// It speaks something else than MCP.
    #[error("it does not answer as an MCP server: {0}")]
    Protocol(&'static str),
    /// Its answer is larger than the limit.
    #[error("its answer holds more than {0} bytes")]
    TooLarge(usize),
    /// The answer broke off.
    #[error("its answer broke off")]
    Broken,
    /// It needs an answer that this client cannot give.
    #[error("it asks for something that this client does not offer")]
    NotOffered,
    /// The client has refused to answer.
    #[error("the client has refused what it asked for")]
    Declined,
    /// It asks on and on.
    #[error("it asks more than is allowed")]
    TooManyRounds,
    /// No answer in time.
    #[error("no answer in time")]
    Timeout,
}

impl UpstreamError {
    /// The reason for conditions and metric labels.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Absent(_) => "NotDeployed",
            Self::Credential(error) => error.reason(),
            Self::Egress(error) => error.reason(),
            Self::Refused(_) => "AuthFailed",
            Self::Status(_) => "UpstreamError",
            Self::SessionEnded => "SessionEnded",
            Self::Busy => "Busy",
            Self::Protocol(_) => "NotMcp",
            Self::TooLarge(_) => "AnswerTooLarge",
            Self::Broken => "AnswerBroken",
            Self::NotOffered => "InputNotOffered",
            Self::Declined => "InputDeclined",
            Self::TooManyRounds => "TooManyRounds",
            Self::Timeout => "Timeout",
        }
    }

    /// What a caller may read: no addresses, which belong to the log and the Connector's status.
    pub(crate) fn outside(&self) -> String {
        match self {
            Self::Egress(EgressError::Connect { .. } | EgressError::ConnectTimeout { .. }) => {
                "connection refused".to_owned()
            }
            Self::Egress(EgressError::Resolve { .. } | EgressError::ResolveTimeout { .. }) => {
                "name not resolved".to_owned()
            }
            Self::Egress(EgressError::Timeout { .. }) => "no answer in time".to_owned(),
            Self::Egress(EgressError::Send { .. }) => "connection lost".to_owned(),
            Self::Egress(error) => error.reason().to_owned(),
            Self::Credential(error) => error.outside().to_owned(),
            Self::Absent(_) => "not deployed".to_owned(),
            other => other.to_string(),
        }
    }

    /// Whether it is certain that nothing was sent.
    pub(crate) fn before_send(&self) -> bool {
        match self {
            Self::Egress(error) => error.before_send(),
            // The upstream itself has said so.
            Self::Credential(CredentialError::Consent(ConsentError::MoreScope | ConsentError::AskedAlready)) => false,
            Self::Absent(_) | Self::Credential(_) | Self::Busy => true,
            _ => false,
        }
    }

    /// Whether the call may have had its effect although no answer came.
    pub(crate) fn outcome_unknown(&self) -> bool {
        match self {
            Self::Egress(error) => !error.before_send(),
            Self::TooLarge(_) | Self::Broken | Self::Timeout => true,
            _ => false,
        }
    }
}
