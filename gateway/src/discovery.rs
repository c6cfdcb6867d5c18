//! Resources, settings, endpoints and polls → Snapshots. One task owns all of it; everything else sends it events.
//!
//! ```text
//! folder or watch ──Resources, Placements,─┐
//!                   Secrets                │
//! settings file ──Settings─────────────────┼──► Manager ──► Catalog ──► Snapshot (swapped in)
//! one poller per connector ──Polled────────┘       └──► starts and stops pollers
//! ```

use crate::access::{Access, Own};
use crate::catalog::{Auth, Catalog, ConnectorConfig, Place, ResourceKey, Resources};
use crate::changes::listener::Listener;
use crate::consent::{self, Latest, People};
use crate::metrics::Meter;
use crate::pipeline::authn::static_tokens::TokenFiles;
use crate::pipeline::credential::{Credential, Remote, ServiceToken};
use crate::pipeline::upstream::link::Link;
use crate::pipeline::upstream::{Limits, Upstream, UpstreamError};
use crate::secrets::Found;
use crate::snapshot::{Entry, Health, Kind, Offers, Snapshot, system};
use crate::state::State;
use aperium_core::egress::{EgressRules, Reach};
use aperium_crds::Settings;
use aperium_crds::connector::Protocol;
use aperium_platform::egress::{ClusterClient, ClusterEndpoint, EgressError, EgressPolicy, ExternalClient};
use list::Listing;
use pulse::Pulse;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

pub(crate) mod list;
pub(crate) mod poll;
pub(crate) mod pulse;

/// How long the lists of a connector count whose users have tokens of their own.
const CATALOGUE_LIFE: std::time::Duration = std::time::Duration::from_secs(300);

/// Where a managed service listens, and its token.
#[derive(Debug, Clone)]
pub(crate) struct Placement {
    /// Its address.
    pub(crate) endpoint: ClusterEndpoint,
    /// Its token.
    pub(crate) token: Arc<ServiceToken>,
}

impl PartialEq for Placement {
    fn eq(&self, other: &Self) -> bool {
        self.endpoint == other.endpoint && Arc::ptr_eq(&self.token, &other.token)
    }
}

/// The Secret of a remote connector's credential, as it is at the moment.
#[derive(Debug, Clone)]
pub(crate) struct SecretSeen {
    /// Its name.
    pub(crate) secret: String,
    /// What it says.
    pub(crate) found: Found,
    /// Whoever reads it: notified when the upstream does not accept the credential.
    pub(crate) reader: Arc<Notify>,
}

/// What the Manager is told.
#[derive(Debug)]
pub(crate) enum Event {
    /// All resources as they are now.
    Resources(Resources),
    /// The settings file and the token files as they are now.
    Settings(Arc<Settings>, TokenFiles),
    /// All managed services as they are now.
    Placements(HashMap<ResourceKey, Placement>),
    /// A service has another token, or may have one now: ask it at once.
    Wake(ResourceKey),
    /// The Secret that this remote connector refers to; `None` when it refers to none any more.
    Secret(ResourceKey, Option<SecretSeen>),
    /// A remote connector has got an access token, or none any more.
    Credential(ResourceKey),
    /// A poll said something new.
    Polled(poll::Polled),
    /// A server has registered itself.
    Register(Box<ConnectorConfig>),
    /// It has left.
    Unregister(ResourceKey),
    /// Somebody wants to hear when the Snapshot shows all that was told before.
    Settled(oneshot::Sender<()>),
}

/// How much an event changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Dirty {
    Nothing,
    Snapshot,
    Catalog,
}

/// The way to tell it.
pub(crate) type Events = mpsc::Sender<Event>;

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

/// One connector that is served.
struct Slot {
    epoch: u64,
    config: ConnectorConfig,
    source: LinkSource,
    upstream: Arc<Upstream>,
    credential: Credential,
    people: Option<Arc<People>>,
    listing: Arc<Listing>,
    offers: Arc<Offers>,
    health: Health,
    meter: Meter,
    wake: Arc<Notify>,
    pulse: Arc<Pulse>,
    /// None for an HTTP connector: there is nothing to list, and what it answers is not ours to judge.
    _poller: Option<AbortOnDropHandle<()>>,
    _listener: Option<AbortOnDropHandle<()>>,
}

