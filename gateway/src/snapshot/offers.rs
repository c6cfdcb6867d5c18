//! All that one upstream offers: a set of each kind, and what it says of itself.

use super::kind::{Kind, PerKind};
use super::set::Set;
use crate::catalog::ConnectorConfig;
use crate::discovery::list::Listing;
use crate::pipeline::upstream::about::About;
use std::sync::Arc;

/// What one upstream offers.
#[derive(Debug, Default)]
pub(crate) struct Offers {
    sets: PerKind<Set>,
    /// What it says of itself.
    pub(crate) about: Arc<About>,
}

impl Offers {
    /// Builds it from what was listed.
    pub(crate) fn build(config: &ConnectorConfig, listing: &Listing) -> Self {
        Self {
            sets: PerKind::from_fn(|kind| Set::build(config, kind, listing.lists.of(kind))),
            about: Arc::clone(&listing.about),
        }
    }

    /// What it offers of a kind.
    pub(crate) fn of(&self, kind: Kind) -> &Set {
        self.sets.of(kind)
    }

    /// Whether nothing was found at all.
    pub(crate) fn is_empty(&self) -> bool {
        Kind::ALL.iter().all(|kind| self.of(*kind).len() == 0)
    }

    /// Everything that was put in quarantine: kind, name, hash.
    pub(crate) fn quarantined(&self) -> impl Iterator<Item = (Kind, &str, &str)> {
        Kind::ALL.into_iter().flat_map(|kind| {
            self.of(kind).quarantined.iter().map(move |(name, hash)| (kind, name.as_str(), hash.as_str()))
        })
    }

    /// Tells the log what was left out, and why.
    pub(crate) fn warn(&self, connector: &str) {
        for (kind, name, hash) in self.quarantined() {
            let kind = kind.noun();
            tracing::warn!(connector, kind, name, hash, "in quarantine: its texts carry hidden characters");
        }
        for (tool, why) in &self.of(Kind::Tools).malformed {
            tracing::warn!(connector, tool, why, "tool is left out");
        }
    }
}
