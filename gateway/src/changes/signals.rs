//! Between one upstream and those who follow its resources: which are followed, and which were updated.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use tokio::sync::{broadcast, watch};

/// Resources of one upstream that may be followed at the same time.
const MAX_FOLLOWED: usize = 4096;
/// Updates that wait for the slowest of those who follow. Who misses some is told so.
const MAX_UPDATES: usize = 256;

/// Resources, by the upstream's own URIs, and how many follow each.
pub(crate) type Followed = Arc<BTreeMap<Arc<str>, usize>>;

/// What one upstream and those who follow its resources have to tell each other.
#[derive(Debug)]
pub(crate) struct Signals {
    followed: watch::Sender<Followed>,
    updated: broadcast::Sender<Update>,
}

/// Something that those who follow should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Update {
    /// This resource, or one below it, was updated.
    Of(Arc<str>),
    /// Nobody was listening for a while: any of them may have been.
    Any,
}

impl Signals {
    /// Nothing is followed.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { followed: watch::Sender::default(), updated: broadcast::Sender::new(MAX_UPDATES) })
    }

    /// Follows a resource until the guard is dropped; `None`: too many are followed already.
    pub(crate) fn follow(self: &Arc<Self>, uri: &str) -> Option<Following> {
        let mut key: Option<Arc<str>> = None;
        self.followed.send_if_modified(|followed| {
            if let Some((known, _)) = followed.get_key_value(uri) {
                key = Some(Arc::clone(known));
            } else if followed.len() < MAX_FOLLOWED {
                key = Some(uri.into());
            }
            let Some(key) = &key else { return false };
            let count = Arc::make_mut(followed).entry(Arc::clone(key)).or_default();
            *count += 1;
            *count == 1
        });
        key.map(|uri| Following { signals: Arc::clone(self), uri })
    }

    /// All that is followed; changes when another set of resources is.
    pub(crate) fn followed(&self) -> watch::Receiver<Followed> {
        self.followed.subscribe()
    }

    /// What is updated from now on.
    pub(crate) fn updates(&self) -> broadcast::Receiver<Update> {
        self.updated.subscribe()
    }

    /// Tells all who follow.
    pub(crate) fn tell(&self, update: Update) {
        // Nobody may be listening.
        let _ = self.updated.send(update);
    }
}

/// One who follows one resource.
#[derive(Debug)]
pub(crate) struct Following {
    signals: Arc<Signals>,
    uri: Arc<str>,
}

impl Following {
    /// Whether an update is about this resource: about it, or about one below it (specification 2025-11-25,
    /// `ResourceUpdatedNotification`: "might be a sub-resource").
    pub(crate) fn concerns(&self, updated: &str) -> bool {
        let below = updated.strip_prefix(&*self.uri);
        below.is_some_and(|below| below.is_empty() || below.starts_with('/') || self.uri.ends_with('/'))
    }

    /// Whether it is about a resource of this upstream.
    pub(crate) fn is_of(&self, signals: &Weak<Signals>) -> bool {
        std::ptr::eq(signals.as_ptr(), Arc::as_ptr(&self.signals))
    }

    /// Whether both are about the same resource of the same upstream.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.uri == other.uri && Arc::ptr_eq(&self.signals, &other.signals)
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        self.signals.followed.send_if_modified(|followed| {
            let followed = Arc::make_mut(followed);
            let Some(count) = followed.get_mut(&self.uri) else { return false };
            *count -= 1;
            let last = *count == 0;
            if last {
                followed.remove(&self.uri);
            }
            last
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_is_followed_until_the_last_who_does_leaves() {
        let signals = Signals::new();
        let mut followed = signals.followed();
        let uris = |followed: &watch::Receiver<Followed>| {
            followed.borrow().keys().map(ToString::to_string).collect::<Vec<_>>()
        };
        let first = signals.follow("a://x").unwrap();
        assert!(followed.has_changed().unwrap());
        followed.mark_unchanged();
        let second = signals.follow("a://x").unwrap();
        assert!(!followed.has_changed().unwrap(), "the set is the same");
        drop(first);
        assert_eq!(uris(&followed), ["a://x"]);
        assert!(!followed.has_changed().unwrap());
        drop(second);
        assert!(followed.has_changed().unwrap() && uris(&followed).is_empty());
    }

    #[test]
    fn no_more_than_so_many_are_followed() {
        let signals = Signals::new();
        let all: Vec<Following> = (0..MAX_FOLLOWED).map(|n| signals.follow(&format!("a://{n}")).unwrap()).collect();
        assert!(signals.follow("a://more").is_none());
        assert!(signals.follow("a://7").is_some(), "one that is followed already");
        drop(all);
        assert!(signals.followed().borrow().is_empty());
        assert!(signals.follow("a://more").is_some());
    }

    #[test]
    fn an_update_concerns_the_resource_and_what_is_below_it() {
        let signals = Signals::new();
        let following = signals.follow("file:///a/b").unwrap();
        for (updated, concerned) in [
            ("file:///a/b", true),
            ("file:///a/b/c", true),
            ("file:///a/bc", false),
            ("file:///a", false),
            ("other", false),
        ] {
            assert_eq!(following.concerns(updated), concerned, "{updated}");
        }
    }
}
