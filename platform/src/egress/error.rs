//! What can go wrong on the way out. The one question that callers ask: can anything have been sent?

use std::{error::Error, io, sync::Arc};

use aperium_core::egress::Refusal;

/// Why a connection or request failed. Carries hosts, never paths, queries, headers or bodies.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EgressError {
    /// The URL has no usable form: scheme other than http(s), user information, no host, a bad port.
    #[error("URL refused: {0}")]
    Url(&'static str),
    /// The egress policy closes this host or one of its addresses.
    #[error("{host} is a blocked address ({refusal})")]
    Refused {
        /// `host:port` as asked for.
        host: String,
        /// Which rule closed it.
        refusal: Refusal,
    },
    /// The name could not be resolved.
    #[error("cannot resolve {host}")]
    Resolve {
        /// The name.
        host: String,
        /// What the resolver said.
        #[source]
        source: Arc<io::Error>,
    },
    /// The resolver gave no answer in time.
    #[error("resolving {host} timed out")]
    ResolveTimeout {
        /// The name.
        host: String,
    },
    /// No connection could be established.
    #[error("cannot connect to {host}")]
    Connect {
        /// `host:port`.
        host: String,
        /// What the system said about the last address tried.
        #[source]
        source: Arc<io::Error>,
    },
    /// No connection within the connect timeout.
    #[error("connecting to {host} timed out")]
    ConnectTimeout {
        /// `host:port`.
        host: String,
    },
    /// The TLS handshake failed (certificate not trusted, wrong name, protocol).
    #[error("TLS handshake with {host} failed")]
    Tls {
        /// `host:port`.
        host: String,
        /// What rustls said.
        #[source]
        source: Arc<io::Error>,
    },
    /// This process has no usable TLS set-up, for instance because the image holds no CA certificates.
    #[error("TLS cannot be set up")]
    TlsSetup(#[source] Arc<rustls::Error>),
    /// A kept connection was closed just before the request was started on it; no byte of the request was written.
    #[error("connection to {host} was closed before the request was started")]
    Unsent {
        /// `host:port`.
        host: String,
        /// What the HTTP client said.
        #[source]
        source: Arc<dyn Error + Send + Sync>,
    },
    /// A connection existed, and the exchange broke: whether the other side acted is unknown.
    #[error("exchange with {host} broke off")]
    Send {
        /// `host:port`.
        host: String,
        /// What the HTTP client said.
        #[source]
        source: Arc<dyn Error + Send + Sync>,
    },
    /// No response head within the limit: whether the other side acted is unknown.
    #[error("{host} sent no response head in time")]
    Timeout {
        /// `host:port`.
        host: String,
    },
    /// The other side wants to change the protocol (101), which nobody asked for.
    #[error("{host} answered with a protocol switch")]
    Upgrade {
        /// `host:port`.
        host: String,
    },
}

impl EgressError {
    /// True only if it is certain that no byte of the request was sent: no connection came about, or a kept one was
    /// found closed before the request was started on it.
    #[must_use]
    pub const fn before_send(&self) -> bool {
        match self {
            Self::Url(_)
            | Self::Refused { .. }
            | Self::Resolve { .. }
            | Self::ResolveTimeout { .. }
            | Self::Connect { .. }
            | Self::ConnectTimeout { .. }
            | Self::Tls { .. }
            | Self::TlsSetup(_)
            | Self::Unsent { .. } => true,
            Self::Send { .. } | Self::Timeout { .. } | Self::Upgrade { .. } => false,
        }
    }

    /// `PascalCase` reason for conditions, events and metric labels.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Url(_) => "InvalidUrl",
            Self::Refused { refusal, .. } => refusal.reason(),
            Self::Resolve { .. } => "ResolveFailed",
            Self::ResolveTimeout { .. } => "ResolveTimeout",
            Self::Connect { .. } => "ConnectFailed",
            Self::ConnectTimeout { .. } => "ConnectTimeout",
            Self::Tls { .. } => "TlsFailed",
            Self::TlsSetup(_) => "TlsSetupFailed",
            Self::Unsent { .. } => "ConnectionClosed",
            Self::Send { .. } => "ExchangeFailed",
            Self::Timeout { .. } => "ResponseTimeout",
            Self::Upgrade { .. } => "ProtocolSwitch",
        }
    }

    /// True if the policy, not the network, stood in the way: trying again is of no use.
    #[must_use]
    pub const fn refused(&self) -> bool {
        matches!(self, Self::Url(_) | Self::Refused { .. })
    }
}
