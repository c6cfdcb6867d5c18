//! A server of the transport of 2024-11-05: one stream, one endpoint for messages.

use super::upstream::{Fake, Seen, answer};
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::Value;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;

type Stream = mpsc::UnboundedSender<Result<Bytes, Infallible>>;

/// The server; what it says goes through here.
pub(in crate::tests) struct LegacySse {
    pub(in crate::tests) fake: Fake,
    streams: Arc<Mutex<Vec<Stream>>>,
}

impl LegacySse {
    /// Names `endpoint` on its stream, and says there what `reply` makes of a message, if anything.
    pub(in crate::tests) async fn start(endpoint: &'static str, reply: fn(&Value) -> Option<Value>) -> Self {
        let streams: Arc<Mutex<Vec<Stream>>> = Arc::default();
        let opened = Arc::clone(&streams);
        let fake = Fake::start(move |seen: Seen| {
            let opened = Arc::clone(&opened);
            async move {
                match (seen.method.clone(), seen.uri.path()) {
                    (Method::GET, "/mcp") => {
                        let (sender, receiver) = mpsc::unbounded_channel();
                        sender.send(Ok(format!("event: endpoint\ndata: {endpoint}\n\n").into())).unwrap();
                        opened.lock().unwrap().push(sender);
                        let frames = futures::stream::unfold(receiver, |mut receiver| async move {
                            Some((receiver.recv().await?, receiver))
                        });
                        let mut response = Response::new(Body::from_stream(frames));
                        response.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
                        response
                    }
                    (Method::POST, "/messages") => {
                        let message = seen.json();
                        if let (Some(reply), Some(stream)) = (reply(&message), opened.lock().unwrap().last()) {
                            let _ = stream.send(Ok(format!("event: message\ndata: {reply}\n\n").into()));
                        }
                        let mut response = Response::new("Accepted".into());
                        *response.status_mut() = StatusCode::ACCEPTED;
                        response
                    }
                    _ => answer(404, &Value::Null),
                }
            }
        })
        .await;
        Self { fake, streams }
    }

    /// Says something on the newest stream.
    pub(in crate::tests) fn say(&self, message: &Value) {
        let streams = self.streams.lock().unwrap();
        streams.last().unwrap().send(Ok(format!("data: {message}\n\n").into())).unwrap();
    }

    /// Ends all streams.
    pub(in crate::tests) fn cut(&self) {
        self.streams.lock().unwrap().clear();
    }

    /// How many streams were opened and still are.
    pub(in crate::tests) fn open(&self) -> usize {
        self.streams.lock().unwrap().iter().filter(|stream| !stream.is_closed()).count()
    }
}
