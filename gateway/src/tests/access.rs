use super::harness::*;
use base64::Engine as _;
use http::HeaderValue;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;

#[tokio::test]
async fn m9_without_a_good_token_there_is_a_challenge_and_nothing_else() {
    let gateway = Setup::default().grant("*", &["**"]).start().await;
    for (token, challenge) in [
        (None, "Bearer"),
        (Some("Bearer wrong"), "Bearer error=\"invalid_token\""),
        (Some("Basic YTpi"), "Bearer error=\"invalid_token\""),
    ] {
        for path in ["/v1/mcp", "/v1/mcp/odoo", "/nowhere"] {
            let mut request = post(path, LIST);
            request.headers_mut().remove("authorization");
            if let Some(token) = token {
                request.headers_mut().insert("authorization", HeaderValue::from_static(token));
            }
            let answer = gateway.send(request).await;
            assert_eq!(
                (answer.status, answer.headers["www-authenticate"].to_str().unwrap()),
                (401, challenge),
                "{path}"
            );
        }
    }
    let mut twice = post("/v1/mcp", LIST);
    twice.headers_mut().append("authorization", HeaderValue::from_static("Bearer agent-token"));
    assert_eq!(gateway.send(twice).await.status, 401);
    assert_eq!(gateway.post("/v1/mcp", LIST).await.status, 200);
}

#[tokio::test]
async fn m12_foreign_hosts_origins_and_delegate_headers_are_refused_before_authentication() {
    let gateway = Setup::default().grant("*", &["**"]).start().await;
    for (header, value, status) in [
        ("host", "evil.com", 403),
        ("origin", "https://evil.com", 403),
        ("origin", "null", 403),
        ("x-aperium-tenant", "acme", 400),
        ("x-aperium-user", "a", 400),
    ] {
        let mut request = post("/v1/mcp", LIST);
        request.headers_mut().remove("authorization");
        request.headers_mut().insert(header, HeaderValue::from_static(value));
        let answer = gateway.send(request).await;
        assert_eq!(answer.status, status, "{header}: {value}");
        assert!(answer.json()["error"].is_string());
    }
}

#[tokio::test]
async fn m12_the_loopback_principal_needs_no_token_and_no_page_can_use_it() {
    let fake = Fake::stateless(&["echo"]).await;
    let setup = Setup { loopback: true, ..Setup::default() };
    let gateway = setup.url("odoo", fake.address, &Value::Null).grant("(loopback)", &["**"]).start().await;
    let local = || {
        let mut request = post("/v1/mcp", LIST);
        request.headers_mut().remove("authorization");
        request.headers_mut().insert("host", HeaderValue::from_static("127.0.0.1:8080"));
        request
    };
    assert_eq!(gateway.send(local()).await.json()["result"]["tools"][0]["name"], "odoo_echo");
    for (header, value) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "http://localhost:3000"),
        ("host", "rebound.example"),
    ] {
        for method in ["POST", "GET"] {
            let mut request = local();
            *request.method_mut() = method.parse().unwrap();
            request.headers_mut().insert(header, HeaderValue::from_static(value));
            assert_eq!(gateway.send(request).await.status, 403, "{method} {header}: {value}");
        }
    }
    let mut wrong = local();
    wrong.headers_mut().insert("authorization", HeaderValue::from_static("Bearer wrong"));
    assert_eq!(gateway.send(wrong).await.status, 401, "a token that is no good is not ignored");
}

#[tokio::test]
async fn m9_no_header_of_a_caller_reaches_an_upstream_unless_it_is_named() {
    let fake = Fake::legacy(&["echo"]).await;
    let gateway =
        Setup::default().service("odoo", fake.address, "service-token").grant("client:agent", &["**"]).start().await;
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "odoo_echo" } });
    let mut request = post("/v1/mcp", &body.to_string());
    for (name, value) in [
        ("cookie", "session=canary"),
        ("x-forwarded-for", "canary"),
        ("proxy-authorization", "canary"),
        ("x-api-key", "canary"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("x-request-id", "request-1"),
        ("mcp-param-region", "eu"),
    ] {
        request.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    let session = super::sessions::session(&gateway, "/v1/mcp", &json!({})).await;
    request.headers_mut().insert("mcp-session-id", session.parse().unwrap());
    let answer = gateway.send(request).await;
    assert_eq!((answer.status, answer.headers["x-request-id"].to_str().unwrap()), (200, "request-1"));
    let seen = fake.last("tools/call");
    assert_eq!(seen.headers["authorization"], "Bearer service-token");
    assert_eq!(seen.headers["x-request-id"], "request-1");
    assert_eq!(seen.headers["mcp-param-region"], "eu");
    assert!(seen.headers.contains_key("traceparent"));
    for request in fake.seen.lock().unwrap().iter() {
        let all = format!("{:?}{}", request.headers.iter().collect::<Vec<_>>(), request.text);
        assert!(!all.contains("canary") && !all.contains(TOKEN) && !all.contains(&session), "{all}");
    }
}

/// An API server that knows one token, and counts how often it is asked.
fn api_server(asked: Arc<AtomicUsize>, audiences: Value) -> kube::Client {
    let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
        let (asked, audiences) = (Arc::clone(&asked), audiences.clone());
        async move {
            asked.fetch_add(1, Ordering::SeqCst);
            assert_eq!(request.uri().path(), "/apis/authentication.k8s.io/v1/tokenreviews");
            let body = http_body_util::BodyExt::collect(request.into_body()).await.unwrap().to_bytes();
            let review: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(review["spec"]["audiences"], json!(["aperium"]));
            let good = !review["spec"]["token"].as_str().unwrap().ends_with(".forged");
            let status = json!({ "authenticated": good, "audiences": audiences, "user": { "username": "system:serviceaccount:apps:backend" } });
            let answer = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {}, "spec": review["spec"], "status": status });
            Ok::<_, std::convert::Infallible>(http::Response::new(kube::client::Body::from(
                answer.to_string().into_bytes(),
            )))
        }
    });
    kube::Client::new(service, "default")
}

