//! Sessions of clients of the older era: what a replica can read out of the client's own `Mcp-Session-Id`, and what it
//! remembers beside it for as long as it lives.
//!
//! ```text
//! initialize ──► token (sealed: id, version, capabilities, expiry; bound to the caller) ──► Mcp-Session-Id
//! Mcp-Session-Id ──► Sessions ──► Live: own upstream sessions, requests that wait for the client, calls under way
//! ```
//! Any replica continues a session from its token alone. What is remembered here is lost with the replica: its upstream
//! sessions are opened again, and a call that waited for the client's answer ends as an error.

pub(crate) mod capabilities;
pub(crate) mod followed;
pub(crate) mod level;
pub(crate) mod live;
pub(crate) mod own;
pub(crate) mod parked;
pub(crate) mod streams;
mod table;
pub(crate) mod token;

pub(crate) use live::Live;
pub(crate) use table::Sessions;
