//! The operator against a real API server: what it makes, keeps, puts right, refuses and leaves alone.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking and prints its seed")]

mod admission;
mod bed;
mod children;
mod grants;
mod many;
mod restart;
mod trust;
