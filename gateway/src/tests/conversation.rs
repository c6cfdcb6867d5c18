//! What an upstream asks of the client during a call, and what becomes of the answers.

use super::harness::*;
use super::sessions::{session, within};
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures::StreamExt as _;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;

pub(super) type Frames = mpsc::Sender<Result<Bytes, std::io::Error>>;

/// A server of the older era that gives each client a session of its own. A call opens a stream that the test writes
/// to; what it gets besides is recorded.
pub(super) struct Asker {
    pub(super) fake: Fake,
    calls: tokio::sync::Mutex<mpsc::Receiver<(Seen, Frames)>>,
    streams: tokio::sync::Mutex<mpsc::Receiver<(Seen, Frames)>>,
}

impl Asker {
    pub(super) async fn start() -> Self {
        Self::with(false).await
    }

    /// `streams`: each session of a client may have a stream of its own by GET.
    pub(super) async fn with(streams: bool) -> Self {
        let (calls, receiver) = mpsc::channel(8);
        let (opened, opens) = mpsc::channel(8);
        let sessions = Arc::new(Mutex::new(0));
        let fake = Fake::start(move |mut seen: Seen| {
            let (calls, opened, sessions) = (calls.clone(), opened.clone(), Arc::clone(&sessions));
            async move {
                if streams && seen.method == http::Method::GET && seen.headers["mcp-session-id"] != "s1" {
                    return stream(seen, &opened).await;
                }
                let Ok(message) = serde_json::from_str::<Value>(&seen.text) else { return Response::default() };
                match message["method"].as_str() {
                    Some("initialize") => {
                        let id = {
                            let mut sessions = sessions.lock().unwrap();
                            *sessions += 1;
                            format!("s{sessions}")
                        };
                        let mut response = result(
                            &seen,
                            &json!({ "protocolVersion": "2025-11-25", "capabilities": { "tools": {}, "logging": {} } }),
                        );
                        response.headers_mut().insert("mcp-session-id", id.parse().unwrap());
                        response
                    }
                    Some("tools/call") => stream(seen, &calls).await,
                    Some("logging/setLevel") => result(&seen, &json!({})),
                    Some("tools/list" | "server/discover") => {
                        seen.headers.insert("mcp-session-id", "s1".parse().unwrap());
                        legacy(&seen, &definitions(&["ask"]))
                    }
                    _ => {
                        let mut response = Response::default();
                        *response.status_mut() = http::StatusCode::ACCEPTED;
                        response
                    }
                }
            }
        })
        .await;
        let [calls, streams] = [receiver, opens].map(tokio::sync::Mutex::new);
        Self { fake, calls, streams }
    }

    /// Waits for the stream of a client's session.
    pub(super) async fn opened(&self) -> (Seen, Frames) {
        let mut streams = self.streams.lock().await;
        tokio::time::timeout(Duration::from_secs(5), streams.recv()).await.expect("no stream").unwrap()
    }

    pub(super) async fn called(&self) -> (Seen, Frames) {
        let mut calls = self.calls.lock().await;
        tokio::time::timeout(Duration::from_secs(5), calls.recv()).await.expect("no call").unwrap()
    }

    /// Waits for a message without a method: the answer to a request of the upstream.
    pub(super) async fn answered(&self) -> Seen {
        let find = || self.fake.seen.lock().unwrap().iter().find(|seen| is_answer(seen)).cloned();
        eventually(find).await
    }

    pub(super) fn seen(&self, method: &str) -> Vec<Seen> {
        let seen = self.fake.seen.lock().unwrap();
        seen.iter().filter(|seen| seen.text.contains(&format!("\"method\":\"{method}\""))).cloned().collect()
    }
}

/// Opens a stream that the test writes to.
pub(super) async fn stream(seen: Seen, to: &mpsc::Sender<(Seen, Frames)>) -> Response {
    let (frames, receiver) = mpsc::channel(8);
    to.send((seen, frames)).await.unwrap();
    let stream = futures::stream::unfold(receiver, async |mut r| r.recv().await.map(|frame| (frame, r)));
    let mut response = Response::new(Body::from_stream(stream));
    response.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
    response
}

pub(super) fn is_answer(seen: &Seen) -> bool {
    serde_json::from_str::<Value>(&seen.text).is_ok_and(|message| message["method"].is_null())
}

pub(super) async fn eventually<T>(mut find: impl FnMut() -> Option<T>) -> T {
    let wait = async {
        loop {
            if let Some(found) = find() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), wait).await.expect("it did not come")
}

pub(super) fn event(message: &Value) -> Result<Bytes, std::io::Error> {
    Ok(format!("data: {message}\n\n").into())
}

pub(super) fn call(id: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": { "name": "odoo_ask" } })
}

pub(super) async fn gateway(asker: &Asker) -> Gateway {
    Setup::default().url("odoo", asker.fake.address, &Value::Null).grant("client:agent", &["**"]).start().await
}

