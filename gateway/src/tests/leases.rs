//! Leases for those who call a service past the gateway, and for those who reach it through its proxy path.

use super::access::jwt;
use super::harness::*;
use crate::broker::{BrokerConfig, MemoryCredentials, router};
use aperium_core::id::{ConnectorId, TenantId};
use aperium_crds::settings::Delegate;
use aperium_platform::lease::{Claims, LEASE_HEADER, LeaseSigner, MAX_LIFETIME, Now};
use aperium_platform::seal::KeyRing;
use axum::body::Body;
use http::Request;
use serde_json::{Value, json};
use std::sync::Arc;
use tower::ServiceExt as _;

/// Knows ServiceAccounts of the namespace `apps`: the last part of a token is the account's name.
fn api_server() -> kube::Client {
    let service = tower::service_fn(|request: http::Request<kube::client::Body>| async {
        let body = http_body_util::BodyExt::collect(request.into_body()).await.unwrap().to_bytes();
        let review: Value = serde_json::from_slice(&body).unwrap();
        let name = review["spec"]["token"].as_str().unwrap().rsplit('.').next().unwrap();
        let user = json!({ "username": format!("system:serviceaccount:apps:{name}") });
        let status = json!({ "authenticated": true, "audiences": review["spec"]["audiences"], "user": user });
        let answer = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {}, "spec": review["spec"], "status": status });
        Ok::<_, std::convert::Infallible>(http::Response::new(kube::client::Body::from(
            answer.to_string().into_bytes(),
        )))
    });
    kube::Client::new(service, "default")
}

struct World {
    gateway: Gateway,
    fake: Fake,
    signer: LeaseSigner,
}

/// Two services of which `erp` has credentials of tenants; the delegate `backend` for the tenant `acme`; and who may what.
async fn world() -> World {
    let fake = Fake::stateless(&["search", "write", "hidden"]).await;
    let credentials = Arc::new(MemoryCredentials::default());
    let (acme, erp) = (TenantId::parse("acme").unwrap(), ConnectorId::parse("erp").unwrap());
    credentials.put(&acme, &erp, [("password".to_owned(), "s3cret-canary".to_owned().into())].into());
    let signer = LeaseSigner::fixed(KeyRing::generate().unwrap());
    let broker = BrokerConfig { credentials, ..BrokerConfig::without_credentials(signer.clone()) };
    let mut setup = Setup { broker, reviewer: Some(api_server()), ..Setup::default() }
        .service("erp", fake.address, "service-token")
        .service("files", fake.address, "service-token")
        .url("remote", fake.address, &Value::Null)
        .grant("serviceaccount:apps:backend", &["erp/**", "files/tools/*", "remote/tools/*"])
        .grant("user:alice@example.com", &["erp/tools/search", "erp/proxy", "erp/tools/hidden", "files/tools/search"])
        .grant("user:alice@example.com", &["remote/tools/search"])
        .grant("user:root@example.com", &["**"])
        .grant("client:agent", &["erp/proxy", "erp/tools/search"]);
    setup.connectors[0]["spec"]["tools"] = json!({ "hide": ["hidden"] });
    let source = json!({ "source": "secret", "secretRef": { "name": "files-credentials" } });
    setup.connectors[1]["spec"]["service"]["credentials"] = source;
    setup.settings.authentication.delegates = ["serviceaccount:apps:backend", "client:other"]
        .map(|subject| serde_json::from_value::<Delegate>(json!({ "subject": subject, "tenants": ["acme"] })).unwrap())
        .to_vec();
    setup.settings.authentication.static_tokens[0].tenant = Some(acme);
    World { gateway: setup.start().await, fake, signer }
}

/// Asks as this token, acting with these headers.
async fn ask(world: &World, token: &str, acting: &[(&str, &str)], body: &str) -> Answer {
    let mut request = Request::post("/broker/v1/leases")
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/json")
        .header("x-request-id", "r-1");
    for (name, value) in acting {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::from(body.to_owned())).unwrap();
    Answer::read(router(&world.gateway.state).oneshot(request).await.unwrap()).await
}

const ALICE: [(&str, &str); 2] = [("x-aperium-tenant", "acme"), ("x-aperium-user", "alice@example.com")];

fn wanted(connector: &str, tool: &str) -> String {
    json!({ "connector": connector, "tool": tool }).to_string()
}

impl World {
    fn open(&self, lease: &str) -> Claims {
        self.signer.open(lease, Now::clock()).unwrap()
    }
}

#[tokio::test]
async fn a_delegate_gets_a_lease_that_names_both_for_one_tool_of_one_tenant_for_a_minute() {
    let world = world().await;
    let backend = jwt("aperium", 600, "backend");
    let answer = ask(&world, &backend, &ALICE, &wanted("erp", "search")).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.headers["cache-control"], "no-store");
    let given = answer.json();
    let claims = world.open(given["lease"].as_str().unwrap());
    assert_eq!((claims.tenant.as_str(), claims.connector.as_str(), claims.tool.as_str()), ("acme", "erp", "search"));
    assert_eq!(claims.audience.as_str(), "aperium-system/aperium-mcp-erp");
    assert_eq!(
        (claims.user.as_str(), claims.delegate.as_deref()),
        ("user:alice@example.com", Some("serviceaccount:apps:backend"))
    );
    assert_eq!((claims.version, claims.request.as_str()), (1, "r-1"));
    assert!(u128::from(claims.expires - claims.issued) <= MAX_LIFETIME.as_millis());
    assert!(given["expires_at"].is_string());
    assert!(!answer.text.contains("s3cret-canary"), "a lease is no credential");
    // In the tenant's name, for nobody in it: what the delegate itself may.
    let own = ask(&world, &backend, &ALICE[..1], &wanted("erp", "write")).await.json();
    let claims = world.open(own["lease"].as_str().unwrap());
    assert_eq!(claims.user, "serviceaccount:apps:backend");
}

