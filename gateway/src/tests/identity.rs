//! Who calls: tokens of an issuer, delegates, tenants, and the challenges of those who come without.

use super::harness::*;
use crate::pipeline::authn::oidc::Timing;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use serde_json::{Value, json};
use std::time::Duration;

mod acting;
mod attacks;

const CALL: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"odoo_search","arguments":{}}}"#;

/// A request of the API with a token.
fn get(token: &str, path: &str) -> Request {
    let mut request = post_as(token, path, "");
    *request.method_mut() = http::Method::GET;
    request.headers_mut().remove("content-type");
    request
}

async fn whoami(gateway: &Gateway, token: &str) -> Answer {
    gateway.send(get(token, "/api/whoami")).await
}

#[tokio::test]
async fn a_token_of_the_issuer_is_its_subject_with_groups_tenant_and_verified_email() {
    let issuer = Issuer::start().await;
    let claims = json!({ "claims": { "groups": "/realm/roles", "tenant": "org" } });
    let setup = Setup::default().issuer(&issuer, &claims).grant("user:alice@example.com", &["odoo/tools/*"]);
    let gateway = setup.grant("group:sales", &["crm/**"]).grant("tenant:acme", &["hr/**"]).start().await;
    let token = issuer.token(&json!({ "realm": { "roles": ["sales", 7, "a\u{0}b"] } }));
    for _ in 0..3 {
        let answer = whoami(&gateway, &token).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        let body = answer.json();
        assert_eq!(body["principal"], format!("oidc:{}#alice-1", issuer.url));
        assert_eq!(
            (&body["email"], &body["groups"], &body["tenant"], &body["role"]),
            (&json!("alice@example.com"), &json!(["sales"]), &json!("acme"), &json!("user"))
        );
        assert_eq!(body["grants"].as_array().unwrap().len(), 3);
    }
    assert_eq!(issuer.origin.asked().len(), 2, "document and keys, once");
    for unverified in [json!({ "email_verified": false }), json!({ "email_verified": null })] {
        let body = whoami(&gateway, &issuer.token(&unverified)).await.json();
        assert_eq!((body["grants"].as_array().unwrap().len(), &body["email"]), (1, &Value::Null), "{body}");
    }
    assert_eq!(whoami(&gateway, TOKEN).await.status, 403, "a static client is still one, and is granted nothing");
}

#[tokio::test]
async fn whoever_has_no_tenant_where_there_are_tenants_may_look_and_call_nothing() {
    let issuer = Issuer::start().await;
    let fake = Fake::stateless(&["search"]).await;
    let api = Origin::start(|_| async { Response::new(Body::from("api")) }).await;
    let gateway = Setup::default()
        .issuer(&issuer, &json!({ "claims": { "tenant": "org" } }))
        .url("odoo", fake.address, &Value::Null)
        .http("github", api.address, "/", &Value::Null)
        .grant("*", &["odoo/**", "github/proxy"])
        .start()
        .await;
    let with = issuer.token(&Value::Null);
    assert_eq!(gateway.send(post_as(&with, "/v1/mcp", CALL)).await.status, 200);
    assert_eq!(gateway.send(get(&with, "/v1/connectors/github/x")).await.status, 200);
    let (without, unusable) = (issuer.token(&json!({ "org": null })), issuer.token(&json!({ "org": "../acme" })));
    for token in [&without, &unusable, TOKEN] {
        assert_eq!(whoami(&gateway, token).await.status, 200);
        for request in [post_as(token, "/v1/mcp", CALL), get(token, "/v1/connectors/github/x")] {
            let answer = gateway.send(request).await;
            assert_eq!(answer.status, 403, "{}", answer.text);
            assert!(answer.text.contains("belongs to no tenant"), "{}", answer.text);
        }
    }
    assert_eq!(fake.count("tools/call"), 1);
}

