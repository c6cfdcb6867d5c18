//! The ways in. Each only reads its request, runs the pipeline, and writes the answer.

pub(crate) mod api;
pub(crate) mod consent;
pub(crate) mod http;
pub(crate) mod mcp;
pub(crate) mod pages;
pub(crate) mod probes;
pub(crate) mod register;
