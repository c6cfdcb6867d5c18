//! OIDC issuers that others wrote: people sign in there with a browser, agents come with their tokens, and both are the
//! same person. The gateway is the real program, with its sessions in a real PostgreSQL.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod bed;
mod browser;

use bed::{Bed, Which};
use browser::Browser;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn people_sign_in_at_oidc_provider_and_their_agents_are_they() {
    let bed = Bed::start(Which::OidcProvider).await;
    let browser = Browser::default();
    let first = browser.follow(&bed.url("/")).await;
    assert!(first.text().contains("Sign in with corp"), "{}", first.text());
    let page = bed.sign_in(&browser, "alice").await;
    assert!(page.text().contains("alice@example.com") && page.text().contains("acme"), "{}", page.text());
    let who = bed.whoami(&browser).await;
    assert_eq!(who["principal"], format!("oidc:{}#alice", bed.issuer));
    assert_eq!((&who["tenant"], &who["groups"]), (&json!("acme"), &json!(["sales"])));

    let token = bed.agents_token("alice").await;
    let (status, by_token) = bed.whoami_with(&token).await;
    assert_eq!((status, &by_token), (200, &who), "the agent is the same person");
    let (_, bob) = bed.whoami_with(&bed.agents_token("bob").await).await;
    assert_eq!(bob["principal"], format!("oidc:{}#bob", bed.issuer));

    let (head, rest) = token.split_once('.').expect("a JWT");
    for forged in
        [format!("{head}.{}", rest.replacen('.', "AA.", 1)), format!("{}.{rest}", &head[1..]), "a.b.c".to_owned()]
    {
        assert_eq!(bed.whoami_with(&forged).await.0, 401, "{forged}");
    }

    let copy = browser.clone();
    let out = bed.sign_out(&browser).await;
    assert!(out.text().contains("Signed out"), "{}", out.text());
    assert_eq!(bed.whoami_status(&copy).await, 401, "the session has ended, not the cookie alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn people_sign_in_at_oauth2_mock_server_and_new_keys_are_found() {
    let mut bed = Bed::start(Which::MockServer).await;
    let browser = Browser::default();
    let page = browser.follow(&bed.url("/login/corp")).await;
    assert!(page.status == 200 && page.text().contains("alice@example.com"), "{} {}", page.status, page.text());
    let who = bed.whoami(&browser).await;
    assert_eq!(who["principal"], format!("oidc:{}#alice", bed.issuer));
    let (status, by_token) = bed.whoami_with(&bed.client_token().await).await;
    assert_eq!((status, &by_token), (200, &who));
    bed.rotate();
    // Keys that tokens name are asked for again after ten seconds.
    bed.until_accepted().await;
    let again = Browser::default();
    let page = again.follow(&bed.url("/login/corp")).await;
    assert!(page.text().contains("alice@example.com"), "{}", page.text());
}
