//! The MCP services of Aperium: one connector in front of one company system.
//!
//! ```text
//! args, env ─► ServiceConfig ─► serve: bearer ─► guard ─► rmcp ─► call (effect, limits) ─► Tool ─► Upstream
//!                               lease ─► tenants: one redeemed credential for a few seconds ─► Upstream of the call
//!                               watch: credentials ─► binding ─► probe ─► /readyz, metrics
//! ```
//! What comes in: a module name, a service token, credentials, settings. What goes out: `/mcp`, `/healthz`,
//! `/readyz`, `/metrics`. A new connector is one folder below [`connectors`] and one line in its list; everything
//! it may rely on is in [`connector`].

pub mod args;
pub mod broker;
mod calls;
mod catalog;
mod config;
#[cfg(test)]
mod conformance;

pub mod connector;
pub mod connectors;
mod credentials;
mod metrics;
mod run;
mod server;
mod service;
pub mod worker;

pub use calls::{CallRules, CallRulesError, Writes};
pub use config::{ServeError, ServiceConfig, serve};
pub use credentials::CredentialsSource;
pub use run::run;
