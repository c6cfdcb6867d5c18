//! The MCP services of Aperium: one connector in front of one company system.
//!
//! ```text
//! env, args -> ServiceConfig -> serve(): bearer -> guard -> rmcp -> call (effect, limits) -> Connector tool -> Upstream
//!                                        readiness: token, credentials, tool discovery -> /readyz, metrics
//! ```
//! What comes in: a module name, a service token, credentials, settings. What goes out: `/mcp`, `/healthz`,
//! `/readyz`, `/metrics`. A new connector is one folder below [`connectors`] and one line in its list; everything
//! it may rely on is in [`connector`].

pub mod connector;
pub mod connectors;
