//! Every line of the two documents about connectors that holds a curl or a JSON example, run as it is written against
//! a gateway that was prepared for it: `aperium up --config` over scripted upstreams. Hosts, ports, tokens and
//! upstream names are replaced, nothing else; one test for each example, named after it. Per-user OAuth comes with
//! identity.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod bed;
mod configuration;
mod requests;
mod upstreams;
