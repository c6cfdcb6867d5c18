//! Connectors in full, and who claims which id.

use super::{Key, version};
use aperium_core::id::{ConnectorId, ConnectorName};
use aperium_core::name::effective_id;
use aperium_crds::Connector;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use kube::core::DeserializeGuard;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// A Connector, or an object of that kind that cannot be read as one.
#[derive(Debug, Clone)]
pub enum Held {
    /// A Connector.
    Connector(Arc<Connector>),
    /// Something that an older definition let in.
    Malformed {
        /// Its metadata.
        meta: Arc<ObjectMeta>,
        /// What cannot be read.
        error: Arc<str>,
    },
}

impl Held {
    /// The metadata.
    #[must_use]
    pub fn meta(&self) -> &ObjectMeta {
        match self {
            Self::Connector(connector) => &connector.metadata,
            Self::Malformed { meta, .. } => meta,
        }
    }
}

/// What an offered object changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Offered {
    /// Whether the object says something new.
    pub news: bool,
    /// Whether its id, labels or existence changed, so that Grants may match differently.
    pub identity: bool,
    /// Other Connectors that claim, or claimed, the same id.
    pub rivals: Vec<Key>,
}

/// The store of Connectors.
#[derive(Debug, Default)]
pub struct Connectors {
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    held: HashMap<Key, Held>,
    /// Claimants of each id, by its lower-case form.
    claims: BTreeMap<String, BTreeSet<Key>>,
}

impl State {
    fn claim(&self, held: &Held) -> Option<String> {
        claimed_id(held).map(|id| id.key())
    }

    fn rivals(&self, key: &Key, ids: &[Option<String>]) -> Vec<Key> {
        let claimants = ids.iter().flatten().filter_map(|id| self.claims.get(id)).flatten();
        claimants.filter(|other| *other != key).cloned().collect::<BTreeSet<_>>().into_iter().collect()
    }

    fn forget_claim(&mut self, key: &Key, id: Option<&String>) {
        if let Some(claimants) = id.and_then(|id| self.claims.get_mut(id)) {
            claimants.remove(key);
        }
        self.claims.retain(|_, claimants| !claimants.is_empty());
    }
}

/// The id that an object claims; none if it could have none anyway.
fn claimed_id(held: &Held) -> Option<ConnectorId> {
    let Held::Connector(connector) = held else { return None };
    let name = ConnectorName::parse(connector.metadata.name.as_deref()?).ok()?;
    effective_id(connector.spec.id.as_deref(), &name).ok()
}

/// What decides between two claims: the older wins, and of two of the same second the first by namespace and name.
/// The gateway decides by the same rule.
fn seniority<'a>(meta: &ObjectMeta, key: &'a Key) -> (Option<Timestamp>, &'a Key) {
    (meta.creation_timestamp.as_ref().map(|time| time.0), key)
}

impl Connectors {
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }
    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what a watch or the answer to a write says.
    pub fn offer(&self, object: DeserializeGuard<Connector>) -> Offered {
        let held = match object.0 {
            Ok(mut connector) => {
                slim(&mut connector.metadata);
                Held::Connector(Arc::new(connector))
            }
            Err(mut invalid) => {
                slim(&mut invalid.metadata);
                Held::Malformed { meta: Arc::new(invalid.metadata), error: invalid.error.into() }
            }
        };
        let key = Key::of(held.meta());
        let mut state = self.write();
        let before = state.held.get(&key);
        let newer = version(held.meta());
        if before.is_some_and(|known| newer != 0 && version(known.meta()) >= newer) {
            return Offered::default();
        }
        let ids = [before.and_then(|known| state.claim(known)), state.claim(&held)];
        let same_uid = before.is_some_and(|known| known.meta().uid == held.meta().uid);
        let identity = ids[0] != ids[1] || before.is_none_or(|known| labels(known) != labels(&held));
        let rivals = if ids[0] == ids[1] && same_uid { Vec::new() } else { state.rivals(&key, &ids) };
        if ids[0] != ids[1] {
            state.forget_claim(&key, ids[0].as_ref());
        }
        if let Some(id) = &ids[1] {
            state.claims.entry(id.clone()).or_default().insert(key.clone());
        }
        state.held.insert(key, held);
        Offered { news: true, identity, rivals }
    }

    /// The object is gone. Its rivals.
    pub fn gone(&self, key: &Key) -> Vec<Key> {
        let mut state = self.write();
        let Some(held) = state.held.remove(key) else { return Vec::new() };
        let id = state.claim(&held);
        let rivals = state.rivals(key, std::slice::from_ref(&id));
        state.forget_claim(key, id.as_ref());
        rivals
    }

    /// A listing of one namespace is complete. The keys of what it did not hold.
    pub fn missing(&self, namespace: &str, seen: &HashSet<Key>) -> Vec<Key> {
        self.read().held.keys().filter(|key| *key.namespace == *namespace && !seen.contains(*key)).cloned().collect()
    }

    /// What is known under a key.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<Held> {
        self.read().held.get(key).cloned()
    }

    /// The older Connector that holds the same id, if there is one.
    #[must_use]
    pub fn older_rival(&self, key: &Key) -> Option<Key> {
        let state = self.read();
        let held = state.held.get(key)?;
        let own = seniority(held.meta(), key);
        let claimants = state.claims.get(&state.claim(held)?)?;
        let older = |other: &&Key| state.held.get(*other).is_some_and(|held| seniority(held.meta(), other) < own);
        claimants.iter().filter(|other| *other != key).find(older).cloned()
    }

    /// All readable Connectors.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Connector>> {
        let state = self.read();
        let connectors = state.held.values().filter_map(|held| match held {
            Held::Connector(connector) => Some(connector.clone()),
            Held::Malformed { .. } => None,
        });
        connectors.collect()
    }

    /// All keys.
    #[must_use]
    pub fn keys(&self) -> Vec<Key> {
        self.read().held.keys().cloned().collect()
    }

    /// Connectors of a namespace, other than this one, whose pods use the token Secret of that name.
    #[must_use]
    pub fn sharing_token(&self, key: &Key, secret: &str) -> Vec<Key> {
        let state = self.read();
        let uses = |held: &Held| match held {
            Held::Connector(connector) => {
                let service = connector.spec.service.as_ref();
                service.and_then(|service| service.auth.as_ref()).is_some_and(|auth| auth.existing_secret == secret)
            }
            Held::Malformed { .. } => false,
        };
        let mut sharing: Vec<Key> = state
            .held
            .iter()
            .filter(|(other, held)| other.namespace == key.namespace && *other != key && uses(held))
            .map(|(other, _)| other.clone())
            .collect();
        sharing.sort();
        sharing
    }
}