#[tokio::test]
async fn what_is_not_there_is_withheld_or_is_not_granted_to_both_is_one_answer() {
    let world = world().await;
    let backend = jwt("aperium", 600, "backend");
    for (connector, tool) in
        [("erp", "write"), ("erp", "hidden"), ("erp", "nothing"), ("nowhere", "search"), ("remote", "write"), ("", "")]
    {
        let answer = ask(&world, &backend, &ALICE, &wanted(connector, tool)).await;
        let said = "access denied: there is no such tool, or it is not granted to both delegate and person";
        let said = json!({ "error": said, "request_id": "r-1" });
        assert_eq!((answer.status, answer.json()), (403, said), "{connector} {tool}");
    }
    for (connector, tool) in [("files", "search"), ("remote", "search")] {
        let answer = ask(&world, &backend, &ALICE, &wanted(connector, tool)).await;
        assert_eq!(answer.status, 409, "{}", answer.text);
        assert!(answer.text.contains("need no lease"), "{}", answer.text);
    }
}

#[tokio::test]
async fn nobody_else_gets_one_and_a_delegate_none_for_other_tenants_people_or_bodies() {
    let world = world().await;
    let (backend, stranger) = (jwt("aperium", 600, "backend"), jwt("aperium", 600, "stranger"));
    let pod = jwt("aperium-broker", 600, "backend");
    let search = wanted("erp", "search");
    let beta = [("x-aperium-tenant", "beta"), ("x-aperium-user", "alice@example.com")];
    let eve = [("x-aperium-tenant", "acme"), ("x-aperium-user", "eve@example.com")];
    let root = [("x-aperium-tenant", "acme"), ("x-aperium-user", "root@example.com"), ("x-aperium-groups", "admins")];
    type Case<'c> = (&'c str, &'c str, &'c [(&'c str, &'c str)], u16);
    let cases: [Case<'_>; 10] = [
        ("its token for the broker", &pod, &ALICE, 401),
        ("no token", "", &ALICE, 401),
        ("another ServiceAccount", &stranger, &ALICE, 400),
        ("a client that is no delegate", TOKEN, &ALICE, 400),
        ("a delegate without a ServiceAccount", "other-token", &ALICE, 403),
        ("for nobody and no tenant", &backend, &[], 403),
        ("a person without a tenant", &backend, &ALICE[1..], 403),
        ("a tenant of others", &backend, &beta, 403),
        ("a person who is granted nothing", &backend, &eve, 403),
        ("a group that is not the delegate's", &backend, &root, 403),
    ];
    for (who, token, acting, status) in cases {
        let answer = ask(&world, token, acting, &search).await;
        assert_eq!(answer.status, status, "{who}: {}", answer.text);
        assert!(!answer.text.contains("al1."), "{who}");
    }
    for (body, status) in [
        ("", 400),
        ("[]", 400),
        (r#"{"connector":"erp"}"#, 400),
        (r#"{"connector":"erp","tool":"search","tenant":"beta"}"#, 400),
        (r#"{"connector":"erp","tool":"write","tool":"search"}"#, 400),
        (&wanted("erp", &"x".repeat(5000)), 413),
    ] {
        assert_eq!(ask(&world, &backend, &ALICE, body).await.status, status, "{body}");
    }
}

#[tokio::test]
async fn a_call_through_the_proxy_path_of_a_service_carries_a_lease_for_the_tool_that_its_body_names() {
    let world = world().await;
    let call = |name: &str, arguments: &str| {
        format!(
            r#"{{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{{"name":"{name}","arguments":{arguments}}}}}"#
        )
    };
    let answer = world.gateway.post("/v1/connectors/erp/mcp", &call("search", r#"{"q":1}"#)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(answer.json()["result"].is_object(), "{}", answer.text);
    let sent = world.fake.last("tools/call");
    assert_eq!(sent.headers["authorization"], "Bearer service-token");
    let claims = world.open(sent.headers[LEASE_HEADER].to_str().unwrap());
    assert_eq!(
        (claims.tool.as_str(), claims.tenant.as_str(), claims.user.as_str()),
        ("search", "acme", "client:agent")
    );
    // The proxy alone opens no tool, and nothing but the service's own MCP is behind it.
    let denied = world.gateway.post("/v1/connectors/erp/mcp", &call("write", "{}")).await;
    assert!(denied.text.contains("Unknown tool: write"), "{}", denied.text);
    for (path, body, status) in [
        ("/v1/connectors/erp/mcp", "[]".to_owned(), 400),
        ("/v1/connectors/erp/mcp", call("search", r#"{"q":1,"q":2}"#), 400),
        ("/v1/connectors/erp/mcp", call("search", &format!("\"{}\"", "x".repeat(5 << 20))), 413),
        ("/v1/connectors/erp/probe", call("search", "{}"), 404),
        ("/v1/connectors/erp/mcp/x", call("search", "{}"), 404),
        ("/v1/connectors/files/mcp", call("search", "{}"), 403),
    ] {
        assert_eq!(world.gateway.post(path, &body).await.status, status, "{path}");
    }
    assert_eq!(world.fake.count("tools/call"), 1);
}
