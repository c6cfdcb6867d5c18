//! O14: a server that grants other scopes than it was asked for, at once or when a token is renewed. What it adds is asked
//! for in nobody's name, what it takes back the user may be asked for again, and each change is one line of the log.

use super::super::harness::*;
use super::world::*;
use serde_json::{Value, json};
use std::time::Duration;

/// Waits for the end of a token that lives for a second.
const LIFE: i64 = 1;

/// Tokens with these scopes, by the number of the request: of the first only ends within a second.
fn granting(world: &World, scopes: &'static [&'static str]) {
    world.mood.lock().unwrap().token = Box::new(move |number| {
        let (status, body) = token(number, if number == 0 { LIFE } else { 3600 });
        let mut body: Value = serde_json::from_str(&body).unwrap();
        if let Some(scope) = scopes.get(number) {
            body["scope"] = json!(scope);
        }
        (status, body.to_string())
    });
}

/// From now on calls with any token lack this.
fn lacking(world: &World, scopes: &'static str) {
    world.mood.lock().unwrap().lacks = Box::new(move |_| Some(scopes.to_owned()));
}

/// Calls with the next token: the one before has ended.
async fn renewed(world: &World, gateway: &Gateway) -> Value {
    let before = world.asked("/token");
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let called = call(gateway, "github").await;
    assert_eq!(world.asked("/token"), before + 1, "one renewal");
    assert_eq!(world.form("/token")["grant_type"], "refresh_token");
    assert!(!world.form("/token").contains_key("scope"), "a renewal asks for nothing new");
    called
}

/// What the log tells of scopes: of what, how many less, how many more.
fn told(lines: &Lines) -> Vec<(String, u64, u64)> {
    let text = lines.text();
    assert!(!text.contains("admin") && !text.contains("-secret"), "names of scopes are the server's own text: {text}");
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let about = lines.filter(|line| line["message"] == "an authorization server has granted other scopes");
    about
        .map(|line| {
            assert_eq!((&line["level"], &line["connector"]), (&json!("WARN"), &json!("github")));
            let count = |name: &str| line[name].as_u64().unwrap();
            (line["what"].as_str().unwrap().to_owned(), count("less"), count("more"))
        })
        .collect()
}

#[tokio::test]
async fn o14_of_a_server_that_grants_less_the_user_is_told_and_not_asked_at_every_call() {
    let world = World::start().await;
    let gateway = world.gateway().await;
    granting(&world, &["other"]);
    let (lines, _guard) = Lines::here();
    consent(&world, &gateway, "github").await;
    listed(&gateway, "github").await;
    assert_eq!(told(&lines), [("a consent".to_owned(), 1, 1)]);
    lacking(&world, "read");
    let refused = call(&gateway, "github").await["result"].to_string();
    assert!(refused.contains("disconnect and connect again") && !refused.contains("/aperture/auth/"), "{refused}");
    assert_eq!((world.calls(), status(&gateway, "github").await.as_str()), (1, "ready"));
    // As the message says: whoever disconnects is asked for all of it anew.
    gateway.send(at("POST", "/api/connectors/github/disconnect", "")).await;
    assert_eq!(connect(&gateway, "github").await["scope"], "read");
}

#[tokio::test]
async fn o14_what_a_server_adds_is_told_and_asked_for_in_nobodys_name() {
    let world = World::start().await;
    let gateway = world.gateway().await;
    granting(&world, &["read admin", "read admin admin:all"]);
    let (lines, _guard) = Lines::here();
    consent(&world, &gateway, "github").await;
    listed(&gateway, "github").await;
    assert_eq!(connect(&gateway, "github").await["scope"], "read", "what it has added is its own affair");
    let called = renewed(&world, &gateway).await;
    assert_eq!(called["result"]["content"][0]["text"], "search", "{called}");
    assert_eq!(connect(&gateway, "github").await["scope"], "read");
    assert_eq!(told(&lines), [("a consent".to_owned(), 0, 1), ("a renewal".to_owned(), 0, 1)]);
    // A step up asks for what the upstream wants, and still for nothing that the server has added.
    lacking(&world, "write");
    let asked = call(&gateway, "github").await["result"].to_string();
    assert!(asked.contains("/aperture/auth/github/connect"), "{asked}");
    assert_eq!(connect(&gateway, "github").await["scope"], "read write");
}

#[tokio::test]
async fn o14_what_a_renewal_takes_back_the_user_is_asked_for_again_and_three_times_at_most() {
    let world = World::start().await;
    let gateway = world.gateway().await;
    let (lines, _guard) = Lines::here();
    // Each consent grants all, and each renewal takes it back.
    world.mood.lock().unwrap().token = Box::new(|number| {
        let (renewal, life) = (number % 2 == 1, if number % 2 == 1 { 3600 } else { LIFE });
        let (status, body) = token(number, life);
        let mut body: Value = serde_json::from_str(&body).unwrap();
        body["scope"] = json!(if renewal { "other" } else { "read other" });
        (status, body.to_string())
    });
    // The token of a renewal lacks what was taken back; its number is odd.
    world.mood.lock().unwrap().lacks = Box::new(|token| {
        let number: usize = token.split('-').nth(1).unwrap().parse().unwrap();
        (number % 2 == 1).then(|| "read".to_owned())
    });
    for round in 0..4 {
        consent(&world, &gateway, "github").await;
        listed(&gateway, "github").await;
        let before = world.calls();
        let refused = renewed(&world, &gateway).await["result"].to_string();
        assert_eq!(world.calls(), before + 1, "the call is not repeated");
        assert_eq!(refused.contains("authorization_required"), round < 3, "{round}: {refused}");
        let expected = if round < 3 { "needs_auth" } else { "ready" };
        assert_eq!(status(&gateway, "github").await, expected, "{round}");
    }
    let told = told(&lines);
    assert_eq!(told.iter().filter(|line| **line == ("a renewal".to_owned(), 1, 0)).count(), 4, "{told:?}");
}

#[tokio::test]
async fn o14_a_renewal_that_brings_what_the_upstream_wants_asks_the_user_for_nothing() {
    let world = World::start().await;
    let gateway = world.gateway().await;
    granting(&world, &["read", "read write"]);
    consent(&world, &gateway, "github").await;
    listed(&gateway, "github").await;
    world.mood.lock().unwrap().lacks = Box::new(|token| token.contains("-0-").then(|| "write".to_owned()));
    let asked = call(&gateway, "github").await["result"].to_string();
    assert!(asked.contains("authorization_required"), "{asked}");
    assert_eq!(status(&gateway, "github").await, "needs_auth");
    let called = renewed(&world, &gateway).await;
    assert_eq!(called["result"]["content"][0]["text"], "search", "{called}");
    assert_eq!(status(&gateway, "github").await, "ready");
    // One that says nothing of scopes has changed none.
    assert_eq!(connect(&gateway, "github").await["scope"], "read");
}