fn labels(held: &Held) -> &[String] {
    match held {
        Held::Connector(connector) => &connector.spec.labels,
        Held::Malformed { .. } => &[],
    }
}

/// Drops what nobody here reads and what makes up most of an object.
fn slim(meta: &mut ObjectMeta) {
    meta.managed_fields = None;
    if let Some(annotations) = &mut meta.annotations {
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn connector(
        namespace: &str,
        name: &str,
        id: Option<&str>,
        created: i64,
        version: u64,
    ) -> DeserializeGuard<Connector> {
        serde_json::from_value(json!({
            "apiVersion": "aperium.dev/v1alpha1", "kind": "Connector",
            "metadata": {
                "namespace": namespace, "name": name, "uid": format!("{namespace}-{name}"), "resourceVersion": version.to_string(),
                "creationTimestamp": format!("2026-01-01T00:00:{created:02}Z"),
            },
            "spec": {"protocol": "mcp", "id": id, "service": {"module": "postgres"}},
        }))
        .unwrap()
    }

    #[test]
    fn the_oldest_claim_to_an_id_wins_without_regard_to_case() {
        let store = Connectors::default();
        let (young, old) = (Key::new("a", "erp"), Key::new("b", "other"));
        store.offer(connector("a", "erp", None, 9, 1));
        let offered = store.offer(connector("b", "other", Some("ERP"), 3, 1));
        assert_eq!(offered.rivals, std::slice::from_ref(&young), "the other must be told");
        assert_eq!(store.older_rival(&young), Some(old.clone()));
        assert_eq!(store.older_rival(&old), None);
        assert_eq!(store.gone(&old), std::slice::from_ref(&young), "and told again when the id is free");
        assert_eq!(store.older_rival(&young), None);
    }

    #[test]
    fn of_two_claims_of_one_second_the_first_by_name_wins() {
        let store = Connectors::default();
        store.offer(connector("a", "x1", Some("x"), 5, 1));
        store.offer(connector("a", "x2", Some("X"), 5, 1));
        assert_eq!(store.older_rival(&Key::new("a", "x2")), Some(Key::new("a", "x1")));
        assert_eq!(store.older_rival(&Key::new("a", "x1")), None);
    }

    #[test]
    fn the_echo_of_a_known_version_is_no_news() {
        let store = Connectors::default();
        assert!(store.offer(connector("a", "x", None, 5, 7)).news);
        assert!(!store.offer(connector("a", "x", None, 5, 7)).news);
        let offered = store.offer(connector("a", "x", None, 5, 8));
        assert!(offered.news && !offered.identity);
    }

    #[test]
    fn an_unreadable_object_is_held_and_claims_nothing() {
        let store = Connectors::default();
        let malformed: DeserializeGuard<Connector> = serde_json::from_value(json!({
            "metadata": {"namespace": "a", "name": "x", "resourceVersion": "3"}, "spec": {"protocol": "smoke-signals"},
        }))
        .unwrap();
        assert!(store.offer(malformed).news);
        assert!(matches!(store.get(&Key::new("a", "x")), Some(Held::Malformed { .. })));
        assert_eq!(store.older_rival(&Key::new("a", "x")), None);
    }

    #[test]
    fn what_a_listing_does_not_hold_is_reported_missing() {
        let store = Connectors::default();
        store.offer(connector("a", "x", None, 5, 7));
        assert_eq!(store.missing("a", &HashSet::new()), [Key::new("a", "x")]);
        assert!(store.missing("b", &HashSet::new()).is_empty());
    }
}
