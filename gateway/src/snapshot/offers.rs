//! All that one upstream offers: a set of each kind, and what it says of itself.

use super::kind::{Kind, PerKind};
use super::set::{Item, Set, hash};
use crate::catalog::ConnectorConfig;
use crate::discovery::list::Listing;
use crate::metrics::Meter;
use crate::pipeline::upstream::about::About;
use std::sync::Arc;

/// So many names and changes of one poll are told; the rest is counted.
const TOLD: usize = 16;

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

    /// Tells the log and the metrics what differs from before: a definition that changes after somebody has looked at
    /// it is how tools are turned against their callers. One line says what was added, removed and changed; each
    /// changed definition, the first 16 of them, has a line of its own with its hash before and after.
    pub(crate) fn tell_changes(&self, before: &Self, connector: &str, meter: &Meter) {
        for kind in Kind::ALL {
            let (now, then) = (self.of(kind), before.of(kind));
            if then.digest.is_empty() || then.digest == now.digest {
                continue;
            }
            let added = named(now.iter().filter(|item| then.get(&item.name).is_none()));
            let removed = named(then.iter().filter(|item| now.get(&item.name).is_none()));
            let redefined: Vec<(&Item, &Item)> = now
                .iter()
                .filter_map(|item| Some((then.get(&item.name)?, item)))
                .filter(|(old, new)| old.definition != new.definition)
                .collect();
            let (noun, changed, digest) = (kind.noun(), redefined.len(), &now.digest);
            tracing::info!(connector, kind = noun, added, removed, changed, digest, "what is offered has changed");
            for (old, new) in redefined.iter().take(TOLD) {
                let (was, is) = (hash(&old.definition), hash(&new.definition));
                tracing::warn!(connector, kind = noun, name = &*new.name, was, is, "a definition has changed");
            }
            meter.redefined(noun, changed);
        }
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

/// How many there are, and the first of their names.
fn named<'i>(items: impl Iterator<Item = &'i Item>) -> String {
    let names: Vec<&str> = items.map(|item| &*item.name).collect();
    let first = names.get(..names.len().min(TOLD)).unwrap_or_default().join(", ");
    if names.is_empty() { "0".to_owned() } else { format!("{}: {first}", names.len()) }
}
