//! `/v1/connectors/<id>/<path>`: who may, what goes up, what comes down.

use super::harness::*;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};

mod credentials;
mod streams;

/// Echoes method, path and body.
async fn echo(request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let body = String::from_utf8_lossy(&body).into_owned();
    let told = json!({ "method": parts.method.as_str(), "target": parts.uri.to_string(), "body": body });
    crate::error::json(StatusCode::OK, told.to_string())
}

async fn github(origin: &Origin) -> Gateway {
    Setup::default()
        .http("github", origin.address, "/v3", &Value::Null)
        .http("other", origin.address, "", &Value::Null)
        .grant("client:agent", &["github/proxy"])
        .start()
        .await
}

#[tokio::test]
async fn a_request_reaches_the_base_url_with_path_query_and_body_and_the_answer_comes_back() {
    let origin = Origin::start(echo).await;
    let gateway = github(&origin).await;
    for (method, path, target) in [
        ("GET", "/v1/connectors/github", "/v3"),
        ("GET", "/v1/connectors/github/", "/v3/"),
        ("GET", "/v1/connectors/github/user", "/v3/user"),
        ("GET", "/v1/connectors/github/search?q=a%20b&x=%2F&x=2", "/v3/search?q=a%20b&x=%2F&x=2"),
        ("PUT", "/v1/connectors/github/a%20b/c", "/v3/a%20b/c"),
        ("PATCH", "/v1/connectors/github/x", "/v3/x"),
        ("DELETE", "/v1/connectors/github/x", "/v3/x"),
        ("OPTIONS", "/v1/connectors/github/x", "/v3/x"),
    ] {
        let answer = gateway.send(ask(method, path)).await;
        let told = answer.json();
        assert_eq!((answer.status, &told["method"], &told["target"]), (200, &json!(method), &json!(target)), "{path}");
        assert_eq!(answer.headers["content-type"], "application/json");
    }
    let posted = gateway.post("/v1/connectors/github/items", "{\"a\":  1}").await.json();
    assert_eq!(posted["body"], "{\"a\":  1}", "byte for byte");
    let head = gateway.send(ask("HEAD", "/v1/connectors/github/user")).await;
    assert_eq!((head.status, head.text.as_str()), (200, ""));
    assert_ne!(head.headers["content-length"], "0", "the length that GET would have");
    assert_eq!(gateway.send(ask("GET", "/v1/connectors/GitHub/user")).await.status, 200, "ids have no case");
}

#[tokio::test]
async fn a_path_never_leaves_its_base_and_nothing_of_it_is_asked() {
    let origin = Origin::start(echo).await;
    let gateway = github(&origin).await;
    for rest in [
        "/..",
        "/../admin",
        "/%2e%2e/admin",
        "/a/..%2f",
        "/a%2fb",
        "/a%5cb",
        "/%00",
        "//evil",
        "/%zz",
        "/..;/x",
        "/%252e%252e/x",
        "/.",
        "/a/../../x",
        "/%c0%ae%c0%ae/",
    ] {
        let answer = gateway.send(ask("GET", &format!("/v1/connectors/github{rest}"))).await;
        assert_eq!(answer.status, 400, "{rest}");
        assert!(answer.json()["error"].as_str().unwrap().starts_with("path not allowed"), "{}", answer.text);
    }
    assert!(origin.asked().is_empty());
}

#[tokio::test]
async fn an_unknown_and_a_denied_connector_answer_alike() {
    let origin = Origin::start(echo).await;
    let gateway = github(&origin).await;
    for path in ["/v1/connectors/other/x", "/v1/connectors/nowhere/x", "/v1/connectors/%67ithub/x", "/v1/connectors//x"]
    {
        let answer = gateway.send(ask("GET", path)).await;
        assert_eq!((answer.status, answer.json()), (403, json!({ "error": "access denied" })), "{path}");
    }
    let mut nobody = ask("GET", "/v1/connectors/github/x");
    nobody.headers_mut().insert("authorization", HeaderValue::from_static("Bearer other-token"));
    let answer = gateway.send(nobody).await;
    assert_eq!((answer.status, answer.json()), (403, json!({ "error": "access denied: no role granted" })));
    let mut anonymous = ask("GET", "/v1/connectors/github/x");
    anonymous.headers_mut().remove("authorization");
    assert_eq!(gateway.send(anonymous).await.status, 401);
    assert!(origin.asked().is_empty());
}

