//! Connectors → those that are served and those that are refused, each with its reason.

use super::{Auth, ConnectorConfig, Place, Refused, ResourceKey, Whose, key_of};
use aperium_core::id::{ConnectorName, ModuleName, TenantId};
use aperium_core::name::{Prefixing, effective_id};
use aperium_crds::condition::reasons;
use aperium_crds::connector::{Connector, CredentialSource, Protocol, Service};
use aperium_crds::structural;
use http::Uri;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

type Taken = (Vec<ConnectorConfig>, BTreeMap<ResourceKey, Refused>);

/// Takes the connectors, oldest first: of two with one id (whatever the case) the older is served.
pub(super) fn take(connectors: &[Arc<Connector>], system_namespace: &str) -> Taken {
    let key = |c: &Connector| key_of(c.metadata.namespace.as_deref(), c.metadata.name.as_deref(), system_namespace);
    let mut oldest_first: Vec<&Arc<Connector>> = connectors.iter().collect();
    oldest_first.sort_by_cached_key(|c| (c.metadata.creation_timestamp.as_ref().map(|time| time.0), key(c)));
    let mut taken: Vec<ConnectorConfig> = Vec::with_capacity(connectors.len());
    let mut refused = BTreeMap::new();
    let mut owners: HashMap<String, ResourceKey> = HashMap::new();
    for connector in oldest_first {
        let key = key(connector);
        match one(connector, key.clone()) {
            Ok(config) => match owners.get(&config.id.key()) {
                Some(owner) => {
                    let message = format!("id \"{}\" belongs to the older Connector {owner}", config.id);
                    refused.insert(key, Refused { reason: reasons::CONFLICTED, message });
                }
                None => {
                    owners.insert(config.id.key(), key);
                    taken.push(config);
                }
            },
            Err(why) => {
                refused.insert(key, why);
            }
        }
    }
    // A suspended connector keeps its id, and serves nothing.
    for connector in connectors.iter().filter(|c| c.spec.suspend) {
        let key = key(connector);
        taken.retain(|config| config.key != key);
        refused
            .entry(key)
            .or_insert_with(|| Refused { reason: reasons::SUSPENDED, message: "spec.suspend is set".to_owned() });
    }
    taken.sort_by(|a, b| a.id.cmp(&b.id));
    (taken, refused)
}

fn one(connector: &Connector, key: ResourceKey) -> Result<ConnectorConfig, Refused> {
    let invalid = |message: String| Refused { reason: reasons::INVALID, message };
    let spec = &connector.spec;
    let name = ConnectorName::parse(&key.name).map_err(|error| invalid(error.to_string()))?;
    let id = effective_id(spec.id.as_deref(), &name).map_err(|error| invalid(error.to_string()))?;
    structural::check_context(spec.context.as_ref()).map_err(|fault| invalid(fault.to_string()))?;
    if spec.auth.is_some() && spec.url.is_none() {
        return Err(invalid("spec.auth may be set only with spec.url".to_owned()));
    }
    let auth = spec.auth.as_ref().map(Auth::read).transpose()?;
    let (place, prefixing) = match (&spec.service, &spec.url) {
        (Some(service), None) => {
            if spec.protocol == Protocol::Http {
                return Err(invalid("spec.service needs protocol mcp".to_owned()));
            }
            ModuleName::parse(&service.module).map_err(|error| invalid(error.to_string()))?;
            let tenant = service.tenant.as_deref().map(TenantId::parse).transpose();
            let whose = Whose {
                platform: service.credentials.source == CredentialSource::Platform,
                tenant: tenant.map_err(|error| invalid(error.to_string()))?,
            };
            (Place::Service { token: token_of(service), whose }, Prefixing::KeepOwnPrefix)
        }
        (None, Some(url)) => (Place::Url(parse_url("spec.url", url).map_err(invalid)?), Prefixing::Always),
        _ => return Err(invalid("exactly one of spec.url and spec.service must be set".to_owned())),
    };
    let calls = &spec.calls;
    Ok(ConnectorConfig {
        uid: connector.metadata.uid.clone(),
        id,
        display_name: spec.display_name.clone(),
        description: spec.description.clone(),
        context: spec.context.clone(),
        provider: spec.provider.clone(),
        protocol: spec.protocol,
        labels: spec.labels.clone(),
        prefixing,
        hide: spec.tools.hide.iter().cloned().collect(),
        retryable: calls.retryable_read_tools.iter().cloned().collect(),
        accepted_hashes: spec.tools.accepted_hashes.iter().cloned().collect(),
        call_timeout: seconds(calls.timeout_seconds),
        period: seconds(spec.discovery.period_seconds),
        poll_timeout: seconds(spec.discovery.timeout_seconds),
        place,
        auth,
        key,
    })
}

fn token_of(service: &Service) -> Option<(String, String)> {
    service.auth.as_ref().map(|auth| (auth.existing_secret.clone(), auth.key.clone()))
}

/// An absolute URL that requests may go to. The fault names the field and never quotes the text.
pub(crate) fn parse_url(field: &str, text: &str) -> Result<Uri, String> {
    let bad = |what: &str| format!("{field}: {what}");
    let url = url::Url::parse(text).map_err(|error| bad(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(bad("must be an http or https URL with a host"));
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(bad("must hold neither user information nor a fragment"));
    }
    url.as_str().parse().map_err(|_| bad("is not a usable URL"))
}

/// The schema holds these to 1..=3600; what slips through it is at least a second.
fn seconds(value: i32) -> Duration {
    Duration::from_secs(u64::try_from(value).unwrap_or(1).max(1))
}
