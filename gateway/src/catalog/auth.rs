//! `spec.auth` of a remote Connector → how the gateway authenticates there. Holds no secret: its values come from the
//! Secret that it names, which may change at any time. Pure.

use super::Refused;
use aperium_core::auth::{self, AuthFault};
use aperium_crds::condition::reasons;
use aperium_crds::connector::{ApiKey, ApiKeyPlace, Auth as Spec, AuthType, ClientCredentials, SecretRef};
use http::{HeaderName, Uri};
use std::fmt;

/// How the gateway authenticates to a remote connector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Auth {
    /// The scheme.
    pub(crate) scheme: Scheme,
    /// The Secret in the Connector's namespace that holds the values.
    pub(crate) secret: String,
}

/// The schemes that all callers share. Per-user ones never get here: their Connectors are refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// `Authorization: Bearer <secret>`.
    Bearer,
    /// A key in a header.
    KeyHeader(HeaderName),
    /// A key in a query parameter.
    KeyParameter(String),
    /// HTTP basic.
    Basic,
    /// OAuth 2.0 client credentials (RFC 6749 §4.4).
    ClientCredentials {
        /// The token endpoint.
        token_url: Uri,
        /// The scopes, joined by blanks; empty: the server's default.
        scope: String,
    },
}

impl Scheme {
    /// The type, spelled as in `spec.auth.type`.
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Bearer => "bearer_token",
            Self::KeyHeader(_) | Self::KeyParameter(_) => "api_key",
            Self::Basic => "basic",
            Self::ClientCredentials { .. } => "oauth2_client_credentials",
        }
    }
}

impl Auth {
    /// Reads and checks it.
    ///
    /// # Errors
    /// [`Refused`], with the field that is wrong; `UnsupportedValue` for the two per-user types.
    pub(super) fn read(spec: &Spec) -> Result<Self, Refused> {
        let (scheme, secret) = match spec.auth_type {
            AuthType::BearerToken => (Scheme::Bearer, &block(spec.bearer_token.as_ref(), "bearerToken")?.secret_ref),
            AuthType::Basic => (Scheme::Basic, &block(spec.basic.as_ref(), "basic")?.secret_ref),
            AuthType::ApiKey => {
                let key = block(spec.api_key.as_ref(), "apiKey")?;
                (key_place(key)?, &key.secret_ref)
            }
            AuthType::ClientCredentials => {
                let client = block(spec.client_credentials.as_ref(), "clientCredentials")?;
                (client_credentials(client)?, &client.secret_ref)
            }
            AuthType::AuthorizationCode | AuthType::Dcr => {
                let message = format!("spec.auth.type {} comes with per-user OAuth", name_of(spec.auth_type));
                return Err(Refused { reason: reasons::UNSUPPORTED_VALUE, message });
            }
        };
        Ok(Self { scheme, secret: named(secret)? })
    }

    /// The type as the JSON document and the API spell it.
    pub(crate) fn type_name(&self) -> &'static str {
        match self.scheme {
            Scheme::Bearer => "bearer_token",
            Scheme::KeyHeader(_) | Scheme::KeyParameter(_) => "api_key",
            Scheme::Basic => "basic",
            Scheme::ClientCredentials { .. } => "oauth2_client_credentials",
        }
    }
}

fn name_of(kind: AuthType) -> &'static str {
    if kind == AuthType::Dcr { "oauth2_dcr" } else { "oauth2_authorization_code" }
}

fn invalid(field: &str, problem: &dyn fmt::Display) -> Refused {
    Refused { reason: reasons::INVALID, message: format!("spec.auth.{field}: {problem}") }
}

/// The block that belongs to the type; the schema has seen to it in a cluster.
fn block<'s, T>(block: Option<&'s T>, field: &str) -> Result<&'s T, Refused> {
    block.ok_or_else(|| invalid(field, &"is missing"))
}

fn named(secret: &SecretRef) -> Result<String, Refused> {
    if secret.name.is_empty() {
        return Err(invalid("secretRef.name", &"must not be empty"));
    }
    Ok(secret.name.clone())
}

