//! The only way out: every connection of every service is dialled here, after its address was judged.
//!
//! ```text
//! URL or host:port ──policy (core rules)──► name allowed? ──resolve once──► every address allowed? ──dial──► stream
//!      ExternalClient (HTTP), GuardedDialer (other protocols)
//! operator-owned Service, EndpointSlice, started loopback service ──► ClusterEndpoint ──► ClusterClient
//! the broker address that the operator set, and its CA ──► BrokerClient
//! ```
//! Client types instead of a flag: a [`ClusterClient`] takes nothing but a [`ClusterEndpoint`], a [`BrokerClient`]
//! reaches the broker alone, an [`ExternalClient`] takes any URL and guards it. None follows redirects, reads proxy variables, decompresses, or
//! sends a request twice.

#[cfg(feature = "kubernetes")]
pub mod api_server;
mod broker;
mod cluster;
mod connect;
mod dial;
mod driven;
mod endpoint;
mod error;
mod exchange;
mod external;
mod facts;
mod policy;
mod resolve;
mod stream;
#[cfg(test)]
mod tests;
pub mod tls;

pub use aperium_core::egress::{
    ClusterFacts, EgressRules, HostPort, HostPortError, LoopbackOpening, Reach, Refusal, Resolution,
};
pub use broker::{BrokerAddress, BrokerClient};
pub use cluster::ClusterClient;
pub use dial::GuardedDialer;
pub use endpoint::{ClusterEndpoint, EndpointError, SliceEndpoint};
pub use error::EgressError;
pub use exchange::EgressBody;
pub use external::{ClientLimits, ExternalClient};
pub use facts::FactsFile;
pub use policy::{EgressPolicy, PolicyError};
pub use resolve::{Answer, Resolve, SystemResolver};
