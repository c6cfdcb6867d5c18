//! People with a browser: signing in and out, and the attacks O1 to O4, O9, O18 and O19 on it.

use super::harness::*;
use crate::login::password;
use aperium_crds::settings::LocalUser;
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use url::form_urlencoded;

mod recorded;

async fn gateway(issuer: &Issuer) -> (tempfile::TempDir, Gateway) {
    let (folder, store, ring) = database().await;
    std::fs::write(folder.path().join("oidc.corp"), "client-secret-canary\n").unwrap();
    let mut setup = Setup::default().login(issuer).grant("group:sales", &["odoo/**"]);
    (setup.database, setup.sealer, setup.login) = (Some(store), ring, Some(folder.path().to_owned()));
    (folder, setup.start().await)
}

#[tokio::test]
async fn a_person_signs_in_at_the_issuer_and_is_who_their_tokens_say() {
    let issuer = Issuer::start().await;
    let (_folder, gateway) = gateway(&issuer).await;
    let browser = Browser::default();
    let first = browser.open(&gateway, "/").await;
    assert_eq!((first.status, first.headers["location"].to_str().unwrap()), (303, "/login?return_to=%2F"));
    let page = browser.open(&gateway, "/login?return_to=%2F").await;
    assert!(page.status == 200 && page.text.contains("Sign in with Corp &#38; Co"), "{}", page.text);
    let asked = browser.begin(&gateway, "/login/corp?return_to=%2F").await;
    for (name, value) in [
        ("response_type", "code"),
        ("client_id", "aperium-web"),
        ("redirect_uri", "https://mcp.example.com/login/corp/callback"),
        ("scope", "openid profile email"),
        ("code_challenge_method", "S256"),
    ] {
        assert_eq!(asked[name], value);
    }
    issuer.signs_in("aperium-web", &asked["nonce"], &Value::Null);
    let back = [("code", "c"), ("state", asked["state"].as_str()), ("iss", issuer.url.as_str())];
    let done = browser.come_back(&gateway, &back).await;
    assert_eq!((done.status, done.headers["location"].to_str().unwrap()), (303, "/"), "{}", done.text);
    let form: BTreeMap<String, String> =
        form_urlencoded::parse(issuer.forms.lock().unwrap()[0].as_bytes()).into_owned().collect();
    let challenge = digest::digest(&digest::SHA256, form["code_verifier"].as_bytes());
    assert_eq!(URL_SAFE_NO_PAD.encode(challenge), asked["code_challenge"]);
    assert_eq!(
        (form["redirect_uri"].as_str(), form["grant_type"].as_str()),
        (&*asked["redirect_uri"], "authorization_code")
    );
    let basic = issuer.origin.asked().into_iter().find_map(|headers| headers.get("authorization").cloned());
    assert!(basic.unwrap().to_str().unwrap().starts_with("Basic "), "with the secret of the file");
    let home = browser.open(&gateway, "/").await;
    assert!(
        home.status == 200 && home.text.contains("alice@example.com") && home.text.contains("acme"),
        "{}",
        home.text
    );
    let by_cookie = browser.whoami(&gateway).await.json();
    let mut by_token = ask("GET", "/api/whoami");
    by_token.headers_mut().insert("authorization", format!("Bearer {}", issuer.token(&Value::Null)).parse().unwrap());
    assert_eq!(by_cookie, gateway.send(by_token).await.json());
    assert_eq!(by_cookie["principal"], format!("oidc:{}#alice-1", issuer.url));
}

