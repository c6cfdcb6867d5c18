use super::harness::*;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures::StreamExt as _;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use std::time::Duration;

/// Answers calls with these events; `ID` stands for the id of the call, which is its progress token as well.
async fn streaming(events: &'static [&'static str]) -> Fake {
    Fake::start(move |seen: Seen| async move {
        if seen.json()["method"] != "tools/call" {
            return legacy(&seen, &definitions(&["work"]));
        }
        let id = seen.json()["id"].to_string();
        let frames: Vec<Result<Bytes, std::io::Error>> =
            events.iter().map(|event| Ok(event.replace("ID", &id).into())).collect();
        let mut response = Response::new(Body::from_stream(futures::stream::iter(frames)));
        response.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
        response
    })
    .await
}

async fn gateway(fake: &Fake) -> Gateway {
    Setup::default().url("odoo", fake.address, &Value::Null).grant("client:agent", &["**"]).start().await
}

fn call(meta: &Value, accept: &str) -> axum::extract::Request {
    let body = json!({ "jsonrpc": "2.0", "id": "mine", "method": "tools/call", "params": { "name": "odoo_work", "_meta": meta } });
    let mut request = post("/v1/mcp", &body.to_string());
    request.headers_mut().insert("accept", accept.parse().unwrap());
    request
}

const BOTH: &str = "application/json, text/event-stream";
const PROGRESS: &str = "event: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":ID,\"progress\":1}}\n\n";
const DONE: &str = "data: {\"jsonrpc\":\"2.0\",\"id\":ID,\"result\":{\"content\":[]}}\n\n";

fn messages(answer: &Answer) -> Vec<Value> {
    answer
        .text
        .split("\n\n")
        .filter_map(|event| event.split_once("data: "))
        .map(|(_, data)| serde_json::from_str(data).unwrap())
        .collect()
}

#[tokio::test]
async fn progress_arrives_under_the_callers_own_token_and_then_the_result() {
    let fake = streaming(&[
        ": hi\n\n",
        PROGRESS,
        "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"data\":\"log\"}}\n\n",
        DONE,
    ])
    .await;
    let gateway = gateway(&fake).await;
    let answer = gateway.send(call(&json!({ "progressToken": "tok" }), BOTH)).await;
    assert_eq!(answer.headers["content-type"], "text/event-stream");
    assert_eq!(answer.headers["x-accel-buffering"], "no");
    let messages = messages(&answer);
    assert_eq!(messages.len(), 3, "{}", answer.text);
    assert_eq!(messages[0]["params"], json!({ "progressToken": "tok", "progress": 1 }));
    assert_eq!(messages[1]["params"]["data"], "log");
    assert_eq!(messages[2], json!({ "jsonrpc": "2.0", "id": "mine", "result": { "content": [] } }));
}

