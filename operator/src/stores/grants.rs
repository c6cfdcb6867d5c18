//! Grants in full.

use super::{Key, version};
use aperium_crds::Grant;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::DeserializeGuard;
use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The store of Grants.
#[derive(Debug, Default)]
pub struct Grants {
    held: Mutex<BTreeMap<Key, Held>>,
}

/// A Grant, or what cannot be read as one.
pub type Held = Result<Arc<Grant>, (Arc<ObjectMeta>, Arc<str>)>;

/// The metadata of what is held.
#[must_use]
pub fn meta(held: &Held) -> &ObjectMeta {
    match held {
        Ok(grant) => &grant.metadata,
        Err((meta, _)) => meta,
    }
}

impl Grants {
    fn held(&self) -> MutexGuard<'_, BTreeMap<Key, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what a watch or the answer to a write says. False when it says nothing new.
    pub fn offer(&self, object: DeserializeGuard<Grant>) -> bool {
        let held: Held = match object.0 {
            Ok(mut grant) => {
                grant.metadata.managed_fields = None;
                Ok(Arc::new(grant))
            }
            Err(mut invalid) => {
                invalid.metadata.managed_fields = None;
                Err((Arc::new(invalid.metadata), invalid.error.into()))
            }
        };
        let newer = version(meta(&held));
        let mut all = self.held();
        let key = Key::of(meta(&held));
        if all.get(&key).is_some_and(|known| newer != 0 && version(meta(known)) >= newer) {
            return false;
        }
        all.insert(key, held);
        true
    }

    /// The Grant is gone.
    pub fn gone(&self, key: &Key) {
        self.held().remove(key);
    }

    /// A listing of one namespace is complete: what it did not hold is gone.
    pub fn listed(&self, namespace: &str, seen: &HashSet<Key>) {
        self.held().retain(|key, _| *key.namespace != *namespace || seen.contains(key));
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> Vec<Held> {
        self.held().values().cloned().collect()
    }
}
