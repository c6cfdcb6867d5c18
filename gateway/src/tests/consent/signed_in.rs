//! People who have signed in connect a connector in their browser, and their agents call with it.

use super::super::harness::*;
use super::world::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use url::{Url, form_urlencoded};

struct Office {
    world: World,
    issuer: Issuer,
    gateway: Gateway,
}

impl Office {
    async fn open() -> Self {
        let (world, issuer) = (World::start().await, Issuer::start().await);
        let mut setup = world.setup().await.login(&issuer).grant("group:sales", &["**"]);
        setup.loopback = false;
        let gateway = setup.start().await;
        Self { world, issuer, gateway }
    }

    async fn signed_in(&self, claims: &Value) -> Browser {
        let browser = Browser::default();
        assert_eq!(browser.sign_in(&self.gateway, &self.issuer, claims).await.status, 303);
        browser
    }

    /// Begins at the page; what the authorization server is asked.
    async fn connect(&self, browser: &Browser, id: &str) -> BTreeMap<String, String> {
        browser.begin(&self.gateway, &format!("/aperture/auth/{id}/connect")).await
    }

    async fn come_back(&self, browser: &Browser, id: &str, state: &str) -> Answer {
        let iss = self.world.issuer();
        let query = [("code", "c"), ("state", state), ("iss", iss.as_str())];
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        browser.led(&self.gateway, &format!("/aperture/auth/{id}/callback?{query}"), "cross-site").await
    }

    /// A call with a token of the issuer.
    async fn call(&self, claims: &Value) -> Value {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "search", "arguments": {} } });
        self.gateway.send(post_as(&self.issuer.token(claims), "/v1/mcp/github", &body.to_string())).await.json()
    }
}

fn bob() -> Value {
    json!({ "sub": "bob-1", "email": "bob@example.com" })
}

#[tokio::test]
async fn what_a_person_connects_in_the_browser_their_agents_call_with_and_nobody_else() {
    let office = Office::open().await;
    let (alice, other) = (office.signed_in(&Value::Null).await, office.signed_in(&bob()).await);
    let home = alice.open(&office.gateway, "/").await.text;
    assert!(home.contains("href=\"/aperture/auth/github/connect\"") && home.contains("not connected"), "{home}");
    let asked = office.connect(&alice, "github").await;
    assert_eq!(asked["redirect_uri"], "https://mcp.example.com/aperture/auth/github/callback");
    // O2: another person's browser, another browser of the same person, and none.
    let again = office.signed_in(&Value::Null).await;
    for stranger in [&other, &again] {
        let state = office.connect(&alice, "slack").await["state"].clone();
        assert_eq!(office.come_back(stranger, "slack", &state).await.status, 400);
    }
    assert_eq!(office.come_back(&Browser::default(), "slack", &asked["state"]).await.status, 401);
    assert_eq!(office.world.asked("/token"), 0);
    let done = office.come_back(&alice, "github", &asked["state"]).await;
    assert_eq!(done.status, 200, "{}", done.text);
    assert_eq!(done.headers["referrer-policy"], "no-referrer");
    listed(&office.gateway, "github").await;
    assert_eq!(office.call(&Value::Null).await["result"]["content"][0]["text"], "search");
    assert_eq!(office.world.fake.last("tools/call").headers["authorization"], "Bearer access-0-secret");
    // Another person, the same subject in another tenant, another subject.
    for somebody in [bob(), json!({ "org": "globex" }), json!({ "sub": "alice-2" })] {
        let text = office.call(&somebody).await.to_string();
        let page = "https://mcp.example.com/aperture/auth/github/connect";
        assert!(text.contains("authorization_required") && text.contains(page), "{text}");
    }
    let home = alice.open(&office.gateway, "/").await.text;
    assert!(home.contains("action=\"/aperture/auth/github/disconnect\"") && !home.contains("-secret"), "{home}");
    let token = alice.token(&office.gateway, "/").await;
    let disconnect = "/aperture/auth/github/disconnect";
    assert_eq!(alice.submit(&office.gateway, disconnect, &[]).await.status, 403);
    assert_eq!(alice.submit(&office.gateway, disconnect, &[("csrf", &token)]).await.status, 303);
    assert_eq!(office.world.form("/revoke")["token"], "refresh-0-secret");
    assert!(office.call(&Value::Null).await.to_string().contains("authorization_required"));
}

