//! Connectors, Grants and operator-owned Services by watch → what the Manager is told.

use super::credentials::Credentials;
use super::kept::{Kept, key};
use super::tokens::Tokens;
use crate::catalog::{ResourceKey, Resources};
use crate::discovery::{Event as Told, Events, Placement};
use aperium_core::id::ConnectorName;
use aperium_core::name::child_name;
use aperium_crds::{Connector, Grant};
use aperium_platform::egress::ClusterEndpoint;
use futures::stream::{BoxStream, SelectAll, StreamExt as _};
use k8s_openapi::api::core::v1::Service;
use kube::api::Api;
use kube::core::DeserializeGuard;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt as _, watcher as watch_stream};
use kube::{Client, Resource};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Watches until it is dropped.
pub(super) struct Watcher {
    client: Client,
    namespaces: Vec<String>,
    events: Events,
    /// For whoever writes status: all Connectors as they are.
    published: watch::Sender<Vec<Arc<Connector>>>,
    connectors: Kept<Connector>,
    grants: Kept<Grant>,
    services: Kept<Service>,
    tokens: Tokens,
    credentials: Credentials,
    placements: HashMap<ResourceKey, Placement>,
}

type Keyed<K> = (ResourceKey, Option<K>);

/// One event of one of the watches.
#[expect(clippy::large_enum_variant, reason = "one at a time is on its way, and is taken apart at once")]
enum Seen {
    Connector(String, Event<Keyed<Connector>>),
    Grant(String, Event<Keyed<Grant>>),
    Service(String, Event<Keyed<Service>>),
    Failed(&'static str, String, watcher::Error),
}

/// Only what the operator made is ever dialled.
const OWN_SERVICES: &str = "app.kubernetes.io/managed-by=aperium-operator";
/// Changes that come together are told together.
const DEBOUNCE: Duration = Duration::from_millis(50);

impl Watcher {
    /// A watcher of these namespaces.
    pub(super) fn new(
        client: Client,
        namespaces: Vec<String>,
        events: Events,
        published: watch::Sender<Vec<Arc<Connector>>>,
    ) -> Self {
        Self {
            tokens: Tokens::new(client.clone(), events.clone()),
            credentials: Credentials::new(client.clone(), events.clone()),
            client,
            namespaces,
            events,
            published,
            connectors: Kept::default(),
            grants: Kept::default(),
            services: Kept::default(),
            placements: HashMap::new(),
        }
    }

    /// Watches for as long as somebody listens.
    pub(super) async fn run(mut self) -> super::lease::Ended {
        let mut streams = self.streams();
        let mut changed = false;
        loop {
            let next = if changed {
                tokio::time::timeout(DEBOUNCE, streams.next()).await.ok()
            } else {
                Some(streams.next().await)
            };
            match next {
                Some(Some(seen)) => changed |= self.take(seen),
                Some(None) => return super::lease::Ended::Stopped,
                None => {
                    changed = false;
                    if self.complete() && self.tell().await.is_err() {
                        return super::lease::Ended::Stopped;
                    }
                }
            }
        }
    }

    fn streams(&self) -> SelectAll<BoxStream<'static, Seen>> {
        let mut streams = SelectAll::new();
        for namespace in &self.namespaces {
            streams.push(guarded::<Connector>(&self.client, namespace, "Connector", Seen::Connector));
            streams.push(guarded::<Grant>(&self.client, namespace, "Grant", Seen::Grant));
            streams.push(services(&self.client, namespace));
        }
        streams
    }

    fn take(&mut self, seen: Seen) -> bool {
        match seen {
            Seen::Connector(namespace, event) => self.connectors.take(&namespace, event),
            Seen::Grant(namespace, event) => self.grants.take(&namespace, event),
            Seen::Service(namespace, event) => self.services.take(&namespace, event),
            Seen::Failed(kind, namespace, error) => {
                tracing::warn!(kind, namespace, %error, "watch failed; it is tried again");
                false
            }
        }
    }

    /// Half a list would look like deleted Connectors and revoked Grants.
    fn complete(&self) -> bool {
        let namespaces = &self.namespaces;
        self.connectors.complete(namespaces) && self.grants.complete(namespaces) && self.services.complete(namespaces)
    }

