//! Leases: for each call to a managed service the gateway signs who it is for, and the service reads nothing else.
//!
//! ```text
//! gateway: Claims ──LeaseSigner (key ring)──► al1.<key>.<claims>.<signature> ──X-Aperium-Lease──► pod
//! pod:     LeaseVerifier (public keys, re-read when they change) ──► Claims for this service, connector and tool
//! broker:  LeaseSigner::open ──► Claims, redeemed once
//! ```
//! One algorithm (Ed25519), one form, no field that chooses either. A lease holds no credential; it says for which
//! tenant the service may fetch one, within a minute and once.

use std::time::Duration;

mod claims;
mod form;
mod public;
mod signer;
#[cfg(test)]
mod tests;
mod verifier;

pub use claims::{Audience, AudienceError, Claims, LeaseId, Now, Scope};
pub use public::PublicKeys;
pub use signer::LeaseSigner;
pub use verifier::LeaseVerifier;

/// The header that carries a lease beside the service token.
pub const LEASE_HEADER: &str = "x-aperium-lease";
/// The longest life of a lease.
pub const MAX_LIFETIME: Duration = Duration::from_secs(60);
/// How far the clocks of gateway and pods may be apart.
pub const CLOCK_SKEW: Duration = Duration::from_secs(5);
/// A lease of more bytes is none.
pub const MAX_LEASE: usize = 4096;
/// The audience of the ServiceAccount token that a pod shows the broker.
pub const BROKER_AUDIENCE: &str = "aperium-broker";
/// The key of ConfigMap `aperium-lease-keys` with the CA of the broker, and the name of the file that it is mounted as.
pub const BROKER_CA: &str = "broker-ca.crt";
/// The tool's name in a lease that only asks a pod to try a tenant's credential. No tool can have it.
pub const PROBE: &str = "aperium/probe";

/// The tool's name in a lease that asks a pod to try values that an admin has not saved yet. No tool can have it.
pub const TRIAL: &str = "aperium/trial";

/// Why a lease is refused, or could not be made. Never quotes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    /// There are no keys to sign or verify with.
    #[error("there are no lease keys")]
    NoKeys,
    /// The system gave no random numbers.
    #[error("no random numbers")]
    Random,
    /// The claims are too long for a lease.
    #[error("the claims are too long for a lease")]
    TooLarge,
    /// Not of the form of a lease.
    #[error("the lease is malformed")]
    Malformed,
    /// Signed with a key that is not (or no longer) known.
    #[error("the lease is signed with an unknown key")]
    UnknownKey,
    /// The signature is not one of that key over these claims.
    #[error("the signature of the lease is wrong")]
    Signature,
    /// Too old.
    #[error("the lease has expired")]
    Expired,
    /// From the future, or valid for longer than a lease may be.
    #[error("the lease is valid at another time")]
    Time,
    /// For another service.
    #[error("the lease is for another service")]
    Audience,
    /// For another connector.
    #[error("the lease is for another connector")]
    Connector,
    /// For another tool.
    #[error("the lease is for another tool")]
    Tool,
    /// For another tenant.
    #[error("the lease is for another tenant")]
    Tenant,
}

impl LeaseError {
    /// `PascalCase` reason.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::NoKeys => "LeaseKeysMissing",
            Self::Random => "NoRandomness",
            Self::TooLarge => "LeaseTooLarge",
            Self::Malformed => "LeaseMalformed",
            Self::UnknownKey => "LeaseKeyUnknown",
            Self::Signature => "LeaseForged",
            Self::Expired => "LeaseExpired",
            Self::Time => "LeaseTimeInvalid",
            Self::Audience => "LeaseForOtherService",
            Self::Connector => "LeaseForOtherConnector",
            Self::Tool => "LeaseForOtherTool",
            Self::Tenant => "LeaseForOtherTenant",
        }
    }
}
