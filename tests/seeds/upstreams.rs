//! Upstreams that do what they are told and remember what they were asked.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

/// One request that came.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: String,
}

impl Seen {
    /// A header as text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

type Answer = Arc<dyn Fn(&Seen) -> (u16, Value) + Send + Sync>;

/// A running upstream; ends with the test.
pub(crate) struct Upstream {
    port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Drop for Upstream {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Upstream {
    /// Starts one that answers like this.
    pub(crate) fn start(answer: impl Fn(&Seen) -> (u16, Value) + Send + Sync + 'static) -> Self {
        let (answer, seen): (Answer, _) = (Arc::new(answer), Arc::<Mutex<Vec<Seen>>>::default());
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let kept = Arc::clone(&seen);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, seen) = (Arc::clone(&answer), Arc::clone(&kept));
                let service = service_fn(move |request| serve(request, Arc::clone(&answer), Arc::clone(&seen)));
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Self { port, seen, runtime: Some(runtime) }
    }

    /// An MCP server with these tools; `token`: what it wants in `Authorization`.
    pub(crate) fn mcp(tools: &'static [&'static str], token: Option<&'static str>) -> Self {
        Self::start(move |seen| {
            if token.is_some_and(|token| seen.header("authorization") != Some(token)) {
                return (401, json!({ "error": "unauthorized" }));
            }
            let message: Value = serde_json::from_str(&seen.body).unwrap_or_default();
            let result = match message["method"].as_str() {
                Some("initialize") => json!({
                    "protocolVersion": "2025-11-25", "capabilities": { "tools": {} }, "serverInfo": { "name": "scripted", "version": "1" },
                }),
                Some("tools/list") => {
                    let tool =
                        |name: &&str| json!({ "name": name, "description": "d", "inputSchema": { "type": "object" } });
                    json!({ "tools": tools.iter().map(tool).collect::<Vec<_>>() })
                }
                Some("tools/call") => {
                    json!({ "content": [{ "type": "text", "text": format!("called {}", message["params"]["name"].as_str().unwrap_or_default()) }] })
                }
                Some("ping") => json!({}),
                Some(method) if method.starts_with("notifications/") => return (202, Value::Null),
                _ => {
                    let error = json!({ "code": -32601, "message": "Method not found" });
                    return (200, json!({ "jsonrpc": "2.0", "id": message["id"], "error": error }));
                }
            };
            (200, json!({ "jsonrpc": "2.0", "id": message["id"], "result": result }))
        })
    }

    /// An HTTP API that says what it was asked.
    pub(crate) fn api() -> Self {
        Self::start(|seen| (200, json!({ "asked": format!("{} {}", seen.method, seen.path) })))
    }

    /// `127.0.0.1:<port>`
    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What came so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("no panic while held").clone()
    }

    /// What came last.
    pub(crate) fn last(&self) -> Seen {
        self.seen().pop().expect("the upstream was asked")
    }
}

async fn serve(
    request: Request<Incoming>,
    answer: Answer,
    kept: Arc<Mutex<Vec<Seen>>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let path = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let seen = Seen {
        method: parts.method.to_string(),
        path,
        headers: parts.headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    let (status, body) = if seen.method == "GET" && seen.header("accept") == Some("text/event-stream") {
        (405, Value::Null)
    } else {
        answer(&seen)
    };
    kept.lock().expect("no panic while held").push(seen);
    let text = if body.is_null() { String::new() } else { body.to_string() };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    Ok(response)
}
