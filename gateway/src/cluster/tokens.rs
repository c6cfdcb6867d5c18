//! Token Secrets by GET → the tokens that are presented to the services.

use super::reader::{self, Wants};
use crate::catalog::ResourceKey;
use crate::discovery::{Event, Events};
use crate::pipeline::credential::ServiceToken;
use crate::secrets;
use aperium_core::id::ConnectorName;
use aperium_core::name::child_name;
use aperium_crds::connector::TokenSecret;
use aperium_platform::bearer::TokenSource;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::Api;
use secrecy::{ExposeSecret as _, SecretString};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::task::AbortOnDropHandle;

/// Reads the tokens of all managed services.
pub(super) struct Tokens {
    client: Client,
    events: Events,
    readers: HashMap<ResourceKey, Reader>,
}

struct Reader {
    wanted: Wanted,
    token: Arc<ServiceToken>,
    _task: AbortOnDropHandle<()>,
}

/// Which Secret, which key, and the label that permits its use.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    secret: String,
    key: String,
    label: Option<String>,
}

/// The key that the operator gives its own token.
const OWN_KEY: &str = "mcp_auth_token";

impl Tokens {
    /// Reads nothing yet.
    pub(super) fn new(client: Client, events: Events) -> Self {
        Self { client, events, readers: HashMap::new() }
    }

    /// The token of a service. Its Secret is read from now on, until [`Self::keep`] leaves the service out.
    pub(super) fn of(&mut self, connector: &ResourceKey, existing: Option<&TokenSecret>) -> Arc<ServiceToken> {
        let wanted = wanted(connector, existing);
        if let Some(reader) = self.readers.get(connector).filter(|reader| reader.wanted == wanted) {
            return Arc::clone(&reader.token);
        }
        let token = Arc::new(ServiceToken::default());
        let api = Api::namespaced(self.client.clone(), &connector.namespace);
        let feed = Feed {
            connector: connector.clone(),
            wanted: wanted.clone(),
            token: Arc::clone(&token),
            events: self.events.clone(),
            last: None,
        };
        let task = reader::read(api, connector.clone(), wanted.secret.clone(), feed);
        let reader = Reader { wanted, token: Arc::clone(&token), _task: AbortOnDropHandle::new(tokio::spawn(task)) };
        self.readers.insert(connector.clone(), reader);
        token
    }

    /// Stops reading the tokens of all other services.
    pub(super) fn keep(&mut self, connectors: &[ResourceKey]) {
        self.readers.retain(|connector, _| connectors.contains(connector));
    }
}

fn wanted(connector: &ResourceKey, existing: Option<&TokenSecret>) -> Wanted {
    match existing {
        Some(existing) => Wanted {
            secret: existing.existing_secret.clone(),
            key: existing.key.clone(),
            label: Some(secrets::label(&connector.name)),
        },
        None => {
            let child = ConnectorName::parse(&connector.name).map(|name| child_name(&name)).unwrap_or_default();
            Wanted { secret: format!("{child}-token"), key: OWN_KEY.to_owned(), label: None }
        }
    }
}

/// Puts what the Secret says into the token.
struct Feed {
    connector: ResourceKey,
    wanted: Wanted,
    token: Arc<ServiceToken>,
    events: Events,
    last: Option<SecretString>,
}

impl Wants for Feed {
    /// The operator is about to make it.
    const WHILE_MISSING: Duration = Duration::from_secs(2);

    async fn take(&mut self, secret: Option<Secret>) -> Option<bool> {
        let found = secret.as_ref().and_then(|secret| value(secret, &self.wanted));
        let same =
            found.as_ref().map(|value| value.expose_secret()) == self.last.as_ref().map(|value| value.expose_secret());
        if !same {
            self.token.replace(found.clone().map(TokenSource::fixed));
            self.events.send(Event::Wake(self.connector.clone())).await.ok()?;
            self.last = found;
        }
        Some(self.last.is_some())
    }

    async fn refused(&self) {
        self.token.until_refused().await;
    }
}

/// The value, where the Secret may be used at all.
fn value(secret: &Secret, wanted: &Wanted) -> Option<SecretString> {
    let labels = secret.metadata.labels.as_ref();
    let permitted = wanted
        .label
        .as_ref()
        .is_none_or(|label| labels.is_some_and(|labels| labels.get(label).is_some_and(|value| value == "true")));
    if !permitted {
        return None;
    }
    let bytes = &secret.data.as_ref()?.get(&wanted.key)?.0;
    String::from_utf8(bytes.clone()).ok().map(SecretString::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn secret(label: Option<&str>) -> Secret {
        let mut secret = Secret::default();
        secret.metadata.labels = label.map(|label| BTreeMap::from([(label.to_owned(), "true".to_owned())]));
        secret.data = Some(BTreeMap::from([("mcp_auth_token".to_owned(), k8s_openapi::ByteString(b"t0k3n".to_vec()))]));
        secret
    }

    #[test]
    fn a_secret_of_the_customers_own_needs_the_connectors_label() {
        let connector = ResourceKey { namespace: "a".into(), name: "odoo".into() };
        let existing = TokenSecret { existing_secret: "shared".into(), key: "mcp_auth_token".into() };
        let wanted_own = wanted(&connector, Some(&existing));
        assert!(value(&secret(None), &wanted_own).is_none());
        assert!(value(&secret(Some("connector.aperium.dev/other")), &wanted_own).is_none());
        assert!(value(&secret(Some("connector.aperium.dev/odoo")), &wanted_own).is_some());
        let made = wanted(&connector, None);
        assert_eq!(made.secret, "aperium-mcp-odoo-token");
        assert!(value(&secret(None), &made).is_some());
    }
}
