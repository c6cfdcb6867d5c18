//! Resources, settings, endpoints and polls → Snapshots. One task owns all of it; everything else sends it events.
//!
//! ```text
//! folder or watch ──Resources, Placements,─┐
//!                   Secrets                │
//! settings file ──Settings─────────────────┼──► Manager ──► Catalog ──► Snapshot (swapped in)
//! one poller per connector ──Polled────────┘       └──► starts and stops pollers
//! ```

use crate::access::{Access, Own};
use crate::catalog::{Catalog, ConnectorConfig, ResourceKey, Resources};
use crate::pipeline::upstream::UpstreamError;
use crate::snapshot::{Entry, Health, Kind, Offers, Snapshot, system};
use crate::state::State;
use aperium_crds::Settings;
use aperium_crds::connector::Protocol;
use aperium_platform::egress::{ClusterClient, EgressError, ExternalClient};
use clients::{external, registrants};
use slot::{Slot, same_poll};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

mod clients;
mod event;
pub(crate) mod list;
pub(crate) mod poll;
pub(crate) mod pulse;
mod slot;

pub(crate) use event::{Event, Events, Placement, SecretSeen};

/// How much an event changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Dirty {
    Nothing,
    Snapshot,
    Catalog,
}

/// Owns all that changes.
pub(crate) struct Manager {
    state: Arc<State>,
    own: Own,
    events: Events,
    cluster: ClusterClient,
    external: Result<ExternalClient, EgressError>,
    /// Reaches `registration.allowHosts`.
    registrants: Result<ExternalClient, EgressError>,
    /// Counts new external clients: links made with an older one are stale.
    external_generation: u64,
    resources: Option<Resources>,
    /// The servers that registered themselves.
    registered: BTreeMap<ResourceKey, ConnectorConfig>,
    settings: Arc<Settings>,
    placements: HashMap<ResourceKey, Placement>,
    secrets: HashMap<ResourceKey, SecretSeen>,
    catalog: Arc<Catalog>,
    slots: BTreeMap<ResourceKey, Slot>,
    epoch: u64,
    changed: watch::Sender<()>,
    /// Who hears of the next Snapshot.
    waiting: Vec<oneshot::Sender<()>>,
}

impl Manager {
    /// A manager with the given settings and no resources. `changed` is told of every new Snapshot.
    pub(crate) fn new(
        state: Arc<State>,
        own: Own,
        settings: Arc<Settings>,
        events: Events,
        changed: watch::Sender<()>,
    ) -> Self {
        let (external, registrants) = (external(&settings), registrants(&settings));
        let catalog = Arc::clone(&state.snapshot.load().catalog);
        Self {
            state,
            own,
            events,
            cluster: ClusterClient::new(),
            external,
            registrants,
            external_generation: 0,
            resources: None,
            registered: BTreeMap::new(),
            settings,
            placements: HashMap::new(),
            secrets: HashMap::new(),
            catalog,
            slots: BTreeMap::new(),
            epoch: 0,
            changed,
            waiting: Vec::new(),
        }
    }

    /// The same with another way to remote connectors.
    #[cfg(test)]
    pub(crate) fn reaching(self, external: ExternalClient) -> Self {
        Self { external: Ok(external), ..self }
    }

    /// Takes events until the token is cancelled. Events that wait together make one Snapshot.
    pub(crate) async fn run(mut self, mut events: mpsc::Receiver<Event>, shutdown: CancellationToken) {
        loop {
            let event = tokio::select! {
                () = shutdown.cancelled() => return,
                event = events.recv() => event,
            };
            let Some(event) = event else { return };
            let mut dirty = self.take(event);
            while let Ok(event) = events.try_recv() {
                dirty = dirty.max(self.take(event));
            }
            if dirty == Dirty::Catalog {
                self.rebuild();
            }
            if dirty != Dirty::Nothing {
                self.publish();
            }
            for waiting in self.waiting.drain(..) {
                // Whoever asked may have left.
                let _ = waiting.send(());
            }
        }
    }

    /// Takes one event; what has to be done anew because of it.
    fn take(&mut self, event: Event) -> Dirty {
        match event {
            Event::Resources(resources) => {
                self.resources = Some(resources);
                Dirty::Catalog
            }
            Event::Settings(settings, tokens) => {
                let before = self.state.access.load();
                let access = Access::new(&self.own, &settings, &tokens, Some(&**before));
                self.state.access.store(Arc::new(access));
                if settings.egress != self.settings.egress
                    || settings.registration.allow_hosts != self.settings.registration.allow_hosts
                {
                    self.external = external(&settings);
                    self.registrants = registrants(&settings);
                    self.external_generation += 1;
                }
                self.settings = settings;
                Dirty::Catalog
            }
            Event::Placements(placements) => {
                self.placements = placements;
                Dirty::Catalog
            }
            Event::Wake(key) => {
                if let Some(slot) = self.slots.get(&key) {
                    slot.wake.notify_one();
                }
                Dirty::Nothing
            }
            Event::Polled(polled) => self.polled(polled),
            Event::Register(config) => {
                self.registered.insert(config.key.clone(), *config);
                Dirty::Catalog
            }
            Event::Unregister(key) => {
                self.registered.remove(&key);
                Dirty::Catalog
            }
            Event::Secret(key, seen) => self.secret(key, seen),
            Event::Credential(key) => match self.slots.get(&key) {
                Some(slot) => {
                    slot.wake.notify_one();
                    Dirty::Snapshot
                }
                None => Dirty::Nothing,
            },
            Event::Settled(waiting) => {
                self.waiting.push(waiting);
                Dirty::Nothing
            }
        }
    }

