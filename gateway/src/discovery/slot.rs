//! A connector's configuration → its upstream, credential, users, and the poller that asks for its lists.

use super::list::Listing;
use super::pulse::Pulse;
use super::{Event, Manager, Placement, poll};
use crate::catalog::{Auth, ConnectorConfig, Place};
use crate::changes::listener::Listener;
use crate::consent::{self, Latest, People};
use crate::metrics::Meter;
use crate::pipeline::credential::{Credential, Remote};
use crate::pipeline::upstream::link::Link;
use crate::pipeline::upstream::{Limits, Upstream};
use crate::snapshot::{Health, Offers};
use aperium_crds::connector::Protocol;
use aperium_platform::egress::{EgressError, EgressPolicy};
use std::sync::Arc;
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

/// How long the lists of a connector count whose users have tokens of their own.
const CATALOGUE_LIFE: std::time::Duration = std::time::Duration::from_secs(300);

/// One connector that is served.
pub(super) struct Slot {
    pub(super) epoch: u64,
    pub(super) config: ConnectorConfig,
    pub(super) source: LinkSource,
    pub(super) upstream: Arc<Upstream>,
    pub(super) credential: Credential,
    pub(super) people: Option<Arc<People>>,
    pub(super) listing: Arc<Listing>,
    pub(super) offers: Arc<Offers>,
    pub(super) health: Health,
    pub(super) meter: Meter,
    pub(super) wake: Arc<Notify>,
    pub(super) pulse: Arc<Pulse>,
    /// None for an HTTP connector: there is nothing to list, and what it answers is not ours to judge.
    _poller: Option<AbortOnDropHandle<()>>,
    _listener: Option<AbortOnDropHandle<()>>,
}

/// All that a link is made from: when it differs, the upstream is another one.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum LinkSource {
    Service(Option<Placement>, (usize, usize)),
    Url(http::Uri, Option<Auth>, u64, (usize, usize)),
    Registered(http::Uri, u64, (usize, usize)),
}

impl Manager {
    pub(super) fn source(&self, config: &ConnectorConfig) -> LinkSource {
        let limits = (self.settings.limits.max_response_bytes, self.settings.limits.max_tools);
        match &config.place {
            Place::Service { .. } => LinkSource::Service(self.placements.get(&config.key).cloned(), limits),
            Place::Url(uri) => LinkSource::Url(uri.clone(), config.auth.clone(), self.external_generation, limits),
            Place::Registered(uri) => LinkSource::Registered(uri.clone(), self.external_generation, limits),
        }
    }

    /// The same upstream under a changed configuration: its tools may be hidden or named differently now.
    pub(super) fn keep(&self, mut slot: Slot, config: &ConnectorConfig) -> Slot {
        if slot.config != *config {
            slot.config = config.clone();
            slot.offers = Arc::new(Offers::build(config, &slot.listing));
            slot.meter = self.state.metrics.meter(config.id.as_str());
        }
        slot
    }

    pub(super) fn start(&mut self, config: &ConnectorConfig, source: LinkSource) -> Slot {
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
}

/// Whether a poller that runs asks as it should.
pub(super) fn same_poll(a: &ConnectorConfig, b: &ConnectorConfig) -> bool {
    (a.protocol, a.period, a.poll_timeout, &a.uid) == (b.protocol, b.period, b.poll_timeout, &b.uid)
}
