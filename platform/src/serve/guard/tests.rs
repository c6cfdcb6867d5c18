//! Raw requests, written from RFC 9112 and 9110: each is refused before any handler, or broken off in its body, or
//! handled exactly once for a reason that is given.

use std::sync::atomic::AtomicUsize;

use axum::{Router, body::Body, extract::Request, routing};
use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::egress::{EgressPolicy, EgressRules, GuardedDialer, LoopbackOpening, Reach};
use crate::serve::{ServerLimits, serve};

mod cases;
mod mutated;

use cases::CASES;

/// What becomes of a raw request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// No handler hears of it.
    Refused(u16),
    /// A handler is given its head, and an error in place of the end of its body.
    Broken,
    /// A handler is given all of it, so many times.
    Handled(usize),
    /// It is not complete: nothing happens until the timeout of the head.
    Waits,
}

use Fate::{Broken, Handled, Refused, Waits};

/// `\n` stands for CR LF, `␊` for a bare LF, `␍` for a bare CR, `␀` for NUL.
fn raw(text: &str) -> Vec<u8> {
    text.replace('\n', "\r\n").replace('␊', "\n").replace('␍', "\r").replace('␀', "\0").into_bytes()
}

struct Server {
    address: std::net::SocketAddr,
    whole: Arc<AtomicUsize>,
    broken: Arc<AtomicUsize>,
    stop: CancellationToken,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn start() -> Server {
    let (whole, broken): (Arc<AtomicUsize>, Arc<AtomicUsize>) = Default::default();
    let (count, count_broken) = (Arc::clone(&whole), Arc::clone(&broken));
    let handler = routing::any(move |request: Request| {
        let (count, count_broken) = (Arc::clone(&count), Arc::clone(&count_broken));
        async move {
            let read = request.into_body().collect().await;
            if read.is_ok() { &count } else { &count_broken }.fetch_add(1, Ordering::SeqCst);
            "handled"
        }
    });
    let app = Router::new().fallback_service(handler);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
    let limits = ServerLimits { max_head_bytes: 16 * 1024, drain: Duration::ZERO, ..ServerLimits::default() };
    tokio::spawn(serve(listener, app, limits, stop.clone()));
    Server { address, whole, broken, stop }
}

/// Sends bytes in pieces of a size, and reads until the connection ends or stays silent.
async fn send(address: std::net::SocketAddr, bytes: &[u8], piece: usize) -> String {
    let rules = EgressRules { loopback: Some(LoopbackOpening::default()), ..EgressRules::default() };
    let dialer = GuardedDialer::new(EgressPolicy::new(rules).unwrap(), Reach::Admin);
    let mut stream = dialer.connect(&address.ip().to_string(), address.port()).await.unwrap();
    for piece in bytes.chunks(piece) {
        // The other side may have had enough already.
        if stream.write_all(piece).await.is_err() {
            break;
        }
        tokio::task::yield_now().await;
    }
    let mut seen = Vec::new();
    while let Ok(Ok(1..)) = time::timeout(Duration::from_millis(500), stream.read_buf(&mut seen)).await {}
    String::from_utf8_lossy(&seen).into_owned()
}

async fn check(text: &str, fate: Fate, why: &str, piece: usize) {
    let server = start().await;
    let answer = send(server.address, &raw(text), piece).await;
    let seen = (server.whole.load(Ordering::SeqCst), server.broken.load(Ordering::SeqCst));
    let status = answer.get(9..12).and_then(|status| status.parse::<u16>().ok());
    let good = match fate {
        Refused(wanted) => seen == (0, 0) && status == Some(wanted) && answer.contains("connection: close"),
        Broken => seen == (0, 1),
        Handled(times) => seen == (times, 0) && answer.matches("handled").count() == times,
        Waits => seen == (0, 0) && answer.is_empty(),
    };
    assert!(good, "{text:?} ({why}): wanted {fate:?}, seen {seen:?}: {answer}");
}

#[tokio::test]
async fn every_raw_request_is_refused_or_handled_for_a_reason() {
    assert!(CASES.iter().filter(|(_, fate, _)| matches!(fate, Refused(_) | Broken)).count() >= 98);
    futures::future::join_all(CASES.iter().map(|(text, fate, why)| check(text, *fate, why, usize::MAX))).await;
}

#[tokio::test]
async fn the_same_when_they_come_byte_by_byte() {
    futures::future::join_all(CASES.iter().map(|(text, fate, why)| check(text, *fate, why, 1))).await;
}

#[tokio::test]
async fn heads_and_headers_have_a_limit_in_one_piece_and_in_many() {
    let large = format!("GET / HTTP/1.1\nHost: x\nX: {}\n\n", "y".repeat(17 * 1024));
    let endless = format!("GET / HTTP/1.1\nHost: x\nX: {}", "y".repeat(17 * 1024));
    let many = format!("GET / HTTP/1.1\nHost: x\n{}\n", "a: b\n".repeat(101));
    for text in [large, endless, many] {
        for piece in [usize::MAX, 1000] {
            check(&text, Refused(431), "too large", piece).await;
        }
    }
}

#[tokio::test]
async fn a_refused_request_does_not_take_the_answer_of_the_one_before() {
    let server = start().await;
    let answer = send(
        server.address,
        &raw("GET / HTTP/1.1\nHost: x\n\nTRACE / HTTP/1.1\nHost: x\n\nGET / HTTP/1.1\nHost: x\n\n"),
        usize::MAX,
    )
    .await;
    let first = answer.find("handled").unwrap();
    let second = answer.find("HTTP/1.1 405").unwrap();
    assert!(first < second && answer.matches("HTTP/1.1").count() == 2, "{answer}");
    assert!(answer.contains("allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
    assert!(answer.ends_with("{\"error\":\"method not allowed\"}"), "{answer}");
}

#[tokio::test]
async fn a_peer_that_takes_nothing_is_given_up() {
    let app = Router::new().fallback(|| async { Body::from(vec![b'x'; 64 * 1024 * 1024]) });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
    let limits =
        ServerLimits { write_pause: Duration::from_millis(300), max_connections: 1, ..ServerLimits::default() };
    tokio::spawn(serve(listener, app, limits, stop.clone()));
    let rules = EgressRules { loopback: Some(LoopbackOpening::default()), ..EgressRules::default() };
    let dialer = GuardedDialer::new(EgressPolicy::new(rules).unwrap(), Reach::Admin);
    let mut silent = dialer.connect("127.0.0.1", address.port()).await.unwrap();
    silent.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    // There is one place, and it becomes free.
    let mut second = dialer.connect("127.0.0.1", address.port()).await.unwrap();
    second.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut seen = [0; 12];
    time::timeout(Duration::from_secs(20), second.read_exact(&mut seen)).await.unwrap().unwrap();
    assert_eq!(&seen, b"HTTP/1.1 200");
    stop.cancel();
}
