//! The I/O edges that all services of Aperium share. Nothing else in the workspace opens a connection, serves one,
//! reads a token file or writes a log format.
//!
//! ```text
//! request ──serve──► request_id ──► bearer ──► body, json ──► (the service) ──► egress ──► the world
//!                                     probes, metrics ◄──┘         telemetry, shutdown: the process
//! ```

pub mod bearer;
pub mod body;
pub mod digest;
pub mod egress;
pub mod json;
#[cfg(feature = "kubernetes")]
pub mod leader;
pub mod lease;
pub mod metrics;
pub mod oauth;
pub mod probes;
pub mod request_id;
pub mod seal;
pub mod serve;
pub mod shutdown;
pub mod telemetry;
pub mod trial;
