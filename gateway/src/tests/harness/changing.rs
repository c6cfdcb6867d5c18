//! Upstreams whose lists and resources change, and who say so on a stream.

use super::upstream::{Fake, Seen, answer, definitions, result};
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;

type Stream = mpsc::UnboundedSender<Result<Bytes, Infallible>>;

/// What it is at the moment.
#[derive(Default)]
struct Inner {
    tools: Mutex<Value>,
    resources: Mutex<Value>,
    streams: Mutex<Vec<Stream>>,
}

/// The upstream.
pub(in crate::tests) struct Changing {
    pub(in crate::tests) fake: Fake,
    inner: Arc<Inner>,
}

impl Changing {
    /// One of the stateless protocol: its stream is a `subscriptions/listen`.
    pub(in crate::tests) async fn stateless() -> Self {
        Self::start(stateless).await
    }

    /// One with sessions: its stream is a GET.
    pub(in crate::tests) async fn legacy() -> Self {
        Self::start(legacy).await
    }

    async fn start(answers: fn(&Inner, &Seen) -> Response) -> Self {
        let inner = Arc::new(Inner::default());
        *inner.tools.lock().unwrap() = definitions(&["first"]);
        *inner.resources.lock().unwrap() =
            json!([{ "uri": "test://a", "name": "a" }, { "uri": "test://b", "name": "b" }]);
        let shared = Arc::clone(&inner);
        let fake = Fake::start(move |seen: Seen| {
            let inner = Arc::clone(&shared);
            async move { answers(&inner, &seen) }
        })
        .await;
        Self { fake, inner }
    }

    /// Has other tools from now on; says nothing about it.
    pub(in crate::tests) fn tools(&self, names: &[&str]) {
        *self.inner.tools.lock().unwrap() = definitions(names);
    }

    /// Says something on all open streams.
    pub(in crate::tests) fn say(&self, message: &Value) {
        for stream in &*self.inner.streams.lock().unwrap() {
            let _ = stream.send(Ok(format!("data: {message}\n\n").into()));
        }
    }

    /// Says that the list of tools has changed.
    pub(in crate::tests) fn say_tools_changed(&self) {
        self.say(&json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed" }));
    }

    /// Says that a resource was updated.
    pub(in crate::tests) fn say_updated(&self, uri: &str) {
        self.say(&json!({ "jsonrpc": "2.0", "method": "notifications/resources/updated", "params": { "uri": uri } }));
    }

    /// Ends all streams.
    pub(in crate::tests) fn cut(&self) {
        self.inner.streams.lock().unwrap().clear();
    }

    /// How many streams are open.
    pub(in crate::tests) fn open(&self) -> usize {
        self.inner.streams.lock().unwrap().iter().filter(|stream| !stream.is_closed()).count()
    }

    /// How many were ever opened.
    pub(in crate::tests) fn opened(&self) -> usize {
        let seen = self.fake.seen.lock().unwrap();
        seen.iter().filter(|seen| seen.method == Method::GET || seen.json()["method"] == "subscriptions/listen").count()
    }
}

impl Inner {
    fn stream(&self, first: &str) -> Response {
        let (sender, receiver) = mpsc::unbounded_channel();
        sender.send(Ok(first.to_owned().into())).unwrap();
        self.streams.lock().unwrap().push(sender);
        let frames =
            futures::stream::unfold(receiver, |mut receiver| async move { Some((receiver.recv().await?, receiver)) });
        let mut response = Response::new(Body::from_stream(frames));
        response.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
        response
    }

    /// What both eras answer alike.
    fn common(&self, seen: &Seen) -> Response {
        let message = seen.json();
        match message["method"].as_str().unwrap_or_default() {
            "tools/list" => result(seen, &json!({ "resultType": "complete", "tools": *self.tools.lock().unwrap() })),
            "resources/list" => {
                result(seen, &json!({ "resultType": "complete", "resources": *self.resources.lock().unwrap() }))
            }
            "resources/templates/list" => result(seen, &json!({ "resultType": "complete", "resourceTemplates": [] })),
            "resources/subscribe" | "resources/unsubscribe" => result(seen, &json!({})),
            method if method.starts_with("notifications/") => {
                let mut response = Response::default();
                *response.status_mut() = StatusCode::ACCEPTED;
                response
            }
            _ => {
                let error = json!({ "code": -32601, "message": "Method not found" });
                answer(404, &json!({ "jsonrpc": "2.0", "id": message["id"], "error": error }))
            }
        }
    }
}

fn capabilities() -> Value {
    json!({ "tools": { "listChanged": true }, "resources": { "subscribe": true, "listChanged": true } })
}

fn stateless(inner: &Inner, seen: &Seen) -> Response {
    let message = seen.json();
    match message["method"].as_str() {
        Some("server/discover") => result(
            seen,
            &json!({ "resultType": "complete", "supportedVersions": ["2026-07-28"], "capabilities": capabilities() }),
        ),
        Some("subscriptions/listen") => {
            let params = json!({ "_meta": { "io.modelcontextprotocol/subscriptionId": message["id"] }, "notifications": message["params"]["notifications"] });
            let first =
                json!({ "jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params": params });
            inner.stream(&format!("data: {first}\n\n"))
        }
        _ if seen.method == Method::POST => inner.common(seen),
        _ => answer(405, &json!({})),
    }
}

fn legacy(inner: &Inner, seen: &Seen) -> Response {
    let message = seen.json();
    match (seen.method.clone(), message["method"].as_str()) {
        (Method::GET, _) => inner.stream(": hello\n\n"),
        (_, Some("server/discover")) => answer(
            400,
            &json!({ "jsonrpc": "2.0", "id": null, "error": { "code": -32000, "message": "not initialized" } }),
        ),
        (_, Some("initialize")) => {
            let about = json!({ "protocolVersion": "2025-11-25", "capabilities": capabilities(), "serverInfo": { "name": "f", "version": "1" } });
            let mut response = result(seen, &about);
            response.headers_mut().insert("mcp-session-id", "s1".parse().unwrap());
            response
        }
        // Answers to its own requests.
        (_, None) => Response::default(),
        _ => inner.common(seen),
    }
}
