//! Everything that callers do, well and badly.

pub(crate) mod calls;
pub(crate) mod credentials;
pub(crate) mod document;
pub(crate) mod keys;
pub(crate) mod mistakes;
pub(crate) mod people;
pub(crate) mod reads;
pub(crate) mod service;
