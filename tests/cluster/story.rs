//! The words that the tests of the whole system are written in.

pub(crate) mod api;
pub(crate) mod broker;
pub(crate) mod connector;
pub(crate) mod database;
pub(crate) mod gateway;
pub(crate) mod install;
pub(crate) mod operator;
pub(crate) mod readiness;

/// Where everything is installed.
pub(crate) const SYSTEM: &str = "aperium-system";
