//! The charts, what is generated from them, the examples and the NetworkPolicies: rendered by the real helm, checked
//! without a cluster.
//!
//! ```text
//! charts + ci/*-values.yaml ──helm──► objects ──► strict types, policy of pods, RBAC, relations
//! NetworkPolicies (chart's, operator's) ──evaluator──► every edge allowed or denied
//! ```
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "this is test code: a failure is a failed test"
)]

mod examples;
mod generated;
mod install;
mod network;
mod policy;
mod rbac;
mod relations;
mod render;
mod rendered;
mod strict;
mod values;
