//! A gateway, services and their broker, and an upstream that knows whose credential it must see: every tenant has its own
//! for every connector, and each call says for which of them it was made.

use super::super::platform;
use aperium_core::egress::{EgressRules, LoopbackOpening};
use aperium_core::id::{ConnectorId, ConnectorName, RequestId, TenantId};
use aperium_crds::{Settings, structural};
use aperium_gateway::broker::{LocalBroker, MemoryCredentials};
use aperium_gateway::{
    BrokerConfig, CatalogSource, GatewayConfig, Given, GivenService, Listeners, Own, Resources, SettingsSource,
};
use aperium_mcp_service::connector::{Args, Connector, CredentialField, Info, SettingsSpec, Tool, ToolError, Upstream};
use aperium_mcp_service::{CredentialsSource, ServiceConfig, serve};
use aperium_platform::bearer::TokenSource;
use aperium_platform::body;
use aperium_platform::egress::{ClusterClient, ClusterEndpoint, EgressPolicy};
use aperium_platform::lease::{Audience, LeaseSigner, Scope};
use aperium_platform::seal::{KeyRing, Sealer};
use aperium_store::Store;
use axum::body::Body;
use http::{Request, StatusCode};
use schemars::JsonSchema;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

const NAMESPACE: &str = "aperium-system";
pub(super) const TENANTS: usize = 8;
pub(super) const SERVICE_TOKEN: &str = "service-token-of-the-test";

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct NoSettings {}

static INFO: Info = Info {
    module: "oracle",
    title: "Oracle",
    description: "Knows whose credential it must see.",
    prefix: "oracle_",
    port: 1,
    category: "Tests",
    credentials: &[CredentialField::secret("password", "Password", "")],
    settings: SettingsSpec::of::<NoSettings>(),
    egress_hosts: &[],
};

/// The credential that the call should have been made with.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Expected {
    canary: String,
}
impl Args for Expected {}

#[derive(Debug, Serialize, JsonSchema)]
struct Seen {
    right: bool,
}

/// Requests that reached the upstream, and those of them that came with another's credential.
pub(super) static ASKED: AtomicUsize = AtomicUsize::new(0);
pub(super) static CROSSINGS: AtomicUsize = AtomicUsize::new(0);

async fn ask(up: &Upstream, args: Expected) -> Result<Seen, ToolError> {
    ASKED.fetch_add(1, Ordering::Relaxed);
    let right = up.secret("password")?.expose_secret() == args.canary;
    // A call that is made between two looks must not change whose it is.
    tokio::task::yield_now().await;
    let crossed = !right && args.canary.starts_with("canary-");
    CROSSINGS.fetch_add(usize::from(crossed), Ordering::Relaxed);
    Ok(Seen { right })
}

struct Oracle(Vec<Tool>);

#[async_trait::async_trait]
impl Connector for Oracle {
    fn info(&self) -> &'static Info {
        &INFO
    }
    fn tools(&self) -> &[Tool] {
        &self.0
    }
    async fn probe(&self, up: &Upstream) -> Result<(), ToolError> {
        match up.secret("password")?.expose_secret() {
            "wrong" => Err(ToolError::auth_failed("the upstream refuses the password")),
            _ => Ok(()),
        }
    }
}

/// The whole of it.
pub(super) struct World {
    gateway: ClusterEndpoint,
    pods: HashMap<String, Pod>,
    client: ClusterClient,
    pub(super) signer: LeaseSigner,
    pub(super) broker: LocalBroker,
    stop: CancellationToken,
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// One service. It runs on a thread of its own, so that it can be killed like a process: at once, with all that it
/// holds and whatever it is doing.
struct Pod {
    name: String,
    own: Option<TenantId>,
    endpoint: ClusterEndpoint,
    address: SocketAddr,
    /// What its half of the broker is made of.
    broker: BrokerConfig,
    running: Mutex<Option<Running>>,
}

struct Running {
    kill: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Pod {
    fn start(name: &str, own: Option<TenantId>, signer: &LeaseSigner, local: &LocalBroker) -> Self {
        let broker = BrokerConfig { local: local.clone(), ..BrokerConfig::without_credentials(signer.clone()) };
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let endpoint = ClusterEndpoint::local(address).unwrap();
        let running = Mutex::new(Some(run(listener, service(&broker, name, own.clone()))));
        Self { name: name.to_owned(), own, endpoint, address, broker, running }
    }

    fn kill(&self) {
        let mut running = self.running.lock().unwrap();
        if let Some(Running { kill, thread }) = running.take() {
            kill.send(()).unwrap();
            thread.join().unwrap();
        }
        let listener = std::net::TcpListener::bind(self.address).unwrap();
        *running = Some(run(listener, service(&self.broker, &self.name, self.own.clone())));
    }
}

fn run(listener: std::net::TcpListener, service: ServiceConfig) -> Running {
    listener.set_nonblocking(true).unwrap();
    let (kill, killed) = oneshot::channel();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::from_std(listener).unwrap();
            tokio::spawn(serve(service, listener, CancellationToken::new()));
            // The world's end kills it too.
            let _ = killed.await;
        });
        runtime.shutdown_background();
    });
    Running { kill, thread }
}

