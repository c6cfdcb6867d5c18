//! What changes, and who is told: upstreams say that something has changed, callers hear of what changed for them.

pub(crate) mod notice;