/// The messages of a streamed answer, one by one.
pub(super) struct Events(futures::stream::BoxStream<'static, Result<Bytes, axum::Error>>);

impl Events {
    pub(super) fn of(response: Response) -> Self {
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self(response.into_body().into_data_stream().boxed())
    }

    pub(super) async fn next(&mut self) -> Option<Value> {
        loop {
            let chunk = tokio::time::timeout(Duration::from_secs(5), self.0.next()).await.expect("nothing came")?;
            let text = String::from_utf8(chunk.unwrap().to_vec()).unwrap();
            if let Some((_, data)) = text.split_once("data: ") {
                return Some(serde_json::from_str(data).unwrap());
            }
        }
    }
}

/// Starts a call within a session; its answer comes when there is something to read.
pub(super) fn start(gateway: &Gateway, session: &str, body: &Value) -> tokio::task::JoinHandle<Response> {
    let call = gateway.router.clone().oneshot(within(session, body));
    tokio::spawn(async move { call.await.unwrap() })
}

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

/// A server of the stateless era that needs two rounds of answers before it is done.
async fn needy() -> Fake {
    Fake::start(|seen: Seen| async move {
        let message = seen.json();
        if message["method"] != "tools/call" {
            return stateless(&seen, &definitions(&["ask"]));
        }
        let params = &message["params"];
        let needs = |key: &str, method: &str, state: &str| {
            json!({
                "resultType": "input_required", "requestState": state,
                "inputRequests": { key: { "method": method, "params": { "message": key } } },
            })
        };
        let answered = match params["requestState"].as_str() {
            None => needs("name", "elicitation/create", "one"),
            Some("one") => needs("roots", "roots/list", "two"),
            _ => json!({ "resultType": "complete", "content": [], "structuredContent": params }),
        };
        result(&seen, &answered)
    })
    .await
}

#[tokio::test]
async fn what_a_modern_upstream_needs_is_asked_of_a_client_of_the_older_era_in_rounds() {
    let fake = needy().await;
    let gateway = Setup::default().url("odoo", fake.address, &Value::Null).grant("client:agent", &["**"]).start().await;
    let client = session(&gateway, "/v1/mcp", &json!({ "elicitation": {}, "roots": {} })).await;
    let mut body = call("mine");
    body["params"]["arguments"] = json!({ "x": 1 });
    let mut events = Events::of(start(&gateway, &client, &body).await.unwrap());
    for (method, answer) in [
        ("elicitation/create", json!({ "action": "accept", "content": { "name": "Ada" } })),
        ("roots/list", json!({ "roots": [] })),
    ] {
        let asked = events.next().await.unwrap();
        assert_eq!(asked["method"], method);
        let answer = json!({ "jsonrpc": "2.0", "id": asked["id"], "result": answer });
        assert_eq!(gateway.send(within(&client, &answer)).await.status, 202);
    }
    let done = events.next().await.unwrap();
    assert_eq!(done["id"], "mine");
    let last = &done["result"]["structuredContent"];
    assert_eq!((&last["requestState"], &last["arguments"]), (&json!("two"), &json!({ "x": 1 })));
    assert_eq!(last["inputResponses"], json!({ "roots": { "roots": [] } }));
    assert_eq!(last["_meta"]["io.modelcontextprotocol/clientCapabilities"], json!({ "elicitation": {}, "roots": {} }));
    assert_eq!(fake.count("tools/call"), 3);
    let second = fake.seen.lock().unwrap().iter().filter(|seen| seen.text.contains("\"one\"")).count();
    assert_eq!(second, 1);
}

#[tokio::test]
async fn what_a_client_cannot_be_asked_ends_the_call_with_an_explanation() {
    let fake = needy().await;
    let gateway = Setup::default().url("odoo", fake.address, &Value::Null).grant("client:agent", &["**"]).start().await;
    let without = session(&gateway, "/v1/mcp", &json!({ "roots": {} })).await;
    let in_session = gateway.send(within(&without, &call("mine"))).await.json();
    let sessionless = gateway.rpc("/v1/mcp", "tools/call", &json!({ "name": "odoo_ask" })).await;
    for answer in [in_session, sessionless] {
        assert_eq!(answer["result"]["isError"], true, "{answer}");
        let text = answer["result"]["content"][0]["text"].as_str().unwrap();
        assert!(text.contains("asks for something that this client does not offer"), "{text}");
    }
    assert_eq!(fake.count("tools/call"), 2, "and nothing is sent again");
}

pub(super) fn modern(capabilities: &Value, extra: &Value) -> axum::extract::Request {
    let mut params = json!({ "name": "odoo_ask", "arguments": { "x": 1 }, "_meta": {} });
    for (name, value) in extra.as_object().unwrap() {
        params[name] = value.clone();
    }
    params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!("2026-07-28");
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = capabilities.clone();
    let body = json!({ "jsonrpc": "2.0", "id": "a", "method": "tools/call", "params": params });
    let mut request = stateless_post("/v1/mcp", "tools/call", &json!({ "name": "odoo_ask" }));
    *request.body_mut() = Body::from(body.to_string());
    request
}

#[tokio::test]
async fn m19_the_state_of_a_modern_upstream_is_carried_sealed_and_by_the_same_request_alone() {
    let fake = needy().await;
    let gateway = Setup::default().url("odoo", fake.address, &Value::Null).grant("*", &["**"]).start().await;
    let can = json!({ "elicitation": {}, "extensions": { "io.modelcontextprotocol/tasks": {}, "x/y": {} } });
    let first = gateway.send(modern(&can, &json!({}))).await.json();
    assert_eq!(first["result"]["inputRequests"]["name"]["method"], "elicitation/create");
    let state = first["result"]["requestState"].as_str().unwrap();
    assert_ne!(state, "one");
    let answers = json!({ "name": { "action": "accept" } });
    let again = json!({ "requestState": state, "inputResponses": answers });
    let second = gateway.send(modern(&can, &again)).await.json();
    assert!(second["result"]["inputRequests"]["roots"].is_object(), "{second}");
    let seen = fake.last("tools/call").json()["params"].clone();
    assert_eq!((&seen["requestState"], &seen["inputResponses"]), (&json!("one"), &answers));
    let told = &seen["_meta"]["io.modelcontextprotocol/clientCapabilities"];
    assert_eq!(told, &json!({ "elicitation": {}, "extensions": { "x/y": {} } }), "tasks are not relayed");

    let calls = fake.count("tools/call");
    for refused in [
        json!({ "requestState": format!("{state}-TAMPERED") }),
        json!({ "requestState": "one" }),
        json!({ "requestState": state, "arguments": { "x": 2 } }),
    ] {
        assert_eq!(gateway.send(modern(&can, &refused)).await.code(), -32602, "{refused}");
    }
    let mut stolen = modern(&can, &again);
    stolen.headers_mut().insert("authorization", "Bearer other-token".parse().unwrap());
    assert_eq!(gateway.send(stolen).await.code(), -32602, "the state of one caller is none of another's");
    assert_eq!(fake.count("tools/call"), calls);
}

#[tokio::test]
async fn what_an_older_upstream_asks_waits_for_the_next_round_of_a_modern_client() {
    let asker = Asker::start().await;
    let gateway = gateway(&asker).await;
    let can = json!({ "elicitation": {} });
    let first = tokio::spawn(gateway.router.clone().oneshot(modern(&can, &json!({}))));
    let (seen, frames) = asker.called().await;
    assert_eq!(asker.seen("initialize").pop().unwrap().json()["params"]["capabilities"], can);
    let params = json!({ "message": "who?" });
    frames
        .send(event(&json!({ "jsonrpc": "2.0", "id": 3, "method": "elicitation/create", "params": params })))
        .await
        .unwrap();
    let first = Answer::read(first.await.unwrap().unwrap()).await.json();
    assert_eq!(first["result"]["resultType"], "input_required");
    let requests = first["result"]["inputRequests"].as_object().unwrap();
    let (key, asked) = requests.iter().next().unwrap();
    assert_eq!(asked, &json!({ "method": "elicitation/create", "params": params }));

    // Without the answer it is asked again, and the call goes on waiting.
    let without = json!({ "requestState": first["result"]["requestState"] });
    let again = gateway.send(modern(&can, &without)).await.json();
    assert_eq!(again["result"]["inputRequests"], first["result"]["inputRequests"]);
    let state = &again["result"]["requestState"];
    let answer = json!({ "action": "accept", "content": { "name": "Ada" } });
    let next = json!({ "requestState": state, "inputResponses": { key: answer } });
    let second = tokio::spawn(gateway.router.clone().oneshot(modern(&can, &next)));
    let got = asker.answered().await;
    assert_eq!(got.json(), json!({ "jsonrpc": "2.0", "id": 3, "result": answer }));
    let done = json!({ "jsonrpc": "2.0", "id": seen.json()["id"], "result": { "content": [] } });
    frames.send(event(&done)).await.unwrap();
    let second = Answer::read(second.await.unwrap().unwrap()).await.json();
    assert_eq!(second["result"], json!({ "resultType": "complete", "content": [] }));
    assert_eq!(asker.seen("tools/call").len(), 1, "one call, whatever the rounds");

    // The call is over: who comes late, or to another replica, reads why there is no answer.
    let late = gateway.send(modern(&can, &next)).await.json();
    assert_eq!(late["result"]["isError"], true);
    assert!(late["result"]["content"][0]["text"].as_str().unwrap().contains("another replica"));
}
