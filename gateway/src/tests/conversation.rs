//! What an upstream asks of the client during a call, and what becomes of the answers.

use super::harness::*;
use super::sessions::{session, within};
use serde_json::{Value, json};
use std::time::Duration;

mod asker;
mod rounds;

pub(super) use asker::*;
pub(super) use rounds::modern;

#[tokio::test]
async fn a_request_of_the_upstream_reaches_the_client_whose_call_it_is_and_the_answer_comes_back() {
    let asker = Asker::start().await;
    let gateway = gateway(&asker).await;
    let client = session(&gateway, "/v1/mcp", &json!({ "sampling": { "tools": {} }, "tasks": {} })).await;
    let response = start(&gateway, &client, &call("mine"));
    let (seen, frames) = asker.called().await;
    assert_eq!(seen.headers["mcp-session-id"], "s2", "a session of its own, beside the shared one");
    let opened = asker.seen("initialize").pop().unwrap().json();
    assert_eq!(opened["params"]["capabilities"], json!({ "sampling": { "tools": {} } }));

    let params = json!({ "messages": [], "maxTokens": 5, "vendor": [1] });
    let request = json!({ "jsonrpc": "2.0", "id": 77, "method": "sampling/createMessage", "params": params });
    frames.send(event(&request)).await.unwrap();
    let mut events = Events::of(response.await.unwrap());
    let asked = events.next().await.unwrap();
    assert_eq!((&asked["method"], &asked["params"]), (&json!("sampling/createMessage"), &params));
    assert_ne!(asked["id"], json!(77), "the upstream's id is nobody else's business");

    let answer = json!({ "jsonrpc": "2.0", "id": asked["id"], "result": { "role": "assistant", "big": 123 } });
    assert_eq!(gateway.send(within(&client, &answer)).await.status, 202);
    let rest = tokio::spawn(async move { [events.next().await, events.next().await] });
    let got = asker.answered().await;
    assert_eq!(got.json(), json!({ "jsonrpc": "2.0", "id": 77, "result": { "role": "assistant", "big": 123 } }));
    assert_eq!(got.headers["mcp-session-id"], "s2");
    assert_eq!(gateway.send(within(&client, &answer)).await.status, 400, "an answer counts once");

    let done = json!({ "jsonrpc": "2.0", "id": seen.json()["id"], "result": { "content": [] } });
    frames.send(event(&done)).await.unwrap();
    let done = json!({ "jsonrpc": "2.0", "id": "mine", "result": { "content": [] } });
    assert_eq!(rest.await.unwrap(), [Some(done), None]);
}

#[tokio::test]
async fn m11_an_answer_of_another_session_is_not_taken() {
    let asker = Asker::start().await;
    let gateway = gateway(&asker).await;
    let client = session(&gateway, "/v1/mcp", &json!({ "roots": {} })).await;
    let other = session(&gateway, "/v1/mcp", &json!({ "roots": {} })).await;
    let response = start(&gateway, &client, &call("mine"));
    let (_, frames) = asker.called().await;
    frames.send(event(&json!({ "jsonrpc": "2.0", "id": "r", "method": "roots/list" }))).await.unwrap();
    let asked = Events::of(response.await.unwrap()).next().await.unwrap();
    let answer = json!({ "jsonrpc": "2.0", "id": asked["id"], "result": { "roots": [] } });
    assert_eq!(gateway.send(within(&other, &answer)).await.status, 400);
    assert!(!asker.fake.seen.lock().unwrap().iter().any(is_answer));
}

#[tokio::test]
async fn a_client_is_never_asked_for_what_it_has_not_declared() {
    let asker = Asker::start().await;
    let gateway = gateway(&asker).await;
    let client = session(&gateway, "/v1/mcp", &json!({ "roots": {} })).await;
    let response = start(&gateway, &client, &call("mine"));
    let (seen, frames) = asker.called().await;
    let request = json!({ "jsonrpc": "2.0", "id": 5, "method": "elicitation/create", "params": {} });
    frames.send(event(&request)).await.unwrap();
    assert_eq!(asker.answered().await.json()["error"]["code"], -32601);
    let done = json!({ "jsonrpc": "2.0", "id": seen.json()["id"], "result": { "content": [] } });
    frames.send(event(&done)).await.unwrap();
    let answer = Answer::read(response.await.unwrap()).await;
    assert_eq!(answer.json()["result"], json!({ "content": [] }), "and it has not seen anything of it");
}

#[tokio::test]
async fn a_caller_without_a_session_is_asked_nothing() {
    let asker = Asker::start().await;
    let gateway = gateway(&asker).await;
    let mut request = post("/v1/mcp", &call("mine").to_string());
    request.headers_mut().insert("accept", "application/json, text/event-stream".parse().unwrap());
    let response = tokio::spawn(gateway.router.clone().oneshot(request));
    let (seen, frames) = asker.called().await;
    assert_eq!(seen.headers["mcp-session-id"], "s1", "the shared session");
    assert_eq!(asker.seen("initialize")[0].json()["params"]["capabilities"], json!({}));
    frames.send(event(&json!({ "jsonrpc": "2.0", "id": 5, "method": "sampling/createMessage" }))).await.unwrap();
    assert_eq!(asker.answered().await.json()["error"]["code"], -32601);
    drop(response);
}

