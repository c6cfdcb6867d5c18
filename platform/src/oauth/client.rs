//! What the gateway is at an authorization server: a client that an admin registered, one whose id is the URL of its
//! own metadata document, or one that registered itself (RFC 7591). Pure.

use super::{OauthError, Server};
use crate::json::check_strict;
use aperium_core::auth::check_client;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const WHAT: &str = "the registration";
const NAME: &str = "Aperium";

/// How a client says who it is at the token endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClientAuth {
    /// `none`: the id in the body.
    Public,
    /// `client_secret_basic`.
    Basic,
    /// `client_secret_post`.
    Post,
    /// Nobody said it: basic first, then in the body.
    Either,
}

/// A client at one authorization server.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Client {
    /// Its id.
    pub id: String,
    /// Its secret, where it has one.
    #[serde(serialize_with = "exposed")]
    pub secret: Option<SecretString>,
    /// How it authenticates.
    pub auth: ClientAuth,
}

/// Writes a secret out. Only for what is sealed at once.
pub(super) fn exposed<S: serde::Serializer>(secret: &Option<SecretString>, to: S) -> Result<S::Ok, S::Error> {
    secret.as_ref().map(|secret| secret.expose_secret()).serialize(to)
}

impl Client {
    /// A client that an admin registered.
    #[must_use]
    pub fn given(id: &str, secret: Option<SecretString>, server: &Server) -> Self {
        let auth = method(&server.methods, secret.is_some());
        Self { id: id.to_owned(), secret, auth }
    }

    /// A client whose id is the URL of its metadata document; nothing where the server takes no such client.
    #[must_use]
    pub fn by_document(url: &str, server: &Server) -> Option<Self> {
        server.metadata_clients.then(|| Self { id: url.to_owned(), secret: None, auth: ClientAuth::Public })
    }
}

/// The way that both sides know; without a word of the server, whatever the client can do.
fn method(offered: &[String], secret: bool) -> ClientAuth {
    let offers = |name: &str| offered.iter().any(|method| method == name);
    match secret {
        false => ClientAuth::Public,
        true if offered.is_empty() => ClientAuth::Either,
        true if offers("client_secret_basic") => ClientAuth::Basic,
        true if offers("client_secret_post") => ClientAuth::Post,
        true if offers("none") => ClientAuth::Public,
        true => ClientAuth::Either,
    }
}

/// What a client says of itself, in its metadata document and when it registers.
fn metadata(redirect: &[String], method: &str) -> Value {
    let native = redirect.iter().any(|uri| uri.starts_with("http://"));
    json!({
        "client_name": NAME,
        "redirect_uris": redirect,
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": method,
        "application_type": if native { "native" } else { "web" },
    })
}

/// The client id metadata document that is served at `url`, for these redirect URIs.
#[must_use]
pub fn metadata_document(url: &str, redirect: &[String]) -> Value {
    let mut document = metadata(redirect, "none");
    if let Some(fields) = document.as_object_mut() {
        fields.insert("client_id".to_owned(), Value::from(url));
    }
    document
}

/// The body of a registration.
pub(super) fn registration(server: &Server, redirect: &str) -> Value {
    let method = match method(&server.methods, true) {
        ClientAuth::Public => "none",
        ClientAuth::Post => "client_secret_post",
        ClientAuth::Basic | ClientAuth::Either => "client_secret_basic",
    };
    metadata(&[redirect.to_owned()], method)
}

/// Reads what the server made of a registration.
pub(super) fn registered(body: &[u8], server: &Server) -> Result<Client, OauthError> {
    #[derive(Deserialize)]
    struct Document {
        client_id: String,
        client_secret: Option<SecretString>,
        token_endpoint_auth_method: Option<String>,
    }
    let malformed = |problem| OauthError::Malformed { what: WHAT, problem };
    check_strict(body).map_err(|_| malformed("its answer is no JSON object with unique keys"))?;
    let document: Document = serde_json::from_slice(body).map_err(|_| malformed("its answer holds no client_id"))?;
    let secret = document.client_secret.filter(|secret| !secret.expose_secret().is_empty());
    let usable = check_client(&document.client_id).is_ok()
        && secret.as_ref().is_none_or(|secret| check_client(secret.expose_secret()).is_ok());
    if !usable {
        return Err(malformed("its client_id or client_secret holds unusable characters"));
    }
    let auth = match (document.token_endpoint_auth_method.as_deref(), secret.is_some()) {
        (Some("client_secret_basic"), true) => ClientAuth::Basic,
        (Some("client_secret_post"), true) => ClientAuth::Post,
        (Some("none") | None, false) => ClientAuth::Public,
        (Some("none"), true) => ClientAuth::Public,
        (None, true) => method(&server.methods, true),
        (Some(_), _) => return Err(malformed("it demands a way of authentication that is not spoken here")),
    };
    Ok(Client { id: document.client_id, secret, auth })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(methods: &[&str]) -> Server {
        let mut server = Server::given("https://as.example/a", "https://as.example/t").unwrap();
        server.methods = methods.iter().map(|method| (*method).to_owned()).collect();
        server
    }

    #[test]
    fn the_way_of_authentication_is_one_that_both_sides_know() {
        let of = |methods: &[&str]| Client::given("id", Some("s".into()), &server(methods)).auth;
        assert_eq!(of(&[]), ClientAuth::Either);
        assert_eq!(of(&["client_secret_post", "client_secret_basic"]), ClientAuth::Basic);
        assert_eq!(of(&["client_secret_post", "none"]), ClientAuth::Post);
        assert_eq!(of(&["none"]), ClientAuth::Public);
        assert_eq!(Client::given("id", None, &server(&["client_secret_basic"])).auth, ClientAuth::Public);
    }

    #[test]
    fn a_registration_says_what_kind_of_client_it_is() {
        let web = registration(&server(&["none"]), "https://gateway.example/cb");
        assert_eq!((&web["application_type"], &web["token_endpoint_auth_method"]), (&json!("web"), &json!("none")));
        let native = registration(&server(&[]), "http://127.0.0.1:4000/cb");
        assert_eq!(native["application_type"], "native");
        assert_eq!(native["grant_types"], json!(["authorization_code", "refresh_token"]));
        let document = metadata_document("https://gateway.example/client.json", &["https://gateway.example/cb".into()]);
        assert_eq!(document["client_id"], "https://gateway.example/client.json");
    }

    #[test]
    fn what_a_server_makes_of_it_is_checked_and_its_secret_never_shown() {
        let read = |body: Value| registered(body.to_string().as_bytes(), &server(&["client_secret_post"]));
        let client = read(json!({"client_id": "a", "client_secret": "hunter2"})).unwrap();
        assert_eq!(client.auth, ClientAuth::Post);
        assert!(!format!("{client:?}").contains("hunter2"));
        let back: Client = serde_json::from_str(&serde_json::to_string(&client).unwrap()).unwrap();
        assert_eq!(back.secret.unwrap().expose_secret(), "hunter2");
        for bad in [
            json!({}),
            json!({"client_id": ""}),
            json!({"client_id": "a\n"}),
            json!({"client_id": "a", "client_secret": "hunter2\u{0}"}),
            json!({"client_id": "a", "token_endpoint_auth_method": "private_key_jwt"}),
            json!({"client_id": "a", "token_endpoint_auth_method": "client_secret_basic"}),
        ] {
            let error = read(bad).unwrap_err();
            assert!(!format!("{error:?}").contains("hunter2"));
        }
    }
}
