//! A gateway, services and their broker in one process, and an upstream that knows whose credential it must see: every
//! tenant has its own for every connector, and each call says for which of them it was made.

use super::platform;
use aperium_core::egress::{EgressRules, LoopbackOpening};
use aperium_core::id::{ConnectorId, ConnectorName, RequestId, TenantId};
use aperium_crds::{Settings, structural};
use aperium_gateway::broker::{BrokerError, MemoryCredentials};
use aperium_gateway::{
    BrokerConfig, CatalogSource, GatewayConfig, Given, GivenService, Listeners, Own, Resources, SettingsSource,
};
use aperium_mcp_service::connector::{Args, Connector, CredentialField, Info, SettingsSpec, Tool, ToolError, Upstream};
use aperium_mcp_service::{CallRules, CredentialsSource, DEFAULT_MAX_BODY, ServiceConfig, serve};
use aperium_platform::bearer::TokenSource;
use aperium_platform::body;
use aperium_platform::egress::{ClusterClient, ClusterEndpoint, EgressPolicy};
use aperium_platform::lease::{Audience, LEASE_HEADER, LeaseError, LeaseSigner, Scope};
use aperium_platform::seal::{KeyRing, Sealer};
use aperium_platform::serve::ServerLimits;
use axum::body::Body;
use http::{Request, StatusCode};
use schemars::JsonSchema;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

const NAMESPACE: &str = "aperium-system";
const TENANTS: usize = 8;
const SERVICE_TOKEN: &str = "service-token-of-the-test";

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

static CROSSINGS: AtomicUsize = AtomicUsize::new(0);

async fn ask(up: &Upstream, args: Expected) -> Result<Seen, ToolError> {
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
        up.secret("password").map(drop)
    }
}