    async fn tell(&mut self) -> Result<(), tokio::sync::mpsc::error::SendError<Told>> {
        let placements = self.place();
        if placements != self.placements {
            self.placements.clone_from(&placements);
            self.events.send(Told::Placements(placements)).await?;
        }
        let secret = |connector: &Connector| connector.spec.auth.as_ref()?.secret_name().map(str::to_owned);
        let wanted = self.connectors.iter().filter_map(|(key, connector)| Some((key.clone(), secret(connector)?)));
        self.credentials.read(wanted.collect()).await;
        let connectors: Vec<Arc<Connector>> =
            self.connectors.iter().map(|(_, connector)| Arc::clone(connector)).collect();
        self.published.send_replace(connectors.clone());
        let grants = self.grants.iter().map(|(_, grant)| Arc::clone(grant)).collect();
        self.events.send(Told::Resources(Resources { connectors, grants })).await
    }

    /// The services that are there and belong to their Connectors.
    fn place(&mut self) -> HashMap<ResourceKey, Placement> {
        let mut placements = HashMap::new();
        let mut wanted = Vec::new();
        for (key, connector) in self.connectors.iter() {
            let Some(service) = &connector.spec.service else { continue };
            let Ok(name) = ConnectorName::parse(&key.name) else { continue };
            let child = ResourceKey { namespace: key.namespace.clone(), name: child_name(&name) };
            let uid = connector.metadata.uid.as_deref().unwrap_or_default();
            match self.services.get(&child).map(|service| ClusterEndpoint::from_service(service, uid)) {
                Some(Ok(endpoint)) => {
                    wanted.push(key.clone());
                    let token = self.tokens.of(key, service.auth.as_ref());
                    placements.insert(key.clone(), Placement { endpoint, token });
                }
                Some(Err(error)) => tracing::warn!(connector = %key, %error, "Service is not used"),
                None => {}
            }
        }
        self.tokens.keep(&wanted);
        placements
    }
}

/// A kind whose objects may be malformed: one of them must not stop the watch of all.
fn guarded<K>(
    client: &Client,
    namespace: &str,
    kind: &'static str,
    seen: fn(String, Event<Keyed<K>>) -> Seen,
) -> BoxStream<'static, Seen>
where
    K: Resource<Scope = kube::core::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned
        + Send
        + 'static,
    K::DynamicType: Default,
{
    let api: Api<DeserializeGuard<K>> = Api::namespaced(client.clone(), namespace);
    let namespace = namespace.to_owned();
    let read = move |guard: DeserializeGuard<K>| {
        let key = key(&guard);
        match guard.0 {
            Ok(mut object) => {
                // The larger half of most objects, and nobody here reads it.
                object.meta_mut().managed_fields = None;
                (key, Some(object))
            }
            Err(error) => {
                tracing::error!(kind, object = %key, %error, "malformed object is not served");
                (key, None)
            }
        }
    };
    let stream = watch_stream(api, watcher::Config::default()).default_backoff();
    stream
        .map(move |event| match event {
            Ok(event) => seen(namespace.clone(), map(event, &read)),
            Err(error) => Seen::Failed(kind, namespace.clone(), error),
        })
        .boxed()
}

fn services(client: &Client, namespace: &str) -> BoxStream<'static, Seen> {
    let api: Api<Service> = Api::namespaced(client.clone(), namespace);
    let namespace = namespace.to_owned();
    let stream = watch_stream(api, watcher::Config::default().labels(OWN_SERVICES)).default_backoff();
    stream
        .map(move |event| match event {
            Ok(event) => Seen::Service(namespace.clone(), map(event, &|service| (key(&service), Some(service)))),
            Err(error) => Seen::Failed("Service", namespace.clone(), error),
        })
        .boxed()
}

fn map<A, B>(event: Event<A>, with: &impl Fn(A) -> B) -> Event<B> {
    match event {
        Event::Apply(object) => Event::Apply(with(object)),
        Event::Delete(object) => Event::Delete(with(object)),
        Event::InitApply(object) => Event::InitApply(with(object)),
        Event::Init => Event::Init,
        Event::InitDone => Event::InitDone,
    }
}
