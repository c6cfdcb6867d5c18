//! The upstream: an MCP server as small as hyper allows, with 20 tools, that counts what it is asked.

use crate::load::Kind;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::cell::Cell;
use std::convert::Infallible;
use std::rc::Rc;

/// The running upstream.
pub(crate) struct Upstream {
    port: u16,
    counts: Rc<Counts>,
}

struct Counts {
    calls: Cell<u64>,
    lists: Cell<u64>,
    /// The list as it is sent: what is measured is how it gets through, not how it is made.
    tools: String,
}

/// Starts it on the runtime of this thread.
pub(crate) async fn start() -> Upstream {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let tools = json!({"tools": tools()}).to_string();
    let counts = Rc::new(Counts { calls: Cell::new(0), lists: Cell::new(0), tools });
    tokio::task::spawn_local(accept(listener, Rc::clone(&counts)));
    Upstream { port, counts }
}

async fn accept(listener: tokio::net::TcpListener, counts: Rc<Counts>) {
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let counts = Rc::clone(&counts);
        let service = service_fn(move |request| answer(request, Rc::clone(&counts)));
        tokio::task::spawn_local(
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
        );
    }
}

async fn answer(request: Request<Incoming>, counts: Rc<Counts>) -> Result<Response<Full<Bytes>>, Infallible> {
    let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let message: Value = serde_json::from_slice(&body).unwrap_or_default();
    let result = match message["method"].as_str() {
        Some("tools/call") => {
            counts.calls.set(counts.calls.get() + 1);
            json!({"content": [{"type": "text", "text": message["params"]["arguments"]["message"]}]})
        }
        Some("tools/list") => {
            counts.lists.set(counts.lists.get() + 1);
            let answer = format!("{{\"jsonrpc\":\"2.0\",\"id\":{},\"result\":{}}}", message["id"], counts.tools);
            return Ok(status(200, &answer));
        }
        Some("initialize") => json!({
            "protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "bench", "version": "1"},
        }),
        Some("notifications/initialized") => return Ok(status(202, "")),
        _ => {
            let error = json!({"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32601, "message": "Method not found"}});
            return Ok(status(404, &error.to_string()));
        }
    };
    Ok(status(200, &json!({"jsonrpc": "2.0", "id": message["id"], "result": result}).to_string()))
}

fn status(code: u16, body: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body.to_owned()));
    *response.status_mut() = http::StatusCode::from_u16(code).expect("a status");
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}

fn tools() -> Vec<Value> {
    let schema = json!({"type": "object", "properties": {
        "message": {"type": "string", "description": "What to say"}, "padding": {"type": "string", "description": "Ignored"},
    }});
    let others = (1..20).map(|n| format!("other_{n:02}"));
    let names = std::iter::once("echo".to_owned()).chain(others);
    names
        .map(|name| json!({"name": name, "description": "Says back what it was told.", "inputSchema": schema}))
        .collect()
}

impl Upstream {
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// How often it was asked this so far.
    pub(crate) fn requests(&self, kind: Kind) -> u64 {
        match kind {
            Kind::Call => self.counts.calls.get(),
            Kind::List => self.counts.lists.get(),
        }
    }
}
