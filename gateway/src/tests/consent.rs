//! Per-user OAuth: the way of a user, and the attacks O1 to O23 that a single gateway can show.

use super::harness::*;
use serde_json::json;
use std::time::Duration;

mod attacks;
mod authorize;
mod crossings;
mod deputy;
mod document;
mod forgotten;
mod killed;
mod refresh;
mod scopes;
mod signed_in;
mod world;

use world::*;

#[tokio::test]
async fn a_user_connects_calls_with_their_own_token_and_disconnects() {
    let world = World::start().await;
    let gateway = world.gateway().await;
    assert_eq!(status(&gateway, "github").await, "needs_auth");
    let begun = connect(&gateway, "github").await;
    assert_eq!(begun["redirect_uri"], format!("http://{HOST}/aperture/auth/github/callback"));
    assert_eq!(begun["resource"], format!("{}/mcp", world.issuer()));
    assert_eq!((begun["code_challenge_method"].as_str(), begun["scope"].as_str()), ("S256", "read"));
    let iss = world.issuer();
    let page = come_back(&gateway, "github", &[("code", "c"), ("state", &begun["state"]), ("iss", &iss)]).await;
    assert_eq!(page.status, 200, "{}", page.text);
    for (name, value) in [
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
        ("x-frame-options", "DENY"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(page.headers[name], value);
    }
    assert!(page.headers["content-security-policy"].to_str().unwrap().contains("frame-ancestors 'none'"));
    let form = world.form("/token");
    assert_eq!((form["grant_type"].as_str(), form["client_id"].as_str()), ("authorization_code", "dyn"));
    assert_eq!(
        (form["resource"].as_str(), form["redirect_uri"].as_str()),
        (begun["resource"].as_str(), begun["redirect_uri"].as_str())
    );
    assert_eq!(form["code_verifier"].len(), 43);
    listed(&gateway, "github").await;
    assert_eq!(status(&gateway, "github").await, "ready");
    let called = call(&gateway, "github").await;
    assert_eq!(called["result"]["content"][0]["text"], "search");
    assert_eq!(world.fake.last("tools/call").headers["authorization"], "Bearer access-0-secret");
    let all = gateway.send(at("GET", "/api/connectors", "")).await.text;
    assert!(!all.contains("-secret"), "no token and no client secret is shown");
    let gone = gateway.send(at("POST", "/api/connectors/github/disconnect", "")).await;
    assert_eq!(gone.json(), json!({ "disconnected": true }));
    assert_eq!(world.form("/revoke")["token"], "refresh-0-secret");
    assert_eq!(status(&gateway, "github").await, "needs_auth");
    let text = call(&gateway, "github").await["result"].to_string();
    assert!(text.contains("/aperture/auth/github/connect") && text.contains("authorization_required"), "{text}");
}

#[tokio::test]
async fn the_link_of_a_refused_call_leads_to_the_authorization_server() {
    let world = World::start().await;
    let gateway = world.gateway().await;
    let page = gateway.send(at("GET", "/aperture/auth/github/connect", "")).await;
    assert_eq!(page.status, 303);
    assert!(page.headers["location"].to_str().unwrap().starts_with(&format!("{}/authorize?", world.issuer())));
    assert_eq!(page.headers["referrer-policy"], "no-referrer");
    let mut script = at("GET", "/aperture/auth/github/connect", "");
    script.headers_mut().insert("sec-fetch-site", "cross-site".parse().unwrap());
    script.headers_mut().insert("sec-fetch-mode", "no-cors".parse().unwrap());
    assert_eq!(gateway.send(script).await.status, 403, "a page's script or image is no user");
}

#[tokio::test]
async fn an_answer_that_is_not_the_one_to_the_flow_brings_nothing() {
    let world = World::start().await;
    let gateway = world.gateway().await;
    let iss = world.issuer();
    let state = connect(&gateway, "github").await["state"].clone();
    let forged = format!("{}.{}", state.split('.').next().unwrap(), "A".repeat(43));
    // O1, O6, O9: another state, none, another connector's path, a code and an error.
    for (id, query) in [
        ("github", vec![("code", "c"), ("iss", iss.as_str())]),
        ("github", vec![("code", "c"), ("state", ""), ("iss", &iss)]),
        ("github", vec![("code", "c"), ("state", &forged), ("iss", &iss)]),
        ("slack", vec![("code", "c"), ("state", &state), ("iss", &iss)]),
        ("github", vec![("code", "c"), ("state", &state), ("state", &state), ("iss", &iss)]),
    ] {
        let answer = come_back(&gateway, id, &query).await;
        assert_eq!(answer.status, 400, "{query:?}: {}", answer.text);
    }
    assert_eq!(world.asked("/token"), 0);
    // None of these has used the flow up; the right answer does, once.
    let right = [("code", "c"), ("state", state.as_str()), ("iss", iss.as_str())];
    assert_eq!(come_back(&gateway, "github", &right).await.status, 200);
    assert_eq!(come_back(&gateway, "github", &right).await.status, 400, "replayed");
    assert_eq!(world.asked("/token"), 1);
    // O4, O9, O17: the flow is used up by whoever brings its state.
    for (name, query) in [
        ("another issuer", vec![("code", "c"), ("iss", "https://evil.example")]),
        ("a normalised issuer", vec![("code", "c"), ("iss", "http://127.0.0.1/")]),
        ("no issuer", vec![("code", "c")]),
        ("code and error", vec![("code", "c"), ("error", "access_denied"), ("iss", &iss)]),
        (
            "a script",
            vec![
                ("error", "<script>alert(1)</script>"),
                ("error_description", "<script>alert(1)</script>"),
                ("iss", &iss),
            ],
        ),
    ] {
        let state = connect(&gateway, "slack").await["state"].clone();
        let query: Vec<_> = query.into_iter().chain([("state", state.as_str())]).collect();
        let answer = come_back(&gateway, "slack", &query).await;
        assert_eq!(answer.status, 400, "{name}");
        assert!(!answer.text.contains("<script") && !answer.text.contains("alert"), "{name}: {}", answer.text);
    }
    assert_eq!(world.asked("/token"), 1);
}

#[tokio::test]
async fn a_server_that_cannot_be_trusted_begins_no_flow() {
    let world = World::start().await;
    let gateway = world.gateway().await;
    for metadata in [
        json!({ "code_challenge_methods_supported": ["plain"] }),
        json!({ "issuer": "https://evil.example" }),
        json!({ "token_endpoint": "http://as.example/token" }),
        json!({ "authorization_endpoint": "javascript:alert(1)" }),
        json!({ "registration_endpoint": "https://169.254.169.254/register" }),
        json!({ "registration_endpoint": "https://10.0.0.1/register" }),
    ] {
        world.mood.lock().unwrap().metadata = metadata.clone();
        let answer = gateway.send(at("POST", "/api/connectors/github/connect", "")).await;
        assert_eq!(answer.status, 502, "{metadata}: {}", answer.text);
    }
    assert_eq!(world.asked("/register"), 0);
}

#[tokio::test]
async fn a_token_response_that_is_none_stores_nothing() {
    let world = World::start().await;
    let gateway = world.gateway().await;
    let long = format!(r#"{{"access_token":"access-{}","token_type":"Bearer"}}"#, "x".repeat(2 << 20));
    for (status_code, body) in [
        (200, "<html>hunter2</html>".to_owned()),
        (200, r#"{"access_token":"access-x","token_type":"mac"}"#.to_owned()),
        (200, r#"{"access_token":"access-x","token_type":"Bearer","expires_in":-1}"#.to_owned()),
        (302, String::new()),
        (400, r#"{"error":"invalid_grant","error_description":"<script>hunter2"}"#.to_owned()),
        (200, long),
    ] {
        let reply = (status_code, body.clone());
        world.mood.lock().unwrap().token = Box::new(move |_| reply.clone());
        let state = connect(&gateway, "github").await["state"].clone();
        let answer = come_back(&gateway, "github", &[("code", "c"), ("state", &state), ("iss", &world.issuer())]).await;
        assert_eq!(answer.status, 502);
        assert!(!answer.text.contains("hunter2") && !answer.text.contains("script"), "{}", answer.text);
        assert_eq!(status(&gateway, "github").await, "needs_auth");
    }
}

#[tokio::test]
async fn a_token_without_renewal_is_misconfigured_and_a_refused_one_needs_the_user() {
    let world = World::start().await;
    let gateway = world.gateway().await;
    world.mood.lock().unwrap().token =
        Box::new(|_| (200, r#"{"access_token":"access-x-secret","token_type":"Bearer","expires_in":3600}"#.to_owned()));
    consent(&world, &gateway, "github").await;
    assert_eq!(status(&gateway, "github").await, "misconfigured");
    world.mood.lock().unwrap().token =
        Box::new(
            |number| {
                if number == 1 { token(number, 1) } else { (400, r#"{"error":"invalid_grant"}"#.to_owned()) }
            },
        );
    consent(&world, &gateway, "github").await;
    listed(&gateway, "github").await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let refused = call(&gateway, "github").await["result"].to_string();
    assert!(refused.contains("authorization_required"), "{refused}");
    assert_eq!(status(&gateway, "github").await, "needs_auth");
}

#[tokio::test]
async fn who_cannot_sign_in_is_sent_to_the_dashboard_and_gets_nobodys_token() {
    let world = World::start().await;
    let gateway = world.gateway().await;
    consent(&world, &gateway, "github").await;
    listed(&gateway, "github").await;
    let as_agent = |path: &str, body: &str| {
        let mut request = at("POST", path, body);
        request.headers_mut().insert("authorization", format!("Bearer {TOKEN}").parse().unwrap());
        request
    };
    let answer = gateway.send(as_agent("/api/connectors/github/connect", "")).await;
    assert_eq!(answer.status, 409, "{}", answer.text);
    assert!(answer.text.contains("dashboard"));
    let before = world.calls();
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"search","arguments":{}}}"#;
    let called = gateway.send(as_agent("/v1/mcp/github", body)).await.json();
    assert!(called["result"]["isError"] == true, "{called}");
    assert_eq!(world.calls(), before);
}
