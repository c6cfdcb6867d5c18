//! An issuer of people's tokens, and an authorization server of upstreams: one address is both.

use super::{Asked, json};
use aperium_tests::canary::Planted;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json as value};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::SystemTime;
use url::form_urlencoded;

/// The client that people sign in with.
pub(crate) const SIGN_IN: &str = "aperium-web";
/// A client whose secret this server says back to it.
pub(crate) const REFUSED: &str = "refused-client";

pub(super) struct Issuer {
    url: String,
    key: Ed25519KeyPair,
    planted: Planted,
    /// The ID token of the next sign-in.
    next: Mutex<String>,
    /// Tokens of users that count at the moment.
    accepted: Mutex<Vec<String>>,
}

impl Issuer {
    pub(super) fn new(url: String, planted: &Planted) -> Self {
        let key = Ed25519KeyPair::generate().expect("a key");
        Self { url, key, planted: planted.clone(), next: Mutex::default(), accepted: Mutex::default() }
    }

    fn token(&self, name: &str, person: &str, tenant: &str, more: &Value) -> String {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("a time");
        let mut claims = value!({"iss": self.url, "sub": person, "iat": since.as_secs(), "exp": since.as_secs() + 600,
            "email": format!("{person}@example.com"), "email_verified": true, "groups": ["people"], "org": tenant});
        for (name, value) in more.as_object().into_iter().flatten() {
            claims[name] = value.clone();
        }
        let header = value!({"alg": "EdDSA", "typ": "JWT", "kid": "k"});
        let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let text = format!("{header}.{claims}");
        let token = format!("{text}.{}", URL_SAFE_NO_PAD.encode(self.key.sign(text.as_bytes())));
        self.planted.notice_signed(name, &token);
        token
    }

    pub(super) fn agents_token(&self, person: &str, tenant: &str) -> String {
        self.token("token of an agent", person, tenant, &value!({"aud": "aperium"}))
    }

    pub(super) fn signs_in(&self, person: &str, tenant: &str, nonce: &str) {
        let token = self.token("id token", person, tenant, &value!({"aud": SIGN_IN, "nonce": nonce}));
        *self.next.lock().expect("a lock") = token;
    }

    /// Whether a request carries the token of a user.
    pub(super) fn lets_in(&self, asked: &Asked) -> bool {
        let carried = asked.parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = carried.and_then(|value| value.strip_prefix("Bearer "));
        token.is_some_and(|token| self.accepted.lock().expect("a lock").iter().any(|known| known == token))
    }

    pub(super) fn challenge(&self) -> Response {
        let mut response = json(StatusCode::UNAUTHORIZED, &value!({}));
        let challenge = format!("Bearer resource_metadata=\"{}/prm\", scope=\"read\"", self.url);
        let challenge = HeaderValue::from_str(&challenge).expect("a header");
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        response
    }

    pub(super) fn answer(&self, asked: &Asked) -> Response {
        let url = &self.url;
        match asked.parts.uri.path() {
            "/.well-known/openid-configuration" | "/.well-known/oauth-authorization-server" => {
                let at = |path: &str| format!("{url}{path}");
                json(
                    StatusCode::OK,
                    &value!({
                        "issuer": url, "jwks_uri": at("/keys"), "authorization_endpoint": at("/authorize"),
                        "token_endpoint": at("/token"), "registration_endpoint": at("/register"),
                        "revocation_endpoint": at("/revoke"), "code_challenge_methods_supported": ["S256"],
                        "authorization_response_iss_parameter_supported": true,
                        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
                    }),
                )
            }
            "/prm" => {
                json(StatusCode::OK, &value!({"resource": format!("{url}/people"), "authorization_servers": [url]}))
            }
            "/keys" => {
                let x = URL_SAFE_NO_PAD.encode(self.key.public_key().as_ref());
                let key = value!({"kty": "OKP", "crv": "Ed25519", "kid": "k", "use": "sig", "alg": "EdDSA", "x": x});
                json(StatusCode::OK, &value!({"keys": [key]}))
            }
            "/register" => {
                let secret = self.planted.plant("registered client secret");
                json(StatusCode::CREATED, &value!({"client_id": "registered", "client_secret": secret}))
            }
            "/token" => self.redeem(asked),
            "/revoke" => json(StatusCode::OK, &value!({})),
            _ => json(StatusCode::NOT_FOUND, &value!({})),
        }
    }

    fn redeem(&self, asked: &Asked) -> Response {
        let form: BTreeMap<String, String> = form_urlencoded::parse(asked.body.as_bytes()).into_owned().collect();
        let basic = asked.parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let basic = basic.and_then(|value| STANDARD.decode(value.strip_prefix("Basic ")?).ok()).unwrap_or_default();
        let basic = String::from_utf8(basic).unwrap_or_default();
        let by_header = basic.split_once(':').map(|(client, _)| client.to_owned()).filter(|client| !client.is_empty());
        let client = by_header.or_else(|| form.get("client_id").cloned()).unwrap_or_default();
        let said_back = format!("no such client: {basic} {}", asked.body);
        if client == REFUSED {
            let refusal = value!({"error": "invalid_client", "error_description": said_back, "error_uri": said_back});
            return json(StatusCode::UNAUTHORIZED, &refusal);
        }
        match form.get("grant_type").map(String::as_str) {
            Some("authorization_code") if client == SIGN_IN => {
                let (access, id) =
                    (self.planted.plant("access token of a sign-in"), self.next.lock().expect("a lock").clone());
                json(StatusCode::OK, &value!({"access_token": access, "token_type": "Bearer", "id_token": id}))
            }
            Some("authorization_code" | "refresh_token") => {
                let renewed = form.contains_key("refresh_token");
                let access = self.planted.plant("access token of a user");
                let refresh = self.planted.plant("refresh token of a user");
                self.accepted.lock().expect("a lock").push(access.clone());
                // The first is over at once, so that the next call renews it.
                let life = if renewed { 600 } else { 1 };
                let granted = value!({"access_token": access, "token_type": "Bearer", "expires_in": life, "refresh_token": refresh});
                json(StatusCode::OK, &granted)
            }
            _ => {
                let access = self.planted.plant("access token of a client");
                json(StatusCode::OK, &value!({"access_token": access, "token_type": "Bearer", "expires_in": 600}))
            }
        }
    }
}
