//! What one caller is told: Snapshots and updates in, one change after the other out.
//!
//! Nothing is queued. Of each list it is known what the caller was told last and what it is now, of each resource
//! whether it was updated since: whoever reads slowly, or not for a while, is told once of all that happened meanwhile,
//! and each kind of change at most once a second. Grants are asked again with every Snapshot, so a caller hears of what
//! changed for it and of nothing else.

use super::hub::Admission;
use super::notice::List;
use super::signals::{Following, Signals, Update};
use crate::catalog::ResourceKey;
use crate::error::Failure;
use crate::pipeline::action::Action;
use crate::pipeline::authz::{self, Decision, Scope, Wanted};
use crate::snapshot::{Digests, Identity, Kind, Snapshot, View};
use futures::StreamExt as _;
use futures::stream::{BoxStream, SelectAll};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;

/// Between two notifications of one kind.
const PAUSE: Duration = Duration::from_secs(1);

/// What an endpoint speaks of, across Snapshots: all connectors (`None`), or this one.
pub(crate) type Place = Option<ResourceKey>;

/// Something that the caller should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// A list is another one for this caller.
    List(List),
    /// A resource, by the URI that the caller has given, was updated.
    Resource(Arc<str>),
}

/// What one caller is told.
pub(crate) struct Watch {
    admission: Admission,
    identity: Arc<Identity>,
    place: Place,
    snapshots: watch::Receiver<()>,
    lists: Vec<WatchedList>,
    resources: Vec<WatchedResource>,
    /// What the upstreams of these resources say.
    updates: SelectAll<BoxStream<'static, (Weak<Signals>, Update)>>,
    heard: Vec<Weak<Signals>>,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("place", &self.place).finish_non_exhaustive()
    }
}

/// What tells one state of a list from others; resources and templates are two lists in one.
type Digest = [[u8; 32]; 2];

#[derive(Debug)]
struct WatchedList {
    list: List,
    told: Digest,
    now: Digest,
    at: Option<Instant>,
}

#[derive(Debug)]
struct WatchedResource {
    uri: Arc<str>,
    following: Option<Following>,
    updated: bool,
    at: Option<Instant>,
}

impl Watch {
    pub(super) fn new(
        admission: Admission,
        identity: &Arc<Identity>,
        place: Place,
        lists: &[List],
    ) -> Result<Self, Failure> {
        let mut snapshots = admission.hub.changed.clone();
        snapshots.mark_unchanged();
        let mut watch = Self {
            admission,
            identity: Arc::clone(identity),
            place,
            snapshots,
            lists: Vec::new(),
            resources: Vec::new(),
            updates: SelectAll::new(),
            heard: Vec::new(),
        };
        let (snapshot, view, scope) = watch.access()?;
        if !lists.is_empty() {
            let digests = digests(&snapshot, &view, scope);
            let watched = |list: &List| {
                let now = digest_of(*list, &digests);
                WatchedList { list: *list, told: now, now, at: None }
            };
            watch.lists = lists.iter().map(watched).collect();
        }
        Ok(watch)
    }

    /// Snapshot and rights as they are now.
    fn access(&self) -> Result<(Arc<Snapshot>, Arc<View>, Scope), Failure> {
        let snapshot = self.admission.hub.snapshot.load_full();
        let view = snapshot.view(&self.identity).map_err(|_| Failure::NoRole)?;
        let scope = match &self.place {
            None => Scope::Aggregate,
            Some(key) => {
                let position = snapshot.connectors().iter().position(|entry| entry.config.key == *key);
                let concerned = position
                    .filter(|position| snapshot.at(*position).is_some_and(|entry| view.concerns(*position, entry)));
                Scope::One(concerned.ok_or(Failure::NotFound)?)
            }
        };
        Ok((snapshot, view, scope))
    }

    /// Follows a resource by the URI that the caller gives it. False: there is none that the caller may read, or its
    /// upstream does not tell of updates.
    pub(crate) fn follow(&mut self, uri: &str) -> bool {
        if self.resources.iter().any(|resource| &*resource.uri == uri) {
            return true;
        }
        let Ok((snapshot, view, scope)) = self.access() else { return false };
        let Some(following) = self.find(&snapshot, &view, scope, uri) else { return false };
        self.resources.push(WatchedResource { uri: uri.into(), following: Some(following), updated: false, at: None });
        true
    }

    /// Follows these and no others. What the caller may not read now is followed as soon as it may.
    pub(crate) fn follow_all(&mut self, uris: &BTreeSet<Arc<str>>) {
        self.resources.retain(|resource| uris.contains(&resource.uri));
        let new: Vec<&Arc<str>> =
            uris.iter().filter(|uri| !self.resources.iter().any(|resource| resource.uri == **uri)).collect();
        if new.is_empty() {
            return;
        }
        let Ok((snapshot, view, scope)) = self.access() else { return };
        for uri in new {
            let following = self.find(&snapshot, &view, scope, uri);
            self.resources.push(WatchedResource { uri: Arc::clone(uri), following, updated: false, at: None });
        }
    }

