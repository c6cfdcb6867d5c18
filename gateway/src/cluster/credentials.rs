//! The Secrets that remote Connectors refer to, by GET → what the Manager is told of them.

use super::reader::{self, Wants};
use crate::catalog::ResourceKey;
use crate::discovery::{Event, Events, SecretSeen};
use crate::secrets::{self, Found};
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::Api;
use secrecy::SecretString;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::task::AbortOnDropHandle;

/// Reads the Secrets of all remote Connectors that refer to one.
pub(super) struct Credentials {
    client: Client,
    events: Events,
    readers: HashMap<ResourceKey, (String, AbortOnDropHandle<()>)>,
}

impl Credentials {
    /// Reads nothing yet.
    pub(super) fn new(client: Client, events: Events) -> Self {
        Self { client, events, readers: HashMap::new() }
    }

    /// Reads these Secrets from now on, by Connector, and no others.
    pub(super) async fn read(&mut self, wanted: HashMap<ResourceKey, String>) {
        let gone: Vec<ResourceKey> = self.readers.keys().filter(|key| !wanted.contains_key(key)).cloned().collect();
        for key in gone {
            self.readers.remove(&key);
            // Nobody listens any more when the gateway stops.
            let _ = self.events.send(Event::Secret(key, None)).await;
        }
        for (connector, secret) in wanted {
            if self.readers.get(&connector).is_some_and(|(read, _)| *read == secret) {
                continue;
            }
            let api = Api::namespaced(self.client.clone(), &connector.namespace);
            let feed = Feed {
                connector: connector.clone(),
                secret: secret.clone(),
                events: self.events.clone(),
                reader: Arc::new(Notify::new()),
                last: None,
            };
            let task = reader::read(api, connector.clone(), secret.clone(), feed);
            self.readers.insert(connector, (secret, AbortOnDropHandle::new(tokio::spawn(task))));
        }
    }
}

/// Tells the Manager what is new.
struct Feed {
    connector: ResourceKey,
    secret: String,
    events: Events,
    reader: Arc<Notify>,
    last: Option<Found>,
}

impl Wants for Feed {
    /// Blueprint §4 "Trust".
    const WHILE_MISSING: Duration = Duration::from_secs(30);

    async fn take(&mut self, secret: Option<Secret>) -> Option<bool> {
        let found = found(&self.secret, &self.connector.name, secret.as_ref());
        let usable = matches!(found, Found::Values(_));
        if self.last.as_ref() != Some(&found) {
            let seen =
                SecretSeen { secret: self.secret.clone(), found: found.clone(), reader: Arc::clone(&self.reader) };
            self.events.send(Event::Secret(self.connector.clone(), Some(seen))).await.ok()?;
            self.last = Some(found);
        }
        Some(usable)
    }

    async fn refused(&self) {
        self.reader.notified().await;
    }
}

/// Values that are no text count as missing: no scheme knows such.
fn found(name: &str, connector: &str, secret: Option<&Secret>) -> Found {
    let Some(secret) = secret else { return secrets::judge(name, connector, None) };
    let labels = secret.metadata.labels.clone().unwrap_or_default();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok().map(SecretString::from);
    let data = secret.data.iter().flatten();
    let values = data.filter_map(|(key, value)| Some((key.clone(), text(&value.0)?))).collect();
    secrets::judge(name, connector, Some((&labels, values)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::ByteString;
    use secrecy::ExposeSecret as _;
    use std::collections::BTreeMap;

    #[test]
    fn text_values_of_a_labelled_secret_are_taken() {
        let data = BTreeMap::from([
            ("secret".to_owned(), ByteString(b"hunter2".to_vec())),
            ("binary".to_owned(), ByteString(vec![0xff, 0xfe])),
        ]);
        let mut secret = Secret { data: Some(data), ..Secret::default() };
        assert!(matches!(found("s", "github", Some(&secret)), Found::Not(_)));
        secret.metadata.labels = Some(BTreeMap::from([("connector.aperium.dev/github".to_owned(), "true".to_owned())]));
        let Found::Values(values) = found("s", "github", Some(&secret)) else { panic!("not usable") };
        assert_eq!((values.len(), values["secret"].expose_secret()), (1, "hunter2"));
        assert!(matches!(found("s", "github", None), Found::Not(_)));
    }

    #[tokio::test]
    async fn what_is_new_is_told_and_a_missing_secret_is_asked_for_again_in_half_a_minute() {
        let (events, mut told) = tokio::sync::mpsc::channel(4);
        let connector = ResourceKey { namespace: "ns".into(), name: "github".into() };
        let mut feed = Feed { connector, secret: "s".into(), events, reader: Arc::new(Notify::new()), last: None };
        assert_eq!((feed.take(None).await, feed.take(None).await), (Some(false), Some(false)));
        let Some(Event::Secret(_, Some(seen))) = told.recv().await else { panic!("nothing was told") };
        assert!(matches!(seen.found, Found::Not(why) if why.reason == "SecretNotFound"));
        assert!(told.try_recv().is_err(), "the same again is no news");
        assert_eq!(Feed::WHILE_MISSING, Duration::from_secs(30));
        drop(told);
        assert_eq!(feed.take(Some(Secret::default())).await, None);
    }
}
