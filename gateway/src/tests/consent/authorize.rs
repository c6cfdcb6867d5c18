//! How a user is asked for their consent, in both eras, and for more of it later.

use super::super::harness::*;
use super::world::*;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const PAGE: &str = "http://127.0.0.1:8080/aperture/auth/github/connect";
const KEY: &str = "aperium/authorization";

fn urls() -> Value {
    json!({ "elicitation": { "url": {} } })
}

fn accepted() -> Option<Value> {
    Some(json!({ KEY: { "action": "accept" } }))
}

/// A user who has consented at another time, so that the tools are known, and has none now.
async fn known(world: &World) -> Gateway {
    let gateway = world.gateway().await;
    consent(world, &gateway, "github").await;
    listed(&gateway, "github").await;
    gateway.send(at("POST", "/api/connectors/github/disconnect", "")).await;
    gateway
}

#[tokio::test]
async fn a_stateless_client_shows_the_page_and_its_call_goes_on_once_the_user_has_consented() {
    let world = World::start().await;
    let gateway = known(&world).await;
    let asked = call_stateless(&gateway, "github", urls(), None).await;
    let result = &asked["result"];
    assert_eq!(result["resultType"], "input_required", "{asked}");
    let request = &result["inputRequests"][KEY];
    assert_eq!(
        (request["method"].as_str(), request["params"]["mode"].as_str(), request["params"]["url"].as_str()),
        (Some("elicitation/create"), Some("url"), Some(PAGE))
    );
    assert!(!asked.to_string().contains("-secret"));
    // The client comes back at once: it has shown the page, and the user takes a moment.
    let (called, ()) = tokio::join!(call_stateless(&gateway, "github", urls(), accepted()), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        consent(&world, &gateway, "github").await;
    });
    assert_eq!(called["result"]["content"][0]["text"], "search", "{called}");
    let last = world.fake.last("tools/call");
    assert!(!last.text.contains("inputResponses"), "the answer was for the gateway: {}", last.text);
    assert_eq!(last.headers["authorization"], "Bearer access-1-secret");
}

#[tokio::test]
async fn a_user_who_declines_is_not_asked_on_and_a_client_that_cannot_ask_gets_the_link() {
    let world = World::start().await;
    let gateway = known(&world).await;
    let declined = call_stateless(&gateway, "github", urls(), Some(json!({ KEY: { "action": "decline" } }))).await;
    assert_eq!(declined["result"]["structuredContent"]["code"], "authorization_declined", "{declined}");
    for capabilities in [json!({}), json!({ "elicitation": {} }), json!({ "elicitation": { "form": {} } })] {
        let told = call_stateless(&gateway, "github", capabilities, None).await;
        assert_eq!(told["result"]["isError"], true, "{told}");
        assert!(told["result"]["content"][0]["text"].as_str().unwrap().contains(PAGE), "{told}");
    }
    assert_eq!(world.calls(), 0);
}

#[tokio::test]
async fn a_session_of_2025_11_25_gets_the_error_of_that_version_and_others_the_link() {
    let world = World::start().await;
    let gateway = known(&world).await;
    let with = session(&gateway, "github", urls()).await;
    let asked = call_within(&gateway, "github", &with).await;
    assert_eq!(asked["error"]["code"], -32042, "{asked}");
    let elicitation = &asked["error"]["data"]["elicitations"][0];
    assert_eq!((elicitation["mode"].as_str(), elicitation["url"].as_str()), (Some("url"), Some(PAGE)));
    let again = call_within(&gateway, "github", &with).await;
    assert_ne!(elicitation["elicitationId"], again["error"]["data"]["elicitations"][0]["elicitationId"]);
    let without = session(&gateway, "github", json!({ "elicitation": {} })).await;
    let told = call_within(&gateway, "github", &without).await;
    assert!(told["result"]["content"][0]["text"].as_str().unwrap().contains(PAGE), "{told}");
    consent(&world, &gateway, "github").await;
    assert_eq!(call_within(&gateway, "github", &with).await["result"]["content"][0]["text"], "search");
}

