//! The gateway as a deputy: it is nobody's authorization server, and what one person's token brings is shown to those who
//! may see it. And redirects and token responses that the other tests do not have.

use super::world::*;
use super::*;
use std::time::Instant;

#[tokio::test]
async fn m10_the_gateway_is_nobodys_authorization_server() {
    let world = World::start().await;
    let gateway = world.gateway().await;
    for (method, path) in [
        ("GET", "/.well-known/oauth-authorization-server"),
        ("GET", "/.well-known/oauth-authorization-server/v1/mcp"),
        ("GET", "/.well-known/openid-configuration"),
        ("GET", "/authorize?response_type=code&client_id=x&redirect_uri=https%3A%2F%2Fevil.example%2F"),
        ("GET", "/aperture/auth/github/authorize"),
        ("POST", "/register"),
        ("POST", "/aperture/auth/github/register"),
        ("POST", "/token"),
        ("POST", "/aperture/auth/github/token"),
    ] {
        let answer = gateway.send(at(method, path, "")).await;
        assert_eq!(answer.status, 404, "{method} {path}: {}", answer.text);
        assert!(answer.headers.get("location").is_none() && !answer.text.contains("evil"), "{path}: {}", answer.text);
    }
    // One client of its own at the server, whoever asks: and the server asks each of them for a consent of their own.
    for id in ["github", "slack", "github"] {
        let begun = connect(&gateway, id).await;
        assert_eq!(begun["redirect_uri"], format!("http://{HOST}/aperture/auth/{id}/callback"), "exactly");
        assert_eq!(begun["client_id"], "dyn");
    }
    assert_eq!(world.asked("/register"), 2, "one for each place that browsers come back to");
    assert_eq!(world.asked("/token"), 0, "no consent, no token");
}

#[tokio::test]
async fn m20_a_catalog_that_one_users_token_has_brought_is_shown_to_those_with_a_grant_alone() {
    let world = World::start().await;
    let mut setup = world.setup().await;
    // The agent may use `slack` and nothing of `github`.
    setup.grants.truncate(1);
    let gateway = setup.grant("client:agent", &["slack/**"]).start().await;
    consent(&world, &gateway, "github").await;
    listed(&gateway, "github").await;
    let as_agent = async |body: &str| {
        let mut request = at("POST", "/v1/mcp", body);
        request.headers_mut().insert("authorization", format!("Bearer {TOKEN}").parse().unwrap());
        gateway.send(request).await.text
    };
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let mine = gateway.send(at("POST", "/v1/mcp", list)).await.text;
    assert!(mine.contains("github_search"), "{mine}");
    let theirs = as_agent(list).await;
    assert!(!theirs.contains("github"), "{theirs}");
    let before = world.calls();
    let called = |name: &str| {
        json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": name } }).to_string()
    };
    let (there, nowhere) = (as_agent(&called("github_search")).await, as_agent(&called("github_nothing")).await);
    assert_eq!(there.replace("github_search", "X"), nowhere.replace("github_nothing", "X"), "as if it were not there");
    assert_eq!(world.calls(), before);
}

#[tokio::test]
async fn o8_no_header_of_a_request_changes_where_a_browser_comes_back_to() {
    let world = World::start().await;
    let gateway = world.gateway().await;
    for (name, value) in [
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-port", "444"),
        ("x-forwarded-prefix", "//evil.example"),
        ("x-original-host", "evil.example"),
        ("forwarded", "host=evil.example;proto=https"),
        ("referer", "https://evil.example/"),
    ] {
        let mut request = at("POST", "/api/connectors/github/connect?redirect_uri=https%3A%2F%2Fevil.example", "");
        request.headers_mut().insert(name, value.parse().unwrap());
        let answer = gateway.send(request).await;
        if answer.status == 200 {
            let url = url::Url::parse(answer.json()["auth_url"].as_str().unwrap()).unwrap();
            let redirects: Vec<_> = url.query_pairs().filter(|(name, _)| name == "redirect_uri").collect();
            let ours = format!("http://{HOST}/aperture/auth/github/callback");
            assert!(redirects.len() == 1 && redirects[0].1 == ours, "{name}: {url}");
        } else {
            assert!((400..404).contains(&answer.status), "{name}: {} {}", answer.status, answer.text);
        }
    }
    for host in ["evil.example", "127.0.0.1.evil.example:8080", "127.0.0.1:8080@evil.example", "localhost.evil.example"]
    {
        let mut request = at("POST", "/api/connectors/github/connect", "");
        request.headers_mut().insert("host", host.parse().unwrap());
        let answer = gateway.send(request).await;
        assert!(matches!(answer.status, 400 | 403 | 421), "{host}: {} {}", answer.status, answer.text);
        assert!(!answer.text.contains("redirect_uri"), "{host}: {}", answer.text);
    }
}

/// Waits until the token is in use.
async fn ready(gateway: &Gateway, id: &str) {
    for _ in 0..500 {
        if status(gateway, id).await == "ready" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{id} is {}", status(gateway, id).await);
}

#[tokio::test]
async fn o10_a_life_that_is_missing_or_endless_is_bounded_and_a_slow_answer_is_given_up() {
    let world = World::start().await;
    let gateway = world.gateway().await;
    for life in [r#""#, r#","expires_in":18446744073709551615"#, r#","expires_in":1e300"#, r#","expires_in":"3600""#] {
        let body = format!(
            r#"{{"access_token":"access-x-secret","token_type":"bearer","refresh_token":"refresh-x-secret"{life}}}"#
        );
        world.mood.lock().unwrap().token = Box::new(move |_| (200, body.clone()));
        let state = connect(&gateway, "github").await["state"].clone();
        let page = come_back(&gateway, "github", &[("code", "c"), ("state", &state), ("iss", &world.issuer())]).await;
        match page.status {
            200 => ready(&gateway, "github").await,
            _ => assert_eq!((page.status, &*status(&gateway, "github").await), (502, "needs_auth"), "{life}"),
        }
        assert!(!page.text.contains("-secret"), "{}", page.text);
        gateway.send(at("POST", "/api/connectors/github/disconnect", "")).await;
    }
    world.mood.lock().unwrap().takes = Duration::from_secs(60);
    let state = connect(&gateway, "slack").await["state"].clone();
    let began = Instant::now();
    let page = come_back(&gateway, "slack", &[("code", "c"), ("state", &state), ("iss", &world.issuer())]).await;
    assert_eq!(page.status, 502, "{}", page.text);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert_eq!(status(&gateway, "slack").await, "needs_auth");
}
