//! EndpointSlices of the operator's Services: Connector → the addresses of its pods, ready or not.

use super::Key;
use aperium_core::id::ConnectorName;
use aperium_core::name::CHILD_PREFIX;
use aperium_platform::egress::ClusterEndpoint;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The store of EndpointSlices.
#[derive(Debug, Default)]
pub struct Slices {
    /// By Connector, then by the slice's name.
    held: Mutex<HashMap<Key, BTreeMap<String, EndpointSlice>>>,
}

/// The Connector that a slice belongs to, by the name of its Service.
#[must_use]
pub fn connector_of(slice: &EndpointSlice) -> Option<Key> {
    let service = slice.metadata.labels.as_ref()?.get("kubernetes.io/service-name")?;
    let name = ConnectorName::parse(service.strip_prefix(CHILD_PREFIX)?).ok()?;
    Some(Key::new(slice.metadata.namespace.as_deref()?, name.as_str()))
}

impl Slices {
    fn held(&self) -> MutexGuard<'_, HashMap<Key, BTreeMap<String, EndpointSlice>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a slice. The Connector it belongs to, if it says something new.
    pub fn offer(&self, mut slice: EndpointSlice) -> Option<Key> {
        let key = connector_of(&slice)?;
        slice.metadata.managed_fields = None;
        let name = slice.metadata.name.clone().unwrap_or_default();
        let mut held = self.held();
        let slices = held.entry(key.clone()).or_default();
        let same =
            slices.get(&name).is_some_and(|known| known.endpoints == slice.endpoints && known.ports == slice.ports);
        slices.insert(name, slice);
        (!same).then_some(key)
    }

    /// A slice is gone. The Connector it belonged to.
    pub fn gone(&self, slice: &EndpointSlice) -> Option<Key> {
        let key = connector_of(slice)?;
        let mut held = self.held();
        let slices = held.get_mut(&key)?;
        slices.remove(slice.metadata.name.as_deref().unwrap_or_default());
        if slices.is_empty() {
            held.remove(&key);
        }
        Some(key)
    }

    /// A listing of one namespace is complete: what it did not hold is gone. The Connectors concerned.
    pub fn listed(&self, namespace: &str, seen: &HashSet<Key>) -> Vec<Key> {
        let mut held = self.held();
        let mut concerned = Vec::new();
        for (key, slices) in held.iter_mut().filter(|(key, _)| *key.namespace == *namespace) {
            let before = slices.len();
            slices.retain(|name, _| seen.contains(&Key::new(namespace, name)));
            if slices.len() != before {
                concerned.push(key.clone());
            }
        }
        held.retain(|_, slices| !slices.is_empty());
        concerned
    }

    /// The addresses of a Connector's pods, of slices that the Service with this uid controls.
    #[must_use]
    pub fn pods(&self, key: &Key, service_uid: &str) -> Vec<Pod> {
        let Ok(name) = ConnectorName::parse(&key.name) else { return Vec::new() };
        let held = self.held();
        let mut pods = Vec::new();
        for slice in held.get(key).into_iter().flat_map(BTreeMap::values) {
            match ClusterEndpoint::from_endpoint_slice(slice, &name, service_uid) {
                Ok(found) => pods.extend(found.into_iter().map(|found| Pod {
                    name: found.pod.unwrap_or_else(|| found.endpoint.to_string()),
                    endpoint: found.endpoint,
                    ready: found.ready,
                })),
                Err(error) => tracing::debug!(connector = %key, %error, "an EndpointSlice is not looked at"),
            }
        }
        pods.sort_by(|a, b| a.name.cmp(&b.name));
        pods.dedup_by(|a, b| a.name == b.name);
        pods
    }
}

/// One pod.
#[derive(Debug, Clone)]
pub struct Pod {
    /// Its name, or its address.
    pub name: String,
    /// Where it listens.
    pub endpoint: ClusterEndpoint,
    /// Whether the kubelet finds it ready.
    pub ready: bool,
}