#[tokio::test]
async fn an_answer_that_is_not_the_one_to_this_browsers_sign_in_signs_nobody_in() {
    let issuer = Issuer::start().await;
    let (_folder, gateway) = gateway(&issuer).await;
    let iss = issuer.url.clone();
    let refused = async |browser: &Browser, query: &[(&str, &str)], why: &str| {
        let answer = browser.come_back(&gateway, query).await;
        assert!((400..=502).contains(&answer.status), "{why}: {} {}", answer.status, answer.text);
        assert!(browser.session().is_none(), "{why}");
        assert!(!answer.text.contains("alert(1)"), "{why}");
    };
    // O1, O4, O9, O17: state, issuer, code and error.
    for (why, query) in [
        ("no state", vec![("code", "c"), ("iss", iss.as_str())]),
        ("empty state", vec![("code", "c"), ("state", ""), ("iss", &iss)]),
        ("another state", vec![("code", "c"), ("state", "AAAA"), ("iss", &iss)]),
        ("another issuer", vec![("code", "c"), ("state", "STATE"), ("iss", "https://evil.example")]),
        ("no issuer, though promised", vec![("code", "c"), ("state", "STATE")]),
        ("code and error", vec![("code", "c"), ("error", "access_denied"), ("state", "STATE"), ("iss", &iss)]),
        ("two codes", vec![("code", "c"), ("code", "d"), ("state", "STATE"), ("iss", &iss)]),
        ("a script", vec![("error", "<script>alert(1)</script>"), ("state", "STATE"), ("iss", &iss)]),
    ] {
        let browser = Browser::default();
        let asked = browser.begin(&gateway, "/login/corp").await;
        issuer.signs_in("aperium-web", &asked["nonce"], &Value::Null);
        let query: Vec<_> = query
            .into_iter()
            .map(|(name, value)| (name, if value == "STATE" { &*asked["state"] } else { value }))
            .collect();
        refused(&browser, &query, why).await;
    }
    assert!(issuer.forms.lock().unwrap().is_empty(), "no code was redeemed");
    // O2: the victim's browser gets the attacker's answer.
    let (attacker, victim) = (Browser::default(), Browser::default());
    let asked = attacker.begin(&gateway, "/login/corp").await;
    issuer.signs_in("aperium-web", &asked["nonce"], &Value::Null);
    let answer = [("code", "c"), ("state", asked["state"].as_str()), ("iss", iss.as_str())];
    refused(&victim, &answer, "a browser that began nothing").await;
    victim.begin(&gateway, "/login/corp").await;
    refused(&victim, &answer, "a browser that began another sign-in").await;
    // Replayed, with the cookie that goes with it.
    let flow = attacker.jar.lock().unwrap().clone();
    assert_eq!(attacker.come_back(&gateway, &answer).await.status, 303);
    let again = Browser { jar: flow.into() };
    refused(&again, &answer, "the same answer again").await;
    assert_eq!(issuer.forms.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn an_id_token_for_another_sign_in_client_or_time_signs_nobody_in() {
    let issuer = Issuer::start().await;
    let (_folder, gateway) = gateway(&issuer).await;
    for (why, different) in [
        ("another nonce", json!({ "nonce": "other" })),
        ("no nonce", json!({ "nonce": null })),
        ("another client", json!({ "aud": "other" })),
        ("an API's token", json!({ "aud": "aperium" })),
        ("two clients, no authorised party", json!({ "aud": ["aperium-web", "other"] })),
        ("another authorised party", json!({ "azp": "other" })),
        ("another issuer", json!({ "iss": "https://evil.example" })),
        ("expired", json!({ "exp": now() - 120 })),
        ("no subject", json!({ "sub": null })),
    ] {
        let browser = Browser::default();
        let answer = browser.sign_in(&gateway, &issuer, &different).await;
        assert!(answer.status == 502 && browser.session().is_none(), "{why}: {} {}", answer.status, answer.text);
    }
    // Signed by nobody the issuer knows.
    let forgers: [fn(&Value) -> String; 3] = [
        |claims| Signer::new("key-1").token(claims),
        |claims| format!("{}.", parts(&json!({ "alg": "none" }), claims)),
        |claims| format!("{}.c2ln", parts(&json!({ "alg": "HS256", "kid": "key-1" }), claims)),
    ];
    for forge in forgers {
        let browser = Browser::default();
        let asked = browser.begin(&gateway, "/login/corp").await;
        let token = forge(&issuer.changed(&json!({ "aud": "aperium-web", "nonce": asked["nonce"] })));
        issuer.published.lock().unwrap().token = json!({ "id_token": token }).to_string();
        let back = [("code", "c"), ("state", asked["state"].as_str()), ("iss", issuer.url.as_str())];
        assert_eq!(browser.come_back(&gateway, &back).await.status, 502, "{token}");
        assert!(browser.session().is_none());
    }
}

#[tokio::test]
async fn o3_a_session_has_a_new_id_and_the_one_before_has_ended() {
    let issuer = Issuer::start().await;
    let (_folder, gateway) = gateway(&issuer).await;
    let browser = Browser::default();
    let planted = "A".repeat(43);
    browser.jar.lock().unwrap().insert("__Host-aperium-session".to_owned(), planted.clone());
    assert_eq!(browser.sign_in(&gateway, &issuer, &Value::Null).await.status, 303);
    let first = browser.session().unwrap();
    assert_ne!(first, planted);
    let with =
        |secret: &str| Browser { jar: BTreeMap::from([("__Host-aperium-session".into(), secret.into())]).into() };
    assert_eq!(with(&planted).whoami(&gateway).await.status, 401);
    assert_eq!(with(&first).whoami(&gateway).await.status, 200);
    assert_eq!(browser.sign_in(&gateway, &issuer, &Value::Null).await.status, 303);
    assert_ne!(browser.session().unwrap(), first);
    assert_eq!(with(&first).whoami(&gateway).await.status, 401, "the one before has ended");
}

#[tokio::test]
async fn who_signs_out_is_out_wherever_the_cookie_is() {
    let issuer = Issuer::start().await;
    let (_folder, gateway) = gateway(&issuer).await;
    let browser = Browser::default();
    browser.sign_in(&gateway, &issuer, &Value::Null).await;
    let copy = Browser { jar: browser.jar.lock().unwrap().clone().into() };
    let token = browser.token(&gateway, "/").await;
    assert_eq!(browser.submit(&gateway, "/logout", &[]).await.status, 403, "no token");
    assert_eq!(browser.submit(&gateway, "/logout", &[("csrf", &"A".repeat(43))]).await.status, 403);
    let form = [("content-type", "application/x-www-form-urlencoded"), ("origin", "https://evil.example")];
    let foreign = browser.request("POST", "/logout", &form, &format!("csrf={token}"));
    assert_eq!(browser.send(&gateway, foreign).await.status, 403, "another site, even with the token");
    assert_eq!(browser.whoami(&gateway).await.status, 200);
    let out = browser.submit(&gateway, "/logout", &[("csrf", &token)]).await;
    assert_eq!((out.status, out.headers["location"].to_str().unwrap()), (303, "/signed-out"));
    assert!(browser.session().is_none());
    assert_eq!(copy.whoami(&gateway).await.status, 401);
    assert_eq!(browser.open(&gateway, "/signed-out").await.status, 200);
}

#[tokio::test]
async fn a_session_is_one_on_all_replicas_and_ends_on_all() {
    let issuer = Issuer::start().await;
    let (_folder, store, ring) = database().await;
    let replica = async || {
        let mut setup = Setup::default().login(&issuer).grant("group:sales", &["odoo/**"]);
        (setup.database, setup.sealer) = (Some(store.clone()), ring.clone());
        setup.start().await
    };
    let (one, other) = (replica().await, replica().await);
    let browser = Browser::default();
    // Begun at one, ended at the other.
    let asked = browser.begin(&one, "/login/corp").await;
    issuer.signs_in("aperium-web", &asked["nonce"], &Value::Null);
    let answer = [("code", "c"), ("state", asked["state"].as_str()), ("iss", issuer.url.as_str())];
    let flow = browser.jar.lock().unwrap().clone();
    assert_eq!(browser.come_back(&other, &answer).await.status, 303);
    let again = Browser { jar: flow.into() };
    assert_eq!(again.come_back(&one, &answer).await.status, 400, "it counts once on all of them");
    assert_eq!((browser.whoami(&one).await.status, browser.whoami(&other).await.status), (200, 200));
    let copy = Browser { jar: browser.jar.lock().unwrap().clone().into() };
    let token = browser.token(&one, "/").await;
    assert_eq!(browser.submit(&one, "/logout", &[("csrf", &token)]).await.status, 303);
    assert_eq!(copy.whoami(&other).await.status, 401);
}

#[tokio::test]
async fn a_cookie_counts_for_the_api_with_both_checks_and_for_the_data_path_not_at_all() {
    let issuer = Issuer::start().await;
    let (_folder, gateway) = gateway(&issuer).await;
    let browser = Browser::default();
    browser.sign_in(&gateway, &issuer, &Value::Null).await;
    let token = browser.token(&gateway, "/").await;
    let json = ("content-type", "application/json");
    let own = ("origin", "https://mcp.example.com");
    let csrf = ("x-csrf-token", token.as_str());
    let status = async |path: &str, headers: &[(&str, &str)]| {
        browser.send(&gateway, browser.request("POST", path, headers, "{}")).await
    };
    let explain = "/api/connectors/odoo/connect";
    assert_eq!(status(explain, &[json, own, csrf]).await.status, 404, "it gets to the handler");
    for (headers, why) in [
        (vec![json, own], "no token"),
        (vec![json, own, ("x-csrf-token", "")], "an empty token"),
        (vec![json, own, ("x-csrf-token", &token[1..])], "another token"),
        (vec![json, csrf], "nothing says where it comes from"),
        (vec![json, csrf, ("origin", "http://mcp.example.com")], "without TLS"),
        (vec![json, csrf, ("origin", "https://evil.example")], "another site"),
        (vec![json, csrf, own, ("sec-fetch-site", "same-site")], "a neighbour"),
    ] {
        let answer = status(explain, &headers).await;
        assert_eq!(answer.status, 403, "{why}: {}", answer.text);
    }
    for path in ["/v1/mcp", "/v1/mcp/odoo", "/v1/connectors/odoo/x", "/v1/mcp/register"] {
        assert_eq!(status(path, &[json, own, csrf]).await.status, 401, "{path}");
    }
    let inside = browser.request("GET", "/api/whoami", &[], "");
    let mut inside = inside;
    inside.headers_mut().insert("host", "aperium-gateway:8081".parse().unwrap());
    assert_eq!(gateway.send_inside(inside).await.status, 401, "no browser comes to the in-cluster listener");
    let led = browser.led(&gateway, "/api/whoami", "cross-site").await;
    assert_eq!(led.status, 403, "the API is no page");
}

#[tokio::test]
async fn o19_every_page_keeps_itself_to_itself() {
    let issuer = Issuer::start().await;
    let (_folder, gateway) = gateway(&issuer).await;
    let browser = Browser::default();
    let mut pages = vec![
        browser.open(&gateway, "/login").await,
        browser.open(&gateway, "/signed-out").await,
        browser.open(&gateway, "/login/corp").await,
        browser.open(&gateway, "/login/nobody").await,
        browser.open(&gateway, "/login/corp/callback?error=%3Cscript%3E").await,
    ];
    browser.sign_in(&gateway, &issuer, &json!({ "email": "<script>alert(1)</script>" })).await;
    pages.push(browser.open(&gateway, "/").await);
    pages.push(browser.open(&gateway, "/aperture/auth/odoo/connect").await);
    for page in pages {
        let policy = page.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.contains("frame-ancestors 'none'") && policy.contains("default-src 'none'"), "{policy}");
        for (name, value) in
            [("x-frame-options", "DENY"), ("x-content-type-options", "nosniff"), ("cache-control", "no-store")]
        {
            assert_eq!(page.headers[name], value);
        }
        let referrer = page.headers["referrer-policy"].to_str().unwrap();
        assert!(["no-referrer", "same-origin"].contains(&referrer), "{referrer}");
        assert!(!page.text.contains("<script"), "{}", page.text);
    }
}

#[tokio::test]
async fn o18_who_signs_in_comes_back_to_a_page_of_ours() {
    let issuer = Issuer::start().await;
    let (_folder, gateway) = gateway(&issuer).await;
    for (wish, to) in [
        ("/aperture/auth/odoo/connect", "/aperture/auth/odoo/connect"),
        ("https://evil.example/", "/"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("/aperture/auth/odoo/connect?x=//evil.example", "/"),
        ("javascript:alert(1)", "/"),
    ] {
        let browser = Browser::default();
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("return_to", wish).finish();
        let asked = browser.begin(&gateway, &format!("/login/corp?{query}")).await;
        issuer.signs_in("aperium-web", &asked["nonce"], &Value::Null);
        let back = [("code", "c"), ("state", asked["state"].as_str()), ("iss", issuer.url.as_str())];
        let done = browser.come_back(&gateway, &back).await;
        assert_eq!((done.status, done.headers["location"].to_str().unwrap()), (303, to), "{wish}");
    }
}

#[tokio::test]
async fn a_local_user_signs_in_with_the_form_that_their_browser_was_given() {
    let (_folder, store, ring) = database().await;
    let hash = password::hash(&"correct horse battery".into()).unwrap();
    let user = LocalUser { name: "admin".into(), password_hash: hash, tenant: None, groups: vec!["ops".into()] };
    let mut setup = Setup::default().grant("user:admin", &["odoo/**"]);
    setup.settings.authentication.login.local.push(user);
    setup.settings.hosts.public_url = "https://mcp.example.com".into();
    setup.settings.hosts.allowed_hosts.push(PUBLIC.into());
    (setup.database, setup.sealer) = (Some(store), ring);
    let gateway = setup.start().await;
    let browser = Browser::default();
    let token = browser.token(&gateway, "/login").await;
    let fields =
        |password: &'static str| [("name", "admin"), ("password", password), ("csrf", &*token), ("return_to", "/")];
    let wrong = browser.submit(&gateway, "/login", &fields("wrong")).await;
    assert!(
        wrong.status == 401 && browser.session().is_none() && wrong.text.contains("Name or password"),
        "{}",
        wrong.text
    );
    let other = Browser::default();
    let stolen = other.submit(&gateway, "/login", &fields("correct horse battery")).await;
    assert!(stolen.status == 403 && other.session().is_none(), "a form of another browser: {}", stolen.status);
    let done = browser.submit(&gateway, "/login", &fields("correct horse battery")).await;
    assert_eq!((done.status, done.headers["location"].to_str().unwrap()), (303, "/"), "{}", done.text);
    let who = browser.whoami(&gateway).await.json();
    assert_eq!((&who["principal"], &who["groups"]), (&json!("local:admin"), &json!(["ops"])));
    // Another password ends the session; so does a user who is gone.
    let mut settings = (*gateway.state.snapshot.load().catalog.settings).clone();
    settings.authentication.login.local[0].password_hash = password::hash(&"another long password".into()).unwrap();
    gateway.settings(settings).await;
    assert_eq!(browser.whoami(&gateway).await.status, 401);
    let mut last = 0;
    let token = browser.token(&gateway, "/login").await;
    for _ in 0..12 {
        let guess = [("name", "admin"), ("password", "guess"), ("csrf", &*token)];
        last = browser.submit(&gateway, "/login", &guess).await.status;
    }
    assert_eq!(last, 429);
}

#[tokio::test]
async fn without_a_database_or_a_way_to_sign_in_nobody_does() {
    let issuer = Issuer::start().await;
    let gateway = Setup::default().login(&issuer).start().await;
    let browser = Browser::default();
    assert_eq!(browser.open(&gateway, "/login").await.status, 200);
    assert_eq!(browser.open(&gateway, "/login/corp").await.status, 503);
    let bare = Setup::default().start().await;
    let mut request = browser.request("GET", "/login", &[("accept", "text/html")], "");
    request.headers_mut().insert("host", "localhost".parse().unwrap());
    assert_eq!(bare.send(request).await.status, 404);
}
