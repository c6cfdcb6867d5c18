//! M8: what is deep or huge, from clients and from upstreams, against limits and against the memory of a process.

use crate::snapshot::{Health, Kind};
use crate::tests::harness::*;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures::StreamExt as _;
use serde_json::{Value, json};

/// The name of the test that the next one runs in a process of its own.
const ALONE: &str = "tests::hostile::sizes::m8_hostile_sizes_alone_in_a_process";
/// So many kilobytes above the idle process are allowed. What is sent is many times that.
const ALLOWED_KB: u64 = 256 * 1024;

#[tokio::test]
async fn m8_a_body_at_its_limit_is_read_and_one_byte_more_is_413() {
    let gateway = Setup::default().grant("client:agent", &["**"]).start().await;
    let limit = 4 * 1024 * 1024;
    for (size, status) in [(limit, 200), (limit + 1, 413)] {
        let empty = r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":""}}"#;
        let body = empty.replace("\"\"", &format!("\"{}\"", "x".repeat(size - empty.len())));
        assert_eq!(body.len(), size);
        let answer = gateway.post("/v1/mcp", &body).await;
        assert_eq!(answer.status, status, "{size}");
        if status == 413 {
            assert_eq!(answer.code(), -32600);
            assert!(answer.text.contains("more than 4194304 bytes"), "{}", answer.text);
        }
    }
}

#[tokio::test]
async fn m8_ten_thousand_tools_are_listed_and_one_more_is_not_taken() {
    for (count, registered) in [(10_000, true), (10_001, false)] {
        let tools: Value = (0..count).map(|at| json!({ "name": format!("t{at:05}"), "inputSchema": {} })).collect();
        let fake = Fake::start(move |seen: Seen| {
            let tools = tools.clone();
            async move { stateless(&seen, &tools) }
        })
        .await;
        let slow = json!({ "discovery": { "periodSeconds": 3600, "timeoutSeconds": 60 } });
        let gateway = Setup::default().url("odoo", fake.address, &slow).grant("client:agent", &["**"]).start().await;
        let health = gateway.state.snapshot.load().connectors()[0].health.clone();
        assert_eq!(health == Health::Registered, registered, "{count}: {health:?}");
        let listed = gateway.names("/v1/mcp", Kind::Tools).await;
        assert_eq!(listed.len(), if registered { count } else { 0 });
    }
}

/// The memory of this process in kilobytes: `VmRSS` now, `VmHWM` at most.
fn memory(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// A gigabyte in pieces: whoever keeps it all is found out.
fn endless(first: &str) -> Body {
    let piece = Bytes::from(vec![b'x'; 64 * 1024]);
    let pieces = std::iter::once(Bytes::from(first.to_owned())).chain(std::iter::repeat_n(piece, 16 * 1024));
    Body::from_stream(futures::stream::iter(pieces).map(Ok::<_, std::io::Error>))
}

/// Answers calls with a gigabyte, as JSON and as an event.
async fn flooding() -> Fake {
    Fake::start(|seen: Seen| async move {
        if seen.json()["method"] != "tools/call" {
            return stateless(&seen, &definitions(&["json", "event"]));
        }
        let (kind, first) = match seen.json()["params"]["name"].as_str() {
            Some("json") => ("application/json", "{\"jsonrpc\":\"2.0\",\"result\":\""),
            _ => ("text/event-stream", "data: "),
        };
        let mut response = Response::new(endless(first));
        response.headers_mut().insert("content-type", kind.parse().unwrap());
        response
    })
    .await
}

#[test]
fn m8_memory_is_bounded_whatever_is_sent() {
    let own = std::env::current_exe().unwrap();
    let out = std::process::Command::new(own).args(["--exact", ALONE, "--ignored", "--nocapture"]).output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{text}{}", String::from_utf8_lossy(&out.stderr));
    assert!(text.contains("1 passed"), "it has not run: {text}");
    println!("{}", text.lines().find(|line| line.contains("kB")).unwrap_or_default());
}

#[tokio::test]
#[ignore = "m8_memory_is_bounded_whatever_is_sent runs it in a process of its own"]
async fn m8_hostile_sizes_alone_in_a_process() {
    let fake = flooding().await;
    let gateway = Setup::default().url("odoo", fake.address, &Value::Null).grant("client:agent", &["**"]).start().await;
    gateway.rpc("/v1/mcp", "ping", &json!({})).await;
    let idle = memory("VmRSS");
    let keys = |count: usize| (0..count).map(|at| format!("\"{at}\":0")).collect::<Vec<_>>().join(",");
    let ping = |params: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{params}}}"#);
    let cases = [
        (ping(&format!("{{{}}}", keys(300_000))), 200),
        (ping(&format!("{{{}}}", keys(1_000_000))), 413),
        (ping(&format!("{{\"x\":\"{}\"}}", "x".repeat(10_000_000))), 413),
        (ping(&format!("{{\"x\":[{}1]}}", "1,".repeat(1_900_000))), 200),
        ("[".repeat(4_000_000), 400),
        ("{\"a\":".repeat(800_000), 400),
    ];
    for (body, status) in &cases {
        for _ in 0..3 {
            assert_eq!(gateway.post("/v1/mcp", body).await.status, *status);
        }
    }
    let mut request = post("/v1/mcp", "");
    *request.body_mut() = endless("{\"jsonrpc\":\"");
    assert_eq!(gateway.send(request).await.status, 413);
    for tool in ["odoo_json", "odoo_event"] {
        let answer = gateway.rpc("/v1/mcp", "tools/call", &json!({ "name": tool })).await;
        assert_eq!(answer["result"]["structuredContent"]["code"], "outcome_unknown", "{answer}");
    }
    let most = memory("VmHWM");
    println!("{idle} kB idle, {most} kB at most");
    assert!(most < idle + ALLOWED_KB, "{idle} kB idle, {most} kB at most");
}