#[tokio::test]
async fn metadata_is_open_and_challenges_lead_to_it() {
    let issuer = Issuer::start().await;
    let gateway = Setup::default().issuer(&issuer, &json!({ "scopes": ["mcp"] })).grant("*", &["x/**"]).start().await;
    let plain = |path: &str| Request::builder().uri(path).header("host", "localhost").body(Body::empty()).unwrap();
    for (path, resource) in [("", ""), ("/v1/mcp", "/v1/mcp"), ("/v1/mcp/odoo", "/v1/mcp/odoo")] {
        let answer = gateway.send(plain(&format!("/.well-known/oauth-protected-resource{path}"))).await;
        let body = answer.json();
        assert_eq!((answer.status, &body["resource"]), (200, &json!(format!("https://mcp.example.com{resource}"))));
        assert_eq!(
            (&body["authorization_servers"], &body["scopes_supported"]),
            (&json!([issuer.url]), &json!(["mcp"]))
        );
    }
    let at = "resource_metadata=\"https://mcp.example.com/.well-known/oauth-protected-resource/v1/mcp/odoo\"";
    let answer = gateway.send(plain("/v1/mcp/odoo")).await;
    assert_eq!((answer.status, answer.headers["www-authenticate"].to_str().unwrap()), (401, &*format!("Bearer {at}")));
    let answer = gateway.send(get("nonsense", "/v1/mcp/odoo")).await;
    let says = answer.headers["www-authenticate"].to_str().unwrap().to_owned();
    assert_eq!((answer.status, says), (401, format!("Bearer error=\"invalid_token\", {at}")));
    let answer = gateway.send(get(&issuer.token(&json!({ "scope": "openid" })), "/v1/mcp/odoo")).await;
    let says = answer.headers["www-authenticate"].to_str().unwrap().to_owned();
    assert_eq!((answer.status, says), (403, format!("Bearer error=\"insufficient_scope\", scope=\"mcp\", {at}")));
    assert_eq!(whoami(&gateway, &issuer.token(&json!({ "scope": "openid mcp" }))).await.status, 200);
    let bare = Setup::default().start().await;
    assert_eq!(bare.send(plain("/.well-known/oauth-protected-resource")).await.status, 404);
    assert_eq!(bare.send(plain("/v1/mcp")).await.headers["www-authenticate"], "Bearer");
}

#[tokio::test]
async fn new_keys_are_found_once_and_old_ones_are_used_while_the_issuer_is_silent() {
    let issuer = Issuer::start().await;
    let gateway = Setup::default().issuer(&issuer, &Value::Null).grant("*", &["x/**"]).start().await;
    assert_eq!(whoami(&gateway, &issuer.token(&Value::Null)).await.status, 200);
    let next = Signer::new("key-2");
    issuer.publish(&json!({ "keys": [next.jwk()] }));
    let fresh = next.token(&issuer.claims());
    for _ in 0..20 {
        assert_eq!(whoami(&gateway, &fresh).await.status, 401, "not asked for again within the pause");
    }
    assert_eq!(issuer.origin.asked().len(), 2);
    let oidc = gateway.state.access.load().oidc.clone();
    let mut timing = Timing { pause: Duration::ZERO, ..Timing::default() };
    oidc.set_timing(timing);
    assert_eq!(whoami(&gateway, &fresh).await.status, 200);
    let old = issuer.token(&json!({ "jti": "another" }));
    assert_eq!(whoami(&gateway, &old).await.status, 401, "a key that is gone signs nothing any more");
    issuer.publish(&json!("silent"));
    timing.fresh = Duration::ZERO;
    oidc.set_timing(timing);
    assert_eq!(whoami(&gateway, &next.token(&issuer.changed(&json!({ "jti": "2" })))).await.status, 200);
    timing.stale = Duration::ZERO;
    oidc.set_timing(timing);
    assert_eq!(whoami(&gateway, &next.token(&issuer.changed(&json!({ "jti": "3" })))).await.status, 503);
}
