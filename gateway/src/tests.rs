//! The whole gateway in one process: its router on one side, upstreams on loopback on the other.

mod access;
mod access_log;
mod api;
mod bad_input;
mod calls;
mod changes;
mod config;
mod conversation;
mod credentials;
mod discovery;
mod eras;
mod grants;
mod harness;
mod headers;
mod legacy_sse;
mod lossless;
mod many;
mod offers;
mod proxy;
mod registration;
mod resume;
mod sessions;
mod streams;
mod subscriptions;
mod system;
mod upstream_changes;