pub(super) fn tenant(number: usize) -> TenantId {
    TenantId::parse(&format!("tenant{number}")).unwrap()
}

pub(super) fn id(connector: &str) -> ConnectorId {
    ConnectorId::parse(connector).unwrap()
}

pub(super) fn canary(tenant: usize, connector: &str) -> String {
    format!("canary-{tenant}-{connector}")
}

pub(super) fn audience(connector: &str) -> Audience {
    Audience::of(NAMESPACE, &ConnectorName::parse(connector).unwrap())
}

fn token(tenant: usize) -> String {
    format!("token-of-tenant-{tenant}")
}

/// Credentials in memory, and a broker over them.
pub(super) fn in_memory(connectors: &[&str]) -> (Arc<MemoryCredentials>, BrokerConfig) {
    let credentials = Arc::new(MemoryCredentials::default());
    for name in connectors.iter().copied().chain(["single"]) {
        for number in 0..TENANTS {
            let fields = [("password".to_owned(), SecretString::from(canary(number, name)))];
            credentials.put(&tenant(number), &id(name), fields.into());
        }
    }
    let signer = LeaseSigner::fixed(KeyRing::generate().unwrap());
    (credentials.clone(), BrokerConfig { credentials, ..BrokerConfig::without_credentials(signer) })
}

impl World {
    /// These connectors, and one of tenant 0 alone which is called `single`.
    pub(super) async fn start(connectors: &[&str]) -> Self {
        Self::over(connectors, in_memory(connectors).1, None).await
    }

