//! Authorization servers and browsers that mean harm, over the whole flow: what is not refused here would have brought
//! somebody a token, a code or a secret.

use super::super::harness::*;
use super::world::*;
use aperium_core::id::TenantId;
use aperium_store::now_ms;
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::time::Duration;

/// Everything that a server was sent: addresses, headers and bodies.
fn everything(world: &World) -> String {
    world.fake.seen.lock().unwrap().iter().map(|seen| format!("{seen:?}\n")).collect()
}

async fn no_flow(world: &World, gateway: &Gateway, why: &str) {
    let answer = gateway.send(at("POST", "/api/connectors/github/connect", "")).await;
    assert_eq!(answer.status, 502, "{why}: {}", answer.text);
    assert!(!answer.text.contains("auth_url") && !answer.text.contains("evil"), "{why}: {}", answer.text);
    let page = gateway.send(at("GET", "/aperture/auth/github/connect", "")).await;
    assert!(page.status == 502 && page.headers.get("location").is_none(), "{why}: {} {}", page.status, page.text);
    assert_eq!((world.asked("/register"), world.asked("/token")), (0, 0), "{why}");
}

#[tokio::test]
async fn o1_a_flow_that_has_waited_too_long_is_over() {
    let world = World::start().await;
    let setup = world.setup().await;
    let store = setup.database.clone().unwrap();
    let gateway = setup.start().await;
    let state = connect(&gateway, "github").await["state"].clone();
    // The flow is put back as it would be after its fifteen minutes.
    let (id, tenant) = (hex::encode(Sha256::digest(&state)), store.tenant(&TenantId::parse("default").unwrap()));
    let flow = tenant.take_oauth_flow(&id, "github").await.unwrap().unwrap();
    tenant.begin_oauth_flow(&id, &flow, now_ms() - 1).await.unwrap();
    let query = [("code", "c"), ("state", state.as_str()), ("iss", &world.issuer())];
    assert_eq!(come_back(&gateway, "github", &query).await.status, 400);
    assert_eq!(world.asked("/token"), 0);
    tenant.begin_oauth_flow(&id, &flow, now_ms() + 60_000).await.unwrap();
    assert_eq!(come_back(&gateway, "github", &query).await.status, 200, "within its time it counts");
}

#[tokio::test]
async fn o5_o7_o22_a_server_that_weakens_the_flow_begins_none() {
    let world = World::start().await;
    let gateway = world.gateway().await;
    let methods = |methods: Value| json!({ "code_challenge_methods_supported": methods });
    for metadata in [
        methods(Value::Null),
        methods(json!([])),
        methods(json!(["plain"])),
        methods(json!(["s256", "S256 "])),
        methods(json!("S256")),
        json!({ "issuer": format!("{}/", world.issuer()) }),
        json!({ "issuer": world.issuer().to_uppercase() }),
        json!({ "authorization_endpoint": "http://as.evil.example/authorize" }),
        json!({ "token_endpoint": "http://as.evil.example/token" }),
        json!({ "registration_endpoint": "http://as.evil.example/register" }),
        json!({ "revocation_endpoint": "http://as.evil.example/revoke" }),
        json!({ "token_endpoint": "https://user:password@as.evil.example/token" }),
    ] {
        world.mood.lock().unwrap().metadata = metadata.clone();
        no_flow(&world, &gateway, &metadata.to_string()).await;
    }
}

#[tokio::test]
async fn o7_the_verifier_goes_to_the_token_endpoint_alone_and_is_the_one_that_was_promised() {
    let world = World::start().await;
    let gateway = world.gateway().await;
    let begun = connect(&gateway, "github").await;
    assert_eq!(begun["code_challenge_method"], "S256");
    let query = [("code", "c"), ("state", begun["state"].as_str()), ("iss", &world.issuer())];
    let page = come_back(&gateway, "github", &query).await;
    let verifier = world.form("/token")["code_verifier"].clone();
    let promised = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()));
    assert_eq!(promised, begun["code_challenge"]);
    assert!(!begun.values().any(|value| value.contains(&verifier)) && !page.text.contains(&verifier));
    assert_ne!(connect(&gateway, "github").await["code_challenge"], promised, "a new one for each flow");
}

#[tokio::test]
async fn o15_a_token_is_always_asked_for_the_resource_that_the_upstream_is() {
    let world = World::start().await;
    let gateway = world.gateway().await;
    for resource in [
        json!({ "resource": "https://mcp.evil.example/mcp" }),
        json!({ "resource": format!("{}/other", world.issuer()) }),
        json!({ "resource": format!("{}/mcp/below", world.issuer()) }),
        json!({ "resource": null }),
        json!({ "authorization_servers": ["http://as.evil.example"] }),
        json!({ "authorization_servers": ["https://169.254.169.254"] }),
        json!({ "authorization_servers": [] }),
    ] {
        world.mood.lock().unwrap().resource = resource.clone();
        no_flow(&world, &gateway, &resource.to_string()).await;
    }
    world.mood.lock().unwrap().resource = json!({});
    world.mood.lock().unwrap().token = Box::new(|number| token(number, if number == 0 { 1 } else { 3600 }));
    let begun = connect(&gateway, "github").await;
    let expected = format!("{}/mcp", world.issuer());
    assert_eq!(begun["resource"], expected);
    let query = [("code", "c"), ("state", begun["state"].as_str()), ("iss", &world.issuer())];
    assert_eq!(come_back(&gateway, "github", &query).await.status, 200);
    assert_eq!(world.form("/token")["resource"], expected);
    listed(&gateway, "github").await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    call(&gateway, "github").await;
    let renewed = world.form("/token");
    assert_eq!((renewed["grant_type"].as_str(), renewed["resource"].as_str()), ("refresh_token", &*expected));
}

