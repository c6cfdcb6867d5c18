//! An OIDC issuer, as far as a gateway sees one: two documents, and tokens that it has signed.

use super::USERS;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::time::SystemTime;

/// For whom its tokens are.
pub(crate) const AUDIENCE: &str = "aperium";
/// Its path at the upstream.
const PATH: &str = "/issuer";
/// Seconds that a token is good for: longer than any run takes.
const LIFETIME: u64 = 4 * 3600;

/// An issuer with a key of its own.
pub(crate) struct Issuer {
    url: String,
    key: EcdsaKeyPair,
}

impl Issuer {
    /// The issuer at this port.
    pub(crate) fn new(port: u16) -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
        Self { url: format!("http://127.0.0.1:{port}{PATH}"), key }
    }

    /// As its tokens spell it.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The document at this path.
    pub(crate) fn publishes(&self, path: &str) -> Option<String> {
        match path.strip_prefix(PATH)? {
            "/.well-known/openid-configuration" => {
                Some(json!({ "issuer": self.url, "jwks_uri": format!("{}/keys", self.url) }).to_string())
            }
            "/keys" => {
                let point = self.key.public_key().as_ref();
                let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..]));
                let key =
                    json!({ "kty": "EC", "crv": "P-256", "kid": "k1", "use": "sig", "alg": "ES256", "x": x, "y": y });
                Some(json!({ "keys": [key] }).to_string())
            }
            _ => None,
        }
    }

    /// A token of each user, all of one tenant.
    pub(crate) fn tokens(&self) -> Vec<String> {
        let now = SystemTime::UNIX_EPOCH.elapsed().expect("a clock").as_secs();
        let claims = |user: u32| {
            json!({
                "iss": self.url, "sub": format!("user-{user}"), "aud": AUDIENCE, "iat": now, "exp": now + LIFETIME,
                "email": email(user), "email_verified": true, "groups": ["sales", "support"], "org": "acme",
            })
        };
        (0..USERS).map(|user| self.sign(&claims(user))).collect()
    }

    fn sign(&self, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", part(&json!({ "alg": "ES256", "typ": "JWT", "kid": "k1" })), part(claims));
        let signature = self.key.sign(&SystemRandom::new(), text.as_bytes()).expect("a signature");
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}

/// The e-mail of a user, verified.
pub(crate) fn email(user: u32) -> String {
    format!("user-{user}@example.com")
}