#[tokio::test]
async fn grants_of_tools_open_no_proxy_and_the_proxy_opens_no_tools() {
    let origin = Origin::start(echo).await;
    let grants = [("github/tools/*", 403), ("github/proxy", 200), ("github/**", 200), ("label:dev", 200), ("**", 200)];
    for (pattern, status) in grants {
        let gateway = Setup::default()
            .http("github", origin.address, "", &json!({ "labels": ["dev"] }))
            .grant("client:agent", &[pattern])
            .start()
            .await;
        assert_eq!(gateway.send(ask("GET", "/v1/connectors/github/x")).await.status, status, "{pattern}");
    }
    let fake = Fake::stateless(&["echo"]).await;
    let gateway =
        Setup::default().url("odoo", fake.address, &Value::Null).grant("client:agent", &["odoo/proxy"]).start().await;
    assert!(gateway.tools("/v1/mcp").await.is_empty());
}

#[tokio::test]
async fn other_methods_are_405_and_say_which_there_are() {
    let origin = Origin::start(echo).await;
    let gateway = github(&origin).await;
    for method in ["TRACE", "PROPFIND", "get", "LINK"] {
        let answer = gateway.send(ask(method, "/v1/connectors/github/x")).await;
        assert_eq!(answer.status, 405, "{method}");
        assert_eq!(answer.headers["allow"], "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
        assert_eq!(answer.json(), json!({ "error": "method not allowed" }));
    }
    let mut overridden = post("/v1/connectors/github/x", "{}");
    overridden.headers_mut().insert("x-http-method-override", HeaderValue::from_static("TRACE"));
    assert_eq!(gateway.send(overridden).await.status, 405);
    assert!(origin.asked().is_empty());
}

#[tokio::test]
async fn what_is_the_callers_own_stays_here_and_what_is_asked_for_goes_on() {
    let origin = Origin::start(echo).await;
    let gateway = github(&origin).await;
    let mut request = ask("GET", "/v1/connectors/github/x");
    for (name, value) in [
        ("cookie", "canary"),
        ("proxy-authorization", "canary"),
        ("x-forwarded-for", "canary"),
        ("forwarded", "for=canary"),
        ("via", "1.1 canary"),
        ("x-real-ip", "canary"),
        ("x-original-url", "/canary"),
        ("te", "canary"),
        ("keep-alive", "canary"),
        ("connection", "close, x-canary"),
        ("x-canary", "canary"),
        ("origin", "http://aperium-gateway:8080"),
    ] {
        request.headers_mut().append(name, HeaderValue::from_static(value));
    }
    for (name, value) in [
        ("accept", "application/vnd.github+json"),
        ("accept-encoding", "gzip, br"),
        ("if-none-match", "\"x\""),
        ("x-github-api-version", "2022-11-28"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("x-request-id", "request-1"),
    ] {
        request.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    let answer = gateway.send(request).await;
    assert_eq!((answer.status, answer.headers["x-request-id"].to_str().unwrap()), (200, "request-1"));
    let asked = origin.last();
    let all = format!("{asked:?}");
    assert!(!all.contains("canary") && !all.contains(TOKEN) && !all.contains("aperium-gateway"), "{all}");
    assert_eq!(asked["host"].to_str().unwrap(), origin.address.to_string());
    for (name, value) in [("accept-encoding", "gzip, br"), ("if-none-match", "\"x\""), ("x-request-id", "request-1")] {
        assert_eq!(asked[name], value);
    }
    assert!(asked.contains_key("traceparent"));
    assert!(!asked.contains_key("authorization") && !asked.contains_key("content-length"));
}

#[tokio::test]
async fn an_upstream_sets_no_cookie_and_rules_neither_origin_nor_caches() {
    let origin = Origin::start(|_| async {
        let headers = [
            ("set-cookie", "a=b"),
            ("www-authenticate", "Bearer resource_metadata=\"https://evil.example\""),
            ("refresh", "0; url=https://evil.example"),
            ("alt-svc", "h3=\"evil.example:443\""),
            ("access-control-allow-origin", "*"),
            ("clear-site-data", "\"*\""),
            ("x-accel-redirect", "/internal"),
            ("cache-control", "public, max-age=60"),
            ("x-ratelimit-remaining", "59"),
            ("etag", "\"x\""),
            ("x-request-id", "upstreams-own"),
        ];
        (StatusCode::IM_A_TEAPOT, headers, "<script>alert(1)</script>").into_response()
    })
    .await;
    let gateway = github(&origin).await;
    let answer = gateway.send(ask("GET", "/v1/connectors/github/x")).await;
    assert_eq!((answer.status, answer.text.as_str()), (418, "<script>alert(1)</script>"), "statuses pass as they are");
    let text = format!("{:?}", answer.headers);
    for gone in
        ["set-cookie", "www-authenticate", "refresh", "alt-svc", "access-control", "clear-site", "x-accel", "evil"]
    {
        assert!(!text.contains(gone), "{gone}: {text}");
    }
    assert_eq!(answer.headers["x-ratelimit-remaining"], "59");
    assert_eq!(answer.headers["cache-control"], "private, max-age=60");
    assert_eq!(answer.headers["content-security-policy"], "sandbox; frame-ancestors 'none'");
    assert_eq!(answer.headers["x-content-type-options"], "nosniff");
    assert_ne!(answer.headers["x-request-id"], "upstreams-own");
}

#[tokio::test]
async fn redirects_are_blocked_and_do_not_say_where_to() {
    for status in [300, 301, 302, 303, 307, 308] {
        let origin = Origin::start(move |_| async move {
            let mut response = Response::new(Body::from("go to https://evil.example"));
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            response.headers_mut().insert("location", HeaderValue::from_static("https://evil.example/"));
            response
        })
        .await;
        let gateway = github(&origin).await;
        let answer = gateway.send(ask("GET", "/v1/connectors/github/x")).await;
        assert_eq!((answer.status, answer.json()), (502, json!({ "error": "upstream redirect blocked" })), "{status}");
        assert!(!answer.headers.contains_key("location"));
        assert_eq!(origin.asked().len(), 1, "and nobody follows");
    }
    let unchanged = Origin::start(|_| async { StatusCode::NOT_MODIFIED.into_response() }).await;
    assert_eq!(github(&unchanged).await.send(ask("GET", "/v1/connectors/github/x")).await.status, 304);
}

#[tokio::test]
async fn the_place_of_something_new_is_told_as_a_path_of_the_gateway() {
    let origin = Origin::start(|request: Request| async move {
        let location = request.headers()["x-where"].clone();
        (StatusCode::CREATED, [("location", location)]).into_response()
    })
    .await;
    let gateway = github(&origin).await;
    let own = format!("http://{}/v3/items/7", origin.address);
    for (told, comes) in [
        (own.as_str(), Some("/v1/connectors/github/items/7")),
        ("/v3/items/7", Some("/v1/connectors/github/items/7")),
        ("/elsewhere", None),
        ("https://evil.example/v3/items/7", None),
    ] {
        let mut request = post("/v1/connectors/github/items", "{}");
        request.headers_mut().insert("x-where", told.parse().unwrap());
        let answer = gateway.send(request).await;
        assert_eq!(
            (answer.status, answer.headers.get("location").map(|l| l.to_str().unwrap())),
            (201, comes),
            "{told}"
        );
    }
}

#[tokio::test]
async fn an_upstream_that_cannot_be_reached_is_502_and_says_nothing_of_addresses() {
    let (listener, address) = socket().await;
    drop(listener);
    let gateway = Setup::default()
        .http("github", address, "", &Value::Null)
        .http("inside", "169.254.169.254:80".parse().unwrap(), "", &Value::Null)
        .grant("client:agent", &["**"])
        .start()
        .await;
    let answer = gateway.send(ask("GET", "/v1/connectors/github/x")).await;
    assert_eq!((answer.status, answer.json()), (502, json!({ "error": "upstream unavailable: connection refused" })));
    let answer = gateway.send(ask("GET", "/v1/connectors/inside/x")).await;
    assert_eq!(answer.status, 502);
    assert!(!answer.text.contains("169.254"), "{}", answer.text);
}

#[tokio::test]
async fn an_upstream_that_does_not_answer_is_504() {
    let (listener, address) = socket().await;
    let gateway = Setup::default()
        .http("github", address, "", &json!({ "calls": { "timeoutSeconds": 1 } }))
        .grant("client:agent", &["**"])
        .start()
        .await;
    let answer = gateway.send(ask("GET", "/v1/connectors/github/x")).await;
    assert_eq!((answer.status, answer.json()), (504, json!({ "error": "upstream gave no answer in time" })));
    drop(listener);
}

#[tokio::test]
async fn a_managed_service_is_reached_by_its_mcp_path_alone_and_its_tools_are_granted_one_by_one() {
    let fake = Fake::stateless(&["search", "delete"]).await;
    let gateway = Setup::default()
        .service("odoo", fake.address, "service-token")
        .grant("client:agent", &["odoo/proxy", "odoo/tools/search"])
        .grant("client:other", &["odoo/tools/*"])
        .start()
        .await;
    let path = "/v1/connectors/odoo/mcp";
    assert_eq!(gateway.tools(path).await, ["search"]);
    let call = |name: &str| json!({ "name": name });
    assert_eq!(gateway.rpc(path, "tools/call", &call("search")).await["result"]["content"][0]["text"], "search");
    assert_eq!(gateway.rpc(path, "tools/call", &call("delete")).await["error"]["message"], "Unknown tool: delete");
    assert_eq!(fake.count("tools/call"), 1);
    for (method, path, status) in [
        ("GET", "/v1/connectors/odoo/mcp", 405),
        ("POST", "/v1/connectors/odoo", 404),
        ("GET", "/v1/connectors/odoo/metrics", 404),
        ("POST", "/v1/connectors/odoo/mcp/", 404),
        ("POST", "/v1/connectors/odoo/mcp/../metrics", 404),
    ] {
        assert_eq!(gateway.send(ask(method, path)).await.status, status, "{method} {path}");
    }
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    assert_eq!(gateway.send(post_as("other-token", path, list)).await.status, 403, "tools alone open no proxy");
}

#[tokio::test]
async fn a_remote_mcp_server_is_reachable_under_the_proxy_grant() {
    let fake = Fake::stateless(&["search"]).await;
    let gateway =
        Setup::default().url("local", fake.address, &Value::Null).grant("client:agent", &["local/proxy"]).start().await;
    let call = json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": { "name": "search" } }).to_string();
    let answer = gateway.post("/v1/connectors/local", &call).await.json();
    assert_eq!((&answer["id"], &answer["result"]["content"][0]["text"]), (&json!(7), &json!("search")));
}

#[tokio::test]
async fn m22_requests_are_counted_by_connector_and_class_and_by_nothing_a_caller_makes_up() {
    let origin = Origin::start(echo).await;
    let gateway = github(&origin).await;
    gateway.send(ask("GET", "/v1/connectors/github/x%20y")).await;
    gateway.send(ask("GET", "/v1/connectors/made-up/x")).await;
    let scrape = Answer::read(tower::ServiceExt::oneshot(gateway.admin.clone(), ask("GET", "/metrics")).await.unwrap())
        .await
        .text;
    let line = r#"aperium_gateway_proxy_requests_total{connector="github",status="2xx",outcome="ok"} 1"#;
    assert!(scrape.contains(line) && !scrape.contains("made-up") && !scrape.contains("x%20y"), "{scrape}");
}
