//! One keep-alive connection of the load generator, in a session where the target has them.

use crate::asked::{Checker, Kind};
use crate::target::Target;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use std::time::{Duration, Instant};

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"load","version":"1"}}}"#;
const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;

/// One client.
pub(crate) struct Connection<'a> {
    target: &'a Target,
    kind: Kind,
    checker: &'a Checker,
    sender: SendRequest<Full<Bytes>>,
    headers: HeaderMap,
    uri: Uri,
}

impl<'a> Connection<'a> {
    /// Connects, and begins a session.
    pub(crate) async fn open(target: &'a Target, kind: Kind, checker: &'a Checker, number: u32) -> Self {
        let mut connection = Self::connect(target, kind, checker, number).await;
        if kind != Kind::Proxy {
            connection.begin_session().await;
        }
        connection
    }

    /// Connects; `number` decides on whose behalf.
    #[expect(clippy::disallowed_methods, reason = "the load generator opens its own connections on loopback")]
    pub(crate) async fn connect(target: &'a Target, kind: Kind, checker: &'a Checker, number: u32) -> Self {
        let stream = tokio::net::TcpStream::connect(("127.0.0.1", target.port)).await.expect("connects");
        stream.set_nodelay(true).expect("a socket option");
        let (sender, connection) = handshake(TokioIo::new(stream)).await.expect("speaks HTTP");
        tokio::task::spawn_local(connection);
        let value = |text: &str| HeaderValue::from_str(text).expect("a header");
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, value(&format!("127.0.0.1:{}", target.port)));
        headers.insert(header::AUTHORIZATION, value(&format!("Bearer {}", target.token(number))));
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        if kind != Kind::Proxy {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        Self { target, kind, checker, sender, headers, uri: Uri::from_static(target.mcp) }
    }

    /// Begins a session as clients of the older era do. Whoever names none has none.
    pub(crate) async fn begin_session(&mut self) {
        self.headers.remove(SESSION);
        self.headers.remove(VERSION);
        let response = self.send(INITIALIZE.to_owned()).await;
        assert_eq!(response.status(), 200, "{} takes a session", self.target.name);
        if let Some(session) = response.headers().get(SESSION) {
            // A copy: as received it would hold on to the whole buffer it came in.
            let session = HeaderValue::from_bytes(session.as_bytes()).expect("a header");
            self.headers.insert(SESSION, session);
            self.headers.insert(VERSION, HeaderValue::from_static("2025-11-25"));
        }
        whole(response).await;
        let response = self.send(INITIALIZED.to_owned()).await;
        assert!(response.status().is_success(), "{}: {}", self.target.name, response.status());
        whole(response).await;
    }

    /// Asks, waits for the last byte and checks it. How long that took.
    pub(crate) async fn ask(&mut self, id: u64) -> Duration {
        if self.kind == Kind::Proxy {
            self.uri = self.target.item(id);
        }
        let body = self.kind.body(self.target.tool, id);
        let asked = Instant::now();
        let response = self.send(body).await;
        let status = response.status();
        let answer = whole(response).await;
        let took = asked.elapsed();
        assert!(
            status == 200 && self.checker.right(id, &answer),
            "{}: wrong answer to {id}: {status} {}",
            self.target.name,
            String::from_utf8_lossy(&answer)
        );
        took
    }

    async fn send(&mut self, body: String) -> Response<Incoming> {
        let mut request = Request::new(Full::from(body));
        *request.method_mut() = if self.kind == Kind::Proxy { Method::GET } else { Method::POST };
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        self.sender.send_request(request).await.expect("is answered")
    }
}

async fn whole(response: Response<Incoming>) -> Bytes {
    response.into_body().collect().await.expect("the whole answer").to_bytes()
}
