//! Metadata of an authorization server (RFC 8414, OpenID Connect Discovery): where they may be, and what they say. Pure.

use super::{OauthError, scope, web};
use crate::json::check_strict;
use serde::{Deserialize, Serialize};
use url::Url;

const WHAT: &str = "the authorization server's metadata";

/// On whose word the endpoints are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trust {
    /// An admin wrote them.
    Admin,
    /// An upstream named the server: private addresses stay closed.
    Told,
}

/// An authorization server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// Who it is: compared character by character. For endpoints that an admin wrote, the token endpoint.
    pub issuer: String,
    /// Where users consent.
    pub authorization: Url,
    /// Where codes and refresh tokens become tokens.
    pub token: Url,
    /// Where clients register.
    pub registration: Option<Url>,
    /// Where tokens are revoked.
    pub revocation: Option<Url>,
    /// How clients may authenticate at the token endpoint; empty: not told.
    pub methods: Vec<String>,
    /// Whether a URL may be a client id.
    pub metadata_clients: bool,
    /// Whether its answers carry `iss` (RFC 9207 §3).
    pub iss: bool,
    /// The scopes that it knows.
    pub scopes: Vec<String>,
    /// On whose word.
    pub trust: Trust,
}

#[derive(Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    registration_endpoint: Option<String>,
    revocation_endpoint: Option<String>,
    #[serde(default)]
    code_challenge_methods_supported: Vec<String>,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Vec<String>,
    #[serde(default)]
    scopes_supported: Vec<String>,
    #[serde(default)]
    client_id_metadata_document_supported: bool,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

impl Server {
    /// A server whose endpoints an admin wrote. Nothing is known of its issuer, so the token endpoint stands for it.
    ///
    /// # Errors
    /// [`OauthError::Url`].
    pub fn given(authorization: &str, token: &str) -> Result<Self, OauthError> {
        let token = web::endpoint(token, "the token endpoint")?;
        Ok(Self {
            issuer: token.as_str().to_owned(),
            authorization: web::endpoint(authorization, "the authorization endpoint")?,
            token,
            registration: None,
            revocation: None,
            methods: Vec::new(),
            metadata_clients: false,
            iss: false,
            scopes: Vec::new(),
            trust: Trust::Admin,
        })
    }

    /// Whether the issuer is its own, as the server itself told it.
    pub(super) fn told_issuer(&self) -> bool {
        self.trust == Trust::Told
    }
}

/// Where the metadata of an issuer are, in the order in which MCP asks.
pub(super) fn well_known(issuer: &str) -> Result<Vec<Url>, OauthError> {
    let url = web::endpoint(issuer, "the issuer")?;
    if url.query().is_some() {
        return Err(OauthError::Url("the issuer"));
    }
    let path = url.path().trim_end_matches('/');
    let mut places = vec![
        web::at(&url, &format!("/.well-known/oauth-authorization-server{path}")),
        web::at(&url, &format!("/.well-known/openid-configuration{path}")),
    ];
    if !path.is_empty() {
        places.push(web::at(&url, &format!("{path}/.well-known/openid-configuration")));
    }
    Ok(places)
}

/// Reads the document; its issuer must be the one that was asked for, and it must say that it knows S256.
pub(super) fn read(body: &[u8], issuer: &str) -> Result<Server, OauthError> {
    let malformed = |problem| OauthError::Malformed { what: WHAT, problem };
    check_strict(body).map_err(|_| malformed("no JSON object with unique keys"))?;
    let document: Document =
        serde_json::from_slice(body).map_err(|_| malformed("an endpoint or the issuer is missing"))?;
    if document.issuer != issuer {
        return Err(OauthError::IssuerMismatch);
    }
    if !document.code_challenge_methods_supported.iter().any(|method| method == "S256") {
        return Err(OauthError::NoPkce);
    }
    let optional = |text: Option<String>, what| text.map(|text| web::endpoint(&text, what)).transpose();
    Ok(Server {
        authorization: web::endpoint(&document.authorization_endpoint, "the authorization endpoint")?,
        token: web::endpoint(&document.token_endpoint, "the token endpoint")?,
        registration: optional(document.registration_endpoint, "the registration endpoint")?,
        revocation: optional(document.revocation_endpoint, "the revocation endpoint")?,
        methods: document.token_endpoint_auth_methods_supported,
        metadata_clients: document.client_id_metadata_document_supported,
        iss: document.authorization_response_iss_parameter_supported,
        scopes: scope::collect(document.scopes_supported),
        issuer: document.issuer,
        trust: Trust::Told,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn document() -> Value {
        json!({
            "issuer": "https://as.example/t1", "authorization_endpoint": "https://as.example/authorize",
            "token_endpoint": "https://as.example/token", "code_challenge_methods_supported": ["plain", "S256"],
            "authorization_response_iss_parameter_supported": true,
        })
    }

    fn with(field: &str, value: Value) -> Result<Server, OauthError> {
        let mut document = document();
        document[field] = value;
        read(document.to_string().as_bytes(), "https://as.example/t1")
    }

    #[test]
    fn the_places_are_those_of_the_mcp_specification_in_order() {
        let places = |issuer: &str| well_known(issuer).unwrap().into_iter().map(String::from).collect::<Vec<_>>();
        assert_eq!(
            places("https://as.example/t1"),
            [
                "https://as.example/.well-known/oauth-authorization-server/t1",
                "https://as.example/.well-known/openid-configuration/t1",
                "https://as.example/t1/.well-known/openid-configuration"
            ]
        );
        assert_eq!(
            places("https://as.example"),
            [
                "https://as.example/.well-known/oauth-authorization-server",
                "https://as.example/.well-known/openid-configuration"
            ]
        );
        assert!(well_known("http://as.example").is_err() && well_known("https://as.example?x").is_err());
    }

    #[test]
    fn metadata_of_another_issuer_are_refused_however_alike() {
        assert!(with("x", json!(1)).unwrap().iss);
        for other in ["https://as.example/t1/", "https://AS.example/t1", "https://as.example:443/t1", "https://evil"] {
            assert!(matches!(with("issuer", json!(other)), Err(OauthError::IssuerMismatch)), "{other}");
        }
    }

    #[test]
    fn a_server_without_s256_or_with_plain_http_is_refused() {
        for methods in [json!([]), json!(["plain"]), json!(["s256"])] {
            assert!(matches!(with("code_challenge_methods_supported", methods), Err(OauthError::NoPkce)));
        }
        for field in ["authorization_endpoint", "token_endpoint", "registration_endpoint", "revocation_endpoint"] {
            let refused = with(field, json!("http://as.example/x"));
            assert!(matches!(refused, Err(OauthError::Url(_))), "{field}");
        }
        assert!(matches!(with("token_endpoint", json!(null)), Err(OauthError::Malformed { .. })));
        assert!(Server::given("http://as.example/a", "https://as.example/t").is_err());
    }
}
