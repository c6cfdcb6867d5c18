//! What whoever holds the sender says (`aperium up`, a folder, a document) → what the Manager is told.

use crate::catalog::{ResourceKey, Resources, key_of};
use crate::config::Given;
use crate::discovery::{Event, Events, Placement, SecretSeen};
use crate::folder::FolderSecret;
use crate::pipeline::credential::ServiceToken;
use crate::secrets::{self, Found};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;

type Told = Result<(), mpsc::error::SendError<Event>>;

/// Tells it, now and whenever it is another. A service keeps its token object for as long as its address stays.
pub(crate) async fn forward(
    mut given: watch::Receiver<Given>,
    namespace: String,
    events: Events,
    shutdown: CancellationToken,
) {
    let mut placed: HashMap<ResourceKey, Placement> = HashMap::new();
    let mut told: BTreeMap<ResourceKey, (String, Found)> = BTreeMap::new();
    loop {
        let Given { resources, secrets, services } = given.borrow_and_update().clone();
        placed = services
            .into_iter()
            .map(|(name, service)| {
                let key = ResourceKey { namespace: namespace.clone(), name };
                let token = match placed.get(&key) {
                    Some(before) if before.endpoint == service.endpoint => {
                        before.token.replace(Some(service.token));
                        Arc::clone(&before.token)
                    }
                    _ => ServiceToken::of(service.token),
                };
                (key, Placement { endpoint: service.endpoint, token })
            })
            .collect();
        let found = found(&resources, &secrets, &namespace);
        let telling = async {
            events.send(Event::Placements(placed.clone())).await?;
            tell_secrets(&told, &found, &events).await?;
            events.send(Event::Resources(resources)).await
        };
        if telling.await.is_err() {
            return;
        }
        told = found;
        tokio::select! {
            () = shutdown.cancelled() => return,
            changed = given.changed() => if changed.is_err() {
                // The sender is gone: what it said last stays.
                return;
            },
        }
    }
}

/// What the Secrets say for each remote Connector that refers to one.
fn found(
    resources: &Resources,
    secrets: &BTreeMap<String, FolderSecret>,
    namespace: &str,
) -> BTreeMap<ResourceKey, (String, Found)> {
    let mut found = BTreeMap::new();
    for connector in &resources.connectors {
        let Some(name) = connector.spec.auth.as_ref().and_then(aperium_crds::connector::Auth::secret_name) else {
            continue;
        };
        let metadata = &connector.metadata;
        let key = key_of(metadata.namespace.as_deref(), metadata.name.as_deref(), namespace);
        let secret = secrets.get(name).map(|secret| (&secret.labels, secret.data.clone()));
        found.insert(key.clone(), (name.to_owned(), secrets::judge(name, &key.name, secret)));
    }
    found
}

/// Only what is new: a token that was fetched with the same values stays good.
async fn tell_secrets(
    before: &BTreeMap<ResourceKey, (String, Found)>,
    now: &BTreeMap<ResourceKey, (String, Found)>,
    events: &Events,
) -> Told {
    for (key, (secret, found)) in now.iter().filter(|(key, seen)| before.get(key) != Some(seen)) {
        // Whoever gave it tells us when it changes: there is nobody to look again.
        let seen = SecretSeen { secret: secret.clone(), found: found.clone(), reader: Arc::new(Notify::new()) };
        events.send(Event::Secret(key.clone(), Some(seen))).await?;
    }
    for gone in before.keys().filter(|key| !now.contains_key(key)) {
        events.send(Event::Secret(gone.clone(), None)).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use aperium_crds::structural;
    use secrecy::SecretString;
    use serde_json::json;

    fn given(value: &str, auth: bool) -> Given {
        let mut spec = json!({ "protocol": "http", "url": "https://api.example.com" });
        if auth {
            spec["auth"] = json!({ "type": "bearer_token", "bearerToken": { "secretRef": { "name": "s" } } });
        }
        let manifest = json!({ "apiVersion": "aperium.dev/v1alpha1", "kind": "Connector", "metadata": { "name": "github" }, "spec": spec });
        let secret = FolderSecret {
            labels: [("connector.aperium.dev/github".to_owned(), "true".to_owned())].into(),
            data: [("secret".to_owned(), SecretString::from(value.to_owned()))].into(),
        };
        let connectors = vec![Arc::new(structural::connector(&manifest).unwrap())];
        Given {
            resources: Resources { connectors, grants: Vec::new() },
            secrets: [("s".to_owned(), secret)].into(),
            services: HashMap::new(),
        }
    }

    /// What is said of Secrets until the next Resources.
    async fn said(receiver: &mut mpsc::Receiver<Event>) -> Vec<Option<bool>> {
        let mut said = Vec::new();
        loop {
            match receiver.recv().await.unwrap() {
                Event::Secret(_, seen) => {
                    said.push(seen.map(|seen| matches!(seen.found, Found::Values(_))));
                }
                Event::Resources(_) => return said,
                _ => {}
            }
        }
    }

    #[tokio::test]
    async fn a_secret_is_told_before_its_connector_and_again_only_when_it_changes() {
        let (sender, receiver) = watch::channel(given("one", true));
        let (events, mut told) = mpsc::channel(16);
        let stop = CancellationToken::new();
        tokio::spawn(forward(receiver, "ns".to_owned(), events, stop.clone()));
        assert_eq!(said(&mut told).await, [Some(true)]);
        sender.send_replace(given("one", true));
        assert!(said(&mut told).await.is_empty());
        sender.send_replace(given("two", true));
        assert_eq!(said(&mut told).await, [Some(true)]);
        let mut unlabelled = given("two", true);
        unlabelled.secrets.get_mut("s").unwrap().labels.clear();
        sender.send_replace(unlabelled);
        assert_eq!(said(&mut told).await, [Some(false)]);
        sender.send_replace(given("two", false));
        assert_eq!(said(&mut told).await, [None]);
        stop.cancel();
    }
}
