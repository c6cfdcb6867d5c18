//! M13: streams that never come to the point, or come to another one.

use crate::tests::harness::*;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

type Frames = BoxStream<'static, Result<Bytes, std::io::Error>>;

/// Answers a call with the events that `frames` makes for its id.
async fn upstream(frames: impl Fn(String) -> Frames + Clone + Send + Sync + 'static) -> Fake {
    Fake::start(move |seen: Seen| {
        let frames = frames.clone();
        async move {
            if seen.json()["method"] != "tools/call" {
                return stateless(&seen, &definitions(&["work"]));
            }
            let mut response = Response::new(Body::from_stream(frames(seen.json()["id"].to_string())));
            response.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
            response
        }
    })
    .await
}

/// What a call gives whose limit is one second; it must not take much longer.
async fn call(fake: &Fake, max_response: usize) -> Value {
    let mut setup = Setup::default();
    setup.settings.limits.max_response_bytes = max_response;
    let gateway = setup
        .url("odoo", fake.address, &json!({ "calls": { "timeoutSeconds": 1 } }))
        .grant("client:agent", &["**"])
        .start()
        .await;
    let params = json!({ "name": "odoo_work" });
    let called = tokio::time::timeout(Duration::from_secs(20), gateway.rpc("/v1/mcp", "tools/call", &params));
    let answer = called.await.expect("the call has no end");
    assert_eq!(fake.count("tools/call"), 1, "one attempt");
    answer
}

fn assert_unknown(answer: &Value) {
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    assert_eq!(answer["result"]["structuredContent"]["code"], "outcome_unknown", "{answer}");
    assert!(!answer.to_string().contains("stolen"), "{answer}");
}

fn every(pause: Duration, pieces: impl Iterator<Item = Bytes> + Send + 'static) -> Frames {
    futures::stream::iter(pieces)
        .then(move |piece| async move {
            tokio::time::sleep(pause).await;
            Ok(piece)
        })
        .boxed()
}

#[tokio::test]
async fn m13_an_answer_that_comes_in_drops_ends_with_the_time_of_the_call() {
    let fake = upstream(|id| {
        let text = format!("data: {{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{\"content\":[]}}}}\n\n");
        every(Duration::from_millis(200), text.into_bytes().into_iter().map(|byte| Bytes::from(vec![byte])))
    })
    .await;
    assert_unknown(&call(&fake, 1_000_000).await);
}

#[tokio::test]
async fn m13_comments_without_end_do_not_keep_a_call_alive() {
    let fake = upstream(|_| every(Duration::from_millis(1), std::iter::repeat(Bytes::from(": still here\n\n")))).await;
    assert_unknown(&call(&fake, 1_000_000).await);
}

#[tokio::test]
async fn m13_a_stream_without_the_answer_ends_with_the_time_of_the_call() {
    let first = "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{}}\n\n";
    let fake =
        upstream(move |_| futures::stream::iter([Ok(Bytes::from(first))]).chain(futures::stream::pending()).boxed())
            .await;
    assert_unknown(&call(&fake, 1_000_000).await);
}

#[tokio::test]
async fn m13_an_event_without_end_is_cut_long_before_it_fills_the_memory() {
    let sent = Arc::<AtomicUsize>::default();
    let counter = Arc::clone(&sent);
    let fake = upstream(move |_| {
        let counter = Arc::clone(&counter);
        let piece = Bytes::from(vec![b'x'; 64 * 1024]);
        let pieces = std::iter::once(Bytes::from("data: ")).chain(std::iter::repeat_n(piece, 1024));
        futures::stream::iter(pieces)
            .map(move |piece| {
                counter.fetch_add(piece.len(), Ordering::SeqCst);
                Ok(piece)
            })
            .boxed()
    })
    .await;
    assert_unknown(&call(&fake, 1_000_000).await);
    let sent = sent.load(Ordering::SeqCst);
    assert!(sent < 48 << 20, "{sent} bytes of 64 MiB were taken for a limit of 1 MB");
}

#[tokio::test]
async fn m13_the_answer_to_another_request_is_none_to_this_one() {
    let fake = upstream(|id| {
        let other = format!("data: {{\"jsonrpc\":\"2.0\",\"id\":{id}0,\"result\":{{\"stolen\":1}}}}\n\n");
        let text = format!("data: {{\"jsonrpc\":\"2.0\",\"id\":\"{id}\",\"result\":{{\"stolen\":2}}}}\n\n");
        let null = "data: {\"jsonrpc\":\"2.0\",\"id\":null,\"result\":{\"stolen\":3}}\n\n".to_owned();
        futures::stream::iter([other, text, null].map(|event| Ok(event.into()))).boxed()
    })
    .await;
    assert_unknown(&call(&fake, 1_000_000).await);
}

#[tokio::test]
async fn m13_of_two_answers_the_first_counts() {
    let fake = upstream(|id| {
        let answer =
            |text: &str| format!("data: {{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{\"said\":\"{text}\"}}}}\n\n");
        let both = format!("{}{}", answer("first"), answer("second"));
        futures::stream::iter([Ok(Bytes::from(both))]).boxed()
    })
    .await;
    let answer = call(&fake, 1_000_000).await;
    assert_eq!(answer["result"]["said"], "first", "{answer}");
    assert!(!answer.to_string().contains("second"));
}

#[tokio::test]
async fn m13_a_flood_of_questions_is_not_answered_with_a_flood() {
    let answers = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&answers);
    let fake = Fake::start(move |seen: Seen| {
        let counted = Arc::clone(&counted);
        async move {
            let message: Value = serde_json::from_str(&seen.text).unwrap_or_default();
            match message["method"].as_str() {
                Some("tools/call") => {
                    let question = json!({ "jsonrpc": "2.0", "id": "q", "method": "roots/list" });
                    let questions = Bytes::from(format!("data: {question}\n\n").repeat(500));
                    let frames = every(Duration::from_millis(50), std::iter::repeat(questions));
                    let mut response = Response::new(Body::from_stream(frames));
                    response.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
                    response
                }
                None if seen.method == http::Method::POST => {
                    // It asks, and takes no answer.
                    counted.fetch_add(1, Ordering::SeqCst);
                    std::future::pending().await
                }
                _ => legacy(&seen, &definitions(&["work"])),
            }
        }
    })
    .await;
    assert_unknown(&call(&fake, 1_000_000).await);
    let answers = answers.load(Ordering::SeqCst);
    assert!((1..=64).contains(&answers), "{answers} answers at the same time");
}
