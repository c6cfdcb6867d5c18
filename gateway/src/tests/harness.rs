//! A gateway without listeners and upstreams with real sockets.

use crate::access::{Access, Own};
use crate::app;
use crate::audit::Audit;
use crate::broker::pods::Pods;
use crate::broker::{Broker, BrokerConfig};
use crate::catalog::{Catalog, ResourceKey, Resources};
use crate::changes::hub::Hub;
use crate::database::Database;
use crate::discovery::{Event, Events, Manager, Placement, SecretSeen};
use crate::document::follow;
use crate::front::Front;
use crate::given;
use crate::login::Login;
use crate::metrics::Metrics;
use crate::pipeline::authn::static_tokens::TokenFiles;
use crate::pipeline::authn::token_review::Reviewer;
use crate::pipeline::credential::ServiceToken;
use crate::registration::{Numbers, Registrations};
use crate::secrets::Found;
use crate::session::Sessions;
use crate::snapshot::Snapshot;
use crate::state::State;
use crate::writer::Writer;
use aperium_crds::{Settings, structural};
use aperium_platform::bearer::TokenSource;
use aperium_platform::egress::{ClusterEndpoint, ExternalClient};
use aperium_platform::lease::LeaseSigner;
use aperium_platform::seal::{KeyRing, Sealer};
use aperium_store::Store;
use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::{HeaderMap, Method};
use http_body_util::BodyExt as _;
use secrecy::SecretString;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tokio::sync::{Mutex, mpsc, watch};
use tokio_util::sync::CancellationToken;

mod browser;
mod changing;
mod issuer;
mod legacy_sse;
mod lines;
mod offering;
mod origin;
mod upstream;
pub(super) use browser::*;
pub(super) use changing::*;
pub(super) use issuer::*;
pub(super) use legacy_sse::*;
pub(super) use lines::*;
pub(super) use offering::*;
pub(super) use origin::*;
pub(super) use upstream::*;

/// The token of the static client `agent`.
pub(super) const TOKEN: &str = "agent-token";

/// A gateway.
pub(super) struct Gateway {
    pub(super) state: Arc<State>,
    pub(super) router: Front,
    pub(super) in_cluster: Front,
    pub(super) admin: Router,
    pub(super) events: Events,
    snapshots: watch::Receiver<()>,
    pub(super) stop: CancellationToken,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// What a gateway is made of.
pub(super) struct Setup {
    pub(super) connectors: Vec<Value>,
    pub(super) grants: Vec<Value>,
    pub(super) services: HashMap<ResourceKey, Placement>,
    pub(super) secrets: Vec<(String, SecretSeen)>,
    pub(super) settings: Settings,
    pub(super) loopback: bool,
    pub(super) reviewer: Option<kube::Client>,
    pub(super) sealer: Sealer,
    pub(super) writer: Writer,
    pub(super) broker: BrokerConfig,
    pub(super) database: Option<Store>,
    pub(super) login: Option<std::path::PathBuf>,
    /// The way to remote connectors, where it is not that of the settings.
    pub(super) external: Option<ExternalClient>,
}

impl Default for Setup {
    fn default() -> Self {
        let mut settings = Settings::parse(&format!(
            "authentication:\n  staticTokens:\n  - {{name: agent, sha256: [\"{}\"], groups: [ops]}}\n  - {{name: other, sha256: [\"{}\"]}}\n",
            hash(TOKEN),
            hash("other-token")
        ))
        .unwrap();
        settings.egress.loopback = Some(aperium_core::egress::LoopbackOpening::default());
        Self {
            connectors: Vec::new(),
            grants: Vec::new(),
            services: HashMap::new(),
            secrets: Vec::new(),
            settings,
            loopback: false,
            reviewer: None,
            sealer: Sealer::ephemeral().unwrap(),
            writer: Writer::Fixed,
            broker: BrokerConfig::without_credentials(LeaseSigner::fixed(KeyRing::generate().unwrap())),
            database: None,
            login: None,
            external: None,
        }
    }
}

fn hash(token: &str) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(token.as_bytes())))
}

