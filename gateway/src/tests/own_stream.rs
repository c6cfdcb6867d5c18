//! What an upstream asks on the stream of a client's own session, which names no call.

use super::conversation::{Asker, Events, call, event, eventually, gateway, is_answer, start};
use super::harness::*;
use super::sessions::{session, within};
use serde_json::{Value, json};
use std::time::Duration;

fn roots(id: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": "roots/list" })
}

fn done(seen: &Seen) -> Value {
    json!({ "jsonrpc": "2.0", "id": seen.json()["id"], "result": { "content": [] } })
}

#[tokio::test]
async fn with_one_call_under_way_its_client_is_asked() {
    let asker = Asker::with(true).await;
    let gateway = gateway(&asker).await;
    let client = session(&gateway, "/v1/mcp", &json!({ "roots": {} })).await;
    let response = start(&gateway, &client, &call("mine"));
    let (opened, stream) = asker.opened().await;
    let (seen, frames) = asker.called().await;
    assert_eq!(opened.headers["mcp-session-id"], seen.headers["mcp-session-id"]);

    stream.send(event(&roots("q"))).await.unwrap();
    let mut events = Events::of(response.await.unwrap());
    let asked = events.next().await.unwrap();
    assert_eq!(asked["method"], "roots/list");
    let answer = json!({ "jsonrpc": "2.0", "id": asked["id"], "result": { "roots": [] } });
    assert_eq!(gateway.send(within(&client, &answer)).await.status, 202);
    let rest = tokio::spawn(async move { events.next().await });
    assert_eq!(asker.answered().await.json(), json!({ "jsonrpc": "2.0", "id": "q", "result": { "roots": [] } }));
    frames.send(event(&done(&seen))).await.unwrap();
    assert_eq!(rest.await.unwrap().unwrap()["id"], "mine");
}

#[tokio::test]
async fn a_call_is_asked_that_has_no_head_of_an_answer_yet() {
    let (opened, mut streams) = tokio::sync::mpsc::channel(1);
    let (answered, answers) = tokio::sync::watch::channel(false);
    let fake = Fake::start(move |seen: Seen| {
        let (opened, answered, mut answers) = (opened.clone(), answered.clone(), answers.clone());
        async move {
            let message: Value = serde_json::from_str(&seen.text).unwrap_or_default();
            match message["method"].as_str() {
                Some("tools/call") => {
                    let _ = answers.wait_for(|answered| *answered).await;
                    result(&seen, &json!({ "content": [] }))
                }
                Some(_) => legacy(&seen, &definitions(&["ask"])),
                None if seen.method == http::Method::GET => super::conversation::stream(seen, &opened).await,
                None => {
                    let _ = answered.send(true);
                    axum::response::Response::default()
                }
            }
        }
    })
    .await;
    let gateway = Setup::default().url("odoo", fake.address, &Value::Null).grant("client:agent", &["**"]).start().await;
    let client = session(&gateway, "/v1/mcp", &json!({ "roots": {} })).await;
    // The shared session has a stream as well, and is asked nothing.
    let (_, _shared) = streams.recv().await.unwrap();
    let response = start(&gateway, &client, &call("mine"));
    let (_, stream) = streams.recv().await.unwrap();
    eventually(|| fake.seen.lock().unwrap().iter().any(|seen| seen.text.contains("tools/call")).then_some(())).await;
    stream.send(event(&roots("q"))).await.unwrap();
    let mut events = Events::of(response.await.unwrap());
    let asked = events.next().await.unwrap();
    let answer = json!({ "jsonrpc": "2.0", "id": asked["id"], "result": { "roots": [] } });
    assert_eq!(gateway.send(within(&client, &answer)).await.status, 202);
    assert_eq!(events.next().await.unwrap()["result"], json!({ "content": [] }));
}

#[tokio::test]
async fn with_two_calls_under_way_nobody_is_asked() {
    let asker = Asker::with(true).await;
    let gateway = gateway(&asker).await;
    let client = session(&gateway, "/v1/mcp", &json!({ "roots": {} })).await;
    let calls = [start(&gateway, &client, &call("one")), start(&gateway, &client, &call("two"))];
    let (_, stream) = asker.opened().await;
    let under_way = [asker.called().await, asker.called().await];
    stream.send(event(&roots("q"))).await.unwrap();
    assert_eq!(asker.answered().await.json()["error"]["code"], -32601);
    for (seen, frames) in &under_way {
        frames.send(event(&done(seen))).await.unwrap();
    }
    for call in calls {
        let answer = Answer::read(call.await.unwrap()).await;
        assert_eq!(answer.json()["result"], json!({ "content": [] }), "and has seen nothing of it");
    }
}