#[tokio::test]
async fn a_ping_of_the_upstream_is_answered_here() {
    let asker = Asker::start().await;
    let gateway = gateway(&asker).await;
    let client = session(&gateway, "/v1/mcp", &json!({ "roots": {} })).await;
    let _response = start(&gateway, &client, &call("mine"));
    let (_, frames) = asker.called().await;
    frames.send(event(&json!({ "jsonrpc": "2.0", "id": "p", "method": "ping" }))).await.unwrap();
    assert_eq!(asker.answered().await.json(), json!({ "jsonrpc": "2.0", "id": "p", "result": {} }));
}

#[tokio::test]
async fn a_question_that_the_upstream_gives_up_is_cancelled_at_the_client() {
    let asker = Asker::start().await;
    let gateway = gateway(&asker).await;
    let client = session(&gateway, "/v1/mcp", &json!({ "roots": {} })).await;
    let response = start(&gateway, &client, &call("mine"));
    let (_, frames) = asker.called().await;
    frames.send(event(&json!({ "jsonrpc": "2.0", "id": 9, "method": "roots/list" }))).await.unwrap();
    let mut events = Events::of(response.await.unwrap());
    let asked = events.next().await.unwrap();
    let given_up = json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 9 } });
    frames.send(event(&given_up)).await.unwrap();
    let cancelled = events.next().await.unwrap();
    assert_eq!(cancelled["method"], "notifications/cancelled");
    assert_eq!(cancelled["params"]["requestId"], asked["id"]);
    let late = json!({ "jsonrpc": "2.0", "id": asked["id"], "result": { "roots": [] } });
    assert_eq!(gateway.send(within(&client, &late)).await.status, 400);
}

#[tokio::test]
async fn a_client_cancels_a_call_from_another_connection() {
    let asker = Asker::start().await;
    let gateway = gateway(&asker).await;
    let client = session(&gateway, "/v1/mcp", &json!({})).await;
    let response = start(&gateway, &client, &call("mine"));
    let (seen, _frames) = asker.called().await;
    let cancel =
        |id: Value| json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": id } });
    assert_eq!(gateway.send(within(&client, &cancel(json!("other")))).await.status, 202);
    assert!(asker.seen("notifications/cancelled").is_empty());
    assert_eq!(gateway.send(within(&client, &cancel(json!("mine")))).await.status, 202);
    let cancelled = eventually(|| asker.seen("notifications/cancelled").pop()).await;
    assert_eq!(cancelled.json()["params"]["requestId"], seen.json()["id"]);
    let answer = tokio::time::timeout(Duration::from_secs(5), response).await.unwrap().unwrap();
    assert_eq!(Answer::read(answer).await.text, "", "a cancelled request has no answer");
}

#[tokio::test]
async fn a_level_reaches_the_upstream_and_holds_on_the_way_back() {
    let asker = Asker::start().await;
    let gateway = gateway(&asker).await;
    let client = session(&gateway, "/v1/mcp", &json!({})).await;
    let set = json!({ "jsonrpc": "2.0", "id": 1, "method": "logging/setLevel", "params": { "level": "warning" } });
    gateway.send(within(&client, &set)).await;
    let response = start(&gateway, &client, &call("mine"));
    let (seen, frames) = asker.called().await;
    let told = asker.seen("logging/setLevel");
    assert_eq!((told.len(), &told[0].json()["params"]["level"]), (1, &json!("warning")));
    assert_eq!(told[0].headers["mcp-session-id"], seen.headers["mcp-session-id"]);
    for level in ["debug", "error"] {
        let log =
            json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": { "level": level, "data": 1 } });
        frames.send(event(&log)).await.unwrap();
    }
    let mut events = Events::of(response.await.unwrap());
    assert_eq!(events.next().await.unwrap()["params"]["level"], "error");
    drop(frames);
}

#[tokio::test]
async fn the_sessions_that_a_client_has_upstream_end_with_its_own() {
    let asker = Asker::start().await;
    let gateway = gateway(&asker).await;
    let client = session(&gateway, "/v1/mcp", &json!({ "sampling": {} })).await;
    for _ in 0..2 {
        let response = start(&gateway, &client, &call("mine"));
        let (seen, frames) = asker.called().await;
        let done = json!({ "jsonrpc": "2.0", "id": seen.json()["id"], "result": { "content": [] } });
        frames.send(event(&done)).await.unwrap();
        response.await.unwrap();
    }
    assert_eq!(asker.seen("initialize").len(), 2, "the shared one and one for the client");
    let mut end = within(&client, &json!(null));
    *end.method_mut() = http::Method::DELETE;
    assert_eq!(gateway.send(end).await.status, 204);
    let is_end = |seen: &&Seen| seen.method == http::Method::DELETE && seen.headers["mcp-session-id"] == "s2";
    eventually(|| asker.fake.seen.lock().unwrap().iter().find(is_end).cloned()).await;
}
