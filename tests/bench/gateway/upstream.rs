//! The upstream: as small as hyper allows. MCP servers of ten tools each on `/one`, `/two` and `/hidden`, one of twenty on
//! `/mcp`, an HTTP API on `/item/<n>`, an OIDC issuer on `/issuer`. It counts what it is asked.

use crate::asked::{ITEM_BYTES, Kind, TOOLS};
use crate::target::issuer::Issuer;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::cell::Cell;
use std::convert::Infallible;
use std::rc::Rc;

/// The running upstream.
pub(crate) struct Upstream {
    port: u16,
    asked: Rc<Asked>,
}

struct Asked {
    calls: Cell<u64>,
    lists: Cell<u64>,
    items: Cell<u64>,
    /// The lists as they are sent: what is measured is how they get through, not how they are made.
    all: String,
    half: String,
    issuer: Issuer,
}

/// Starts it on the runtime of this thread.
pub(crate) async fn start() -> Upstream {
    let listener = tokio::net::TcpSocket::new_v4().expect("a socket");
    listener.bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
    // A burst of a thousand connections must not depend on the kernel's queue.
    let listener = listener.listen(4096).expect("a listener");
    let port = listener.local_addr().expect("an address").port();
    let list = |count| json!({"tools": tools(count)}).to_string();
    let asked = Asked {
        calls: Cell::default(),
        lists: Cell::default(),
        items: Cell::default(),
        all: list(TOOLS),
        half: list(TOOLS / 2),
        issuer: Issuer::new(port),
    };
    let asked = Rc::new(asked);
    tokio::task::spawn_local(accept(listener, Rc::clone(&asked)));
    Upstream { port, asked }
}

async fn accept(listener: tokio::net::TcpListener, asked: Rc<Asked>) {
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let asked = Rc::clone(&asked);
        let service = service_fn(move |request| answer(request, Rc::clone(&asked)));
        tokio::task::spawn_local(
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
        );
    }
}

async fn answer(request: Request<Incoming>, asked: Rc<Asked>) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path();
    if request.method() == Method::GET {
        let published = || asked.issuer.publishes(path).map(|document| status(200, document));
        let item = path.strip_prefix("/item/").map(|number| item(&asked, number));
        return Ok(item.or_else(published).unwrap_or_else(|| status(405, String::new())));
    }
    let list = if path == "/mcp" { &asked.all } else { &asked.half };
    let body = request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let message: Value = serde_json::from_slice(&body).unwrap_or_default();
    let result = match message["method"].as_str() {
        Some("tools/call") => {
            asked.calls.set(asked.calls.get() + 1);
            json!({"content": [{"type": "text", "text": message["params"]["arguments"]["message"]}]})
        }
        Some("tools/list") => {
            asked.lists.set(asked.lists.get() + 1);
            return Ok(status(200, format!("{{\"jsonrpc\":\"2.0\",\"id\":{},\"result\":{list}}}", message["id"])));
        }
        Some("initialize") => json!({
            "protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": {"name": "bench", "version": "1"},
        }),
        _ if message["id"].is_null() => return Ok(status(202, String::new())),
        Some("ping") => json!({}),
        _ => {
            let error = json!({"jsonrpc": "2.0", "id": message["id"], "error": {"code": -32601, "message": "Method not found"}});
            return Ok(status(200, error.to_string()));
        }
    };
    Ok(status(200, json!({"jsonrpc": "2.0", "id": message["id"], "result": result}).to_string()))
}

/// So many bytes of JSON that name the item.
fn item(asked: &Asked, number: &str) -> Response<Full<Bytes>> {
    asked.items.set(asked.items.get() + 1);
    let mut body = format!("{{\"item\":\"ping-{number}\",\"padding\":\"");
    let padding = ITEM_BYTES.saturating_sub(body.len() + 2);
    body.extend(std::iter::repeat_n('x', padding));
    body.push_str("\"}");
    status(200, body)
}

fn status(code: u16, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = http::StatusCode::from_u16(code).expect("a status");
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}

fn tools(count: usize) -> Vec<Value> {
    let schema = json!({"type": "object", "properties": {
        "message": {"type": "string", "description": "What to say"}, "padding": {"type": "string", "description": "Ignored"},
    }});
    let others = (1..count).map(|n| format!("other_{n:02}"));
    let names = std::iter::once("echo".to_owned()).chain(others);
    names
        .map(|name| json!({"name": name, "description": "Says back what it was told.", "inputSchema": schema}))
        .collect()
}

impl Upstream {
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The issuer whose documents it serves.
    pub(crate) fn issuer(&self) -> &Issuer {
        &self.asked.issuer
    }

    /// How often it was asked this so far.
    pub(crate) fn asked(&self, kind: Kind) -> u64 {
        match kind {
            Kind::Call => self.asked.calls.get(),
            Kind::List => self.asked.lists.get(),
            Kind::Proxy => self.asked.items.get(),
        }
    }
}
