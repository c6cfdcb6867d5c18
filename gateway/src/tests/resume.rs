use super::harness::*;
use axum::body::Body;
use axum::response::Response;
use http::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const EARLY_END: &str = "id: e1\nretry: 300\ndata: \n\n";

fn events(text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
    response
}

/// Ends the stream of a call early; what a GET then gives is made of the id of that call.
async fn server(given: fn(&str) -> Response) -> Fake {
    let id = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
    Fake::start(move |seen: Seen| {
        let id = std::sync::Arc::clone(&id);
        async move {
            if seen.method == Method::GET {
                return if seen.headers.contains_key("last-event-id") {
                    given(&id.lock().unwrap())
                } else {
                    answer(405, &json!({}))
                };
            }
            if seen.json()["method"] != "tools/call" {
                return legacy(&seen, &definitions(&["work"]));
            }
            *id.lock().unwrap() = seen.json()["id"].to_string();
            events(EARLY_END.to_owned())
        }
    })
    .await
}

async fn call(fake: &Fake, timeout: u64) -> Value {
    let extra = json!({ "calls": { "timeoutSeconds": timeout } });
    let gateway = Setup::default().url("odoo", fake.address, &extra).grant("client:agent", &["**"]).start().await;
    gateway.rpc("/v1/mcp", "tools/call", &json!({ "name": "odoo_work" })).await
}

fn gets(fake: &Fake) -> Vec<Seen> {
    let seen = fake.seen.lock().unwrap();
    seen.iter()
        .filter(|seen| seen.method == Method::GET && seen.headers.contains_key("last-event-id"))
        .cloned()
        .collect()
}

#[tokio::test]
async fn a_stream_that_ends_early_is_taken_up_again_where_it_ended_after_the_pause_that_was_asked_for() {
    let fake = server(|id| {
        events(format!("id: e2\ndata: {{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{\"content\":[]}}}}\n\n"))
    })
    .await;
    let started = Instant::now();
    let answer = call(&fake, 30).await;
    assert_eq!(answer["result"], json!({ "content": [] }), "{answer}");
    assert!(started.elapsed() >= Duration::from_millis(300));
    let gets = gets(&fake);
    assert_eq!(gets.len(), 1);
    assert_eq!(gets[0].headers["last-event-id"], "e1");
    assert_eq!(gets[0].headers["mcp-session-id"], "s1");
    assert_eq!(fake.count("tools/call"), 1);
}

#[tokio::test]
async fn a_stream_that_cannot_be_taken_up_again_leaves_the_outcome_unknown() {
    let none = server(|_| answer(404, &json!({}))).await;
    let answer = call(&none, 30).await;
    assert_eq!(answer["result"]["structuredContent"]["code"], "outcome_unknown", "{answer}");
    assert_eq!((gets(&none).len(), none.count("tools/call")), (1, 1));
    let never = server(|_| events(EARLY_END.replace("300", "0"))).await;
    let answer = call(&never, 1).await;
    assert_eq!(answer["result"]["structuredContent"]["code"], "outcome_unknown", "{answer}");
    assert!((2..=11).contains(&gets(&never).len()), "not more often than each 100 ms: {}", gets(&never).len());
    assert_eq!(never.count("tools/call"), 1);
}