#[tokio::test]
async fn whoever_comes_first_is_led_to_the_page_although_nobody_knows_the_tools_yet() {
    let world = World::start().await;
    let gateway = world.gateway().await;
    let told = call(&gateway, "github").await;
    assert_eq!(told["result"]["structuredContent"]["code"], "authorization_required", "{told}");
    let asked = call_stateless(&gateway, "github", urls(), None).await;
    assert_eq!(asked["result"]["inputRequests"][KEY]["params"]["url"], PAGE, "{asked}");
    // Who can consent to nothing is led nowhere.
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"search","arguments":{}}}"#;
    let agent = gateway.send(post("/v1/mcp/github", body)).await.text;
    assert!(!agent.contains("/aperture/auth/"), "{agent}");
}

#[tokio::test]
async fn an_upstream_that_wants_more_gets_the_union_once_the_user_agrees() {
    let world = World::start().await;
    let gateway = world.gateway().await;
    consent(&world, &gateway, "github").await;
    listed(&gateway, "github").await;
    // The first token may not; the second may.
    world.mood.lock().unwrap().lacks = Box::new(|token| token.contains("-0-").then(|| "write read".to_owned()));
    let told = call(&gateway, "github").await;
    assert_eq!(told["result"]["structuredContent"]["code"], "authorization_required", "{told}");
    assert_eq!(status(&gateway, "github").await, "needs_auth");
    let asked = call_stateless(&gateway, "github", urls(), None).await;
    assert_eq!(asked["result"]["inputRequests"][KEY]["params"]["url"], PAGE, "{asked}");
    assert_eq!(world.asked("/token"), 1, "no token is fetched for it");
    let begun = connect(&gateway, "github").await;
    assert_eq!(begun["scope"], "read write", "nobody loses what they had");
    let right = [("code", "c"), ("state", begun["state"].as_str()), ("iss", &world.issuer())];
    assert_eq!(come_back(&gateway, "github", &right).await.status, 200);
    assert_eq!(status(&gateway, "github").await, "ready");
    assert_eq!(call(&gateway, "github").await["result"]["content"][0]["text"], "search");
}

#[tokio::test]
async fn an_upstream_that_is_never_content_does_not_send_its_users_round_in_circles() {
    let world = World::start().await;
    let gateway = world.gateway().await;
    consent(&world, &gateway, "github").await;
    listed(&gateway, "github").await;
    // O14: what was asked for already is not asked for again, whatever the server has granted.
    for scopes in ["read", "", "a\\\\b"] {
        world.mood.lock().unwrap().lacks = Box::new(move |_| Some(scopes.to_owned()));
        let refused = call(&gateway, "github").await["result"].to_string();
        assert!(refused.contains("upstream_unavailable") && !refused.contains("/aperture/auth/"), "{refused}");
        assert_eq!(status(&gateway, "github").await, "ready");
    }
    // Another scope every time: three times the user may agree.
    let number = Arc::new(AtomicUsize::new(0));
    for step in 0..4 {
        let count = Arc::clone(&number);
        world.mood.lock().unwrap().lacks = Box::new(move |_| {
            let next = count.fetch_add(1, Ordering::SeqCst);
            Some(format!("s{next}"))
        });
        let answer = call(&gateway, "github").await["result"].to_string();
        assert_eq!(answer.contains("authorization_required"), step < 3, "{step}: {answer}");
        if step < 3 {
            consent(&world, &gateway, "github").await;
        }
    }
    assert_eq!(world.calls(), 7, "one request each, nothing is repeated");
    assert_eq!(status(&gateway, "github").await, "ready");
}

#[tokio::test]
async fn a_403_that_says_nothing_of_scopes_is_a_refusal() {
    let world = World::start().await;
    let gateway = world.gateway().await;
    consent(&world, &gateway, "github").await;
    listed(&gateway, "github").await;
    world.mood.lock().unwrap().lacks = Box::new(|_| Some("x\", error=\"other".to_owned()));
    let refused = call(&gateway, "github").await["result"].to_string();
    assert!(refused.contains("HTTP 403") && !refused.contains("/aperture/auth/"), "{refused}");
}