#[tokio::test]
async fn without_a_call_the_upstream_reads_at_once_that_nobody_is_there_and_a_ping_is_answered() {
    let asker = Asker::with(true).await;
    let gateway = gateway(&asker).await;
    let client = session(&gateway, "/v1/mcp", &json!({ "roots": {} })).await;
    let response = start(&gateway, &client, &call("mine"));
    let (_, stream) = asker.opened().await;
    let (seen, frames) = asker.called().await;
    frames.send(event(&done(&seen))).await.unwrap();
    Answer::read(response.await.unwrap()).await;
    stream.send(event(&roots("q"))).await.unwrap();
    assert_eq!(asker.answered().await.json()["error"]["code"], -32601);
    stream.send(event(&json!({ "jsonrpc": "2.0", "id": "p", "method": "ping" }))).await.unwrap();
    let pong =
        || asker.fake.seen.lock().unwrap().iter().find(|seen| is_answer(seen) && seen.json()["id"] == "p").cloned();
    assert_eq!(eventually(pong).await.json()["result"], json!({}));
}

#[tokio::test]
async fn what_another_clients_session_is_asked_is_not_this_clients_business() {
    let asker = Asker::with(true).await;
    let gateway = gateway(&asker).await;
    let mine = session(&gateway, "/v1/mcp", &json!({ "roots": {} })).await;
    let other = session(&gateway, "/v1/mcp", &json!({ "roots": {} })).await;
    let first = start(&gateway, &mine, &call("mine"));
    let (_, stream_of_mine) = asker.opened().await;
    let (seen_of_mine, frames_of_mine) = asker.called().await;
    frames_of_mine.send(event(&done(&seen_of_mine))).await.unwrap();
    Answer::read(first.await.unwrap()).await;

    let second = start(&gateway, &other, &call("other"));
    let _streams = asker.opened().await;
    let (seen, frames) = asker.called().await;
    stream_of_mine.send(event(&roots("q"))).await.unwrap();
    assert_eq!(asker.answered().await.json()["error"]["code"], -32601, "mine has no call under way");
    frames.send(event(&done(&seen))).await.unwrap();
    assert_eq!(Answer::read(second.await.unwrap()).await.json()["result"], json!({ "content": [] }));
}

#[tokio::test]
async fn a_stream_that_broke_is_opened_again_and_rubbish_on_it_changes_nothing() {
    let asker = Asker::with(true).await;
    let gateway = gateway(&asker).await;
    let client = session(&gateway, "/v1/mcp", &json!({ "roots": {} })).await;
    let response = start(&gateway, &client, &call("mine"));
    let (_, stream) = asker.opened().await;
    let (_seen, _frames) = asker.called().await;
    for rubbish in ["data: {\n\n", "data: [1,2]\n\n", "data: {\"id\":1,\"result\":{}}\n\n", ": nothing\n\n"] {
        stream.send(Ok(rubbish.into())).await.unwrap();
    }
    drop(stream);
    let (_, stream) = asker.opened().await;
    stream.send(event(&roots("q"))).await.unwrap();
    let asked = Events::of(response.await.unwrap()).next().await.unwrap();
    assert_eq!(asked["method"], "roots/list");
}

#[tokio::test]
async fn m13_what_is_said_beside_a_call_does_not_keep_it_alive() {
    let asker = Asker::with(true).await;
    let limit = json!({ "calls": { "timeoutSeconds": 1 } });
    let gateway = Setup::default().url("odoo", asker.fake.address, &limit).grant("client:agent", &["**"]).start().await;
    let client = session(&gateway, "/v1/mcp", &json!({ "roots": {} })).await;
    let response = start(&gateway, &client, &call("mine"));
    let (_, stream) = asker.opened().await;
    let (_seen, _frames) = asker.called().await;
    let flood = tokio::spawn(async move {
        let note = json!({ "jsonrpc": "2.0", "method": "notifications/nothing" });
        let notes = format!("data: {note}\n\n").repeat(1000);
        while stream.send(Ok(notes.clone().into())).await.is_ok() {}
    });
    let ended = tokio::time::timeout(Duration::from_secs(10), async { Answer::read(response.await.unwrap()).await });
    let answer = ended.await.expect("the call has no end");
    assert_eq!(answer.json()["result"]["structuredContent"]["code"], "outcome_unknown", "{answer:?}");
    flood.abort();
}
