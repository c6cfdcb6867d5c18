//! The way of a request, in the order of the files: who calls, what it may, where that is, with which credential.

pub(crate) mod action;
pub(crate) mod authn;
pub(crate) mod authz;
pub(crate) mod builtin;
pub(crate) mod carried;
pub(crate) mod clean;
pub(crate) mod credential;
pub(crate) mod edge;
pub(crate) mod route;
pub(crate) mod upstream;