    /// The same over this broker, with a database for what admins do.
    pub(super) async fn over(connectors: &[&str], config: BrokerConfig, database: Option<Store>) -> Self {
        let stop = CancellationToken::new();
        let (signer, broker) = (config.signer.clone(), config.local.clone());
        let (mut pods, mut services, mut resources) = (HashMap::new(), HashMap::new(), Resources::default());
        for name in connectors.iter().copied().chain(["single"]) {
            let own = (name == "single").then(|| tenant(0));
            let pod = Pod::start(name, own.clone(), &signer, &broker);
            let token = TokenSource::fixed(SERVICE_TOKEN.into());
            services.insert(name.to_owned(), GivenService { endpoint: pod.endpoint.clone(), token });
            pods.insert(name.to_owned(), pod);
            let mut spec =
                json!({ "protocol": "mcp", "service": { "module": "oracle" }, "discovery": { "periodSeconds": 1 } });
            if let Some(own) = own {
                spec["service"]["tenant"] = json!(own);
            }
            let manifest = json!({ "apiVersion": "aperium.dev/v1alpha1", "kind": "Connector", "metadata": { "name": name }, "spec": spec });
            resources.connectors.push(Arc::new(structural::connector(&manifest).unwrap()));
        }
        let grant = json!({ "apiVersion": "aperium.dev/v1alpha1", "kind": "Grant", "metadata": { "name": "all" }, "spec": { "subjects": ["*"], "connectors": ["**"] } });
        resources.grants.push(Arc::new(structural::grant(&grant).unwrap()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gateway = ClusterEndpoint::local(listener.local_addr().unwrap()).unwrap();
        let given = Given { resources, secrets: Default::default(), services };
        let gateway_config = GatewayConfig {
            settings: SettingsSource::Fixed(Box::new(settings())),
            source: CatalogSource::Given(watch::channel(given).1),
            own: Own { namespace: NAMESPACE.to_owned(), loopback: true, ..Own::default() },
            tokens_dir: None,
            login_dir: None,
            data: None,
            sealer: Sealer::ephemeral().unwrap(),
            broker: config,
            database,
            listeners: Listeners { public: listener, in_cluster: None, admin: None },
        };
        tokio::spawn(aperium_gateway::run(gateway_config, stop.clone()));
        let world = Self { gateway, pods, client: ClusterClient::new(), signer, broker, stop };
        for name in connectors {
            world.until_called(name).await;
        }
        world
    }

    /// Waits until the first call gets through.
    pub(super) async fn until_called(&self, connector: &str) {
        for _ in 0..600 {
            if self.call(1, connector, &canary(1, connector)).await["result"]["isError"] == false {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{connector} was never discovered");
    }

    /// A call through the gateway.
    pub(super) async fn call(&self, tenant: usize, connector: &str, canary: &str) -> Value {
        let headers = [("authorization", format!("Bearer {}", token(tenant)))];
        let tool = format!("{connector}_oracle_ask");
        self.post(&self.gateway, "/v1/mcp", &headers, &tool, canary).await.1
    }

    /// A call of a pod, past the gateway.
    pub(super) async fn direct(
        &self,
        connector: &str,
        canary: &str,
        more: &[(&'static str, String)],
    ) -> (StatusCode, Value) {
        let mut headers = vec![("authorization", format!("Bearer {SERVICE_TOKEN}"))];
        headers.extend(more.iter().cloned());
        self.post(&self.pods[connector].endpoint, "/mcp", &headers, "oracle_ask", canary).await
    }

    /// What the API answers to whoever is at the machine, who is its admin.
    pub(super) async fn api(&self, method: &str, path: &str, body: &Value) -> (StatusCode, Value) {
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        self.send(&self.gateway, request.body(Body::from(body.to_string())).unwrap()).await
    }

    /// What a pod answers to this.
    pub(super) async fn ask_pod(&self, connector: &str, request: Request<Body>) -> (StatusCode, Value) {
        self.send(&self.pods[connector].endpoint, request).await
    }

    /// Kills a pod, whatever it is doing, and starts it again at the same address.
    pub(super) fn kill(&self, connector: &str) {
        self.pods[connector].kill();
    }

    async fn post(
        &self,
        to: &ClusterEndpoint,
        path: &str,
        headers: &[(&'static str, String)],
        tool: &str,
        canary: &str,
    ) -> (StatusCode, Value) {
        let message = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": tool, "arguments": { "canary": canary } } });
        let mut request = Request::post(path).header("content-type", "application/json").header("accept", "*/*");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        self.send(to, request.body(Body::from(message.to_string())).unwrap()).await
    }

    async fn send(&self, to: &ClusterEndpoint, request: Request<Body>) -> (StatusCode, Value) {
        let response = self.client.send(to, request).await.unwrap();
        let status = response.status();
        let bytes = body::read(Body::new(response.into_body()), 1 << 20, Duration::from_secs(10)).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    pub(super) fn lease(&self, connector: &str, tenant_number: usize) -> String {
        self.lease_for("oracle_ask", connector, tenant_number)
    }

    pub(super) fn lease_for(&self, tool: &str, connector: &str, tenant_number: usize) -> String {
        let scope = Scope {
            audience: audience(connector),
            connector: id(connector),
            tool: tool.to_owned(),
            tenant: tenant(tenant_number),
            user: "client:someone".to_owned(),
            delegate: None,
            request: RequestId::accept(None),
            version: 1,
        };
        self.signer.sign(&scope).unwrap()
    }

    /// Waits until the gateway has found the service of one tenant.
    pub(super) async fn until_single(&self) {
        for _ in 0..600 {
            if self.call(0, "single", &canary(0, "single")).await["result"]["isError"] == false {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("it was never discovered");
    }
}

/// One client for each tenant.
fn settings() -> Settings {
    let clients: Vec<Value> = (0..TENANTS)
        .map(|number| {
            let hash = format!("sha256:{}", hex::encode(Sha256::digest(token(number))));
            json!({ "name": format!("client{number}"), "sha256": [hash], "tenant": tenant(number) })
        })
        .collect();
    let text = json!({ "authentication": { "staticTokens": clients } }).to_string();
    let mut settings = Settings::parse(&text).unwrap();
    settings.egress.loopback = Some(LoopbackOpening::default());
    settings
}

fn service(broker: &BrokerConfig, name: &str, tenant: Option<TenantId>) -> ServiceConfig {
    let connector = ConnectorName::parse(name).unwrap();
    let tool = Tool::read("oracle_ask", "Ask", "Compares.", ask).example(json!({ "canary": "x" }));
    let token = TokenSource::fixed(SERVICE_TOKEN.into());
    let credentials = CredentialsSource::Platform(platform(broker, NAMESPACE, &connector, id(name)));
    let egress = EgressPolicy::new(EgressRules::default()).unwrap();
    ServiceConfig {
        tenant,
        local: true,
        ..ServiceConfig::new(Arc::new(Oracle(vec![tool])), token, credentials, egress)
    }
}
