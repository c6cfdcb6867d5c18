//! The client's half of OAuth 2.1 as MCP 2026-07-28 wants it, for connectors that each user authorises alone.
//!
//! ```text
//! 401 of the upstream ──challenge──► resource metadata ──resource──► server metadata ──server──► client ──► begin
//!                                                                                                            │
//!        tokens ◄──token── redeem ◄── judge ◄── the browser comes back with an answer ◄── authorization URL ◄┘
//! ```
//! Everything but [`Fetcher`] and the steps in `steps.rs` is pure. What an upstream or an authorization server writes
//! is never quoted in an error.
//!
//! RFC 9728 and 8414 (metadata), OpenID Connect Discovery, RFC 7636 (PKCE, S256 only), 8707 (`resource`), 9207 (`iss`),
//! 7591 (registration), client id metadata documents, 6749 (tokens), 7009 (revocation).

mod answer;
mod challenge;
mod client;
mod error;
mod fetch;
mod pkce;
mod resource;
mod scope;
mod server;
mod start;
mod steps;
mod token;
mod web;

pub use answer::{Answer, Denied};
pub use challenge::Challenge;
pub use client::{Client, ClientAuth, metadata_document};
pub use error::OauthError;
pub use fetch::Fetcher;
pub use pkce::{challenge, random};
pub use resource::{Resource, canonical};
pub use scope::{choose, union};
pub use server::{Server, Trust};
pub use start::{OWN_PARAMETERS, Pending, Wish, begin};
pub use steps::{Found, discover, redeem, refresh, register, revoke};
pub use token::{Form, Granted, UNKNOWN_CODE, error_code, form, life};
pub use web::is_loopback;
