//! The beginning of a flow: the URL that the user opens, and what has to be remembered until the browser comes back. Pure
//! but for its random values.

use super::client::exposed;
use super::{Client, OauthError, Server, pkce, union};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use url::Url;

/// What no parameter of an admin may replace: the flow depends on it.
pub const OWN_PARAMETERS: [&str; 8] = [
    "response_type",
    "client_id",
    "redirect_uri",
    "state",
    "code_challenge",
    "code_challenge_method",
    "scope",
    "resource",
];

/// What a flow is to bring.
#[derive(Debug, Clone)]
pub struct Wish<'a> {
    /// What the state begins with: it may say where the flow is remembered. May be empty.
    pub lead: &'a str,
    /// Where the browser comes back to.
    pub redirect: &'a str,
    /// The identifier of the resource that the token is for.
    pub resource: &'a str,
    /// The scopes; empty: the server's default.
    pub scopes: &'a [String],
    /// Further parameters of the authorization URL, as an admin wrote them.
    pub parameters: &'a BTreeMap<String, String>,
}

/// A flow that waits for its browser. Holds secrets: it is stored sealed, and used once.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Pending {
    /// Where the user was sent.
    pub server: Server,
    /// As whom.
    pub client: Client,
    /// Where the browser comes back to; the token request repeats it.
    pub redirect: String,
    /// What the token is for.
    pub resource: String,
    /// What was asked for.
    pub scopes: Vec<String>,
    #[serde(serialize_with = "exposed")]
    state: Option<SecretString>,
    #[serde(serialize_with = "exposed")]
    verifier: Option<SecretString>,
}

/// Makes both.
///
/// # Errors
/// [`OauthError::Random`].
pub fn begin(server: Server, client: Client, wish: &Wish<'_>) -> Result<(Url, Pending), OauthError> {
    let (random, verifier) = (pkce::random()?, pkce::random()?);
    let state = SecretString::from(format!("{}{}", wish.lead, random.expose_secret()));
    let mut url = server.authorization.clone();
    // What the endpoint's own query says of ours is left out: a server that reads the first value would follow it.
    let kept: Vec<(String, String)> =
        url.query_pairs().filter(|(name, _)| !own(name)).map(|(name, value)| (name.into(), value.into())).collect();
    {
        let mut query = url.query_pairs_mut();
        query.clear().extend_pairs(kept);
        query.extend_pairs(wish.parameters.iter().filter(|(name, _)| !own(name)));
        query
            .append_pair("response_type", "code")
            .append_pair("client_id", &client.id)
            .append_pair("redirect_uri", wish.redirect)
            .append_pair("state", state.expose_secret())
            .append_pair("code_challenge", &pkce::challenge(&verifier))
            .append_pair("code_challenge_method", "S256")
            .append_pair("resource", wish.resource);
        if !wish.scopes.is_empty() {
            query.append_pair("scope", &wish.scopes.join(" "));
        }
    }
    let pending = Pending {
        server,
        client,
        redirect: wish.redirect.to_owned(),
        resource: wish.resource.to_owned(),
        scopes: union(wish.scopes, &[]),
        state: Some(state),
        verifier: Some(verifier),
    };
    Ok((url, pending))
}

fn own(name: &str) -> bool {
    OWN_PARAMETERS.iter().any(|own| own.eq_ignore_ascii_case(name))
}

impl Pending {
    /// What the browser must bring back, and what the flow is found by.
    #[must_use]
    pub fn state(&self) -> &str {
        self.state.as_ref().map_or("", |state| state.expose_secret())
    }

    pub(super) fn verifier(&self) -> &str {
        self.verifier.as_ref().map_or("", |verifier| verifier.expose_secret())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(authorization: &str, parameters: &[(&str, &str)]) -> (Url, Pending) {
        let server = Server::given(authorization, "https://as.example/t").unwrap();
        let client = Client::given("id", None, &server);
        let parameters = parameters.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let wish = Wish {
            lead: "lead.",
            redirect: "https://gateway.example/aperture/auth/x/callback",
            resource: "https://mcp.example/mcp",
            scopes: &["a".to_owned(), "b".to_owned()],
            parameters: &parameters,
        };
        begin(server, client, &wish).unwrap()
    }

    #[test]
    fn a_url_carries_what_the_specifications_want_once() {
        let own = [("access_type", "offline"), ("prompt", "consent")];
        let (url, pending) = started("https://as.example/authorize?tenant=1", &own);
        let query: BTreeMap<String, String> = url.query_pairs().into_owned().collect();
        assert_eq!(query.len(), url.query_pairs().count(), "nothing twice");
        let expected = [
            ("tenant", "1"),
            ("access_type", "offline"),
            ("prompt", "consent"),
            ("response_type", "code"),
            ("client_id", "id"),
            ("redirect_uri", "https://gateway.example/aperture/auth/x/callback"),
            ("state", pending.state()),
            ("code_challenge_method", "S256"),
            ("resource", "https://mcp.example/mcp"),
            ("scope", "a b"),
        ];
        for (name, value) in expected {
            assert_eq!(query[name], value);
        }
        assert!(pending.state().starts_with("lead.") && pending.state().len() == 48);
        let verifier = SecretString::from(pending.verifier().to_owned());
        assert_eq!(query["code_challenge"], pkce::challenge(&verifier));
        assert!(!url.as_str().contains(pending.verifier()) && !format!("{pending:?}").contains(pending.verifier()));
    }

    #[test]
    fn no_parameter_replaces_ours_wherever_it_comes_from() {
        let foreign: Vec<(&str, &str)> = OWN_PARAMETERS.iter().map(|name| (*name, "evil")).collect();
        let (url, _) = started("https://as.example/a?State=evil&scope=evil&x=1", &foreign);
        assert!(!url.as_str().contains("evil"), "{url}");
    }

    #[test]
    fn a_flow_survives_being_stored() {
        let (_, pending) = started("https://as.example/a", &[]);
        let back: Pending = serde_json::from_str(&serde_json::to_string(&pending).unwrap()).unwrap();
        assert_eq!((back.state(), back.verifier()), (pending.state(), pending.verifier()));
    }
}
