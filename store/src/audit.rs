//! The audit log: what was decided and done for whom, in a form that shows whether it was changed afterwards.
//!
//! ```text
//! Record ──► Body ──Batch──► one JSON text and the hash over it and the hash before: one chain per replica and tenant
//!                                └── heads of a replica's chains ──► Checkpoint, signed, itself in a chain
//! checkpoints, entries ──Verifier──► Report: intact, or what is missing, altered, moved
//! ```
//! The text is what is hashed, stored and exported, byte for byte; nothing is ever encoded again. Everything in here is
//! pure: it reads neither clocks nor databases.

mod batch;
pub mod chain;
pub mod checkpoint;
mod read;
pub mod record;
mod retention;
mod rows;
mod text;
pub mod verify;

pub use batch::{Batch, Tip};
pub use chain::{Chain, Entry, Hash, Head};
pub use checkpoint::{Checkpoint, Cuts, PublicKey, Signed, SigningKey};
pub use read::{Filter, Page, Place};
pub use record::{Access, Body, Decision, Line, Phase, Record, bounded};
pub use retention::Retained;
pub use verify::{Finding, Report, Verifier};
