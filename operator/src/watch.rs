//! Watches of the given namespaces → the stores, and the keys of whom a change concerns → the queue.

use crate::context::Context;
use crate::names::ROUTING;
use crate::stores::Key;
use crate::stores::children::ChildKind;
use aperium_core::name::CHILD_PREFIX;
use aperium_crds::{Connector, Grant};
use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::DynamicObject;
use kube::core::{DeserializeGuard, PartialObjectMeta};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use std::collections::HashSet;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Children change in bursts, above all while a Deployment starts: one reconcile answers all of one.
const GATHER: Duration = Duration::from_millis(100);

/// Objects of one page of a listing. A page is in memory as text and as objects at the same time, for every kind at
/// once: with large pages a restart among a thousand Connectors needs twice the memory that the operator has after it.
const PAGE: u32 = 50;

fn paged() -> watcher::Config {
    watcher::Config::default().page_size(PAGE)
}

/// What a watch says.
enum Change<K> {
    /// An object is there, or has changed.
    Applied(K),
    /// An object is gone.
    Deleted(K),
    /// The listing that began is complete: what it did not hold is gone.
    Listed(HashSet<Key>),
}

/// Starts all watches. They are complete when every returned token is cancelled.
pub fn start(context: &Arc<Context>, tasks: &mut JoinSet<()>) -> Vec<CancellationToken> {
    let mut complete = Vec::new();
    for namespace in &context.namespaces {
        complete.push(connectors(context.clone(), namespace, tasks));
        complete.push(grants(context.clone(), namespace, tasks));
        complete.push(slices(context.clone(), namespace, tasks));
        complete.push(routing(context.clone(), namespace, tasks));
        for kind in ChildKind::ALL {
            complete.push(children(context.clone(), namespace, kind, tasks));
        }
    }
    complete
}

/// Follows one watch for ever; the token is cancelled after the first complete listing.
fn follow<K>(
    tasks: &mut JoinSet<()>,
    api: Api<K>,
    config: watcher::Config,
    mut on: impl FnMut(Change<K>) + Send + 'static,
) -> CancellationToken
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let complete = CancellationToken::new();
    let done = complete.clone();
    tasks.spawn(async move {
        let mut seen = HashSet::new();
        let mut stream = watch(api, config).default_backoff().boxed();
        while let Some(event) = stream.next().await {
            match event {
                Ok(Event::Init) => seen.clear(),
                Ok(Event::InitApply(object)) => {
                    seen.insert(Key::of(object.meta()));
                    on(Change::Applied(object));
                }
                Ok(Event::InitDone) => {
                    on(Change::Listed(std::mem::take(&mut seen)));
                    done.cancel();
                }
                Ok(Event::Apply(object)) => on(Change::Applied(object)),
                Ok(Event::Delete(object)) => on(Change::Deleted(object)),
                Err(error) => tracing::warn!(%error, "a watch failed and is begun again"),
            }
        }
    });
    complete
}

fn connectors(context: Arc<Context>, namespace: &str, tasks: &mut JoinSet<()>) -> CancellationToken {
    let api: Api<DeserializeGuard<Connector>> = Api::namespaced(context.client.clone(), namespace);
    let namespace = namespace.to_owned();
    let gone = move |context: &Context, key: Key| {
        for rival in context.stores.connectors.gone(&key) {
            context.queue.add(rival);
        }
        context.queue.forget(&key);
        context.forget(&key);
        context.grants.notify_one();
    };
    follow(tasks, api, paged(), move |change| match change {
        Change::Applied(object) => {
            let (key, uid) = (Key::of(object.meta()), object.meta().uid.clone());
            let offered = context.stores.connectors.offer(object);
            if offered.news {
                context.saw(&key, uid.as_deref());
                context.queue.add(key);
            }
            for rival in offered.rivals {
                context.queue.add(rival);
            }
            if offered.identity {
                context.grants.notify_one();
            }
        }
        Change::Deleted(object) => gone(&context, Key::of(object.meta())),
        Change::Listed(seen) => {
            for key in context.stores.connectors.missing(&namespace, &seen) {
                gone(&context, key);
            }
        }
    })
}

