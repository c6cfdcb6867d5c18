//! A protected upstream and its authorization server in one, as kind or hostile as a test wants.

use super::super::harness::*;
use aperium_platform::seal::{KeyRing, Sealer};
use aperium_store::{Store, Target};
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::StatusCode;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use url::form_urlencoded;

pub(super) const HOST: &str = "127.0.0.1:8080";

/// What the server does.
pub(super) struct Mood {
    /// What its metadata say besides.
    pub(super) metadata: Value,
    /// What the metadata of the upstream say besides, such as another server.
    pub(super) resource: Value,
    /// What its revocation endpoint answers.
    pub(super) revoked: u16,
    /// What its token endpoint answers: status and body, by the number of the request.
    pub(super) token: Box<dyn Fn(usize) -> (u16, String) + Send>,
    /// The scopes that a call with this token lacks.
    pub(super) lacks: Lacks,
    /// How long its token endpoint takes. A little work, so that many who ask at once really do.
    pub(super) takes: Duration,
}

type Lacks = Box<dyn Fn(&str) -> Option<String> + Send>;

pub(super) struct World {
    pub(super) fake: Fake,
    pub(super) mood: Arc<Mutex<Mood>>,
    folder: tempfile::TempDir,
    ring: Sealer,
}

/// A token that lives so many seconds, and one that renews it.
pub(super) fn token(number: usize, life: i64) -> (u16, String) {
    let body = json!({ "access_token": format!("access-{number}-secret"), "token_type": "Bearer", "expires_in": life,
        "refresh_token": format!("refresh-{number}-secret") });
    (200, body.to_string())
}

impl World {
    pub(super) async fn start() -> Self {
        let (token, lacks) = (Box::new(|number| token(number, 3600)), Box::new(|_: &str| None));
        let (metadata, resource, takes) = (json!({}), json!({}), Duration::from_millis(30));
        let mood = Mood { metadata, resource, revoked: 200, token, lacks, takes };
        let mood = Arc::new(Mutex::new(mood));
        let shared = Arc::clone(&mood);
        let asked = Arc::new(Mutex::new(0));
        let fake = Fake::start(move |seen| {
            let (mood, asked) = (Arc::clone(&shared), Arc::clone(&asked));
            async move {
                if seen.uri.path() == "/token" {
                    let takes = mood.lock().unwrap().takes;
                    tokio::time::sleep(takes).await;
                }
                play(&seen, &mood.lock().unwrap(), &mut asked.lock().unwrap())
            }
        })
        .await;
        let ring = Sealer::fixed(KeyRing::generate().unwrap());
        Self { fake, mood, folder: tempfile::tempdir().unwrap(), ring }
    }

    /// A replica: all of them share the database and the key ring.
    pub(super) async fn gateway(&self) -> Gateway {
        self.setup().await.start().await
    }

    /// What a replica is made of.
    pub(super) async fn setup(&self) -> Setup {
        let store = Store::connect(&Target::Sqlite(self.folder.path().join("db")), self.ring.clone()).await.unwrap();
        let auth = json!({ "auth": { "type": "oauth2_dcr" } });
        let mut setup = Setup::default()
            .url("github", self.fake.address, &auth)
            .url("slack", self.fake.address, &auth)
            .grant("(loopback)", &["**"])
            .grant("client:agent", &["**"]);
        (setup.loopback, setup.database, setup.sealer) = (true, Some(store), self.ring.clone());
        setup
    }

    /// How often a path was asked for.
    pub(super) fn asked(&self, path: &str) -> usize {
        self.fake.seen.lock().unwrap().iter().filter(|seen| seen.uri.path() == path).count()
    }

    /// How many calls have reached the upstream.
    pub(super) fn calls(&self) -> usize {
        self.fake.seen.lock().unwrap().iter().filter(|seen| seen.text.contains("\"tools/call\"")).count()
    }

    /// The last form that a path got.
    pub(super) fn form(&self, path: &str) -> BTreeMap<String, String> {
        let seen = self.fake.seen.lock().unwrap();
        let last = seen.iter().rev().find(|seen| seen.uri.path() == path).unwrap();
        form_urlencoded::parse(last.text.as_bytes()).into_owned().collect()
    }

    pub(super) fn issuer(&self) -> String {
        format!("http://{}", self.fake.address)
    }
}