/// The whole of it.
struct World {
    gateway: ClusterEndpoint,
    pods: HashMap<String, ClusterEndpoint>,
    client: ClusterClient,
    signer: LeaseSigner,
    broker: aperium_gateway::broker::LocalBroker,
    credentials: Arc<MemoryCredentials>,
    stop: CancellationToken,
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn tenant(number: usize) -> TenantId {
    TenantId::parse(&format!("tenant{number}")).unwrap()
}

fn id(connector: &str) -> ConnectorId {
    ConnectorId::parse(connector).unwrap()
}

fn canary(tenant: usize, connector: &str) -> String {
    format!("canary-{tenant}-{connector}")
}

fn audience(connector: &str) -> Audience {
    Audience::of(NAMESPACE, &ConnectorName::parse(connector).unwrap())
}

fn token(tenant: usize) -> String {
    format!("token-of-tenant-{tenant}")
}

impl World {
    /// These connectors, and one of tenant 0 alone which is called `single`.
    async fn start(connectors: &[&str]) -> Self {
        let stop = CancellationToken::new();
        let credentials = Arc::new(MemoryCredentials::default());
        let signer = LeaseSigner::fixed(KeyRing::generate().unwrap());
        let config =
            BrokerConfig { credentials: credentials.clone(), ..BrokerConfig::without_credentials(signer.clone()) };
        let (mut pods, mut services, mut resources) = (HashMap::new(), HashMap::new(), Resources::default());
        for name in connectors.iter().copied().chain(["single"]) {
            let own = (name == "single").then(|| tenant(0));
            for number in 0..TENANTS {
                let fields = [("password".to_owned(), SecretString::from(canary(number, name)))];
                credentials.put(&tenant(number), &id(name), fields.into());
            }
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let endpoint = ClusterEndpoint::local(listener.local_addr().unwrap()).unwrap();
            let service = service(&config, name, own.clone());
            tokio::spawn(serve(service, listener, stop.clone()));
            let token = TokenSource::fixed(SERVICE_TOKEN.into());
            services.insert(name.to_owned(), GivenService { endpoint: endpoint.clone(), token });
            pods.insert(name.to_owned(), endpoint);
            let mut spec = json!({ "protocol": "mcp", "service": { "module": "oracle" } });
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
        let broker = config.local.clone();
        let given = Given { resources, secrets: Default::default(), services };
        let gateway_config = GatewayConfig {
            settings: SettingsSource::Fixed(Box::new(settings())),
            source: CatalogSource::Given(watch::channel(given).1),
            own: Own { namespace: NAMESPACE.to_owned(), loopback: true, ..Own::default() },
            tokens_dir: None,
            data: None,
            sealer: Sealer::ephemeral().unwrap(),
            broker: config,
            database: None,
            listeners: Listeners { public: listener, in_cluster: None, admin: None },
        };
        tokio::spawn(aperium_gateway::run(gateway_config, stop.clone()));
        let world = Self { gateway, pods, client: ClusterClient::new(), signer, broker, credentials, stop };
        for name in connectors {
            world.until_called(name).await;
        }
        world
    }

    /// Waits until the first call gets through.
    async fn until_called(&self, connector: &str) {
        for _ in 0..600 {
            if self.call(1, connector, &canary(1, connector)).await["result"]["isError"] == false {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{connector} was never discovered");
    }

    /// A call through the gateway.
    async fn call(&self, tenant: usize, connector: &str, canary: &str) -> Value {
        let headers = [("authorization", format!("Bearer {}", token(tenant)))];
        let tool = format!("{connector}_oracle_ask");
        self.post(&self.gateway, "/v1/mcp", &headers, &tool, canary).await.1
    }

    /// A call of a pod, past the gateway.
    async fn direct(&self, connector: &str, canary: &str, more: &[(&'static str, String)]) -> (StatusCode, Value) {
        let mut headers = vec![("authorization", format!("Bearer {SERVICE_TOKEN}"))];
        headers.extend(more.iter().cloned());
        self.post(&self.pods[connector], "/mcp", &headers, "oracle_ask", canary).await
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
        let response = self.client.send(to, request.body(Body::from(message.to_string())).unwrap()).await.unwrap();
        let status = response.status();
        let bytes = body::read(Body::new(response.into_body()), 1 << 20, Duration::from_secs(10)).await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    fn lease(&self, connector: &str, tenant_number: usize) -> String {
        let scope = Scope {
            audience: audience(connector),
            connector: id(connector),
            tool: "oracle_ask".to_owned(),
            tenant: tenant(tenant_number),
            user: "client:someone".to_owned(),
            delegate: None,
            request: RequestId::accept(None),
            version: 1,
        };
        self.signer.sign(&scope).unwrap()
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
    ServiceConfig {
        connector: Arc::new(Oracle(vec![tool])),
        token: TokenSource::fixed(SERVICE_TOKEN.into()),
        credentials: CredentialsSource::Platform(platform(broker, NAMESPACE, &connector, id(name)).unwrap()),
        tenant,
        settings: json!({}),
        calls: CallRules::default(),
        hide: Vec::new(),
        egress: EgressPolicy::new(EgressRules::default()).unwrap(),
        facts: None,
        allowed_hosts: Vec::new(),
        metrics_open: false,
        local: true,
        max_body: DEFAULT_MAX_BODY,
        limits: ServerLimits::default(),
    }
}

#[expect(clippy::disallowed_methods, reason = "a test has no arguments")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// The next number of a generator whose seed is printed.
fn next(state: &mut u64) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    usize::try_from(*state >> 33).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_ever_sees_the_credential_of_another_tenant_or_connector() {
    let full = variable("APERIUM_SOAK").is_some();
    let connectors: Vec<String> = (0..if full { 16 } else { 4 }).map(|number| format!("c{number}")).collect();
    let calls_each = if full { 15_625 } else { 40 };
    let seed = variable("APERIUM_SEED")
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs());
    let names: Vec<&str> = connectors.iter().map(String::as_str).collect();
    let world = Arc::new(World::start(&names).await);
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..64_u64 {
        let (world, connectors, mut state) = (Arc::clone(&world), connectors.clone(), seed ^ (client << 32));
        clients.spawn(async move {
            let mut right = 0;
            for _ in 0..calls_each {
                let (tenant, connector) =
                    (next(&mut state) % TENANTS, &connectors[next(&mut state) % connectors.len()]);
                let answer = world.call(tenant, connector, &canary(tenant, connector)).await;
                assert_eq!(answer["result"]["structuredContent"]["right"], true, "{answer}");
                right += 1;
            }
            right
        });
    }
    let right: usize = clients.join_all().await.into_iter().sum();
    println!("APERIUM_SEED={seed}");
    println!("{right} calls: {} crossings", CROSSINGS.load(Ordering::Relaxed));
    assert_eq!((right, CROSSINGS.load(Ordering::Relaxed)), (64 * calls_each, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_token_alone_yields_nothing_and_a_lease_only_what_it_is_for() {
    let world = World::start(&["a", "b"]).await;
    let lease = |connector: &str, tenant: usize| [(LEASE_HEADER, world.lease(connector, tenant))];
    // The service token is stolen.
    let (status, answer) = world.direct("a", "x", &[]).await;
    assert_eq!((status, &answer["error"]["message"]), (StatusCode::FORBIDDEN, &json!("the call carries no lease")));
    // A lease of another service, and two at once.
    assert_eq!(world.direct("a", "x", &lease("b", 1)).await.0, StatusCode::FORBIDDEN);
    let two = [lease("a", 1), lease("a", 2)].concat();
    assert_eq!(world.direct("a", "x", &two).await.0, StatusCode::FORBIDDEN);
    // Forged with another key.
    let other = LeaseSigner::fixed(KeyRing::generate().unwrap());
    let claims = world.signer.open(&world.lease("a", 1), aperium_platform::lease::Now::clock()).unwrap();
    let scope = Scope {
        audience: claims.audience,
        connector: claims.connector,
        tool: claims.tool,
        tenant: tenant(2),
        user: claims.user,
        delegate: None,
        request: RequestId::accept(None),
        version: 1,
    };
    let forged = [(LEASE_HEADER, other.sign(&scope).unwrap())];
    assert_eq!(world.direct("a", "x", &forged).await.0, StatusCode::FORBIDDEN);
    // With its own lease, its own tenant's credential.
    let (status, answer) = world.direct("a", &canary(1, "a"), &lease("a", 1)).await;
    assert_eq!((status, &answer["result"]["structuredContent"]["right"]), (StatusCode::OK, &json!(true)), "{answer}");
    // Lists need the service token alone.
    let tools = Request::post("/mcp")
        .header("content-type", "application/json")
        .header("authorization", format!("Bearer {SERVICE_TOKEN}"))
        .body(Body::from(json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" }).to_string()))
        .unwrap();
    assert_eq!(world.client.send(&world.pods["a"], tools).await.unwrap().status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_redeemed_once_by_the_service_that_it_is_for() {
    let world = World::start(&["a", "b"]).await;
    let (a, b) = (world.broker.pod(audience("a")), world.broker.pod(audience("b")));
    let lease = world.lease("a", 3);
    assert_eq!(b.redeem(&lease).await.unwrap_err(), BrokerError::Lease(LeaseError::Audience));
    let given = a.redeem(&lease).await.unwrap();
    assert_eq!(given.fields["password"].expose_secret(), canary(3, "a"));
    assert_eq!(a.redeem(&lease).await.unwrap_err(), BrokerError::Replayed);
    assert_eq!(a.redeem("al1.k1.e30.AA").await.unwrap_err(), BrokerError::Lease(LeaseError::Malformed));
    assert_eq!(a.own().await.unwrap_err(), BrokerError::NeedsLease, "of many tenants it may not choose one");
    assert!(!format!("{given:?}").contains("canary"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_of_one_tenant_needs_no_lease_and_serves_nobody_else() {
    let world = World::start(&["a"]).await;
    world.until_single().await;
    let named = |tenant: &str| [("x-aperium-tenant", tenant.to_owned())];
    let (status, answer) = world.direct("single", &canary(0, "single"), &[]).await;
    assert_eq!((status, &answer["result"]["structuredContent"]["right"]), (StatusCode::OK, &json!(true)), "{answer}");
    assert_eq!(world.direct("single", "x", &named("tenant0")).await.0, StatusCode::OK);
    assert_eq!(world.direct("single", "x", &named("tenant1")).await.0, StatusCode::FORBIDDEN);
    assert_eq!(world.direct("single", "x", &[(LEASE_HEADER, world.lease("single", 1))]).await.0, StatusCode::FORBIDDEN);
    let theirs = world.call(1, "single", "x").await;
    assert_eq!(theirs["result"]["isError"], true, "{theirs}");
    assert!(theirs.to_string().contains("another tenant"), "{theirs}");
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_counts_the_tenants_that_the_gateway_has_probed_and_a_save_reaches_the_next_calls() {
    let world = World::start(&["a"]).await;
    let report = async || {
        let ask = Request::get("/readyz").body(Body::empty()).unwrap();
        let response = world.client.send(&world.pods["a"], ask).await.unwrap();
        let body = body::read(Body::new(response.into_body()), 1 << 20, Duration::from_secs(5)).await.unwrap();
        serde_json::from_slice::<Value>(&body).unwrap()
    };
    let mut last = Value::Null;
    for _ in 0..200 {
        last = report().await;
        if last["ready"] == true {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!((&last["ready"], &last["tenants"]["failing"]), (&json!(true), &json!(0)), "{last}");
    assert!(last["tenants"]["ok"].as_u64().unwrap() >= 1, "{last}");
    // A new value, without a restart of anything.
    let fields = [("password".to_owned(), SecretString::from("rotated"))];
    world.credentials.put(&tenant(1), &id("a"), fields.into());
    let mut answer = Value::Null;
    for _ in 0..200 {
        answer = world.call(1, "a", "rotated").await;
        if answer["result"]["structuredContent"]["right"] == true {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the saved value never came: {answer}");
}

impl World {
    /// Waits until the gateway has found the service of one tenant.
    async fn until_single(&self) {
        for _ in 0..600 {
            if self.call(0, "single", &canary(0, "single")).await["result"]["isError"] == false {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("it was never discovered");
    }
}