fn grants(context: Arc<Context>, namespace: &str, tasks: &mut JoinSet<()>) -> CancellationToken {
    let api: Api<DeserializeGuard<Grant>> = Api::namespaced(context.client.clone(), namespace);
    let namespace = namespace.to_owned();
    follow(tasks, api, paged(), move |change| match change {
        Change::Applied(object) => {
            if context.stores.grants.offer(object) {
                context.grants.notify_one();
            }
        }
        Change::Deleted(object) => context.stores.grants.gone(&Key::of(object.meta())),
        Change::Listed(seen) => context.stores.grants.listed(&namespace, &seen),
    })
}

/// Children by their metadata alone. All objects of a kind are watched and those of the children's names kept: an
/// object that somebody else made under such a name must be seen before it is taken for ours.
fn children(context: Arc<Context>, namespace: &str, kind: ChildKind, tasks: &mut JoinSet<()>) -> CancellationToken {
    let api: Api<PartialObjectMeta<DynamicObject>> =
        Api::namespaced_with(context.client.clone(), namespace, &kind.resource());
    let namespace = namespace.to_owned();
    follow(tasks, api, paged(), move |change| match change {
        Change::Applied(object) => {
            let Some(connector) = connector_of(&object.metadata) else { return };
            if context.stores.children.offer(kind, &object.metadata) {
                concern(&context, kind, connector);
            }
        }
        Change::Deleted(object) => {
            let Some(connector) = connector_of(&object.metadata) else { return };
            if context.stores.children.gone(kind, &Key::of(&object.metadata), object.metadata.uid.as_deref()) {
                concern(&context, kind, connector);
            }
        }
        Change::Listed(seen) => {
            for key in context.stores.children.listed(kind, &namespace, &seen) {
                if let Some(name) = key.name.strip_prefix(CHILD_PREFIX) {
                    concern(&context, kind, Key::new(&key.namespace, name));
                }
            }
        }
    })
}

fn connector_of(meta: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta) -> Option<Key> {
    let name = meta.name.as_deref()?.strip_prefix(CHILD_PREFIX)?;
    Some(Key::new(meta.namespace.as_deref()?, name))
}

fn concern(context: &Context, kind: ChildKind, connector: Key) {
    if context.stores.connectors.get(&connector).is_none() {
        return;
    }
    if kind == ChildKind::Service {
        // Slices count only with the uid of their Service.
        context.readiness.look(&connector);
    }
    context.queue.add_after(connector, GATHER);
}

fn slices(context: Arc<Context>, namespace: &str, tasks: &mut JoinSet<()>) -> CancellationToken {
    let api: Api<EndpointSlice> = Api::namespaced(context.client.clone(), namespace);
    let namespace = namespace.to_owned();
    // The controller of the slices gives them the labels of their Service.
    let config = paged().labels(&format!("app.kubernetes.io/managed-by={}", crate::names::MANAGER));
    follow(tasks, api, config, move |change| {
        let concerned = match change {
            Change::Applied(slice) => context.stores.slices.offer(slice).into_iter().collect(),
            Change::Deleted(slice) => context.stores.slices.gone(&slice).into_iter().collect(),
            Change::Listed(seen) => context.stores.slices.listed(&namespace, &seen),
        };
        for key in concerned {
            context.readiness.look(&key);
        }
    })
}

fn routing(context: Arc<Context>, namespace: &str, tasks: &mut JoinSet<()>) -> CancellationToken {
    let api: Api<ConfigMap> = Api::namespaced(context.client.clone(), namespace);
    let namespace = namespace.to_owned();
    let config = paged().fields(&format!("metadata.name={ROUTING}"));
    follow(tasks, api, config, move |change| match change {
        Change::Applied(map) => context.routing.holds(&namespace, Some(map)),
        Change::Deleted(_) => context.routing.holds(&namespace, None),
        Change::Listed(seen) if seen.is_empty() => context.routing.holds(&namespace, None),
        Change::Listed(_) => {}
    })
}
