//! An OIDC issuer with keys of its own, which can be told to misbehave.

use super::{Origin, Setup};
use aperium_core::egress::HostPort;
use aperium_crds::settings::OidcIssuer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

/// A key pair for ES256.
pub(in crate::tests) struct Signer {
    pair: EcdsaKeyPair,
    pub(in crate::tests) kid: String,
}

impl Signer {
    pub(in crate::tests) fn new(kid: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self { pair, kid: kid.to_owned() }
    }

    pub(in crate::tests) fn jwk(&self) -> Value {
        let point = self.pair.public_key().as_ref();
        let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..]));
        json!({ "kty": "EC", "crv": "P-256", "kid": self.kid, "use": "sig", "alg": "ES256", "x": x, "y": y })
    }

    /// A token with this header and these claims.
    pub(in crate::tests) fn sign(&self, header: &Value, claims: &Value) -> String {
        let text = parts(header, claims);
        let signature = self.pair.sign(&SystemRandom::new(), text.as_bytes()).unwrap();
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }

    /// A token as the issuer makes it.
    pub(in crate::tests) fn token(&self, claims: &Value) -> String {
        self.sign(&json!({ "alg": "ES256", "typ": "JWT", "kid": self.kid }), claims)
    }
}

/// Header and claims of a token, encoded.
pub(in crate::tests) fn parts(header: &Value, claims: &Value) -> String {
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()))
}

/// Seconds since 1970.
pub(in crate::tests) fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

/// What the issuer publishes.
#[derive(Debug, Clone)]
pub(in crate::tests) struct Published {
    pub(in crate::tests) document: Value,
    pub(in crate::tests) keys: String,
    /// What its token endpoint answers.
    pub(in crate::tests) token: String,
}

/// An issuer on loopback.
pub(in crate::tests) struct Issuer {
    pub(in crate::tests) origin: Origin,
    pub(in crate::tests) url: String,
    pub(in crate::tests) signer: Signer,
    pub(in crate::tests) published: Arc<Mutex<Published>>,
    /// The forms that its token endpoint got.
    pub(in crate::tests) forms: Arc<Mutex<Vec<String>>>,
}

impl Issuer {
    pub(in crate::tests) async fn start() -> Self {
        let signer = Signer::new("key-1");
        let keys = json!({ "keys": [signer.jwk()] }).to_string();
        let published = Arc::new(Mutex::new(Published { document: Value::Null, keys, token: String::new() }));
        let forms: Arc<Mutex<Vec<String>>> = Arc::default();
        let sent = Arc::clone(&forms);
        let told = Arc::clone(&published);
        let origin = Origin::start(move |request: Request| {
            let now = told.lock().unwrap().clone();
            let text = match request.uri().path() {
                "/.well-known/openid-configuration" => now.document.to_string(),
                "/token" => now.token,
                _ => now.keys,
            };
            let (sent, asked) = (Arc::clone(&sent), request.uri().path() == "/token");
            async move {
                if asked {
                    let form = request.into_body().collect().await.unwrap().to_bytes();
                    sent.lock().unwrap().push(String::from_utf8(form.to_vec()).unwrap());
                }
                Response::new(Body::from(text))
            }
        })
        .await;
        let url = format!("http://{}", origin.address);
        published.lock().unwrap().document = json!({
            "issuer": url, "jwks_uri": format!("{url}/keys"), "authorization_endpoint": format!("{url}/authorize"),
            "token_endpoint": format!("{url}/token"), "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": true,
        });
        Self { origin, url, signer, published, forms }
    }

    /// Claims of a good token.
    pub(in crate::tests) fn claims(&self) -> Value {
        json!({
            "iss": self.url, "sub": "alice-1", "aud": "aperium", "iat": now(), "exp": now() + 300,
            "email": "alice@example.com", "email_verified": true, "groups": ["sales"], "org": "acme",
        })
    }

    /// A good token, with some claims different.
    pub(in crate::tests) fn token(&self, different: &Value) -> String {
        self.signer.token(&self.changed(different))
    }

    /// Good claims, with some different; null takes one away.
    pub(in crate::tests) fn changed(&self, different: &Value) -> Value {
        let mut claims = self.claims();
        for (name, value) in different.as_object().into_iter().flatten() {
            if value.is_null() {
                claims.as_object_mut().unwrap().remove(name);
            } else {
                claims[name] = value.clone();
            }
        }
        claims
    }

    /// What the token endpoint answers from now on: an ID token for a sign-in, with some claims different.
    pub(in crate::tests) fn signs_in(&self, client: &str, nonce: &str, different: &Value) {
        let mut claims = self.changed(&json!({ "aud": client, "nonce": nonce }));
        for (name, value) in different.as_object().into_iter().flatten() {
            claims[name] = value.clone();
        }
        let answer = json!({ "access_token": "a", "token_type": "Bearer", "id_token": self.signer.token(&claims) });
        self.published.lock().unwrap().token = answer.to_string();
    }

    pub(in crate::tests) fn publish(&self, keys: &Value) {
        self.published.lock().unwrap().keys = keys.to_string();
    }
}

impl Setup {
    /// Trusts the issuer, with some settings different.
    pub(in crate::tests) fn issuer(mut self, issuer: &Issuer, different: &Value) -> Self {
        let mut settings = json!({ "issuer": issuer.url, "audiences": ["aperium"] });
        for (name, value) in different.as_object().into_iter().flatten() {
            settings[name] = value.clone();
        }
        let settings: OidcIssuer = serde_json::from_value(settings).unwrap();
        self.settings.authentication.oidc.push(settings);
        "https://mcp.example.com".clone_into(&mut self.settings.hosts.public_url);
        self.settings.egress.allow_hosts.push(HostPort::parse(&issuer.origin.address.to_string()).unwrap());
        self
    }
}