/// All that a link is made from: when it differs, the upstream is another one.
#[derive(Debug, Clone, PartialEq)]
enum LinkSource {
    Service(Option<Placement>, (usize, usize)),
    Url(http::Uri, Option<Auth>, u64, (usize, usize)),
    Registered(http::Uri, u64, (usize, usize)),
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

    fn source(&self, config: &ConnectorConfig) -> LinkSource {
        let limits = (self.settings.limits.max_response_bytes, self.settings.limits.max_tools);
        match &config.place {
            Place::Service { .. } => LinkSource::Service(self.placements.get(&config.key).cloned(), limits),
            Place::Url(uri) => LinkSource::Url(uri.clone(), config.auth.clone(), self.external_generation, limits),
            Place::Registered(uri) => LinkSource::Registered(uri.clone(), self.external_generation, limits),
        }
    }

    /// The same upstream under a changed configuration: its tools may be hidden or named differently now.
    fn keep(&self, mut slot: Slot, config: &ConnectorConfig) -> Slot {
        if slot.config != *config {
            slot.config = config.clone();
            slot.offers = Arc::new(Offers::build(config, &slot.listing));
            slot.meter = self.state.metrics.meter(config.id.as_str());
        }
        slot
    }

    fn start(&mut self, config: &ConnectorConfig, source: LinkSource) -> Slot {
        self.epoch += 1;
        let credential = self.credential(config, &source);
        let (link, (max_answer, max_tools)) = match &source {
            LinkSource::Service(Some(placement), limits) => {
                let (client, endpoint) = (self.cluster.clone(), placement.endpoint.clone());
                (Link::Service { client, endpoint, credential: credential.clone() }, *limits)
            }
            LinkSource::Service(None, limits) => (Link::Absent("its Service is not there yet".to_owned()), *limits),
            LinkSource::Url(uri, .., limits) => {
                let (client, uri) = (self.external.clone(), uri.clone());
                (Link::Url { client, uri, credential: credential.clone() }, *limits)
            }
            LinkSource::Registered(uri, _, limits) => {
                let (client, uri) = (self.registrants.clone(), uri.clone());
                (Link::Url { client, uri, credential: credential.clone() }, *limits)
            }
        };
        let limits = Limits { max_answer, max_tools };
        let upstream = Upstream::new(link, limits);
        let (wake, pulse) = (Arc::new(Notify::new()), Pulse::new());
        let (people, asked) = match self.people(config, &source, limits, &wake) {
            Some((people, asked)) => (Some(people), asked),
            None => (None, Arc::clone(&upstream)),
        };
        // The lists of such a connector are asked for when somebody consents, and again after a while.
        let period = if people.is_some() { config.period.max(CATALOGUE_LIFE) } else { config.period };
        let poller = || {
            let poller = poll::Poller {
                key: config.key.clone(),
                epoch: self.epoch,
                upstream: Arc::clone(&asked),
                period,
                timeout: config.poll_timeout,
                wake: Arc::clone(&wake),
                pulse: Arc::clone(&pulse),
                events: self.events.clone(),
            };
            AbortOnDropHandle::new(tokio::spawn(poller.run()))
        };
        let listener = || {
            let listener = Listener::new(Arc::clone(&upstream), Arc::clone(&wake));
            AbortOnDropHandle::new(tokio::spawn(listener.run()))
        };
        let (health, poller, listener) = match config.protocol {
            // What one user's session is told of is not for the others.
            Protocol::Mcp if people.is_some() => (Health::Pending, Some(poller()), None),
            Protocol::Mcp => (Health::Pending, Some(poller()), Some(listener())),
            Protocol::Http => (Health::Registered, None, None),
        };
        Slot {
            epoch: self.epoch,
            config: config.clone(),
            source,
            upstream,
            credential,
            people,
            listing: Arc::default(),
            offers: Arc::default(),
            health,
            meter: self.state.metrics.meter(config.id.as_str()),
            wake,
            pulse,
            _poller: poller,
            _listener: listener,
        }
    }