#[tokio::test]
async fn a_caller_that_takes_no_events_gets_the_result_as_json() {
    let fake = streaming(&[PROGRESS, DONE]).await;
    let gateway = gateway(&fake).await;
    for (accept, kind) in [
        ("application/json", "application/json"),
        ("*/*", "application/json"),
        ("text/event-stream", "text/event-stream"),
    ] {
        let answer = gateway.send(call(&json!({}), accept)).await;
        assert_eq!(answer.headers["content-type"], kind);
        assert!(answer.text.contains(r#"{"jsonrpc":"2.0","id":"mine","result":{"content":[]}}"#), "{}", answer.text);
    }
}

#[tokio::test]
async fn m13_nothing_of_another_request_crosses_over() {
    let fake = streaming(&[
        "data: {\"jsonrpc\":\"2.0\",\"id\":999999,\"result\":{\"stolen\":1}}\n\n",
        "data: {\"jsonrpc\":\"2.0\",\"id\":\"mine\",\"result\":{\"stolen\":2}}\n\n",
        "data: {\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"sampling/createMessage\",\"params\":{}}\n\n",
        "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":999,\"progress\":9}}\n\n",
        "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}\n\n",
        DONE,
        "data: {\"jsonrpc\":\"2.0\",\"id\":ID,\"result\":{\"second\":1}}\n\n",
    ])
    .await;
    let answer = gateway(&fake).await.send(call(&json!({ "progressToken": 1 }), BOTH)).await;
    assert_eq!(answer.json(), json!({ "jsonrpc": "2.0", "id": "mine", "result": { "content": [] } }));
}

#[tokio::test]
async fn m13_a_stream_that_ends_without_a_result_is_a_tool_error() {
    for events in [&[PROGRESS][..], &[PROGRESS, "data: not json\n\n"][..]] {
        let fake = streaming(events).await;
        let answer = gateway(&fake).await.send(call(&json!({ "progressToken": "t" }), BOTH)).await;
        let last = messages(&answer).pop().unwrap();
        assert_eq!((&last["id"], &last["result"]["isError"]), (&json!("mine"), &json!(true)), "{}", answer.text);
        assert!(last["result"]["content"][0]["text"].as_str().unwrap().starts_with("connector odoo is unavailable"));
    }
}

#[tokio::test]
async fn events_are_passed_on_as_they_come_and_not_when_all_are_there() {
    let (sender, receiver) = tokio::sync::mpsc::channel::<Result<Bytes, std::io::Error>>(4);
    let receiver = std::sync::Arc::new(tokio::sync::Mutex::new(Some(receiver)));
    let fake = Fake::start(move |seen: Seen| {
        let receiver = std::sync::Arc::clone(&receiver);
        async move {
            if seen.json()["method"] != "tools/call" {
                return legacy(&seen, &definitions(&["work"]));
            }
            let receiver = receiver.lock().await.take().unwrap();
            let id = seen.json()["id"].to_string();
            let frames = futures::stream::unfold((receiver, id), |(mut receiver, id)| async move {
                let frame = receiver.recv().await?;
                let frame =
                    frame.map(|bytes| Bytes::from(String::from_utf8(bytes.to_vec()).unwrap().replace("ID", &id)));
                Some((frame, (receiver, id)))
            });
            let mut response = Response::new(Body::from_stream(frames));
            response.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
            response
        }
    })
    .await;
    let gateway = gateway(&fake).await;
    sender.send(Ok(PROGRESS.into())).await.unwrap();
    let response = gateway.router.clone().oneshot(call(&json!({ "progressToken": "t" }), BOTH)).await.unwrap();
    let mut body = response.into_body().into_data_stream();
    let first = tokio::time::timeout(Duration::from_secs(5), body.next()).await.expect("held back").unwrap().unwrap();
    assert!(String::from_utf8_lossy(&first).contains("\"progress\":1"));
    sender.send(Ok(DONE.into())).await.unwrap();
    let second = body.next().await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&second).contains("\"result\""));
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn m14_a_caller_who_leaves_a_stream_cancels_it_at_a_legacy_upstream() {
    let fake = Fake::start(|seen: Seen| async move {
        if seen.json()["method"] != "tools/call" {
            return legacy(&seen, &definitions(&["work"]));
        }
        let id = seen.json()["id"].to_string();
        let first = futures::stream::iter([Ok::<_, std::io::Error>(Bytes::from(PROGRESS.replace("ID", &id)))]);
        let mut response = Response::new(Body::from_stream(first.chain(futures::stream::pending())));
        response.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
        response
    })
    .await;
    let gateway = gateway(&fake).await;
    let response = gateway.router.clone().oneshot(call(&json!({ "progressToken": "t" }), BOTH)).await.unwrap();
    let mut body = response.into_body().into_data_stream();
    body.next().await.unwrap().unwrap();
    drop(body);
    let cancelled = async {
        while fake.count("notifications/cancelled") == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(1), cancelled).await.expect("not cancelled");
    let id = fake.last("tools/call").json()["id"].clone();
    assert_eq!(fake.last("notifications/cancelled").json()["params"]["requestId"], id);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(fake.count("tools/call"), 1, "the call is not sent again");
}

#[tokio::test]
async fn asking_for_the_next_message_may_be_given_up_and_repeated() {
    use crate::era::Era;
    use crate::pipeline::action::Action;
    use crate::pipeline::clean::Clean;
    use crate::pipeline::upstream::{Along, Limits, Upstream, link::Link, relay};
    let fake = Fake::start(|seen: Seen| async move {
        if seen.json()["method"] != "tools/call" {
            return stateless(&seen, &json!([]));
        }
        let done = DONE.replace("ID", &seen.json()["id"].to_string());
        let (first, second) = done.split_at(20);
        let parts = [Bytes::from(first.to_owned()), Bytes::from(second.to_owned())];
        let late = futures::stream::iter(parts).then(|part| async move {
            tokio::time::sleep(Duration::from_millis(150)).await;
            Ok::<_, std::io::Error>(part)
        });
        let mut response = Response::new(Body::from_stream(late));
        response.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
        response
    })
    .await;
    let link = Link::Service {
        client: aperium_platform::egress::ClusterClient::new(),
        endpoint: aperium_platform::egress::ClusterEndpoint::local(fake.address).unwrap(),
        credential: crate::pipeline::credential::Credential::Nothing,
    };
    let upstream = Upstream::new(link, Limits { max_answer: 10_000, max_tools: 10 });
    let params = crate::raw::RawObject::parse(r#"{"name":"work"}"#).unwrap();
    let id: Box<serde_json::value::RawValue> = serde_json::from_str("7").unwrap();
    let call = relay::Call {
        name: "work",
        clean: Clean { action: Action::Call, expose: None, era: Era::Legacy },
        params: &params,
        id: &id,
        along: Along::default(),
        timeout: Duration::from_secs(5),
        live: None,
        events: true,
        carrier: None,
    };
    let mut relay = relay::send(&upstream, &call).await.unwrap();
    let mut given_up = 0;
    let reply = loop {
        match tokio::time::timeout(Duration::from_millis(20), relay.next()).await {
            Ok(reply) => break reply.unwrap(),
            Err(_) => given_up += 1,
        }
    };
    assert!(given_up > 2 && reply.last);
    assert_eq!(String::from_utf8(reply.body).unwrap(), r#"{"jsonrpc":"2.0","id":7,"result":{"content":[]}}"#);
}
