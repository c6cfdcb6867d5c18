//! The postgres connector as a whole service against a real PostgreSQL.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

#[path = "postgres/server.rs"]
mod server;
#[path = "postgres/service.rs"]
mod service;

#[path = "postgres/attacks.rs"]
mod attacks;
#[path = "postgres/limits.rs"]
mod limits;
#[path = "postgres/readiness.rs"]
mod readiness;
#[path = "postgres/reads.rs"]
mod reads;
#[path = "postgres/tenants.rs"]
mod tenants;
#[path = "postgres/tls.rs"]
mod tls;
#[path = "postgres/types.rs"]
mod types;
#[path = "postgres/writes.rs"]
mod writes;