    fn credential(&self, config: &ConnectorConfig, source: &LinkSource) -> Credential {
        match (source, &config.auth) {
            (LinkSource::Service(Some(placement), _), _) => Credential::Service(Arc::clone(&placement.token)),
            (LinkSource::Url(..), Some(auth)) if auth.per_user().is_some() => Credential::Nobody,
            (LinkSource::Url(..), Some(auth)) => {
                let (key, events) = (config.key.clone(), self.events.clone());
                let changed = move || {
                    let (key, events) = (key.clone(), events.clone());
                    tokio::spawn(async move { events.send(Event::Credential(key)).await });
                };
                let remote = Remote::new(auth.clone(), self.external.clone(), Arc::new(changed));
                if let Some(seen) = self.secrets.get(&config.key).filter(|seen| seen.secret == auth.secret) {
                    remote.replace(&seen.found, &seen.reader);
                }
                tracing::info!(connector = config.id.as_str(), kind = auth.type_name(), "connector has a credential");
                Credential::Remote(remote)
            }
            _ => Credential::Nothing,
        }
    }

    /// The users of a connector that each of them authorises, and the upstream that is asked for its lists.
    fn people(
        &self,
        config: &ConnectorConfig,
        source: &LinkSource,
        limits: Limits,
        wake: &Arc<Notify>,
    ) -> Option<(Arc<People>, Arc<Upstream>)> {
        let LinkSource::Url(uri, Some(auth), ..) = source else { return None };
        let policy = EgressPolicy::new(self.settings.egress.clone());
        let policy = policy.map_err(|_| EgressError::Url("egress settings cannot be used"));
        let store = self.state.database.as_ref().map(|database| database.store().clone());
        let desk = consent::open(config.id.as_str(), uri, auth.per_user()?, &auth.secret, store, policy);
        if let Some(seen) = self.secrets.get(&config.key).filter(|seen| seen.secret == auth.secret) {
            desk.replace(&seen.secret, &seen.found);
        }
        let (client, uri) = (self.external.clone(), uri.clone());
        let make =
            move |credential| Upstream::new(Link::Url { client: client.clone(), uri: uri.clone(), credential }, limits);
        let latest = Arc::new(Latest::default());
        let asked = make(Credential::Latest(Arc::clone(&latest)));
        let wake = Arc::clone(wake);
        let people = People::new(desk, latest, Box::new(make), Box::new(move || wake.notify_one()));
        tokio::spawn(People::look_for_somebody(Arc::downgrade(&people)));
        Some((people, asked))
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

fn same_poll(a: &ConnectorConfig, b: &ConnectorConfig) -> bool {
    (a.protocol, a.period, a.poll_timeout, &a.uid) == (b.protocol, b.period, b.poll_timeout, &b.uid)
}

/// The way to an admin's own URLs.
fn external(settings: &Settings) -> Result<ExternalClient, EgressError> {
    client(settings.egress.clone(), Reach::Admin)
}

/// The way to servers that registered themselves: nobody's word counts but that of `registration.allowHosts`.
fn registrants(settings: &Settings) -> Result<ExternalClient, EgressError> {
    let allow_hosts = settings.registration.allow_hosts.clone();
    client(EgressRules { allow_hosts, ..settings.egress.clone() }, Reach::Untrusted)
}

fn client(rules: EgressRules, reach: Reach) -> Result<ExternalClient, EgressError> {
    let policy = EgressPolicy::new(rules).map_err(|error| {
        tracing::error!(%error, "egress settings cannot be used: remote connectors are closed");
        EgressError::Url("egress settings cannot be used")
    })?;
    ExternalClient::new(policy, reach)
}
