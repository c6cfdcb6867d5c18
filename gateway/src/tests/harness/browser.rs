//! A browser: it keeps cookies, says where its requests come from, and fills in forms.

use super::{Answer, Gateway, Issuer, Setup};
use aperium_crds::settings::OidcLogin;
use aperium_platform::seal::{KeyRing, Sealer};
use aperium_store::{Store, Target};
use axum::body::Body;
use axum::extract::Request;
use http::header;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Mutex;
use url::{Url, form_urlencoded};

/// Where browsers reach the gateway.
pub(in crate::tests) const PUBLIC: &str = "mcp.example.com";

/// A browser.
#[derive(Default)]
pub(in crate::tests) struct Browser {
    pub(in crate::tests) jar: Mutex<BTreeMap<String, String>>,
}

impl Browser {
    /// A request with the cookies.
    pub(in crate::tests) fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Request {
        let mut request = Request::builder().method(method).uri(path).header("host", PUBLIC);
        let jar = self.jar.lock().unwrap();
        if !jar.is_empty() {
            let pairs: Vec<String> = jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
            request = request.header("cookie", pairs.join("; "));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Body::from(body.to_owned())).unwrap()
    }

    /// Sends it and keeps the cookies that come back.
    pub(in crate::tests) async fn send(&self, gateway: &Gateway, request: Request) -> Answer {
        let answer = gateway.send(request).await;
        let mut jar = self.jar.lock().unwrap();
        for line in answer.headers.get_all(header::SET_COOKIE) {
            let line = line.to_str().unwrap();
            let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
            if value.is_empty() {
                jar.remove(name);
            } else {
                assert!(line.contains("; Path=/; HttpOnly; SameSite=Lax; Secure"), "{line}");
                jar.insert(name.to_owned(), value.to_owned());
            }
        }
        answer
    }

    /// Opens a page, from the bar of addresses.
    pub(in crate::tests) async fn open(&self, gateway: &Gateway, path: &str) -> Answer {
        self.led(gateway, path, "none").await
    }

    /// Opens a page, led there by a page of such a site.
    pub(in crate::tests) async fn led(&self, gateway: &Gateway, path: &str, site: &str) -> Answer {
        let headers = [
            ("accept", "text/html,*/*;q=0.8"),
            ("sec-fetch-site", site),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "document"),
        ];
        self.send(gateway, self.request("GET", path, &headers, "")).await
    }

    /// Sends a form of a page of ours.
    pub(in crate::tests) async fn submit(&self, gateway: &Gateway, path: &str, fields: &[(&str, &str)]) -> Answer {
        let headers = [
            ("content-type", "application/x-www-form-urlencoded"),
            ("origin", "https://mcp.example.com"),
            ("sec-fetch-site", "same-origin"),
        ];
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.send(gateway, self.request("POST", path, &headers, &body)).await
    }

    /// Begins a sign-in; what the issuer is asked.
    pub(in crate::tests) async fn begin(&self, gateway: &Gateway, path: &str) -> BTreeMap<String, String> {
        let sent = self.open(gateway, path).await;
        assert_eq!(sent.status, 303, "{}", sent.text);
        let url = Url::parse(sent.headers["location"].to_str().unwrap()).unwrap();
        url.query_pairs().into_owned().collect()
    }

    /// Comes back from the issuer.
    pub(in crate::tests) async fn come_back(&self, gateway: &Gateway, query: &[(&str, &str)]) -> Answer {
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        self.led(gateway, &format!("/login/corp/callback?{query}"), "cross-site").await
    }

    /// All of a sign-in at the issuer, by somebody with these claims.
    pub(in crate::tests) async fn sign_in(&self, gateway: &Gateway, issuer: &Issuer, claims: &Value) -> Answer {
        let asked = self.begin(gateway, "/login/corp").await;
        issuer.signs_in("aperium-web", &asked["nonce"], claims);
        let back = [("code", "c"), ("state", asked["state"].as_str()), ("iss", issuer.url.as_str())];
        self.come_back(gateway, &back).await
    }

    /// The session's cookie.
    pub(in crate::tests) fn session(&self) -> Option<String> {
        self.jar.lock().unwrap().get("__Host-aperium-session").cloned()
    }

    /// The token that a page carries.
    pub(in crate::tests) async fn token(&self, gateway: &Gateway, path: &str) -> String {
        let page = self.open(gateway, path).await;
        let (_, rest) = page.text.split_once("name=\"csrf\" value=\"").unwrap_or_else(|| panic!("{}", page.text));
        rest.split('"').next().unwrap().to_owned()
    }

    /// Who the API takes it for.
    pub(in crate::tests) async fn whoami(&self, gateway: &Gateway) -> Answer {
        let request = self.request("GET", "/api/whoami", &[("sec-fetch-site", "same-origin")], "");
        self.send(gateway, request).await
    }
}

/// A key ring, and a database that is sealed with it, for as long as the folder is there.
pub(in crate::tests) async fn database() -> (tempfile::TempDir, Store, Sealer) {
    let folder = tempfile::tempdir().unwrap();
    let ring = Sealer::fixed(KeyRing::generate().unwrap());
    let store = Store::connect(&Target::Sqlite(folder.path().join("db")), ring.clone()).await.unwrap();
    (folder, store, ring)
}

impl Setup {
    /// People sign in at this issuer, and browsers reach the gateway.
    pub(in crate::tests) fn login(mut self, issuer: &Issuer) -> Self {
        self = self.issuer(issuer, &json!({ "claims": { "tenant": "org" } }));
        let login = json!({ "name": "corp", "issuer": issuer.url, "clientId": "aperium-web", "label": "Corp & Co" });
        let login: OidcLogin = serde_json::from_value(login).unwrap();
        self.settings.authentication.login.oidc.push(login);
        self.settings.hosts.allowed_hosts.push(PUBLIC.to_owned());
        self
    }
}