fn key_place(key: &ApiKey) -> Result<Scheme, Refused> {
    let fault = |fault: AuthFault| invalid("apiKey.name", &fault);
    match key.place {
        ApiKeyPlace::Header => {
            auth::check_key_header(&key.name).map_err(fault)?;
            let name = key.name.parse().map_err(|_| fault(AuthFault::HeaderName))?;
            Ok(Scheme::KeyHeader(name))
        }
        ApiKeyPlace::Query => {
            auth::check_key_parameter(&key.name).map_err(fault)?;
            Ok(Scheme::KeyParameter(key.name.clone()))
        }
    }
}

fn client_credentials(client: &ClientCredentials) -> Result<Scheme, Refused> {
    let token_url = super::connectors::parse_url("tokenUrl", &client.token_url)
        .map_err(|problem| invalid("clientCredentials", &problem))?;
    for scope in &client.scopes {
        auth::check_scope(scope).map_err(|fault| invalid("clientCredentials.scopes", &fault))?;
    }
    Ok(Scheme::ClientCredentials { token_url, scope: client.scopes.join(" ") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(spec: &Value) -> Result<Auth, (&'static str, String)> {
        Auth::read(&serde_json::from_value(spec.clone()).unwrap()).map_err(|refused| (refused.reason, refused.message))
    }

    #[test]
    fn each_shared_type_is_read_with_the_secret_it_names() {
        let secret = json!({ "name": "s" });
        let cases = [
            (json!({ "type": "bearer_token", "bearerToken": { "secretRef": secret } }), "bearer_token"),
            (json!({ "type": "basic", "basic": { "secretRef": secret } }), "basic"),
            (
                json!({ "type": "api_key", "apiKey": { "in": "header", "name": "X-Key", "secretRef": secret } }),
                "api_key",
            ),
            (json!({ "type": "api_key", "apiKey": { "in": "query", "name": "key", "secretRef": secret } }), "api_key"),
            (
                json!({ "type": "oauth2_client_credentials", "clientCredentials": { "tokenUrl": "https://auth.example.com/token", "scopes": ["a", "b"], "secretRef": secret } }),
                "oauth2_client_credentials",
            ),
        ];
        for (spec, name) in cases {
            let auth = read(&spec).unwrap();
            assert_eq!((auth.type_name(), auth.secret.as_str()), (name, "s"), "{spec}");
        }
    }

    #[test]
    fn scopes_are_joined_by_one_blank() {
        let spec = json!({ "type": "oauth2_client_credentials", "clientCredentials": { "tokenUrl": "https://a.example/t?x=1", "scopes": ["a", "b"], "secretRef": { "name": "s" } } });
        let Scheme::ClientCredentials { token_url, scope } = read(&spec).unwrap().scheme else { panic!("{spec}") };
        assert_eq!((token_url.to_string().as_str(), scope.as_str()), ("https://a.example/t?x=1", "a b"));
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_its_field() {
        let secret = json!({ "name": "s" });
        let key = |place: &str, name: &str| json!({ "type": "api_key", "apiKey": { "in": place, "name": name, "secretRef": secret } });
        let client = |url: &str, scope: &str| json!({ "type": "oauth2_client_credentials", "clientCredentials": { "tokenUrl": url, "scopes": [scope], "secretRef": secret } });
        let cases = [
            (json!({ "type": "bearer_token" }), "bearerToken"),
            (json!({ "type": "basic", "bearerToken": { "secretRef": secret } }), "basic"),
            (json!({ "type": "basic", "basic": { "secretRef": { "name": "" } } }), "secretRef.name"),
            (key("header", "Host"), "apiKey.name"),
            (key("header", "a b"), "apiKey.name"),
            (key("query", "a&b"), "apiKey.name"),
            (client("ftp://a.example/t", "a"), "tokenUrl"),
            (client("https://user:pw@a.example/t", "a"), "tokenUrl"),
            (client("https://a.example/t", "a b"), "scopes"),
        ];
        for (spec, field) in cases {
            let (reason, message) = read(&spec).unwrap_err();
            assert!(reason == reasons::INVALID && message.contains(field) && !message.contains("pw"), "{message}");
        }
    }

    #[test]
    fn per_user_types_wait_for_per_user_oauth() {
        for kind in ["oauth2_authorization_code", "oauth2_dcr"] {
            let (reason, message) = read(&json!({ "type": kind })).unwrap_err();
            assert_eq!(reason, reasons::UNSUPPORTED_VALUE);
            assert!(message.contains(kind) && message.contains("per-user OAuth"), "{message}");
        }
    }
}
