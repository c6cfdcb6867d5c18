//! An MCP server of the older era that counts what it is told to write, has a call that asks and never goes on, and
//! can be made to answer nothing under `/stalled`.

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a write takes: long enough that some are under way at any moment of a load.
const WRITING: Duration = Duration::from_millis(20);

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// How often each argument was written.
pub(crate) type Written = Arc<Mutex<HashMap<String, u32>>>;

/// Whether `/stalled` answers nothing.
pub(crate) type Stalled = Arc<AtomicBool>;

/// A running one.
pub(crate) struct Upstream {
    pub(crate) port: u16,
    pub(crate) written: Written,
    pub(crate) stalled: Stalled,
}

/// Starts it.
pub(crate) async fn start() -> Upstream {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let written = Written::default();
    let stalled = Stalled::default();
    let (counted, stops) = (Arc::clone(&written), Arc::clone(&stalled));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (counted, stops) = (Arc::clone(&counted), Arc::clone(&stops));
            let service = service_fn(move |request: Request<Incoming>| {
                let (counted, stops) = (Arc::clone(&counted), Arc::clone(&stops));
                async move {
                    if request.uri().path() == "/stalled" && stops.load(Ordering::Relaxed) {
                        std::future::pending::<()>().await;
                    }
                    answer(request, counted).await
                }
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    Upstream { port, written, stalled }
}

async fn answer(request: Request<Incoming>, written: Written) -> Result<Response<Body>, Infallible> {
    if request.method() != http::Method::POST {
        return Ok(reply(StatusCode::METHOD_NOT_ALLOWED, String::new()));
    }
    let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let message: Value = serde_json::from_slice(&body).unwrap_or_default();
    let result = match message["method"].as_str() {
        Some("initialize") => json!({
            "protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "counter", "version": "1"},
        }),
        Some("ping") => json!({}),
        Some("tools/list") => json!({"tools": tools()}),
        Some("tools/call") if message["params"]["name"] == "ask" => return Ok(asking()),
        Some("tools/call") => {
            let what = message["params"]["arguments"]["what"].as_str().unwrap_or_default().to_owned();
            *written.lock().expect("a lock").entry(what.clone()).or_default() += 1;
            tokio::time::sleep(WRITING).await;
            json!({"content": [{"type": "text", "text": what}]})
        }
        _ if message.get("id").is_none() => return Ok(reply(StatusCode::ACCEPTED, String::new())),
        _ => {
            let error = json!({"code": -32601, "message": "Method not found"});
            let text = json!({"jsonrpc": "2.0", "id": message["id"], "error": error}).to_string();
            return Ok(reply(StatusCode::NOT_FOUND, text));
        }
    };
    Ok(reply(StatusCode::OK, json!({"jsonrpc": "2.0", "id": message["id"], "result": result}).to_string()))
}

/// What it offers, in order.
pub(crate) const TOOLS: [&str; 10] = ["ask", "t1", "t2", "t3", "t4", "t5", "t6", "t7", "t8", "write"];

fn tools() -> Value {
    let schema = json!({"type": "object", "properties": {"what": {"type": "string"}}});
    TOOLS.iter().map(|name| json!({"name": name, "description": "For tests.", "inputSchema": schema})).collect()
}

fn reply(status: StatusCode, text: String) -> Response<Body> {
    let body = Full::from(text).boxed_unsync();
    let builder = Response::builder().status(status).header(header::CONTENT_TYPE, "application/json");
    builder.body(body).expect("a response")
}

/// A stream that begins with a question and never ends.
fn asking() -> Response<Body> {
    let params =
        json!({"message": "who?", "requestedSchema": {"type": "object", "properties": {"name": {"type": "string"}}}});
    let question = json!({"jsonrpc": "2.0", "id": 1, "method": "elicitation/create", "params": params});
    let event = Frame::data(Bytes::from(format!("data: {question}\n\n")));
    let frames = stream::once(async { Ok(event) }).chain(stream::pending());
    let body = UnsyncBoxBody::new(StreamBody::new(frames));
    Response::builder().header(header::CONTENT_TYPE, "text/event-stream").body(body).expect("a response")
}
