use super::harness::*;
use http::HeaderValue;
use serde_json::{Value, json};

#[tokio::test]
async fn m7_every_bad_body_has_its_precise_error() {
    let fake = Fake::stateless(&["echo"]).await;
    let gateway = Setup::default().url("odoo", fake.address, &Value::Null).grant("client:agent", &["**"]).start().await;
    let deep = format!("{}1{}", r#"{"a":"#.repeat(200), "}".repeat(200));
    let cases: Vec<(String, u16, i64)> = vec![
        (String::new(), 400, -32700),
        ("{".into(), 400, -32700),
        ("nope".into(), 400, -32700),
        ("{}{}".into(), 400, -32700),
        ("\u{feff}{}".into(), 400, -32700),
        (r#"{"a":NaN}"#.into(), 400, -32700),
        (r#"{"a":1e999}"#.into(), 400, -32700),
        (r#"{"a":"\ud800"}"#.into(), 400, -32700),
        (deep, 400, -32700),
        (r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","method":"tools/call"}"#.into(), 400, -32700),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"odoo_echo","arguments":{"a":1,"a":2}}}"#
                .into(),
            400,
            -32700,
        ),
        ("[]".into(), 400, -32600),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"tools/list"}]"#.into(), 400, -32600),
        ("1".into(), 400, -32600),
        ("{}".into(), 400, -32600),
        (r#"{"jsonrpc":"2.0","id":null,"method":"tools/list"}"#.into(), 400, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":[]}"#.into(), 400, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":"nonsense"}"#.into(), 200, -32601),
        (r#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#.into(), 200, -32602),
        (r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{}}"#.into(), 200, -32602),
        (r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":7}}"#.into(), 200, -32602),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"odoo_echo","arguments":[]}}"#.into(),
            200,
            -32602,
        ),
        (r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"cursor":"x"}}"#.into(), 200, -32602),
        (r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#.into(), 200, -32602),
    ];
    for (body, status, code) in cases {
        let answer = gateway.post("/v1/mcp", &body).await;
        assert_eq!((answer.status, answer.code()), (status, code), "{body}: {}", answer.text);
        assert_eq!(answer.json()["jsonrpc"], "2.0");
    }
    assert_eq!(fake.count("tools/call"), 0);
    let named = gateway.post("/v1/mcp", r#"{"jsonrpc":"1.0","id":"me","method":"x"}"#).await;
    assert_eq!(named.json()["id"], "me");
}

#[tokio::test]
async fn m8_too_large_a_body_is_413_and_another_type_415() {
    let mut setup = Setup::default().grant("client:agent", &["**"]);
    setup.settings.limits.max_request_bytes = 1000;
    let gateway = setup.start().await;
    let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{}"}}"#, "x".repeat(1000));
    let answer = gateway.post("/v1/mcp", &body).await;
    assert_eq!((answer.status, answer.code()), (413, -32600));
    for kind in
        [None, Some("text/plain"), Some("application/x-www-form-urlencoded"), Some("application/json; charset=latin1")]
    {
        let mut request = post("/v1/mcp", "{}");
        request.headers_mut().remove("content-type");
        if let Some(kind) = kind {
            request.headers_mut().insert("content-type", HeaderValue::from_static(kind));
        }
        assert_eq!(gateway.send(request).await.status, 415, "{kind:?}");
    }
    let mut request = post("/v1/mcp", r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#);
    request.headers_mut().insert("accept", HeaderValue::from_static("text/html"));
    assert_eq!(gateway.send(request).await.status, 406);
}

#[tokio::test]
async fn other_methods_and_paths_are_refused() {
    let gateway = Setup::default().grant("client:agent", &["**"]).start().await;
    for method in ["GET", "DELETE", "PUT", "OPTIONS", "HEAD"] {
        let mut request = post("/v1/mcp", "");
        *request.method_mut() = method.parse().unwrap();
        let answer = gateway.send(request).await;
        assert_eq!((answer.status, answer.headers["allow"].to_str().unwrap()), (405, "POST"), "{method}");
    }
    for path in ["/v1", "/v1/mcp/a/b", "/v1/mcp/"] {
        assert_eq!(gateway.post(path, "{}").await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn stateless_requests_lacking_meta_or_in_unknown_versions_are_400() {
    let gateway = Setup::default().grant("client:agent", &["**"]).start().await;
    let mut request = stateless_post("/v1/mcp", "server/discover", &json!({}));
    *request.body_mut() = r#"{"jsonrpc":"2.0","id":9,"method":"server/discover","params":{}}"#.into();
    let answer = gateway.send(request).await;
    assert_eq!((answer.status, answer.code(), &answer.json()["id"]), (400, -32602, &json!(9)));
    let mut request = post("/v1/mcp", r#"{"jsonrpc":"2.0","id":9,"method":"tools/list"}"#);
    request.headers_mut().insert("mcp-protocol-version", HeaderValue::from_static("v999"));
    let answer = gateway.send(request).await;
    assert_eq!((answer.status, answer.code()), (400, -32022));
    assert_eq!(answer.json()["error"]["data"]["requested"], "v999");
}