pub(super) fn connector(name: &str, spec: &Value) -> Value {
    json!({ "apiVersion": "aperium.dev/v1alpha1", "kind": "Connector", "metadata": { "name": name, "namespace": "aperium-system" }, "spec": spec })
}

/// A Secret that may be used.
pub(super) fn secret(values: &[(&str, &str)]) -> SecretSeen {
    let values = values.iter().map(|(key, value)| ((*key).to_owned(), SecretString::from((*value).to_owned())));
    SecretSeen { secret: "s".into(), found: Found::Values(Arc::new(values.collect())), reader: Arc::default() }
}

impl Setup {
    /// A remote connector that is polled every second.
    pub(super) fn url(mut self, name: &str, address: SocketAddr, extra: &Value) -> Self {
        let mut spec = json!({ "protocol": "mcp", "url": format!("http://{address}/mcp"), "discovery": { "periodSeconds": 1, "timeoutSeconds": 1 } });
        for (field, value) in extra.as_object().into_iter().flatten() {
            spec[field] = value.clone();
        }
        self.connectors.push(connector(name, &spec));
        self
    }

    /// An HTTP connector whose base is a path of that address.
    pub(super) fn http(mut self, name: &str, address: SocketAddr, base: &str, extra: &Value) -> Self {
        let mut spec = json!({ "protocol": "http", "url": format!("http://{address}{base}") });
        for (field, value) in extra.as_object().into_iter().flatten() {
            spec[field] = value.clone();
        }
        self.connectors.push(connector(name, &spec));
        self
    }

    /// A managed service with a token.
    pub(super) fn service(mut self, name: &str, address: SocketAddr, token: &str) -> Self {
        self.connectors.push(connector(
            name,
            &json!({ "protocol": "mcp", "service": { "module": name }, "discovery": { "periodSeconds": 1, "timeoutSeconds": 1 } }),
        ));
        let key = ResourceKey { namespace: "aperium-system".into(), name: name.into() };
        let token = ServiceToken::of(TokenSource::fixed(SecretString::from(token.to_owned())));
        self.services.insert(key, Placement { endpoint: ClusterEndpoint::local(address).unwrap(), token });
        self
    }

    /// What the Secret `s` says for a Connector.
    pub(super) fn secret(mut self, connector: &str, values: &[(&str, &str)]) -> Self {
        self.secrets.push((connector.to_owned(), secret(values)));
        self
    }

    pub(super) fn grant(mut self, subject: &str, patterns: &[&str]) -> Self {
        let name = format!("g{}", self.grants.len());
        self.grants.push(json!({
            "apiVersion": "aperium.dev/v1alpha1", "kind": "Grant", "metadata": { "name": name, "namespace": "aperium-system" },
            "spec": { "subjects": [subject], "connectors": patterns },
        }));
        self
    }

