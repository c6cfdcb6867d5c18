//! An upstream of the older era that asks its clients, and how a test hears of its calls and of the answers.

use super::super::harness::*;
use super::super::sessions::within;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures::StreamExt as _;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;

pub(in crate::tests) type Frames = mpsc::Sender<Result<Bytes, std::io::Error>>;

/// A server of the older era that gives each client a session of its own. A call opens a stream that the test writes
/// to; what it gets besides is recorded.
pub(in crate::tests) struct Asker {
    pub(in crate::tests) fake: Fake,
    calls: tokio::sync::Mutex<mpsc::Receiver<(Seen, Frames)>>,
    streams: tokio::sync::Mutex<mpsc::Receiver<(Seen, Frames)>>,
}

impl Asker {
    pub(in crate::tests) async fn start() -> Self {
        Self::with(false).await
    }

    /// `streams`: each session of a client may have a stream of its own by GET.
    pub(in crate::tests) async fn with(streams: bool) -> Self {
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
    pub(in crate::tests) async fn opened(&self) -> (Seen, Frames) {
        let mut streams = self.streams.lock().await;
        tokio::time::timeout(Duration::from_secs(5), streams.recv()).await.expect("no stream").unwrap()
    }

    pub(in crate::tests) async fn called(&self) -> (Seen, Frames) {
        let mut calls = self.calls.lock().await;
        tokio::time::timeout(Duration::from_secs(5), calls.recv()).await.expect("no call").unwrap()
    }

    /// Waits for a message without a method: the answer to a request of the upstream.
    pub(in crate::tests) async fn answered(&self) -> Seen {
        let find = || self.fake.seen.lock().unwrap().iter().find(|seen| is_answer(seen)).cloned();
        eventually(find).await
    }

    pub(in crate::tests) fn seen(&self, method: &str) -> Vec<Seen> {
        let seen = self.fake.seen.lock().unwrap();
        seen.iter().filter(|seen| seen.text.contains(&format!("\"method\":\"{method}\""))).cloned().collect()
    }
}

/// Opens a stream that the test writes to.
pub(in crate::tests) async fn stream(seen: Seen, to: &mpsc::Sender<(Seen, Frames)>) -> Response {
    let (frames, receiver) = mpsc::channel(8);
    to.send((seen, frames)).await.unwrap();
    let stream = futures::stream::unfold(receiver, async |mut r| r.recv().await.map(|frame| (frame, r)));
    let mut response = Response::new(Body::from_stream(stream));
    response.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
    response
}

pub(in crate::tests) fn is_answer(seen: &Seen) -> bool {
    serde_json::from_str::<Value>(&seen.text).is_ok_and(|message| message["method"].is_null())
}

pub(in crate::tests) async fn eventually<T>(mut find: impl FnMut() -> Option<T>) -> T {
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

pub(in crate::tests) fn event(message: &Value) -> Result<Bytes, std::io::Error> {
    Ok(format!("data: {message}\n\n").into())
}

pub(in crate::tests) fn call(id: &str) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": { "name": "odoo_ask" } })
}

pub(in crate::tests) async fn gateway(asker: &Asker) -> Gateway {
    Setup::default().url("odoo", asker.fake.address, &Value::Null).grant("client:agent", &["**"]).start().await
}

/// The messages of a streamed answer, one by one.
pub(in crate::tests) struct Events(futures::stream::BoxStream<'static, Result<Bytes, axum::Error>>);

impl Events {
    pub(in crate::tests) fn of(response: Response) -> Self {
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self(response.into_body().into_data_stream().boxed())
    }

    pub(in crate::tests) async fn next(&mut self) -> Option<Value> {
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
pub(in crate::tests) fn start(gateway: &Gateway, session: &str, body: &Value) -> tokio::task::JoinHandle<Response> {
    let call = gateway.router.clone().oneshot(within(session, body));
    tokio::spawn(async move { call.await.unwrap() })
}
