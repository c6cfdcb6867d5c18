use super::harness::*;
use serde_json::{Value, json};

/// Answers as a server with one tool does; what `slow` is called with is never answered.
fn reply(message: &Value) -> Option<Value> {
    let id = &message["id"];
    let result = match message["method"].as_str()? {
        "initialize" => {
            json!({ "protocolVersion": "2024-11-05", "capabilities": { "tools": {} }, "serverInfo": { "name": "f", "version": "1" } })
        }
        "tools/list" => json!({ "tools": definitions(&["echo", "slow"]) }),
        "tools/call" if message["params"]["name"] == "echo" => {
            json!({ "content": [], "structuredContent": message["params"] })
        }
        _ => return None,
    };
    Some(json!({ "jsonrpc": "2.0", "id": id, "result": result }))
}

async fn gateway(server: &LegacySse, extra: &Value) -> Gateway {
    Setup::default().url("old", server.fake.address, extra).grant("client:agent", &["**"]).start().await
}

fn call(tool: &str, arguments: &Value) -> Value {
    json!({ "name": tool, "arguments": arguments })
}

#[tokio::test]
async fn a_server_of_the_older_transport_is_listed_and_called_over_one_stream() {
    let server = LegacySse::start("/messages?sessionId=1", reply).await;
    let gateway = gateway(&server, &Value::Null).await;
    assert_eq!(gateway.tools("/v1/mcp").await, ["old_echo", "old_slow"]);
    let calls = (0..20).map(|n| {
        let gateway = &gateway;
        async move { gateway.rpc("/v1/mcp", "tools/call", &call("old_echo", &json!({ "n": n }))).await }
    });
    for (n, answer) in futures::future::join_all(calls).await.iter().enumerate() {
        assert_eq!(answer["result"]["structuredContent"]["arguments"]["n"], n, "{answer}");
    }
    assert_eq!(server.open(), 1);
    let seen = server.fake.last("tools/call");
    assert_eq!(seen.uri.to_string(), "/messages?sessionId=1");
}

#[tokio::test]
async fn progress_and_an_answer_reach_the_call_that_they_belong_to() {
    let server = LegacySse::start("/messages", reply).await;
    let gateway = gateway(&server, &Value::Null).await;
    let params = json!({ "name": "old_slow", "_meta": { "progressToken": "mine" } });
    let body = json!({ "jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": params });
    let mut request = post("/v1/mcp", &body.to_string());
    request.headers_mut().insert("accept", "application/json, text/event-stream".parse().unwrap());
    let say = async {
        soon(|| server.fake.count("tools/call") == 1).await;
        let id = server.fake.last("tools/call").json()["id"].clone();
        for token in [json!(999_999), id.clone()] {
            server.say(&json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": { "progressToken": token, "progress": 1 } }));
        }
        server.say(&json!({ "jsonrpc": "2.0", "id": 999_999, "result": { "content": ["not mine"] } }));
        server.say(&json!({ "jsonrpc": "2.0", "id": id, "result": { "content": [] } }));
    };
    let (answer, ()) = tokio::join!(gateway.send(request), say);
    assert!(answer.text.contains(r#""progressToken":"mine""#), "{}", answer.text);
    assert!(answer.text.contains(r#"{"jsonrpc":"2.0","id":5,"result":{"content":[]}}"#), "{}", answer.text);
    assert!(!answer.text.contains("not mine"));
}

#[tokio::test]
async fn when_the_stream_breaks_calls_under_way_have_an_unknown_outcome_and_are_not_repeated() {
    let server = LegacySse::start("/messages", reply).await;
    let extra = json!({ "calls": { "retryableReadTools": ["slow"] } });
    let gateway = gateway(&server, &extra).await;
    let cut = async {
        soon(|| server.fake.count("tools/call") == 1).await;
        server.cut();
    };
    let params = call("old_slow", &json!({}));
    let (answer, ()) = tokio::join!(gateway.rpc("/v1/mcp", "tools/call", &params), cut);
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    assert_eq!(answer["result"]["structuredContent"]["code"], "outcome_unknown");
    assert_eq!(server.fake.count("tools/call"), 1);
    let again = gateway.rpc("/v1/mcp", "tools/call", &call("old_echo", &json!({}))).await;
    assert!(again["result"]["structuredContent"].is_object(), "the next call opens another stream: {again}");
    assert_eq!(server.open(), 1);
}

#[tokio::test]
async fn an_endpoint_of_another_origin_is_refused() {
    let canary = Fake::stateless(&["echo"]).await;
    let address = canary.address;
    let endpoint: &'static str = Box::leak(format!("http://{address}/messages").into_boxed_str());
    let server = LegacySse::start(endpoint, reply).await;
    let gateway = gateway(&server, &Value::Null).await;
    let snapshot = gateway.state.snapshot.load();
    let crate::snapshot::Health::Unavailable { inside, .. } = &snapshot.connectors()[0].health else {
        panic!("registered");
    };
    assert!(inside.contains("another origin"), "{inside}");
    assert_eq!(canary.seen.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn a_connector_that_is_gone_closes_its_stream() {
    let server = LegacySse::start("/messages", reply).await;
    let gateway = gateway(&server, &Value::Null).await;
    assert_eq!(server.open(), 1);
    gateway.resources(&[], &[]).await;
    soon(|| server.open() == 0).await;
}

#[tokio::test]
async fn requests_of_the_server_that_are_about_nobody_are_refused_politely() {
    let server = LegacySse::start("/messages", reply).await;
    let _gateway = gateway(&server, &json!({ "discovery": { "periodSeconds": 60, "timeoutSeconds": 5 } })).await;
    server.say(&json!({ "jsonrpc": "2.0", "id": "q", "method": "sampling/createMessage", "params": {} }));
    let answered = || {
        let seen = server.fake.seen.lock().unwrap();
        seen.iter().any(|seen| seen.json()["id"] == "q" && seen.json()["error"]["code"] == -32601)
    };
    soon(answered).await;
}

#[tokio::test]
async fn a_caller_who_does_not_read_loses_its_own_answer_and_delays_nobody() {
    let server = LegacySse::start("/messages", reply).await;
    let mut setup = Setup::default();
    setup.settings.limits.max_response_bytes = 10_000;
    let gateway = setup.url("old", server.fake.address, &Value::Null).grant("client:agent", &["**"]).start().await;
    let params = json!({ "name": "old_slow", "_meta": { "progressToken": "mine" } });
    let body = json!({ "jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": params });
    let mut request = post("/v1/mcp", &body.to_string());
    request.headers_mut().insert("accept", "text/event-stream".parse().unwrap());
    let flood = async {
        soon(|| server.fake.count("tools/call") == 1).await;
        let id = server.fake.last("tools/call").json()["id"].clone();
        let text = "x".repeat(500);
        for n in 0..200 {
            server.say(&json!({ "jsonrpc": "2.0", "method": "notifications/progress", "params": { "progressToken": id, "progress": n, "message": text } }));
        }
    };
    let (response, ()) = tokio::join!(gateway.router.clone().oneshot(request), flood);
    let answer = gateway.rpc("/v1/mcp", "tools/call", &call("old_echo", &json!({ "n": 1 }))).await;
    assert!(answer["result"]["structuredContent"].is_object(), "{answer}");
    let read = Answer::read(response.unwrap()).await;
    assert!(read.text.len() < 40_000, "what nobody reads is not kept: {} bytes", read.text.len());
    assert!(read.text.contains("outcome_unknown"), "{}", read.text);
}
