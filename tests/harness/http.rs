//! A small HTTP/1.1 client for tests: one connection per request, nothing followed, nothing added but `Host`.
#![expect(clippy::disallowed_methods, reason = "tests are clients of the system and may open connections")]

use std::{io, net::SocketAddr, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// No request of a test may hang for longer.
const LIMIT: Duration = Duration::from_secs(60);

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The headers as they came.
    pub headers: http::HeaderMap,
    /// The body as it came.
    pub body: Bytes,
}

impl Reply {
    /// The body as text.
    ///
    /// # Panics
    /// When it is not UTF-8.
    #[must_use]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is UTF-8")
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is not.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in: {}", String::from_utf8_lossy(&self.body)))
    }

    /// A header as text; the first one of that name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// `GET` of an `http://` URL with these headers.
///
/// # Errors
/// When there is no answer.
pub async fn get(url: &str, headers: &[(&str, &str)]) -> io::Result<Reply> {
    send(request("GET", url, headers, Bytes::new())).await
}

/// `POST` of JSON, with `Content-Type: application/json` and an `Accept` that MCP servers take.
///
/// # Errors
/// When there is no answer.
pub async fn post_json(url: &str, headers: &[(&str, &str)], body: &serde_json::Value) -> io::Result<Reply> {
    let mut request = request("POST", url, headers, Bytes::from(body.to_string()));
    for (name, value) in [("content-type", "application/json"), ("accept", "application/json, text/event-stream")] {
        request.headers_mut().entry(name).or_insert(http::HeaderValue::from_static(value));
    }
    send(request).await
}

/// Any request, made of its parts.
///
/// # Panics
/// When they make no request.
#[must_use]
pub fn request(method: &str, url: &str, headers: &[(&str, &str)], body: Bytes) -> http::Request<Bytes> {
    let mut builder = http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(body).expect("a well-formed request")
}

/// Sends a request to the host and port of its URL; the `Host` header may be set to something else.
///
/// # Errors
/// When there is no answer within a minute.
pub async fn send(request: http::Request<Bytes>) -> io::Result<Reply> {
    tokio::time::timeout(LIMIT, exchange(request)).await.map_err(|_elapsed| io::Error::from(io::ErrorKind::TimedOut))?
}

async fn exchange(request: http::Request<Bytes>) -> io::Result<Reply> {
    let (mut parts, body) = request.into_parts();
    let authority = parts.uri.authority().expect("an absolute http:// URL").clone();
    let port = authority.port_u16().unwrap_or(80);
    let stream = TcpStream::connect((authority.host().trim_matches(['[', ']']), port)).await?;
    parts.headers.entry("host").or_insert(authority.as_str().parse().expect("an authority is a header value"));
    let path = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    parts.uri = path.parse().expect("a path is a URI");
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    let connection = tokio::spawn(connection);
    let answer =
        sender.send_request(http::Request::from_parts(parts, Full::new(body))).await.map_err(io::Error::other)?;
    let (parts, body) = answer.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    connection.abort();
    Ok(Reply { status: parts.status.as_u16(), headers: parts.headers, body })
}

/// Writes these bytes to a socket and gives all that comes back until the other side closes or falls silent for `quiet`.
/// For what no HTTP library would send.
///
/// # Errors
/// When the connection cannot be made or is reset.
pub async fn raw(address: SocketAddr, bytes: &[u8], quiet: Duration) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(bytes).await?;
    let mut answer = Vec::new();
    let mut buffer = [0; 16 * 1024];
    while let Ok(read) = tokio::time::timeout(quiet, stream.read(&mut buffer)).await {
        match read? {
            0 => break,
            count => answer.extend_from_slice(&buffer[..count]),
        }
    }
    Ok(answer)
}

/// Opens a connection and leaves it to the caller.
///
/// # Errors
/// When it cannot be made.
pub async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    TcpStream::connect(address).await
}
