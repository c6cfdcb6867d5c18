//! What the whole-system tests stand on: processes, a real PostgreSQL, a real Kubernetes, its audit log, a raw HTTP client, a scan for secrets.
//!
//! Everything here fails by panicking with the reason, as a test does: a harness that returns errors would only move the
//! `expect` into every test. Whatever is started ends with its value, and also when the test process is killed.
#![expect(clippy::expect_used, clippy::panic, reason = "this is test code: a failure of the harness is a failed test")]

pub mod audit;
pub mod binaries;
pub mod canary;
pub mod cluster;
mod environment;
pub mod foreign;
pub mod http;
pub mod images;
pub mod mcp;
pub mod ports;
pub mod postgres;
pub mod process;
pub mod wait;