/// What looks like a token of a ServiceAccount.
pub(super) fn jwt(audience: &str, expires_in: i64, signature: &str) -> String {
    let now =
        i64::try_from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()).unwrap();
    let encode = |value: &Value| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string());
    format!(
        "{}.{}.{signature}",
        encode(&json!({ "alg": "RS256" })),
        encode(&json!({ "aud": [audience], "exp": now + expires_in }))
    )
}

#[tokio::test]
async fn m9_a_service_account_token_is_reviewed_once_a_minute_and_its_audience_must_come_back() {
    let fake = Fake::stateless(&["echo"]).await;
    let asked = Arc::new(AtomicUsize::new(0));
    let with = |audiences: Value| {
        let setup = Setup { reviewer: Some(api_server(Arc::clone(&asked), audiences)), ..Setup::default() };
        setup.url("odoo", fake.address, &Value::Null).grant("serviceaccount:apps:backend", &["**"]).start()
    };
    let gateway = with(json!(["aperium"])).await;
    for _ in 0..3 {
        assert_eq!(gateway.send(post_as(&jwt("aperium", 600, "good"), "/v1/mcp", LIST)).await.status, 200);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1, "cached");
    assert_eq!(gateway.send(post_as(&jwt("aperium", 600, "forged"), "/v1/mcp", LIST)).await.status, 401);
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    for token in [jwt("other", 600, "good"), jwt("aperium", -1, "good"), "not.a.jwt".into(), "x".repeat(20_000)] {
        assert_eq!(gateway.send(post_as(&token, "/v1/mcp", LIST)).await.status, 401);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 2, "what cannot be good is not asked about");
    let lax = with(json!([])).await;
    assert_eq!(lax.send(post_as(&jwt("aperium", 600, "good"), "/v1/mcp", LIST)).await.status, 401);
}

#[tokio::test]
async fn an_api_server_that_is_away_is_503_and_says_nothing_of_itself() {
    let service = tower::service_fn(|_: http::Request<kube::client::Body>| async {
        let status = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": "10.0.0.1 etcd is gone", "reason": "InternalError", "code": 403 });
        let mut response = http::Response::new(kube::client::Body::from(status.to_string().into_bytes()));
        *response.status_mut() = http::StatusCode::FORBIDDEN;
        Ok::<_, std::convert::Infallible>(response)
    });
    let setup = Setup { reviewer: Some(kube::Client::new(service, "default")), ..Setup::default() };
    let gateway = setup.grant("*", &["**"]).start().await;
    let answer = gateway.send(post_as(&jwt("aperium", 600, "good"), "/v1/mcp", LIST)).await;
    assert_eq!(answer.status, 503);
    assert!(!answer.text.contains("10.0.0.1"), "{}", answer.text);
}

#[tokio::test]
async fn metrics_are_for_admins_and_for_whom_a_grant_names() {
    let ask_as = |token: &str| {
        let mut request = ask("GET", "/metrics");
        request.headers_mut().insert("authorization", HeaderValue::from_str(&format!("Bearer {token}")).unwrap());
        request
    };
    let mut setup = Setup::default().grant("client:agent", &["**"]).grant("client:other", &["**"]);
    setup.grants[1]["spec"]["readMetrics"] = json!(true);
    let gateway = setup.start().await;
    let denied = gateway.send(ask_as(TOKEN)).await;
    assert_eq!(
        (denied.status, denied.json()),
        (403, json!({ "error": "access denied: this needs a Grant with readMetrics" }))
    );
    let granted = gateway.send(ask_as("other-token")).await;
    assert!(granted.status == 200 && granted.text.ends_with("# EOF\n"), "{granted:?}");
    assert_eq!(gateway.send(ask_as("wrong")).await.status, 401);
    let mut setup = Setup::default().grant("client:agent", &[]);
    setup.grants[0]["spec"]["role"] = json!("admin");
    assert_eq!(setup.start().await.send(ask_as(TOKEN)).await.status, 200);
}
