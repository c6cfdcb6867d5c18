//! Watch events of one kind → the objects as they are now, complete from the first full list on.

use crate::catalog::ResourceKey;
use kube::runtime::watcher::Event;
use kube::{Resource, ResourceExt as _};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The objects of one kind in all watched namespaces.
#[derive(Debug)]
pub(super) struct Kept<K> {
    objects: BTreeMap<ResourceKey, Arc<K>>,
    /// Objects of a list that has not come to its end, per namespace.
    listing: BTreeMap<String, BTreeMap<ResourceKey, Arc<K>>>,
    /// Namespaces whose first list has come to its end.
    complete: BTreeSet<String>,
}

impl<K> Default for Kept<K> {
    fn default() -> Self {
        Self { objects: BTreeMap::new(), listing: BTreeMap::new(), complete: BTreeSet::new() }
    }
}

impl<K: Resource> Kept<K> {
    /// Takes one event; whether the objects are other ones now. `None` inside an event: the object is malformed, and
    /// whatever it was before no longer counts.
    pub(super) fn take(&mut self, namespace: &str, event: Event<(ResourceKey, Option<K>)>) -> bool {
        match event {
            Event::Init => {
                self.listing.insert(namespace.to_owned(), BTreeMap::new());
                false
            }
            Event::InitApply((key, object)) => {
                if let Some(object) = object {
                    self.listing.entry(namespace.to_owned()).or_default().insert(key, Arc::new(object));
                }
                false
            }
            Event::InitDone => {
                let listed = self.listing.remove(namespace).unwrap_or_default();
                self.objects.retain(|key, _| key.namespace != namespace);
                self.objects.extend(listed);
                self.complete.insert(namespace.to_owned());
                true
            }
            Event::Apply((key, Some(object))) => {
                self.objects.insert(key, Arc::new(object));
                true
            }
            Event::Apply((key, None)) | Event::Delete((key, _)) => self.objects.remove(&key).is_some(),
        }
    }

    /// Whether every namespace has been listed once.
    pub(super) fn complete(&self, namespaces: &[String]) -> bool {
        namespaces.iter().all(|namespace| self.complete.contains(namespace))
    }

    /// One object.
    pub(super) fn get(&self, key: &ResourceKey) -> Option<&Arc<K>> {
        self.objects.get(key)
    }

    /// All objects.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&ResourceKey, &Arc<K>)> {
        self.objects.iter()
    }
}

/// The key of an object that an API server gave.
pub(super) fn key<K: Resource>(object: &K) -> ResourceKey {
    ResourceKey { namespace: object.namespace().unwrap_or_default(), name: object.name_any() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aperium_crds::Grant;
    use aperium_crds::grant::GrantSpec;

    fn grant(name: &str) -> (ResourceKey, Option<Grant>) {
        let spec: GrantSpec = serde_json::from_value(serde_json::json!({ "subjects": ["*"] })).unwrap();
        let mut grant = Grant::new(name, spec);
        grant.metadata.namespace = Some("a".into());
        (key(&grant), Some(grant))
    }

    fn names(kept: &Kept<Grant>) -> Vec<&str> {
        kept.iter().map(|(key, _)| key.name.as_str()).collect()
    }

    #[test]
    fn a_list_counts_when_it_is_complete_and_replaces_what_was_there() {
        let mut kept = Kept::default();
        assert!(!kept.take("a", Event::Init));
        assert!(!kept.take("a", Event::InitApply(grant("one"))));
        assert!(names(&kept).is_empty() && !kept.complete(&["a".into()]));
        assert!(kept.take("a", Event::InitDone));
        assert!(kept.take("a", Event::Apply(grant("two"))));
        assert_eq!(names(&kept), ["one", "two"]);
        assert!(kept.complete(&["a".into()]) && !kept.complete(&["a".into(), "b".into()]));
        kept.take("a", Event::Init);
        kept.take("a", Event::InitApply(grant("three")));
        assert_eq!(names(&kept), ["one", "two"], "a list that is under way hides nothing");
        kept.take("a", Event::InitDone);
        assert_eq!(names(&kept), ["three"]);
    }

    #[test]
    fn an_object_that_became_malformed_no_longer_counts() {
        let mut kept = Kept::default();
        kept.take("a", Event::Apply(grant("one")));
        assert!(kept.take("a", Event::Apply((grant("one").0, None))));
        assert!(names(&kept).is_empty());
    }
}
