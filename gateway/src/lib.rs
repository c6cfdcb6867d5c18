//! The gateway: one place where agents and backends reach every connector, each with what it was granted.
//!
//! ```text
//! request ──edge──► authn ──► authz (Permit) ──► route (Target) ──► credential ──► upstream
//!                                │                                                    │
//!            Snapshot ◄──discovery (folder or watch, polls)        answer, ids mapped back ──► caller
//! ```
//! The data path is lossless: of a message only the envelope is read, of a call only its name, `_meta` and progress
//! token; everything else goes through as it came.

mod access;
mod app;
mod audit;
pub mod broker;
mod catalog;
mod changes;
mod cluster;
pub mod config;
mod consent;
mod database;
mod discovery;
pub mod document;
mod entry;
mod era;
mod error;
pub mod explain;
#[cfg(test)]
mod fixtures;
pub mod folder;
mod front;
mod given;
pub mod login;
mod metrics;
mod pipeline;
mod raw;
mod registration;
mod registry;
mod run;
mod secrets;
mod session;
mod settings;
mod snapshot;
mod spans;
mod state;
mod status;
mod tally;
#[cfg(test)]
mod tests;
mod trail;
mod writer;

pub use access::Own;
pub use broker::BrokerConfig;
pub use catalog::{ResourceKey, Resources};
pub use config::{CatalogSource, GatewayConfig, Given, GivenService, Listeners, SettingsSource};
pub use run::{RunError, run};
pub use settings::SettingsFileError;
