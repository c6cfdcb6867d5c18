//! What a lease yields to whom, in one process.

use aperium_core::id::{ConnectorId, RequestId, TenantId};
use aperium_gateway::BrokerConfig;
use aperium_gateway::broker::{BrokerError, CredentialReader, CredentialsDown, Loaded, MemoryCredentials};
use aperium_platform::lease::{LEASE_HEADER, LeaseError, LeaseSigner, Scope};
use aperium_platform::probes::Check;
use aperium_platform::seal::KeyRing;
use axum::body::Body;
use http::{Request, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use world::{SERVICE_TOKEN, World, audience, canary, id, in_memory, tenant};

mod admins;
mod crossings;
mod world;

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
    assert_eq!(world.ask_pod("a", tools).await.0, StatusCode::OK);
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
    let (credentials, broker) = in_memory(&["a"]);
    let world = World::over(&["a"], broker, None).await;
    let report = async || world.ask_pod("a", Request::get("/readyz").body(Body::empty()).unwrap()).await.1;
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
    credentials.put(&tenant(1), &id("a"), fields.into());
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

/// Counts how often a credential is read.
#[derive(Debug)]
struct Counted(Arc<MemoryCredentials>, AtomicUsize);

type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, CredentialsDown>> + Send + 'a>>;

impl CredentialReader for Counted {
    fn load<'a>(&'a self, tenant: &'a TenantId, connector: &'a ConnectorId) -> Answer<'a, Option<Loaded>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.load(tenant, connector)
    }

    fn version<'a>(&'a self, tenant: &'a TenantId, connector: &'a ConnectorId) -> Answer<'a, Option<u64>> {
        self.0.version(tenant, connector)
    }

    fn holders<'a>(&'a self, _: &'a ConnectorId) -> Answer<'a, Vec<(TenantId, u64)>> {
        // Nobody is probed: what is read is read for calls.
        Box::pin(async { Ok(Vec::new()) })
    }

    fn checked<'a>(&'a self, whose: (&'a TenantId, &'a ConnectorId), version: u64, check: &'a Check) -> Answer<'a, ()> {
        self.0.checked(whose, version, check)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_service_has_a_credential_a_call_asks_the_broker_for_nothing() {
    let (credentials, broker) = in_memory(&["a"]);
    let counted = Arc::new(Counted(credentials, AtomicUsize::new(0)));
    let world = World::over(&["a"], BrokerConfig { credentials: counted.clone(), ..broker }, None).await;
    let before = counted.1.load(Ordering::Relaxed);
    let (began, mut calls) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(3) {
        let answer = world.call(2, "a", &canary(2, "a")).await;
        assert_eq!(answer["result"]["structuredContent"]["right"], true, "{answer}");
        calls += 1;
    }
    let reads = counted.1.load(Ordering::Relaxed) - before;
    assert!(reads == 1 && calls > 50, "{calls} calls, {reads} reads");
}

/// A database of which no row opens from a moment on: moved, cut, or sealed for somebody else.
#[derive(Debug)]
struct Spoilt(Arc<MemoryCredentials>, AtomicBool);

impl CredentialReader for Spoilt {
    fn load<'a>(&'a self, tenant: &'a TenantId, connector: &'a ConnectorId) -> Answer<'a, Option<Loaded>> {
        match self.1.load(Ordering::Relaxed) {
            true => Box::pin(async { Err(CredentialsDown) }),
            false => self.0.load(tenant, connector),
        }
    }

    fn version<'a>(&'a self, tenant: &'a TenantId, connector: &'a ConnectorId) -> Answer<'a, Option<u64>> {
        self.0.version(tenant, connector)
    }

    fn holders<'a>(&'a self, connector: &'a ConnectorId) -> Answer<'a, Vec<(TenantId, u64)>> {
        self.0.holders(connector)
    }

    fn checked<'a>(&'a self, whose: (&'a TenantId, &'a ConnectorId), version: u64, check: &'a Check) -> Answer<'a, ()> {
        self.0.checked(whose, version, check)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn t3_a_service_whose_credentials_do_not_open_is_not_ready_and_calls_with_none() {
    let (credentials, broker) = in_memory(&["a"]);
    let spoilt = Arc::new(Spoilt(credentials, AtomicBool::new(false)));
    let world = World::over(&["a"], BrokerConfig { credentials: spoilt.clone(), ..broker }, None).await;
    spoilt.1.store(true, Ordering::Relaxed);
    for name in ["a", "single"] {
        world.kill(name);
    }
    let report = async |name: &str| world.ask_pod(name, Request::get("/readyz").body(Body::empty()).unwrap()).await;
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(5) {
        for name in ["a", "single"] {
            let (status, said) = report(name).await;
            assert_eq!((status, &said["ready"]), (StatusCode::SERVICE_UNAVAILABLE, &json!(false)), "{name}: {said}");
        }
        let answer = world.call(1, "a", &canary(1, "a")).await;
        assert!(answer["result"]["isError"] != false && !answer.to_string().contains("\"right\""), "{answer}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let said = report("a").await.1;
    assert!(said["tenants"]["failing"].as_u64() > Some(0), "it was probed meanwhile: {said}");
}