    /// Starts it and waits until each connector was polled.
    pub(super) async fn start(self) -> Gateway {
        let own = Own {
            service: "aperium-gateway".into(),
            namespace: "aperium-system".into(),
            addresses: Vec::new(),
            loopback: self.loopback,
        };
        let settings = Arc::new(self.settings.clone());
        let catalog = Catalog::build(&Resources::default(), Arc::clone(&settings), "aperium-system");
        let ((events, receiver), stop) = (mpsc::channel(64), CancellationToken::new());
        let (changed, snapshots) = watch::channel(());
        let snapshot = Arc::new(ArcSwap::from_pointee(Snapshot::new(Arc::new(catalog), Vec::new(), None)));
        let metrics = Arc::new(Metrics::new());
        let spans = crate::spans::Spans::start(&settings, stop.clone()).unwrap();
        let pods = self.reviewer.clone().map(Pods::new);
        let audit = self.database.clone().map(|store| Audit::new(store, "gateway", metrics.audit()));
        let (audit, scribe) = audit.unzip();
        let state = Arc::new(State {
            access: ArcSwap::from_pointee(Access::new(&own, &settings, &TokenFiles::default(), None)),
            changes: Hub::new(Arc::clone(&snapshot), snapshots.clone(), Arc::clone(&metrics), stop.clone()),
            snapshot: Arc::clone(&snapshot),
            metrics,
            sessions: Sessions::new(self.sealer.clone()),
            parked: Arc::default(),
            events: events.clone(),
            registrations: Registrations::new(
                Numbers::in_memory(),
                events.clone(),
                "aperium-system",
                self.database.clone(),
                stop.clone(),
            ),
            writer: self.writer,
            changing: Mutex::default(),
            stopping: stop.clone(),
            reviewer: self.reviewer.map(Reviewer::new),
            login: Login::new(self.login),
            broker: Broker::new(self.broker, pods, snapshot, audit.clone().unwrap_or_default(), self.sealer.clone()),
            database: self.database.map(Database::new),
            audit: audit.unwrap_or_default(),
            spans,
            loaded: AtomicBool::new(false),
        });
        let mut manager = Manager::new(Arc::clone(&state), own, settings, events.clone(), changed);
        if let Some(external) = self.external {
            manager = manager.reaching(external);
        }
        tokio::spawn(manager.run(receiver, stop.clone()));
        if let Some(scribe) = scribe {
            tokio::spawn(scribe.run(stop.clone()));
        }
        tokio::spawn(Arc::clone(&state.registrations).run());
        if let Some(database) = &state.database {
            tokio::spawn(Arc::clone(database).run(stop.clone()));
        }
        let gateway = Gateway {
            router: app::public(&state),
            in_cluster: app::in_cluster(&state),
            admin: app::admin(&state),
            state,
            events,
            snapshots,
            stop,
        };
        gateway.tell(Event::Placements(self.services)).await;
        for (connector, seen) in self.secrets {
            gateway.secret(&connector, seen).await;
        }
        gateway.resources(&self.connectors, &self.grants).await;
        gateway
            .until(|snapshot| {
                // The first Snapshot is empty: wait for the one that the Manager makes.
                gateway.state.loaded.load(std::sync::atomic::Ordering::Acquire)
                    && snapshot.connectors().len() == self.connectors.len()
                    && snapshot.connectors().iter().all(|entry| entry.health != crate::snapshot::Health::Pending)
            })
            .await;
        if let Writer::Document(store) = gateway.state.writer.clone() {
            let (events, stop) = (gateway.events.clone(), gateway.stop.clone());
            tokio::spawn(given::forward(store.given(), "aperium-system".to_owned(), events.clone(), stop.clone()));
            tokio::spawn(follow::run(store, self.settings, TokenFiles::default(), events, stop));
        }
        gateway
    }
}

impl Gateway {
    pub(super) async fn tell(&self, event: Event) {
        self.events.send(event).await.unwrap();
    }

    /// Other settings from now on.
    pub(super) async fn settings(&self, settings: Settings) {
        self.tell(Event::Settings(Arc::new(settings), TokenFiles::default())).await;
        self.state.settled().await;
    }

    pub(super) async fn secret(&self, connector: &str, seen: SecretSeen) {
        let key = ResourceKey { namespace: "aperium-system".into(), name: connector.into() };
        self.tell(Event::Secret(key, Some(seen))).await;
    }

    pub(super) async fn resources(&self, connectors: &[Value], grants: &[Value]) {
        let connectors = connectors.iter().map(|c| Arc::new(structural::connector(c).unwrap())).collect();
        let grants = grants.iter().map(|g| Arc::new(structural::grant(g).unwrap())).collect();
        self.tell(Event::Resources(Resources { connectors, grants })).await;
    }