    fn rebuild(&mut self) {
        if let Some(resources) = &self.resources {
            self.catalog = Arc::new(Catalog::build(resources, Arc::clone(&self.settings), &self.own.namespace));
            self.reconcile();
        }
    }

    /// Starts, replaces and stops upstreams so that they are those of the Catalog.
    fn reconcile(&mut self) {
        let catalog = Arc::clone(&self.catalog);
        let mut before = std::mem::take(&mut self.slots);
        let registered: Vec<ConnectorConfig> = self.registered.values().cloned().collect();
        let wanted = || catalog.connectors.iter().chain(&registered);
        for config in wanted() {
            let source = self.source(config);
            let slot = match before.remove(&config.key) {
                Some(slot) if slot.source == source && same_poll(&slot.config, config) => self.keep(slot, config),
                _ => self.start(config, source),
            };
            self.slots.insert(config.key.clone(), slot);
        }
        let served: Vec<&str> = wanted().map(|config| config.id.as_str()).collect();
        for slot in before.values().filter(|slot| !served.contains(&slot.config.id.as_str())) {
            self.state.metrics.forget(slot.config.id.as_str());
        }
    }

    /// A Secret is another one, or may be used now: the next request carries what it says.
    fn secret(&mut self, key: ResourceKey, seen: Option<SecretSeen>) -> Dirty {
        let Some(seen) = seen else {
            self.secrets.remove(&key);
            return Dirty::Nothing;
        };
        let slot = self.slots.get(&key);
        let wanted = slot.is_some_and(|slot| slot.config.auth.as_ref().is_some_and(|auth| auth.secret == seen.secret));
        if let Some((slot, remote)) = slot.filter(|_| wanted).and_then(|slot| Some((slot, slot.credential.remote()?))) {
            remote.replace(&seen.found, &seen.reader);
            slot.wake.notify_one();
        }
        if let Some(people) = slot.filter(|_| wanted).and_then(|slot| slot.people.as_ref()) {
            people.desk().replace(&seen.secret, &seen.found);
        }
        self.secrets.insert(key, seen);
        if wanted { Dirty::Snapshot } else { Dirty::Nothing }
    }

    fn polled(&mut self, polled: poll::Polled) -> Dirty {
        // A poller that was stopped may have had its say already.
        let Some(slot) = self.slots.get_mut(&polled.key).filter(|slot| slot.epoch == polled.epoch) else {
            return Dirty::Nothing;
        };
        let id = slot.config.id.as_str();
        match polled.outcome {
            Ok(listing) => {
                let offers = Offers::build(&slot.config, &listing);
                offers.tell_changes(&slot.offers, id, &slot.meter);
                slot.offers = Arc::new(offers);
                slot.listing = listing;
                slot.health = Health::Registered;
                let tools = slot.offers.of(Kind::Tools);
                slot.meter.polled(Some(tools.len()));
                tracing::info!(connector = id, tools = tools.len(), digest = tools.digest, "connector registered");
                slot.offers.warn(id);
            }
            // The token of one user says nothing about what the others may use.
            Err(UpstreamError::Credential(_) | UpstreamError::Refused(_))
                if slot.people.is_some() && slot.health == Health::Registered =>
            {
                return Dirty::Nothing;
            }
            Err(error) => {
                tracing::warn!(connector = id, reason = error.reason(), %error, "connector unregistered");
                slot.meter.polled(None);
                slot.meter.failed(error.reason());
                slot.health =
                    Health::Unavailable { reason: error.reason(), outside: error.outside(), inside: error.to_string() };
            }
        }
        Dirty::Snapshot
    }

    fn publish(&self) {
        let entries = self.slots.values().map(|slot| {
            Arc::new(Entry {
                config: slot.config.clone(),
                upstream: Arc::clone(&slot.upstream),
                credential: slot.credential.clone(),
                people: slot.people.clone(),
                offers: Arc::clone(&slot.offers),
                health: slot.health.clone(),
                meter: slot.meter.clone(),
                pulse: Arc::clone(&slot.pulse),
            })
        });
        let http = self.catalog.connectors.iter().any(|config| config.protocol == Protocol::Http);
        let system = system::entry(http, self.state.metrics.meter("aperture"));
        let snapshot = Snapshot::new(Arc::clone(&self.catalog), entries.collect(), system);
        self.state.snapshot.store(Arc::new(snapshot));
        if self.resources.is_some() {
            self.state.loaded.store(true, Ordering::Release);
        }
        self.changed.send_replace(());
    }
}
