use super::harness::*;
use axum::response::Response;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tower::ServiceExt as _;

mod again;

/// Everything that a reader who understands only part of it could lose.
const WILD: &str = r#"{"zeta":1,"content":[{"type":"hologram","data":"x","depth":1e2},{"text":"a\u00e9é","type":"text","annotations":{"x":{}}}],"big":123456789012345678901234567890,"float":1.10,"structuredContent":[null,true,{"k":-0.0}],"_meta":{"vendor/x":{"b":1,"a":2}},"resultType":"complete","alpha":{}}"#;
const WILD_TOOL: &str = r#"{"outputSchema":{"z":1,"a":{"const":12345678901234567890123}},"name":"wild","vendor-key":[1, 2],"execution":{"taskSupport":"forbidden"},"annotations":{"readOnlyHint":true,"custom":"x"},"inputSchema":{"type":"object"}}"#;

#[tokio::test]
async fn tools_arguments_and_results_go_through_without_a_byte_changed() {
    let fake = Fake::start(|seen: Seen| async move {
        let raw = |result: &str| {
            let id = seen.json()["id"].clone();
            crate::error::json(http::StatusCode::OK, format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#))
        };
        match seen.json()["method"].as_str().unwrap() {
            "tools/list" => raw(&format!(r#"{{"resultType":"complete","tools":[{WILD_TOOL}]}}"#)),
            "tools/call" => raw(WILD),
            _ => stateless(&seen, &json!([])),
        }
    })
    .await;
    let gateway = Setup::default().url("odoo", fake.address, &Value::Null).grant("client:agent", &["**"]).start().await;
    let list = gateway.post("/v1/mcp", r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#).await;
    assert!(list.text.contains(&WILD_TOOL.replace("\"wild\"", "\"odoo_wild\"")), "{}", list.text);
    let single = gateway.post("/v1/mcp/odoo", r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#).await;
    assert!(single.text.contains(WILD_TOOL), "{}", single.text);
    let arguments = r#"{"z":123456789012345678901234567890,"a":1.50,"nested":{"b":[1,  2],"a":"A"}}"#;
    let call = format!(
        r#"{{"jsonrpc":"2.0","id":"x\"y","method":"tools/call","params":{{"later":{{}},"arguments":{arguments},"name":"odoo_wild"}}}}"#
    );
    let answer = gateway.post("/v1/mcp", &call).await;
    assert_eq!(answer.text, format!(r#"{{"jsonrpc":"2.0","id":"x\"y","result":{WILD}}}"#));
    let seen = fake.last("tools/call");
    assert!(seen.text.contains(&format!(r#""later":{{}},"arguments":{arguments},"name":"wild""#)), "{}", seen.text);
}

#[tokio::test]
async fn errors_of_an_upstream_reach_the_caller_as_they_are() {
    let fake = Fake::start(|seen: Seen| async move {
        if seen.json()["method"] == "tools/call" {
            let error = json!({ "code": -32602, "message": "bad order id", "data": { "field": "id" } });
            return answer(200, &json!({ "jsonrpc": "2.0", "id": seen.json()["id"], "error": error }));
        }
        stateless(&seen, &definitions(&["echo"]))
    })
    .await;
    let gateway = Setup::default().url("odoo", fake.address, &Value::Null).grant("client:agent", &["**"]).start().await;
    let answer = gateway.rpc("/v1/mcp", "tools/call", &json!({ "name": "odoo_echo" })).await;
    assert_eq!(answer["error"], json!({ "code": -32602, "message": "bad order id", "data": { "field": "id" } }));
}

fn assert_unavailable(answer: &Value, connector: &str, code: &str) {
    let result = &answer["result"];
    assert_eq!(result["isError"], true, "{answer}");
    let text = result["content"][0]["text"].as_str().unwrap();
    assert!(
        text.starts_with(&format!("connector {connector} is unavailable (")) && text.contains("request id "),
        "{text}"
    );
    assert_eq!(result["structuredContent"]["code"], code, "{answer}");
    assert_eq!(result["structuredContent"]["message"], text);
    assert!(result["structuredContent"]["request_id"].as_str().unwrap().len() > 8);
}

#[tokio::test]
async fn a_dead_service_is_a_tool_error_and_its_neighbours_do_not_notice() {
    let (dead, alive) = (Fake::stateless(&["echo"]).await, Fake::stateless(&["echo"]).await);
    let gateway = Setup::default()
        .service("odoo", dead.address, "t")
        .url("hr", alive.address, &Value::Null)
        .grant("client:agent", &["odoo/**", "hr/**"])
        .grant("client:other", &["hr/**"])
        .start()
        .await;
    drop(dead);
    gateway.until(|snapshot| snapshot.connectors().iter().any(|entry| !entry.registered())).await;
    assert_eq!(gateway.tools("/v1/mcp").await, ["hr_echo"], "unregistered after the first failed poll");
    assert_unavailable(
        &gateway.rpc("/v1/mcp", "tools/call", &json!({ "name": "odoo_echo" })).await,
        "odoo",
        "upstream_unavailable",
    );
    assert!(gateway.rpc("/v1/mcp", "tools/call", &json!({ "name": "hr_echo" })).await["result"]["isError"].is_null());
    let body =
        json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "odoo_echo" } }).to_string();
    let denied = gateway.send(post_as("other-token", "/v1/mcp", &body)).await;
    assert_eq!(denied.json()["error"]["message"], "Unknown tool: odoo_echo", "an outage is told to those who may know");
    let request = http::Request::get("/readyz").body(axum::body::Body::empty()).unwrap();
    let ready = Answer::read(gateway.admin.clone().oneshot(request).await.unwrap()).await;
    assert_eq!((ready.status, &ready.json()["unavailable"]), (200, &json!(["odoo"])));
    assert_eq!(ready.json()["connectors"]["hr"]["available"], true);
}

#[tokio::test]
async fn a_service_that_never_answered_is_unavailable_for_those_who_are_granted_it() {
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
    let gateway =
        Setup::default().service("odoo", address, "t").grant("client:agent", &["odoo/tools/odoo_search"]).start().await;
    assert_unavailable(
        &gateway.rpc("/v1/mcp", "tools/call", &json!({ "name": "odoo_search" })).await,
        "odoo",
        "upstream_unavailable",
    );
    let denied = gateway.rpc("/v1/mcp", "tools/call", &json!({ "name": "odoo_write" })).await;
    assert_eq!(denied["error"]["message"], "Unknown tool: odoo_write");
}

#[tokio::test]
async fn a_refused_service_token_is_a_tool_error_and_is_reported() {
    let fake = Fake::start(|seen: Seen| async move {
        if seen.json()["method"] == "tools/call" {
            return answer(401, &json!({ "error": "unauthorized" }));
        }
        stateless(&seen, &definitions(&["echo"]))
    })
    .await;
    let gateway = Setup::default().service("odoo", fake.address, "stale").grant("client:agent", &["**"]).start().await;
    let answer = gateway.rpc("/v1/mcp", "tools/call", &json!({ "name": "odoo_echo" })).await;
    assert_unavailable(&answer, "odoo", "upstream_unavailable");
    assert_eq!(fake.count("tools/call"), 1, "not sent again");
    assert!(!answer.to_string().contains("stale"));
}

/// Reads one request of a connection that may stay open: its method, or nothing at its end.
async fn read_request(stream: &mut tokio::net::TcpStream) -> Option<(String, Value)> {
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let read = stream.read(&mut buffer).await.ok().filter(|read| *read > 0)?;
        text.extend_from_slice(&buffer[..read]);
        let whole = String::from_utf8_lossy(&text).into_owned();
        if let Some((head, body)) = whole.split_once("\r\n\r\n")
            && let Ok(body) = serde_json::from_str::<Value>(body)
        {
            return Some((head.to_owned(), body));
        }
    }
}

/// An upstream that resets the connection of every call after it has read all of it, and counts the calls.
async fn resetting(calls: Arc<AtomicUsize>) -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let calls = Arc::clone(&calls);
            tokio::spawn(async move {
                while let Some((_, body)) = read_request(&mut stream).await {
                    let id = &body["id"];
                    let result = match body["method"].as_str().unwrap() {
                        "server/discover" => json!({ "supportedVersions": ["2026-07-28"] }),
                        "tools/list" => json!({ "tools": definitions(&["write", "read"]) }),
                        "tools/call" => {
                            calls.fetch_add(1, Ordering::SeqCst);
                            return;
                        }
                        _ => return,
                    };
                    let text = json!({ "jsonrpc": "2.0", "id": id, "result": result }).to_string();
                    let head = format!(
                        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                        text.len()
                    );
                    stream.write_all(format!("{head}{text}").as_bytes()).await.unwrap();
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn m15_a_call_that_may_have_been_carried_out_is_never_sent_again() {
    let calls = Arc::new(AtomicUsize::new(0));
    let address = resetting(Arc::clone(&calls)).await;
    let gateway = Setup::default()
        .url("odoo", address, &json!({ "calls": { "retryableReadTools": ["read"] } }))
        .grant("client:agent", &["**"])
        .start()
        .await;
    for (tool, sent) in [("odoo_write", 1), ("odoo_read", 2)] {
        let answer = gateway.rpc("/v1/mcp", "tools/call", &json!({ "name": tool })).await;
        assert_unavailable(&answer, "odoo", "outcome_unknown");
        assert_eq!(calls.load(Ordering::SeqCst), sent, "{tool}: one call, one attempt");
    }
}

#[tokio::test]
async fn m13_a_call_that_takes_too_long_ends_and_says_that_its_outcome_is_unknown() {
    let fake = Fake::start(|seen: Seen| async move {
        if seen.json()["method"] == "tools/call" {
            tokio::time::sleep(Duration::from_secs(30)).await;
        }
        stateless(&seen, &definitions(&["slow"]))
    })
    .await;
    let gateway = Setup::default()
        .url("odoo", fake.address, &json!({ "calls": { "timeoutSeconds": 1 } }))
        .grant("client:agent", &["**"])
        .start()
        .await;
    let started = Instant::now();
    let answer = gateway.rpc("/v1/mcp", "tools/call", &json!({ "name": "odoo_slow" })).await;
    assert_unavailable(&answer, "odoo", "outcome_unknown");
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn m14_a_caller_who_leaves_ends_the_call_upstream() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (started, mut starts) = tokio::sync::mpsc::channel::<()>(1);
    let (ended, mut ends) = tokio::sync::mpsc::channel::<()>(1);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (started, ended) = (started.clone(), ended.clone());
            tokio::spawn(async move {
                while let Some((_, body)) = read_request(&mut stream).await {
                    let id = &body["id"];
                    let result = match body["method"].as_str().unwrap() {
                        "server/discover" => json!({ "supportedVersions": ["2026-07-28"] }),
                        "tools/list" => json!({ "tools": definitions(&["slow"]) }),
                        "subscriptions/listen" => return,
                        _ => {
                            started.send(()).await.unwrap();
                            assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or(0), 0);
                            ended.send(()).await.unwrap();
                            return;
                        }
                    };
                    let text = json!({ "jsonrpc": "2.0", "id": id, "result": result }).to_string();
                    let head = format!(
                        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                        text.len()
                    );
                    stream.write_all(format!("{head}{text}").as_bytes()).await.unwrap();
                }
            });
        }
    });
    let gateway = Setup::default().url("odoo", address, &Value::Null).grant("client:agent", &["**"]).start().await;
    let body =
        json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "odoo_slow" } }).to_string();
    let call = tokio::spawn(gateway.router.clone().oneshot(post("/v1/mcp", &body)));
    starts.recv().await.unwrap();
    call.abort();
    tokio::time::timeout(Duration::from_secs(1), ends.recv())
        .await
        .expect("the upstream still works for nobody")
        .unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(starts.try_recv().is_err(), "the call is not sent again");
}

#[tokio::test]
async fn an_ended_session_is_renewed_and_the_call_that_met_its_end_is_not_repeated() {
    let session = Arc::new(AtomicUsize::new(1));
    let current = Arc::clone(&session);
    let fake = Fake::start(move |seen: Seen| {
        let current = current.load(Ordering::SeqCst).to_string();
        async move {
            let own = seen.headers.get("mcp-session-id").map(|id| id.to_str().unwrap().to_owned());
            let mut seen = seen;
            match own {
                Some(own) if own != current => return answer(404, &json!({ "error": "no such session" })),
                Some(_) => {
                    seen.headers.insert("mcp-session-id", "s1".parse().unwrap());
                }
                None => {}
            }
            let mut response: Response = legacy(&seen, &definitions(&["echo"]));
            if response.headers().contains_key("mcp-session-id") {
                response.headers_mut().insert("mcp-session-id", current.parse().unwrap());
            }
            response
        }
    })
    .await;
    let slow = json!({ "discovery": { "periodSeconds": 3600, "timeoutSeconds": 1 } });
    let gateway = Setup::default().url("odoo", fake.address, &slow).grant("client:agent", &["**"]).start().await;
    session.store(2, Ordering::SeqCst);
    let first = gateway.rpc("/v1/mcp", "tools/call", &json!({ "name": "odoo_echo" })).await;
    assert_unavailable(&first, "odoo", "upstream_unavailable");
    assert_eq!(fake.count("tools/call"), 1);
    let second = gateway.rpc("/v1/mcp", "tools/call", &json!({ "name": "odoo_echo" })).await;
    assert_eq!(second["result"]["content"][0]["text"], "echo", "{second}");
    assert_eq!(fake.count("initialize"), 2);
}

#[tokio::test]
async fn m8_too_large_an_answer_is_an_error_and_not_a_memory() {
    let fake = Fake::start(|seen: Seen| async move {
        if seen.json()["method"] == "tools/call" {
            return result(&seen, &json!({ "content": [{ "type": "text", "text": "x".repeat(20_000) }] }));
        }
        stateless(&seen, &definitions(&["big"]))
    })
    .await;
    let mut setup = Setup::default();
    setup.settings.limits.max_response_bytes = 10_000;
    let gateway = setup.url("odoo", fake.address, &Value::Null).grant("client:agent", &["**"]).start().await;
    let answer = gateway.rpc("/v1/mcp", "tools/call", &json!({ "name": "odoo_big" })).await;
    assert_unavailable(&answer, "odoo", "outcome_unknown");
}
