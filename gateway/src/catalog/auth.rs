//! `spec.auth` of a remote Connector → how the gateway authenticates there. Holds no secret: its values come from the
//! Secret that it names, which may change at any time. Pure.

use super::Refused;
use aperium_core::auth::{self, AuthFault};
use aperium_crds::condition::reasons;
use aperium_crds::connector::{
    ApiKey, ApiKeyPlace, Auth as Spec, AuthType, AuthorizationCode, ClientCredentials, SecretRef,
};
use aperium_platform::oauth::{OWN_PARAMETERS, Server};
use http::{HeaderName, Uri};
use std::collections::BTreeMap;
use std::fmt;

/// How the gateway authenticates to a remote connector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Auth {
    /// The scheme.
    pub(crate) scheme: Scheme,
    /// The Secret in the Connector's namespace that holds the values; empty: there are none.
    pub(crate) secret: String,
}

/// The schemes.
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
    /// Each user authorises the gateway for themselves.
    PerUser(Box<PerUser>),
}

/// How a user authorises the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PerUser {
    /// The server that an admin wrote, where the gateway is a client whose id and secret are in the Secret; none: the
    /// upstream names it, and the gateway becomes a client there by itself.
    pub(crate) server: Option<Server>,
    /// The scopes to ask for; empty: those that the upstream names.
    pub(crate) scopes: Vec<String>,
    /// Further parameters of the authorization URL.
    pub(crate) parameters: BTreeMap<String, String>,
}

impl Scheme {
    /// The type, spelled as in `spec.auth.type`.
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Bearer => "bearer_token",
            Self::KeyHeader(_) | Self::KeyParameter(_) => "api_key",
            Self::Basic => "basic",
            Self::ClientCredentials { .. } => "oauth2_client_credentials",
            Self::PerUser(how) if how.server.is_some() => "oauth2_authorization_code",
            Self::PerUser(_) => "oauth2_dcr",
        }
    }
}

impl Auth {
    /// Reads and checks it.
    ///
    /// # Errors
    /// [`Refused`], with the field that is wrong.
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
            AuthType::AuthorizationCode => {
                let code = block(spec.authorization_code.as_ref(), "authorizationCode")?;
                (authorization_code(code)?, &code.secret_ref)
            }
            AuthType::Dcr => {
                let scopes = spec.dcr.as_ref().map(|dcr| dcr.scopes.clone()).unwrap_or_default();
                scopes_of("dcr.scopes", &scopes)?;
                let how = PerUser { server: None, scopes, parameters: BTreeMap::new() };
                return Ok(Self { scheme: Scheme::PerUser(Box::new(how)), secret: String::new() });
            }
        };
        Ok(Self { scheme, secret: named(secret)? })
    }

    /// The type as the JSON document and the API spell it.
    pub(crate) fn type_name(&self) -> &'static str {
        self.scheme.as_str()
    }

    /// How each user authorises the gateway, where they do.
    pub(crate) fn per_user(&self) -> Option<&PerUser> {
        if let Scheme::PerUser(how) = &self.scheme { Some(how) } else { None }
    }
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
    scopes_of("clientCredentials.scopes", &client.scopes)?;
    Ok(Scheme::ClientCredentials { token_url, scope: client.scopes.join(" ") })
}

fn authorization_code(code: &AuthorizationCode) -> Result<Scheme, Refused> {
    scopes_of("authorizationCode.scopes", &code.scopes)?;
    let own = |name: &&String| OWN_PARAMETERS.iter().any(|own| own.eq_ignore_ascii_case(name));
    if let Some(name) = code.auth_params.keys().find(own) {
        return Err(invalid("authorizationCode.authParams", &format!("must not set {name}")));
    }
    let server = Server::given(&code.auth_url, &code.token_url);
    let server = server.map_err(|error| invalid("authorizationCode", &error))?;
    let (scopes, parameters) = (code.scopes.clone(), code.auth_params.clone());
    Ok(Scheme::PerUser(Box::new(PerUser { server: Some(server), scopes, parameters })))
}

fn scopes_of(field: &str, scopes: &[String]) -> Result<(), Refused> {
    scopes.iter().try_for_each(|scope| auth::check_scope(scope)).map_err(|fault| invalid(field, &fault))
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
    fn a_user_may_authorise_at_a_given_server_or_at_one_that_the_upstream_names() {
        let code = |field: &str, value: Value| {
            let mut spec = json!({ "type": "oauth2_authorization_code", "authorizationCode": {
                "authUrl": "https://as.example/a", "tokenUrl": "https://as.example/t", "scopes": ["x"],
                "authParams": { "access_type": "offline" }, "secretRef": { "name": "s" } } });
            spec["authorizationCode"][field] = value;
            read(&spec)
        };
        let auth = code("scopes", json!(["y"])).unwrap();
        assert_eq!((auth.type_name(), auth.secret.as_str()), ("oauth2_authorization_code", "s"));
        assert_eq!(auth.per_user().unwrap().scopes, ["y"]);
        for (field, value, named) in [
            ("authUrl", json!("http://as.example/a"), "authorization endpoint"),
            ("tokenUrl", json!("http://as.example/t"), "token endpoint"),
            ("scopes", json!(["a b"]), "scopes"),
            ("authParams", json!({ "State": "x" }), "State"),
            ("authParams", json!({ "resource": "x" }), "resource"),
        ] {
            let (reason, message) = code(field, value).unwrap_err();
            assert!(reason == reasons::INVALID && message.contains(named), "{message}");
        }
        let dynamic = read(&json!({ "type": "oauth2_dcr", "dcr": { "scopes": ["x"] } })).unwrap();
        assert_eq!((dynamic.type_name(), dynamic.secret.as_str()), ("oauth2_dcr", ""));
        assert!(dynamic.per_user().unwrap().server.is_none());
    }
}