    fn find(&mut self, snapshot: &Snapshot, view: &Arc<View>, scope: Scope, uri: &str) -> Option<Following> {
        let wanted = Wanted { action: Action::Read, kind: Kind::Resources, name: uri.into() };
        let Ok(Decision::Permitted(permit)) = authz::decide(snapshot, view, scope, &wanted) else { return None };
        let entry = permit.connector();
        if !entry.offers.about.declares("resources.subscribe") {
            return None;
        }
        let signals = entry.upstream.signals();
        if !self.heard.iter().any(|heard| std::ptr::eq(heard.as_ptr(), Arc::as_ptr(signals))) {
            self.heard.push(Arc::downgrade(signals));
            self.updates.push(updates_of(signals));
        }
        signals.follow(permit.name())
    }

    /// The next change; `None`: the gateway is going down, or the caller has lost access. May be dropped and asked
    /// again.
    pub(crate) async fn next(&mut self) -> Option<Change> {
        loop {
            let now = Instant::now();
            if let Some(change) = self.due(now) {
                return Some(change);
            }
            let later = self.later();
            let timer = async {
                match later {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.admission.hub.shutdown.cancelled() => return None,
                changed = self.snapshots.changed() => {
                    changed.ok()?;
                    self.look().ok()?;
                }
                Some((signals, update)) = self.updates.next() => self.take(&signals, &update),
                () = timer => {}
            }
        }
    }

    /// What the caller may be told now.
    fn due(&mut self, now: Instant) -> Option<Change> {
        let may = |at: Option<Instant>| at.is_none_or(|at| now >= at + PAUSE);
        if let Some(list) = self.lists.iter_mut().find(|list| list.now != list.told && may(list.at)) {
            list.told = list.now;
            list.at = Some(now);
            return Some(Change::List(list.list));
        }
        let resource = self.resources.iter_mut().find(|resource| resource.updated && may(resource.at))?;
        resource.updated = false;
        resource.at = Some(now);
        Some(Change::Resource(Arc::clone(&resource.uri)))
    }

    /// When there is something to tell that came too soon.
    fn later(&self) -> Option<Instant> {
        let lists = self.lists.iter().filter(|list| list.now != list.told).filter_map(|list| list.at);
        let resources = self.resources.iter().filter(|resource| resource.updated).filter_map(|resource| resource.at);
        lists.chain(resources).min().map(|at| at + PAUSE)
    }

    /// A new Snapshot: other lists, other grants, other upstreams.
    fn look(&mut self) -> Result<(), Failure> {
        let (snapshot, view, scope) = self.access()?;
        if !self.lists.is_empty() {
            let digests = digests(&snapshot, &view, scope);
            for list in &mut self.lists {
                list.now = digest_of(list.list, &digests);
            }
        }
        self.heard.retain(|signals| signals.strong_count() > 0);
        let mut resources = std::mem::take(&mut self.resources);
        for resource in &mut resources {
            let before = resource.following.take();
            resource.following = self.find(&snapshot, &view, scope, &resource.uri);
            let same = match (&before, &resource.following) {
                (Some(before), Some(now)) => before.is_same(now),
                (None, None) => true,
                _ => false,
            };
            // What stands at its place now may say something else.
            resource.updated |= !same && resource.following.is_some();
        }
        self.resources = resources;
        Ok(())
    }

    fn take(&mut self, signals: &Weak<Signals>, update: &Update) {
        for resource in &mut self.resources {
            let concerned = |following: &Following| {
                following.is_of(signals)
                    && match update {
                        Update::Of(uri) => following.concerns(uri),
                        Update::Any => true,
                    }
            };
            resource.updated |= resource.following.as_ref().is_some_and(concerned);
        }
    }
}

fn digests(snapshot: &Snapshot, view: &View, scope: Scope) -> Digests {
    view.digests(snapshot, if let Scope::One(position) = scope { Some(position) } else { None })
}

fn digest_of(list: List, digests: &Digests) -> Digest {
    match list {
        List::Tools => [*digests.of(Kind::Tools), [0; 32]],
        List::Prompts => [*digests.of(Kind::Prompts), [0; 32]],
        List::Resources => [*digests.of(Kind::Resources), *digests.of(Kind::Templates)],
    }
}

fn updates_of(signals: &Arc<Signals>) -> BoxStream<'static, (Weak<Signals>, Update)> {
    let from = Arc::downgrade(signals);
    let next = |(updates, from): (broadcast::Receiver<Update>, Weak<Signals>)| async move {
        let mut updates = updates;
        let update = match updates.recv().await {
            Ok(update) => update,
            // More than could wait: any of them may have been among it.
            Err(RecvError::Lagged(_)) => Update::Any,
            Err(RecvError::Closed) => return None,
        };
        Some(((from.clone(), update), (updates, from)))
    };
    futures::stream::unfold((signals.updates(), from), next).boxed()
}
