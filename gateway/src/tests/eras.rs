use super::harness::*;
use serde_json::{Value, json};

#[tokio::test]
async fn a_bare_curl_lists_tools() {
    let fake = Fake::stateless(&["search"]).await;
    let gateway = Setup::default().url("odoo", fake.address, &Value::Null).grant("client:agent", &["**"]).start().await;
    let mut request = post("/v1/mcp", r#"{"jsonrpc":"2.0","method":"tools/list","id":1}"#);
    request.headers_mut().insert("accept", "*/*".parse().unwrap());
    let answer = gateway.send(request).await;
    assert_eq!((answer.status, answer.headers["content-type"].to_str().unwrap()), (200, "application/json"));
    assert_eq!(answer.json()["result"]["tools"][0]["name"], "odoo_search");
    assert!(answer.headers.contains_key("x-request-id"));
}

#[tokio::test]
async fn the_gateway_answers_both_handshakes_itself() {
    let gateway = Setup::default().grant("client:agent", &["**"]).start().await;
    for (asked, given) in [
        ("2024-11-05", "2024-11-05"),
        ("2025-06-18", "2025-06-18"),
        ("2026-07-28", "2025-11-25"),
        ("1999-01-01", "2025-11-25"),
    ] {
        let params =
            json!({ "protocolVersion": asked, "capabilities": {}, "clientInfo": { "name": "c", "version": "1" } });
        let answer = gateway.rpc("/v1/mcp", "initialize", &params).await;
        assert_eq!(answer["result"]["protocolVersion"], given);
        assert_eq!(answer["result"]["serverInfo"]["name"], "aperium-gateway");
    }
    let answer = gateway.post("/v1/mcp", r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).await;
    assert_eq!((answer.status, answer.text.as_str()), (202, ""));
    assert_eq!(gateway.rpc("/v1/mcp", "ping", &json!({})).await["result"], json!({}));
    let discover = gateway.send(stateless_post("/v1/mcp", "server/discover", &json!({}))).await.json();
    assert_eq!(discover["id"], "a");
    assert_eq!(discover["result"]["supportedVersions"][0], "2026-07-28");
    assert_eq!(discover["result"]["resultType"], "complete");
    assert_eq!(discover["result"]["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "aperium-gateway");
}

#[tokio::test]
async fn methods_of_the_other_era_are_unknown() {
    let gateway = Setup::default().grant("client:agent", &["**"]).start().await;
    for method in ["initialize", "ping", "logging/setLevel", "resources/subscribe", "unknown/method"] {
        let answer = gateway.send(stateless_post("/v1/mcp", method, &json!({}))).await;
        assert_eq!((answer.status, answer.code(), &answer.json()["id"]), (404, -32601, &json!("a")), "{method}");
    }
    let legacy = gateway.rpc("/v1/mcp", "tasks/get", &json!({})).await;
    assert_eq!(legacy["error"]["code"], -32601);
}

#[tokio::test]
async fn stateless_lists_are_private_and_legacy_ones_say_nothing_of_caching() {
    let fake = Fake::stateless(&["b", "a"]).await;
    let gateway = Setup::default().url("odoo", fake.address, &Value::Null).grant("client:agent", &["**"]).start().await;
    let list = gateway.send(stateless_post("/v1/mcp", "tools/list", &json!({}))).await.json();
    assert_eq!((&list["result"]["cacheScope"], &list["result"]["resultType"]), (&json!("private"), &json!("complete")));
    assert!(list["result"]["ttlMs"].is_u64());
    assert_eq!(list["result"]["tools"][0]["name"], "odoo_a", "in the order of their names");
    assert!(gateway.rpc("/v1/mcp", "tools/list", &json!({})).await["result"]["ttlMs"].is_null());
}

#[tokio::test]
async fn every_pairing_of_eras_works() {
    let (modern, old) = (Fake::stateless(&["echo"]).await, Fake::legacy(&["echo"]).await);
    let gateway = Setup::default()
        .url("modern", modern.address, &Value::Null)
        .url("old", old.address, &Value::Null)
        .grant("client:agent", &["**"])
        .start()
        .await;
    for (tool, fake) in [("modern_echo", &modern), ("old_echo", &old)] {
        let params = json!({ "name": tool, "arguments": { "x": 1 } });
        let legacy = gateway.rpc("/v1/mcp", "tools/call", &params).await;
        assert_eq!(legacy["result"]["content"][0]["text"], "echo", "{tool}");
        assert_eq!(legacy["result"]["structuredContent"]["arguments"]["x"], 1);
        let stateless = gateway.send(stateless_post("/v1/mcp", "tools/call", &params)).await.json();
        assert_eq!(stateless["result"]["resultType"], "complete", "{tool}");
        assert_eq!(stateless["id"], "a");
        assert_eq!(fake.count("tools/call"), 2);
    }
    let seen = modern.last("tools/call");
    assert_eq!(seen.headers["mcp-name"], "echo");
    assert_eq!(seen.headers["mcp-method"], "tools/call");
    assert_eq!(seen.headers["mcp-protocol-version"], "2026-07-28");
    let seen = old.last("tools/call");
    assert_eq!(seen.headers["mcp-session-id"], "s1");
    assert_eq!(seen.headers["mcp-protocol-version"], "2025-06-18");
    assert!(seen.headers.get("mcp-method").is_none());
    assert!(seen.json()["params"]["_meta"].is_null(), "a legacy server never sees the stateless _meta");
}

#[tokio::test]
async fn m6_header_and_body_must_agree_before_anything_reaches_an_upstream() {
    let fake = Fake::stateless(&["echo"]).await;
    let gateway = Setup::default().url("odoo", fake.address, &Value::Null).grant("client:agent", &["**"]).start().await;
    let params = json!({ "name": "odoo_echo" });
    for (header, value) in [
        ("mcp-name", Some("odoo_other")),
        ("mcp-name", None),
        ("mcp-method", Some("tools/list")),
        ("mcp-method", None),
        ("mcp-protocol-version", Some("2025-11-25")),
        ("mcp-protocol-version", None),
    ] {
        let mut request = stateless_post("/v1/mcp", "tools/call", &params);
        match value {
            Some(value) => {
                request.headers_mut().insert(header, value.parse().unwrap());
            }
            None => {
                request.headers_mut().remove(header);
            }
        }
        let answer = gateway.send(request).await;
        assert_eq!((answer.status, answer.code()), (400, -32020), "{header}: {value:?}");
    }
    assert_eq!(fake.count("tools/call"), 0);
}

#[tokio::test]
async fn one_connector_speaks_its_own_names() {
    let fake = Fake::stateless(&["echo"]).await;
    let gateway = Setup::default().url("odoo", fake.address, &Value::Null).grant("client:agent", &["**"]).start().await;
    assert_eq!(gateway.tools("/v1/mcp/odoo").await, ["echo"]);
    let answer = gateway.rpc("/v1/mcp/ODOO", "tools/call", &json!({ "name": "echo" })).await;
    assert_eq!(answer["result"]["content"][0]["text"], "echo");
    let answer = gateway.rpc("/v1/mcp/odoo", "tools/call", &json!({ "name": "odoo_echo" })).await;
    assert_eq!(answer["error"]["message"], "Unknown tool: odoo_echo");
}

#[tokio::test]
async fn an_upstream_that_first_refuses_the_version_it_offers_is_asked_again_and_not_taken_for_an_older_one() {
    let refused = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let tools = definitions(&["search"]);
    let fake = Fake::start(move |seen| {
        let (refused, tools) = (refused.clone(), tools.clone());
        async move {
            if refused.swap(true, std::sync::atomic::Ordering::Relaxed) {
                return stateless(&seen, &tools);
            }
            let error = json!({ "code": -32022, "message": "no", "data": { "supported": ["2026-07-28"] } });
            answer(400, &json!({ "jsonrpc": "2.0", "id": seen.json()["id"], "error": error }))
        }
    })
    .await;
    let gateway = Setup::default().url("odoo", fake.address, &Value::Null).grant("client:agent", &["**"]).start().await;
    let list = gateway.rpc("/v1/mcp", "tools/list", &json!({})).await;
    assert_eq!(list["result"]["tools"][0]["name"], "odoo_search");
    assert_eq!((fake.count("server/discover"), fake.count("initialize")), (2, 0));
}