#[tokio::test]
async fn o20_neither_a_token_nor_a_code_is_in_an_address_or_in_the_log() {
    let world = World::start().await;
    let gateway = world.gateway().await;
    world.mood.lock().unwrap().token = Box::new(|number| token(number, if number == 0 { 1 } else { 3600 }));
    let (lines, _guard) = Lines::here();
    let begun = connect(&gateway, "github").await;
    let query = [("code", "code-1-secret"), ("state", begun["state"].as_str()), ("iss", &world.issuer())];
    let done = come_back(&gateway, "github", &query).await;
    let again = come_back(&gateway, "github", &query).await;
    listed(&gateway, "github").await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    call(&gateway, "github").await;
    gateway.send(at("POST", "/api/connectors/github/disconnect", "")).await;
    for page in [&done, &again] {
        assert_eq!(page.headers["referrer-policy"], "no-referrer");
        assert!(!page.text.contains("-secret") && !page.text.contains(&begun["state"]), "{}", page.text);
    }
    for seen in world.fake.seen.lock().unwrap().iter() {
        let uri = seen.uri.to_string();
        assert!(!uri.contains("-secret") && !uri.contains(&begun["state"]), "{uri}");
    }
    // Our own lines: what HTTP libraries tell below them never leaves a program (`tests/canary`).
    let ours = lines.text().lines().filter(|line| line.contains("\"target\":\"aperium")).collect::<Vec<_>>().join("\n");
    assert!(ours.contains("/aperture/auth/github/callback") || ours.contains("a user has authorised"), "{ours}");
    assert!(!ours.contains("-secret") && !ours.contains(&begun["state"]), "{ours}");
}

#[tokio::test]
async fn o21_a_token_is_gone_although_its_server_does_not_revoke_it() {
    let world = World::start().await;
    let gateway = world.gateway().await;
    consent(&world, &gateway, "github").await;
    listed(&gateway, "github").await;
    world.mood.lock().unwrap().revoked = 500;
    let gone = gateway.send(at("POST", "/api/connectors/github/disconnect", "")).await;
    assert_eq!((gone.status, gone.json()), (200, json!({ "disconnected": true })));
    assert_eq!(world.form("/revoke")["token"], "refresh-0-secret", "it was asked to");
    assert_eq!(status(&gateway, "github").await, "needs_auth");
    let before = world.calls();
    assert!(call(&gateway, "github").await.to_string().contains("authorization_required"));
    assert_eq!(world.calls(), before, "nothing goes out with it");
}

#[tokio::test]
async fn o23_another_authorization_server_gets_nothing_that_the_one_before_has_given() {
    let (world, other) = (World::start().await, World::start().await);
    let gateway = world.gateway().await;
    world.mood.lock().unwrap().token = Box::new(|number| token(number, 1));
    consent(&world, &gateway, "github").await;
    listed(&gateway, "github").await;
    let (first, second) = (format!("{}-secret", world.fake.address), format!("{}-secret", other.fake.address));
    // The upstream names another one from now on. What it has given is renewed where it is from.
    world.mood.lock().unwrap().resource = json!({ "authorization_servers": [other.issuer()] });
    tokio::time::sleep(Duration::from_millis(1100)).await;
    call(&gateway, "github").await;
    assert_eq!(world.form("/token")["grant_type"], "refresh_token");
    assert!(everything(&other).is_empty(), "{}", everything(&other));
    // A new consent is one at the new server, as a client of its own.
    let begun = connect(&gateway, "github").await;
    assert_eq!((other.asked("/register"), world.asked("/register")), (1, 1));
    let (code, state) = (("code", "c"), ("state", begun["state"].as_str()));
    let mixed = come_back(&gateway, "github", &[code, state, ("iss", &world.issuer())]).await;
    assert_eq!(mixed.status, 400, "an answer of the server before: {}", mixed.text);
    let begun = connect(&gateway, "github").await;
    let answer = [code, ("state", begun["state"].as_str()), ("iss", &other.issuer())];
    assert_eq!(come_back(&gateway, "github", &answer).await.status, 200);
    assert_eq!(other.form("/token")["client_secret"], second);
    let told = everything(&other);
    assert!(!told.contains(&first) && !told.contains("refresh-") && !told.contains("Bearer access-"), "{told}");
    assert!(!everything(&world).contains(&second));
    // And back: the client that is known there is taken up again, and nothing else.
    world.mood.lock().unwrap().resource = json!({});
    connect(&gateway, "github").await;
    assert_eq!((other.asked("/register"), world.asked("/register")), (1, 1));
}
