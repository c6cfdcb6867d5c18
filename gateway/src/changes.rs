//! What changes, and who is told: upstreams say that something has changed, callers hear of what changed for them.
//!
//! ```text
//! upstream ──stream──► Listener ──list changed──► poller ──► Snapshot
//!                          └──resource updated──► Signals
//!                              Snapshot, Signals ──► Watch (one per stream) ──► caller
//! ```
//! A stream only makes things faster: what is listed is what the poller has found, and a stream that breaks takes
//! nothing away.

pub(crate) mod hub;
pub(crate) mod listener;
pub(crate) mod notice;
pub(crate) mod signals;
mod source;
pub(crate) mod watch;