    /// Waits until the Snapshot is as it should be.
    pub(super) async fn until(&self, good: impl Fn(&Snapshot) -> bool) {
        let mut snapshots = self.snapshots.clone();
        let wait = async {
            loop {
                snapshots.borrow_and_update();
                if good(&self.state.snapshot.load()) {
                    return;
                }
                snapshots.changed().await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(10), wait)
            .await
            .expect("the Snapshot did not become what it should be");
    }

    /// Sends a request as it is.
    pub(super) async fn send(&self, request: Request) -> Answer {
        Answer::read(self.router.clone().oneshot(request).await.unwrap()).await
    }

    /// Sends a request as it is to the in-cluster listener.
    pub(super) async fn send_inside(&self, request: Request) -> Answer {
        Answer::read(self.in_cluster.clone().oneshot(request).await.unwrap()).await
    }

    /// Posts a body with the agent's token.
    pub(super) async fn post(&self, path: &str, body: &str) -> Answer {
        self.send(post(path, body)).await
    }

    /// Calls a method the legacy way; the whole answer.
    pub(super) async fn rpc(&self, path: &str, method: &str, params: &Value) -> Value {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        self.post(path, &body.to_string()).await.json()
    }

    /// The names that `tools/list` gives.
    pub(super) async fn tools(&self, path: &str) -> Vec<String> {
        self.names(path, crate::snapshot::Kind::Tools).await
    }

    /// The names, URIs or templates that a list gives.
    pub(super) async fn names(&self, path: &str, kind: crate::snapshot::Kind) -> Vec<String> {
        let list = self.rpc(path, kind.list_method(), &json!({})).await;
        let items = list["result"][kind.list_field()].as_array().unwrap();
        items.iter().map(|item| item[kind.key()].as_str().unwrap().to_owned()).collect()
    }
}

/// A request without a body, with the agent's token.
pub(super) fn ask(method: &str, path: &str) -> Request {
    Request::builder()
        .method(method)
        .uri(path)
        .header("host", "aperium-gateway:8080")
        .header("authorization", format!("Bearer {TOKEN}"))
        .body(Body::empty())
        .unwrap()
}

/// Waits until something is so.
pub(super) async fn soon(what: impl Fn() -> bool) {
    let wait = async {
        while !what() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), wait).await.expect("it did not happen");
}

/// A POST with the agent's token.
pub(super) fn post(path: &str, body: &str) -> Request {
    post_as(TOKEN, path, body)
}

pub(super) fn post_as(token: &str, path: &str, body: &str) -> Request {
    Request::builder()
        .method(Method::POST)
        .uri(path)
        .header("host", "aperium-gateway:8080")
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .body(Body::from(body.to_owned()))
        .unwrap()
}

/// A request of the stateless protocol, with all its headers.
pub(super) fn stateless_post(path: &str, method: &str, params: &Value) -> Request {
    let mut params = params.clone();
    if params["_meta"].is_null() {
        params["_meta"] = json!({});
    }
    params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2026-07-28");
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({});
    let body = json!({ "jsonrpc": "2.0", "id": "a", "method": method, "params": params });
    let mut request = post(path, &body.to_string());
    let headers = request.headers_mut();
    headers.insert("accept", "application/json, text/event-stream".parse().unwrap());
    headers.insert("mcp-protocol-version", "2026-07-28".parse().unwrap());
    headers.insert("mcp-method", method.parse().unwrap());
    if let Some(name) = params["name"].as_str().or(params["uri"].as_str()) {
        headers.insert("mcp-name", name.parse().unwrap());
    }
    request
}

/// A whole answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

impl Answer {
    pub(super) async fn read(response: Response) -> Self {
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Self { status: parts.status.as_u16(), headers: parts.headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(super) fn code(&self) -> i64 {
        self.json()["error"]["code"].as_i64().unwrap_or_default()
    }
}