fn play(seen: &Seen, mood: &Mood, asked: &mut usize) -> Response {
    let base = format!("http://{}", seen.headers["host"].to_str().unwrap());
    let json = |status, body: Value| answer(status, &body);
    match seen.uri.path() {
        "/mcp"
            if seen
                .headers
                .get("authorization")
                .is_some_and(|value| value.to_str().unwrap().starts_with("Bearer access-")) =>
        {
            let token = seen.headers["authorization"].to_str().unwrap().trim_start_matches("Bearer ");
            match (mood.lacks)(token).filter(|_| seen.text.contains("tools/call")) {
                Some(scopes) => {
                    let mut refused = json(403, json!({}));
                    let challenge = format!("Bearer error=\"insufficient_scope\", scope=\"{scopes}\"");
                    refused.headers_mut().insert("www-authenticate", challenge.parse().unwrap());
                    refused
                }
                None => stateless(seen, &definitions(&["search"])),
            }
        }
        "/mcp" => {
            let mut refused = json(401, json!({}));
            let challenge = format!("Bearer resource_metadata=\"{base}/prm\", scope=\"read\"");
            refused.headers_mut().insert("www-authenticate", challenge.parse().unwrap());
            refused
        }
        "/prm" => {
            let own = json!({ "resource": format!("{base}/mcp"), "authorization_servers": [base] });
            json(200, with(own, &mood.resource))
        }
        "/.well-known/oauth-authorization-server" => {
            let metadata = json!({
                "issuer": base, "authorization_endpoint": format!("{base}/authorize"), "token_endpoint": format!("{base}/token"),
                "registration_endpoint": format!("{base}/register"), "revocation_endpoint": format!("{base}/revoke"),
                "code_challenge_methods_supported": ["S256"], "authorization_response_iss_parameter_supported": true,
                "token_endpoint_auth_methods_supported": ["client_secret_post"],
            });
            json(200, with(metadata, &mood.metadata))
        }
        "/register" => json(
            201,
            json!({ "client_id": "dyn", "client_secret": format!("{}-secret", seen.headers["host"].to_str().unwrap()) }),
        ),
        "/revoke" => json(mood.revoked, json!({})),
        "/token" => {
            let (status, body) = (mood.token)(*asked);
            *asked += 1;
            let mut response = Response::new(Body::from(body));
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            response
        }
        _ => json(404, json!({})),
    }
}

fn with(mut document: Value, more: &Value) -> Value {
    for (name, value) in more.as_object().unwrap() {
        document[name] = value.clone();
    }
    document
}

/// A request of the person at the machine.
pub(super) fn at(method: &str, path: &str, body: &str) -> Request {
    let builder = Request::builder().method(method).uri(path).header("host", HOST);
    builder.header("content-type", "application/json").body(Body::from(body.to_owned())).unwrap()
}

/// Begins a flow; the parameters of the URL.
pub(super) async fn connect(gateway: &Gateway, id: &str) -> BTreeMap<String, String> {
    let answer = gateway.send(at("POST", &format!("/api/connectors/{id}/connect"), "")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let url = url::Url::parse(answer.json()["auth_url"].as_str().unwrap()).unwrap();
    url.query_pairs().into_owned().collect()
}

/// What the browser brings back, led here by another site.
pub(super) async fn come_back(gateway: &Gateway, id: &str, query: &[(&str, &str)]) -> Answer {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
    let mut request = at("GET", &format!("/aperture/auth/{id}/callback?{query}"), "");
    for (name, value) in
        [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")]
    {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    gateway.send(request).await
}

/// All of a flow.
pub(super) async fn consent(world: &World, gateway: &Gateway, id: &str) {
    let begun = connect(gateway, id).await;
    let answer = come_back(gateway, id, &[("code", "c"), ("state", &begun["state"]), ("iss", &world.issuer())]).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
}

/// How the connector is for the person at the machine.
pub(super) async fn status(gateway: &Gateway, id: &str) -> String {
    let answer = gateway.send(at("GET", &format!("/api/connectors/{id}"), "")).await;
    answer.json()["status"].as_str().unwrap().to_owned()
}

/// The result of a call of `search`.
pub(super) async fn call(gateway: &Gateway, id: &str) -> Value {
    let body =
        json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "search", "arguments": {} } });
    gateway.send(at("POST", &format!("/v1/mcp/{id}"), &body.to_string())).await.json()
}

/// A call of `search` under the stateless protocol, of a client with these capabilities.
pub(super) async fn call_stateless(gateway: &Gateway, id: &str, capabilities: Value, answers: Option<Value>) -> Value {
    let mut params = json!({ "name": "search", "arguments": {}, "_meta": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": capabilities,
    } });
    if let Some(answers) = answers {
        params["inputResponses"] = answers;
    }
    let body = json!({ "jsonrpc": "2.0", "id": "a", "method": "tools/call", "params": params });
    let mut request = at("POST", &format!("/v1/mcp/{id}"), &body.to_string());
    for (name, value) in [
        ("accept", "application/json, text/event-stream"),
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/call"),
        ("mcp-name", "search"),
    ] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let answer = gateway.send(request).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

/// The session of a client of 2025-11-25 with these capabilities.
pub(super) async fn session(gateway: &Gateway, id: &str, capabilities: Value) -> String {
    let params = json!({ "protocolVersion": "2025-11-25", "capabilities": capabilities,
        "clientInfo": { "name": "c", "version": "1" } });
    let body = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params });
    let answer = gateway.send(at("POST", &format!("/v1/mcp/{id}"), &body.to_string())).await;
    answer.headers["mcp-session-id"].to_str().unwrap().to_owned()
}

/// A call of `search` within it.
pub(super) async fn call_within(gateway: &Gateway, id: &str, session: &str) -> Value {
    let body =
        json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "search", "arguments": {} } });
    let mut request = at("POST", &format!("/v1/mcp/{id}"), &body.to_string());
    request.headers_mut().insert("mcp-session-id", session.parse().unwrap());
    request.headers_mut().insert("mcp-protocol-version", "2025-11-25".parse().unwrap());
    gateway.send(request).await.json()
}

/// Waits until the tools are listed.
pub(super) async fn listed(gateway: &Gateway, id: &str) {
    gateway
        .until(|snapshot| {
            snapshot.connectors().iter().any(|entry| entry.config.id.as_str() == id && entry.registered())
        })
        .await;
}