#[tokio::test]
async fn a_token_alone_begins_and_ends_no_flow_and_leads_to_the_page() {
    let office = Office::open().await;
    let token = office.issuer.token(&Value::Null);
    let as_agent = |method: &str, path: &str| {
        let mut request = ask(method, path);
        request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        request
    };
    let answer = office.gateway.send(as_agent("POST", "/api/connectors/github/connect")).await;
    let page = json!({ "auth_url": "https://mcp.example.com/aperture/auth/github/connect" });
    assert_eq!((answer.status, answer.json()), (200, page));
    assert_eq!(office.gateway.send(as_agent("GET", "/aperture/auth/github/connect")).await.status, 409);
    let alice = office.signed_in(&Value::Null).await;
    let state = office.connect(&alice, "github").await["state"].clone();
    let callback = format!("/aperture/auth/github/callback?code=c&state={state}&iss={}", office.world.issuer());
    assert_eq!(office.gateway.send(as_agent("GET", &callback)).await.status, 409);
    assert_eq!(office.world.asked("/token"), 0);
    // A signed-in page of ours gets the authorization server's own URL.
    let csrf = alice.token(&office.gateway, "/").await;
    let headers = [("origin", "https://mcp.example.com"), ("x-csrf-token", csrf.as_str())];
    let request = alice.request("POST", "/api/connectors/github/connect", &headers, "");
    let url = Url::parse(alice.send(&office.gateway, request).await.json()["auth_url"].as_str().unwrap()).unwrap();
    assert_eq!(url.path(), "/authorize");
}

#[tokio::test]
async fn who_is_led_to_the_page_signs_in_first_and_confirms_what_another_site_began() {
    let office = Office::open().await;
    let browser = Browser::default();
    let path = "/aperture/auth/github/connect";
    let sent = browser.led(&office.gateway, path, "cross-site").await;
    let to = sent.headers["location"].to_str().unwrap().to_owned();
    assert_eq!((sent.status, to.as_str()), (303, "/login?return_to=%2Faperture%2Fauth%2Fgithub%2Fconnect"));
    browser.sign_in(&office.gateway, &office.issuer, &Value::Null).await;
    let asks = browser.led(&office.gateway, path, "cross-site").await;
    assert!(asks.status == 200 && asks.text.contains("Continue"), "{}", asks.text);
    assert_eq!(office.world.asked("/register"), 0, "nothing was begun");
    assert_eq!(browser.led(&office.gateway, path, "same-origin").await.status, 303);
    // Who belongs to no tenant, where people do, authorises nothing.
    let stray = office.signed_in(&json!({ "org": null })).await;
    assert_eq!(stray.led(&office.gateway, path, "same-origin").await.status, 404);
}

#[tokio::test]
async fn what_a_connector_offers_is_found_with_the_token_of_anybody_who_has_one() {
    let office = Office::open().await;
    let (alice, other) = (office.signed_in(&Value::Null).await, office.signed_in(&bob()).await);
    for browser in [&other, &alice] {
        let state = office.connect(browser, "github").await["state"].clone();
        assert_eq!(office.come_back(browser, "github", &state).await.status, 200);
    }
    listed(&office.gateway, "github").await;
    // A replica that starts later asks nobody.
    let mut setup = office.world.setup().await.login(&office.issuer).grant("group:sales", &["**"]);
    setup.loopback = false;
    let later = setup.start().await;
    listed(&later, "github").await;
    // Who consented last leaves: the tools stay for the others.
    let token = alice.token(&office.gateway, "/").await;
    let gone = alice.submit(&office.gateway, "/aperture/auth/github/disconnect", &[("csrf", &token)]).await;
    assert_eq!(gone.status, 303);
    let called = async || office.call(&bob()).await["result"]["content"][0]["text"] == "search";
    for _ in 0..100 {
        if called().await {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert!(called().await);
    assert!(office.call(&Value::Null).await.to_string().contains("authorization_required"));
}
