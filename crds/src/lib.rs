//! The public API: `Connector` and `Grant`, their generated YAML beside them, and the settings file.
//!
//! ```text
//! Rust types ──crd──► connector.yaml, grant.yaml (crdgen; a test compares)
//! YAML text ──yaml──► JSON ──structural──► defaulted and checked by the same schema and CEL rules
//!                                          that the API server uses ──► Connector, Grant, Settings
//! ```

#![expect(
    unreachable_pub,
    reason = "the KubeSchema derive makes a private copy of each struct with the struct's own visibility"
)]

pub mod condition;
pub mod connector;
pub mod crd;
pub mod grant;
pub mod settings;
pub mod structural;
pub mod yaml;

pub use connector::{Connector, ConnectorSpec, ConnectorStatus};
pub use grant::{Grant, GrantSpec, GrantStatus};
pub use settings::Settings;
