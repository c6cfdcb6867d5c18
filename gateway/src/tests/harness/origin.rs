//! An HTTP API on loopback that says what it was asked, and a way to reach the gateway by a socket.

use super::Gateway;
use aperium_core::egress::{EgressRules, LoopbackOpening, Reach};
use aperium_platform::egress::{EgressPolicy, GuardedDialer};
use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use http::HeaderMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// An API on loopback.
pub(in crate::tests) struct Origin {
    pub(in crate::tests) address: SocketAddr,
    asked: Arc<Mutex<Vec<HeaderMap>>>,
    stop: CancellationToken,
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Origin {
    /// Answers every request with what `answer` makes of it.
    pub(in crate::tests) async fn start<F, R>(answer: F) -> Self
    where
        F: Fn(Request) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Response> + Send + 'static,
    {
        let asked: Arc<Mutex<Vec<HeaderMap>>> = Arc::default();
        let record = Arc::clone(&asked);
        let app = Router::new().fallback(move |request: Request| {
            record.lock().unwrap().push(request.headers().clone());
            answer(request)
        });
        let (address, stop) = serve(app).await;
        Self { address, asked, stop }
    }

    /// The headers of all requests so far.
    pub(in crate::tests) fn asked(&self) -> Vec<HeaderMap> {
        self.asked.lock().unwrap().clone()
    }

    /// Those of the last one.
    pub(in crate::tests) fn last(&self) -> HeaderMap {
        self.asked().pop().unwrap()
    }
}

async fn serve(app: impl aperium_platform::serve::App) -> (SocketAddr, CancellationToken) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
    let limits = aperium_platform::serve::ServerLimits { drain: Duration::ZERO, ..Default::default() };
    tokio::spawn(aperium_platform::serve::serve(listener, app, limits, stop.clone()));
    (address, stop)
}

/// A listener on loopback that the test itself speaks on.
pub(in crate::tests) async fn socket() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Reads until the text holds `until`.
pub(in crate::tests) async fn read_until(stream: &mut TcpStream, until: &str) -> String {
    let mut seen = Vec::new();
    let read = async {
        while !String::from_utf8_lossy(&seen).contains(until) {
            assert_ne!(stream.read_buf(&mut seen).await.unwrap(), 0, "{}", String::from_utf8_lossy(&seen));
        }
    };
    tokio::time::timeout(Duration::from_secs(20), read).await.expect("nothing more came");
    String::from_utf8(seen).unwrap()
}

/// Reads to the end of the connection, however it ends.
pub(in crate::tests) async fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut seen = Vec::new();
    let read = stream.read_to_end(&mut seen);
    let _ = tokio::time::timeout(Duration::from_secs(30), read).await.expect("the connection stayed open");
    seen
}

/// The gateway behind a real listener, for as long as this lives.
pub(in crate::tests) struct Listening {
    address: SocketAddr,
    stop: CancellationToken,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Gateway {
    /// Serves it on loopback.
    pub(in crate::tests) async fn listen(&self) -> Listening {
        let (address, stop) = serve(self.router.clone()).await;
        Listening { address, stop }
    }
}

impl Listening {
    /// A connection with something written on it. `\n` stands for CR LF.
    pub(in crate::tests) async fn write(&self, text: &str) -> TcpStream {
        let rules = EgressRules { loopback: Some(LoopbackOpening::default()), ..EgressRules::default() };
        let dialer = GuardedDialer::new(EgressPolicy::new(rules).unwrap(), Reach::Admin);
        let mut stream = dialer.connect(&self.address.ip().to_string(), self.address.port()).await.unwrap();
        stream.write_all(text.replace('\n', "\r\n").as_bytes()).await.unwrap();
        stream
    }
}
