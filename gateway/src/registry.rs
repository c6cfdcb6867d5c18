//! The verified registry: what is known of well-known remote MCP servers, as data. Pure.
//!
//! A Connector that names a `provider` gets what it does not say itself. Each entry says where its facts were found; what
//! was not found is left out rather than guessed.

pub(crate) mod modules;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::LazyLock;
use utoipa::ToSchema;

/// One well-known server.
#[derive(Debug, Clone, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Provider {
    /// What `spec.provider` says.
    pub(crate) provider: String,
    /// Its name for people.
    pub(crate) name: String,
    /// The id that is proposed for a connector.
    pub(crate) id: String,
    /// Its MCP endpoint.
    pub(crate) url: String,
    /// How the gateway authenticates there.
    pub(crate) auth: ProviderAuth,
    /// Where the vendor describes it.
    pub(crate) docs: String,
    /// What an admin has to do there first.
    pub(crate) notes: String,
    /// Where each fact was found: `vendor`, `third party`, or why there is none.
    pub(crate) found: BTreeMap<String, String>,
}

/// How the gateway authenticates to a well-known server.
#[derive(Debug, Clone, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProviderAuth {
    /// The type, as in `spec.auth.type`.
    #[serde(rename = "type")]
    pub(crate) auth_type: String,
    /// Authorization endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) auth_url: Option<String>,
    /// Token endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) token_url: Option<String>,
    /// Scopes to ask for.
    #[serde(default)]
    pub(crate) scopes: Vec<String>,
    /// Further parameters of the authorization URL.
    #[serde(default)]
    pub(crate) auth_params: BTreeMap<String, String>,
}

// The file is part of this program, and a test reads it.
static PROVIDERS: LazyLock<Vec<Provider>> =
    LazyLock::new(|| serde_json::from_str(include_str!("registry/providers.json")).unwrap_or_default());

/// All entries, in the order of their names.
pub(crate) fn all() -> &'static [Provider] {
    &PROVIDERS
}

/// Gives the spec of a Connector what its provider's entry knows and it does not say: protocol, URL, display name, and
/// the public half of `auth`. Secrets are named by whoever writes it, never here.
pub(crate) fn fill(spec: &mut Value) {
    let known = spec.get("provider").and_then(Value::as_str).and_then(|name| all().iter().find(|p| p.provider == name));
    let (Some(provider), Some(spec)) = (known, spec.as_object_mut()) else { return };
    if spec.contains_key("service") {
        return;
    }
    let own_server = spec.contains_key("url");
    put(spec, "protocol", json!("mcp"));
    put(spec, "url", json!(provider.url));
    put(spec, "displayName", json!(provider.name));
    let auth = &provider.auth;
    match spec.get_mut("auth").and_then(Value::as_object_mut) {
        // Somebody else's server may want something else.
        None if auth.auth_type == "oauth2_dcr" && !own_server => {
            spec.insert("auth".to_owned(), json!({ "type": auth.auth_type }));
        }
        Some(given) if given.get("type").and_then(Value::as_str) == Some(&auth.auth_type) => {
            if let Some(code) = given.get_mut("authorizationCode").and_then(Value::as_object_mut) {
                let urls = [("authUrl", &auth.auth_url), ("tokenUrl", &auth.token_url)];
                for (field, url) in urls.into_iter().filter_map(|(field, url)| Some((field, url.as_ref()?))) {
                    put(code, field, json!(url));
                }
                put(code, "scopes", json!(auth.scopes));
                put(code, "authParams", json!(auth.auth_params));
            }
        }
        _ => {}
    }
}

fn put(object: &mut Map<String, Value>, field: &str, value: Value) {
    if !object.contains_key(field) {
        object.insert(field.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aperium_core::id::ConnectorId;
    use aperium_crds::structural;

    #[test]
    fn the_nine_servers_are_there_in_order_with_usable_facts() {
        let names: Vec<&str> = all().iter().map(|provider| provider.provider.as_str()).collect();
        let expected = [
            "atlassian",
            "github",
            "gmail",
            "google-calendar",
            "google-drive",
            "linear",
            "notion",
            "salesforce",
            "slack",
        ];
        assert_eq!(names, expected);
        for provider in all() {
            assert!(ConnectorId::parse(&provider.id).is_ok());
            let auth = &provider.auth;
            let urls = [Some(&provider.url), Some(&provider.docs), auth.auth_url.as_ref(), auth.token_url.as_ref()];
            assert!(urls.into_iter().flatten().all(|url| url.starts_with("https://")), "{}", provider.provider);
            assert_eq!(
                auth.auth_type == "oauth2_authorization_code",
                auth.auth_url.is_some() && auth.token_url.is_some()
            );
            assert_eq!(provider.found.keys().collect::<Vec<_>>(), ["auth", "scopes", "url"]);
        }
    }

    #[test]
    fn every_entry_makes_a_connector_that_the_schema_takes() {
        for provider in all() {
            let mut spec = json!({ "provider": provider.provider });
            if provider.auth.auth_url.is_some() {
                spec["auth"] =
                    json!({ "type": provider.auth.auth_type, "authorizationCode": { "secretRef": { "name": "s" } } });
            }
            fill(&mut spec);
            let manifest = json!({ "apiVersion": "aperium.dev/v1alpha1", "kind": "Connector", "metadata": { "name": provider.id }, "spec": spec });
            let connector =
                structural::connector(&manifest).unwrap_or_else(|faults| panic!("{}: {faults}", provider.id));
            assert_eq!(connector.spec.url.as_deref(), Some(provider.url.as_str()));
            assert!(connector.spec.auth.is_some());
        }
    }

    #[test]
    fn what_is_said_already_stays_and_an_unknown_provider_changes_nothing() {
        let mut own = json!({ "provider": "notion", "url": "https://mcp.example.com", "displayName": "Ours" });
        fill(&mut own);
        assert_eq!(
            own,
            json!({ "provider": "notion", "url": "https://mcp.example.com", "displayName": "Ours", "protocol": "mcp" })
        );
        let mut unknown = json!({ "provider": "nobody" });
        fill(&mut unknown);
        assert_eq!(unknown, json!({ "provider": "nobody" }));
    }
}
