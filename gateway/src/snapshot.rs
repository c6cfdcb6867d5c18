//! Catalog and what was discovered as one immutable table. A request takes one Snapshot and sees nothing else; a change
//! makes another one, swapped in whole.

use crate::catalog::{Catalog, ConnectorConfig};
use crate::consent::People;
use crate::discovery::pulse::Pulse;
use crate::metrics::Meter;
use crate::pipeline::credential::Credential;
use crate::pipeline::upstream::Upstream;
use aperium_core::grant::{Granted, NoGrant};
use aperium_core::id::ConnectorId;
use aperium_crds::connector::Protocol;
use std::collections::HashMap;
use std::sync::Arc;

mod hidden;
mod instructions;
mod kind;
mod offers;
mod set;
pub(crate) mod system;
mod view;

pub(crate) use kind::{Kind, PerKind};
pub(crate) use offers::Offers;
pub(crate) use set::{Item, Set, user_interfaces};
pub(crate) use system::LIST_CONNECTORS;
use view::Views;
pub(crate) use view::{Digests, Identity, View, name_of};

/// What is known of an upstream at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Health {
    /// Not asked yet.
    Pending,
    /// The last poll succeeded.
    Registered,
    /// The last poll failed: nothing of it is listed.
    Unavailable {
        /// For conditions and metrics.
        reason: &'static str,
        /// What a caller may read.
        outside: String,
        /// What the status of the Connector says.
        inside: String,
    },
}

/// One connector with what is known of it.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Its configuration.
    pub(crate) config: ConnectorConfig,
    /// Its upstream.
    pub(crate) upstream: Arc<Upstream>,
    /// What it wants to see.
    pub(crate) credential: Credential,
    /// Its users, where each has a token of their own.
    pub(crate) people: Option<Arc<People>>,
    /// What the last good poll found.
    pub(crate) offers: Arc<Offers>,
    /// How it is.
    pub(crate) health: Health,
    /// Its metrics.
    pub(crate) meter: Meter,
    /// When it was last asked.
    pub(crate) pulse: Arc<Pulse>,
}

impl Entry {
    /// The connector as grants see it.
    pub(crate) fn granted(&self) -> Granted<'_> {
        Granted { id: &self.config.id, namespace: &self.config.key.namespace, labels: &self.config.labels }
    }

    /// Its tools.
    pub(crate) fn tools(&self) -> &Set {
        self.offers.of(Kind::Tools)
    }

    /// Whether it is asked what it offers.
    pub(crate) fn polled(&self) -> bool {
        self.config.protocol == Protocol::Mcp && !self.is_system()
    }

    /// Whether it is the gateway's own: nothing of it is asked of an upstream.
    pub(crate) fn is_system(&self) -> bool {
        system::is_system(self)
    }

    /// Whether what it offers is listed.
    pub(crate) fn registered(&self) -> bool {
        self.health == Health::Registered
    }
}

/// The table. `connectors` are sorted by id; the position after the last of them is the system connector's.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// All configuration.
    pub(crate) catalog: Arc<Catalog>,
    connectors: Vec<Arc<Entry>>,
    system: Option<Arc<Entry>>,
    by_id: HashMap<String, usize>,
    exposed: PerKind<HashMap<Box<str>, (usize, usize)>>,
    views: Views,
}

impl Snapshot {
    /// Builds the table. Exposed names of two connectors cannot meet: each starts with its connector's id.
    pub(crate) fn new(catalog: Arc<Catalog>, mut connectors: Vec<Arc<Entry>>, system: Option<Entry>) -> Self {
        connectors.sort_by(|a, b| a.config.id.cmp(&b.config.id));
        let system = system.map(Arc::new);
        let all = || connectors.iter().chain(&system).enumerate();
        let by_id = all().map(|(at, entry)| (entry.config.id.key(), at)).collect();
        let exposed = PerKind::from_fn(|kind| {
            let items = all().flat_map(|(at, entry)| {
                entry.offers.of(kind).iter().enumerate().map(move |(item, found)| (found.exposed.clone(), (at, item)))
            });
            items.collect()
        });
        Self { catalog, connectors, system, by_id, exposed, views: Views::default() }
    }

    /// All connectors but the system connector, sorted by id.
    pub(crate) fn connectors(&self) -> &[Arc<Entry>] {
        &self.connectors
    }

    /// The position of a connector, by id without regard to case.
    pub(crate) fn position(&self, id: &ConnectorId) -> Option<usize> {
        self.by_id.get(&id.key()).copied()
    }

    /// Connector and item behind an exposed name, URI or template.
    pub(crate) fn exposed(&self, kind: Kind, name: &str) -> Option<(usize, usize)> {
        self.exposed.of(kind).get(name).copied()
    }

    /// The connector at a position.
    pub(crate) fn at(&self, position: usize) -> Option<&Arc<Entry>> {
        if position == self.connectors.len() { self.system.as_ref() } else { self.connectors.get(position) }
    }

    /// The positions of all connectors, the system connector's among them, in the order of their ids.
    pub(crate) fn positions(&self) -> impl Iterator<Item = usize> {
        let before = match &self.system {
            Some(system) => self.connectors.partition_point(|entry| entry.config.id < system.config.id),
            None => self.connectors.len(),
        };
        let system = self.system.as_ref().map(|_| self.connectors.len());
        (0..before).chain(system).chain(before..self.connectors.len())
    }

    /// What a caller may see and use. Worked out once per caller and Snapshot.
    ///
    /// # Errors
    /// [`NoGrant`] when no Grant matches the caller at all.
    pub(crate) fn view(&self, identity: &Arc<Identity>) -> Result<Arc<View>, NoGrant> {
        self.views.of(identity, &self.catalog.grants, self.connectors.len() + 1)
    }
}
