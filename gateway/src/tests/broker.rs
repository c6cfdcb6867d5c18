//! What a call of a managed service carries, and what the broker answers to which pod.

use super::harness::*;
use crate::broker::{BrokerConfig, MemoryCredentials, router};
use aperium_core::id::{ConnectorId, TenantId};
use aperium_platform::lease::{LEASE_HEADER, LeaseSigner};
use aperium_platform::seal::KeyRing;
use axum::body::Body;
use http::Request;
use serde_json::{Value, json};
use std::sync::Arc;
use tower::ServiceExt as _;

/// Knows the pods of two services by their tokens, and a token that is bound to no pod.
pub(super) fn api_server() -> kube::Client {
    let service = tower::service_fn(|request: http::Request<kube::client::Body>| async {
        let body = http_body_util::BodyExt::collect(request.into_body()).await.unwrap().to_bytes();
        let review: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(review["spec"]["audiences"], json!(["aperium-broker"]));
        let user = |name: &str| {
            json!({ "username": format!("system:serviceaccount:aperium-system:aperium-mcp-{name}"),
                "extra": { "authentication.kubernetes.io/pod-name": [format!("{name}-1")] } })
        };
        let status = match review["spec"]["token"].as_str().unwrap() {
            "pod-of-odoo" => json!({ "authenticated": true, "audiences": ["aperium-broker"], "user": user("odoo") }),
            "pod-of-other" => json!({ "authenticated": true, "audiences": ["aperium-broker"], "user": user("other") }),
            "no-pod" => {
                let user = json!({ "username": "system:serviceaccount:aperium-system:aperium-mcp-odoo" });
                json!({ "authenticated": true, "audiences": ["aperium-broker"], "user": user })
            }
            _ => json!({ "authenticated": false }),
        };
        let answer = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {}, "spec": review["spec"], "status": status });
        Ok::<_, std::convert::Infallible>(http::Response::new(kube::client::Body::from(
            answer.to_string().into_bytes(),
        )))
    });
    kube::Client::new(service, "default")
}

pub(super) async fn redeem(gateway: &Gateway, token: &str, leases: &[&str]) -> Answer {
    let mut request = Request::post("/broker/v1/redeem").header("authorization", format!("Bearer {token}"));
    for lease in leases {
        request = request.header(LEASE_HEADER, *lease);
    }
    let request = request.body(Body::empty()).unwrap();
    Answer::read(router(&gateway.state).oneshot(request).await.unwrap()).await
}

#[tokio::test]
async fn t6_a_lease_goes_with_each_call_and_yields_its_credential_once_to_the_pod_that_it_is_for() {
    let fake = Fake::stateless(&["search"]).await;
    let credentials = Arc::new(MemoryCredentials::default());
    let (acme, odoo) = (TenantId::parse("acme").unwrap(), ConnectorId::parse("odoo").unwrap());
    credentials.put(&acme, &odoo, [("password".to_owned(), "s3cret-canary".to_owned().into())].into());
    let signer = LeaseSigner::fixed(KeyRing::generate().unwrap());
    let broker = BrokerConfig { credentials, ..BrokerConfig::without_credentials(signer.clone()) };
    let mut setup = Setup { broker, reviewer: Some(api_server()), ..Setup::default() };
    setup.settings.authentication.static_tokens[0].tenant = Some(acme);
    let gateway = setup.service("odoo", fake.address, "service-token").grant("*", &["**"]).start().await;

    let called = gateway.rpc("/v1/mcp", "tools/call", &json!({ "name": "odoo_search", "arguments": {} })).await;
    assert!(called["result"].is_object(), "{called}");
    let lists = fake.last("tools/list");
    assert!(!lists.headers.contains_key(LEASE_HEADER), "a list needs none");
    let call = fake.last("tools/call");
    assert_eq!(call.headers["authorization"], "Bearer service-token");
    let lease = call.headers[LEASE_HEADER].to_str().unwrap().to_owned();
    let claims = signer.open(&lease, aperium_platform::lease::Now::clock()).unwrap();
    assert_eq!(
        (claims.tenant.as_str(), claims.tool.as_str(), claims.user.as_str()),
        ("acme", "search", "client:agent")
    );
    assert_eq!((claims.audience.as_str(), claims.version), ("aperium-system/aperium-mcp-odoo", 1));
    assert_eq!(claims.request, call.headers["x-request-id"].to_str().unwrap());

    for (token, leases, status, reason) in [
        ("pod-of-other", vec![lease.as_str()], 403, "LeaseForOtherService"),
        ("no-pod", vec![lease.as_str()], 401, "NotAPod"),
        ("service-token", vec![lease.as_str()], 401, "NotAPod"),
        ("pod-of-odoo", vec![], 403, "LeaseMissing"),
        ("pod-of-odoo", vec![lease.as_str(), lease.as_str()], 403, "LeaseMissing"),
        ("pod-of-odoo", vec!["al1.k1.e30.AA"], 403, "LeaseMalformed"),
    ] {
        let answer = redeem(&gateway, token, &leases).await;
        assert_eq!((answer.status, answer.json()), (status, json!({ "error": reason })), "{token}");
    }
    let given = redeem(&gateway, "pod-of-odoo", &[&lease]).await;
    assert_eq!((given.status, given.json()), (200, json!({ "fields": { "password": "s3cret-canary" } })));
    assert_eq!(given.headers["cache-control"], "no-store");
    let again = redeem(&gateway, "pod-of-odoo", &[&lease]).await;
    assert_eq!((again.status, again.json()), (409, json!({ "error": "LeaseReplayed" })));
}

#[tokio::test]
async fn a_remote_server_never_gets_a_lease_and_nobody_brings_one() {
    let fake = Fake::stateless(&["search"]).await;
    let gateway = Setup::default().url("odoo", fake.address, &Value::Null).grant("*", &["**"]).start().await;
    gateway.rpc("/v1/mcp", "tools/call", &json!({ "name": "odoo_search", "arguments": {} })).await;
    assert!(!fake.last("tools/call").headers.contains_key(LEASE_HEADER));
    let mut request = post("/v1/mcp", "{}");
    request.headers_mut().insert(LEASE_HEADER, "al1.k1.e30.AA".parse().unwrap());
    assert_eq!(gateway.send(request).await.status, 400);
}
