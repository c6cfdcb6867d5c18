//! A small MCP client over Streamable HTTP in both eras: requests, their streams, and answers to what the server asks.

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::time::Duration;

/// The first revision without sessions.
const STATELESS: &str = "2026-07-28";
/// No exchange may hang for longer.
const LIMIT: Duration = Duration::from_secs(20);

/// What a client answers when the server asks: the request → its result.
pub type Answer = fn(&Value) -> Value;

/// A client of one endpoint.
pub struct Client {
    url: String,
    version: String,
    session: Option<String>,
    last_id: u64,
    answer: Answer,
}

impl Client {
    /// Without sessions: of the newest revision, or, of an older one, as a bare `curl` does it.
    #[must_use]
    pub fn stateless(url: &str, version: &str, answer: Answer) -> Self {
        Self { url: url.to_owned(), version: version.to_owned(), session: None, last_id: 0, answer }
    }

    /// Initialised.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn with_session(url: &str, version: &str, answer: Answer) -> anyhow::Result<Self> {
        let mut client = Self::stateless(url, version, answer);
        let params = json!({
            "protocolVersion": version,
            "capabilities": capabilities(),
            "clientInfo": {"name": "driver", "version": "1.0.0"},
        });
        client.request("initialize", params).await?;
        client.post(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await?;
        Ok(client)
    }

    /// Sends a request and gives its result.
    ///
    /// # Errors
    /// When there is no answer in time, or an error.
    pub async fn request(&mut self, method: &str, mut params: Value) -> anyhow::Result<Value> {
        self.last_id += 1;
        if self.version == STATELESS {
            params["_meta"] = json!({
                "io.modelcontextprotocol/protocolVersion": STATELESS,
                "io.modelcontextprotocol/clientInfo": {"name": "driver", "version": "1.0.0"},
                "io.modelcontextprotocol/clientCapabilities": capabilities(),
            });
        }
        let id = self.last_id;
        let message = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
        let response = tokio::time::timeout(LIMIT, self.exchange(&message)).await.context("no answer in time")??;
        let answer = response.with_context(|| format!("{method} has no answer"))?;
        ensure!(answer["id"] == id && answer.get("error").is_none(), "{method}: {answer}");
        Ok(answer["result"].clone())
    }

    /// Calls a tool.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn call(&mut self, name: &str, arguments: Value) -> anyhow::Result<Value> {
        self.request("tools/call", json!({"name": name, "arguments": arguments})).await
    }

    /// Sends a message and reads until its answer; what the server asks meanwhile is answered.
    async fn exchange(&mut self, message: &Value) -> anyhow::Result<Option<Value>> {
        let response = self.post(message).await?;
        if let Some(session) = response.headers().get("mcp-session-id") {
            self.session = Some(session.to_str()?.to_owned());
        }
        let kind = response.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if !kind.starts_with("text/event-stream") {
            let body = response.into_body().collect().await?.to_bytes();
            return serde_json::from_slice(&body).with_context(|| String::from_utf8_lossy(&body).into_owned());
        }
        let (mut body, mut text) = (response.into_body(), String::new());
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame?.into_data() else { continue };
            text.push_str(std::str::from_utf8(&data)?);
            while let Some((event, rest)) = text.split_once("\n\n") {
                let data = event.lines().filter_map(|line| line.strip_prefix("data:")).collect::<String>();
                let received: Value = serde_json::from_str(&data).unwrap_or_default();
                text = rest.to_owned();
                if received.get("method").is_some() && received.get("id").is_some() {
                    let result = (self.answer)(&received);
                    self.post(&json!({"jsonrpc": "2.0", "id": received["id"], "result": result})).await?;
                } else if received["id"] == message["id"] {
                    return Ok(Some(received));
                }
            }
        }
        Ok(None)
    }

    #[expect(clippy::disallowed_methods, reason = "a test's own client on loopback")]
    async fn post(&self, message: &Value) -> anyhow::Result<http::Response<hyper::body::Incoming>> {
        let uri: http::Uri = self.url.parse()?;
        let authority = uri.authority().context("an absolute URL")?.as_str();
        let mut request = http::Request::post(uri.path())
            .header("host", authority)
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", &self.version);
        if self.version == STATELESS {
            let method = message["method"].as_str().unwrap_or_default();
            request = request.header("mcp-method", method);
            if let Some(name) = message["params"]["name"].as_str().or_else(|| message["params"]["uri"].as_str()) {
                request = request.header("mcp-name", name);
            }
        }
        if let Some(session) = &self.session {
            request = request.header("mcp-session-id", session);
        }
        let stream = tokio::net::TcpStream::connect(authority).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let response = sender.send_request(request.body(Full::new(Bytes::from(message.to_string())))?).await?;
        if message.get("id").is_none() && !response.status().is_success() {
            bail!("{} for {message}", response.status());
        }
        Ok(response)
    }
}

/// What the client declares that it can be asked.
fn capabilities() -> Value {
    json!({"elicitation": {}, "sampling": {}, "roots": {}})
}
