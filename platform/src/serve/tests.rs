//! Slow clients, many clients, large heads, failing accepts, panics, and the end.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Instant,
};

use axum::{Router, routing::get};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    task::JoinHandle,
};

use super::*;
use crate::egress::{EgressPolicy, EgressRules, GuardedDialer, LoopbackOpening, Reach};

const GET: &str = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";

struct Server {
    address: SocketAddr,
    shutdown: CancellationToken,
    done: JoinHandle<io::Result<()>>,
}

async fn start(app: Router, limits: ServerLimits) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let done = tokio::spawn(serve(listener, app, limits, shutdown.clone()));
    Server { address, shutdown, done }
}

fn hello() -> Router {
    Router::new().route("/", get(|| async { "hello there" }))
}

impl Server {
    async fn open(&self) -> TcpStream {
        let rules = EgressRules { loopback: Some(LoopbackOpening::default()), ..EgressRules::default() };
        let dialer = GuardedDialer::new(EgressPolicy::new(rules).unwrap(), Reach::Admin);
        dialer.connect(&self.address.ip().to_string(), self.address.port()).await.unwrap()
    }

    async fn ask(&self, text: &str) -> String {
        let mut stream = self.open().await;
        stream.write_all(text.as_bytes()).await.unwrap();
        read_some(&mut stream).await
    }
}

/// What comes until the body "hello …" is there or the connection ends.
async fn read_some(stream: &mut TcpStream) -> String {
    let mut seen = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&seen).into_owned();
        let complete = text.split_once("\r\n\r\n").is_some_and(|(head, body)| {
            head.lines().filter_map(|line| line.strip_prefix("content-length: ")).any(|n| n.parse() == Ok(body.len()))
        });
        if complete || !matches!(stream.read_buf(&mut seen).await, Ok(1..)) {
            return text;
        }
    }
}

#[tokio::test]
async fn requests_are_answered_and_know_their_peer() {
    let server = start(hello(), ServerLimits::default()).await;
    let answer = server.ask(GET).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("hello there"), "{answer}");
    server.shutdown.cancel();
    server.done.await.unwrap().unwrap();
}

#[tokio::test]
async fn half_a_head_ends_with_the_header_timeout() {
    let limits = ServerLimits { header_timeout: Duration::from_millis(300), ..ServerLimits::default() };
    let server = start(hello(), limits).await;
    for sent in ["", "GET / HTTP/1.1\r\nhost:", GET] {
        let mut stream = server.open().await;
        stream.write_all(sent.as_bytes()).await.unwrap();
        let started = Instant::now();
        let mut seen = Vec::new();
        time::timeout(Duration::from_secs(10), stream.read_to_end(&mut seen)).await.unwrap().unwrap();
        assert!(started.elapsed() >= Duration::from_millis(250), "{sent:?} {:?}", started.elapsed());
    }
}

#[tokio::test]
async fn large_heads_are_refused() {
    let limits = ServerLimits { max_head_bytes: 16 * 1024, max_headers: 20, ..ServerLimits::default() };
    let server = start(hello(), limits).await;
    let fat = format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(17 * 1024));
    let many =
        format!("GET / HTTP/1.1\r\nhost: x\r\n{}\r\n", (0..20).map(|n| format!("x-{n}: y\r\n")).collect::<String>());
    for text in [fat, many] {
        let answer = server.ask(&text).await;
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    }
    assert!(server.ask(GET).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn connections_beyond_the_cap_wait_their_turn() {
    let server = start(hello(), ServerLimits { max_connections: 1, ..ServerLimits::default() }).await;
    let mut first = server.open().await;
    first.write_all(GET.as_bytes()).await.unwrap();
    assert!(read_some(&mut first).await.contains("hello"));
    let mut second = server.open().await;
    second.write_all(GET.as_bytes()).await.unwrap();
    let waited = time::timeout(Duration::from_millis(300), read_some(&mut second)).await;
    assert!(waited.is_err(), "{waited:?}");
    drop(first);
    assert!(time::timeout(Duration::from_secs(10), read_some(&mut second)).await.unwrap().contains("hello"));
}

#[tokio::test]
async fn a_panic_in_a_handler_is_a_500_and_the_server_goes_on() {
    let app = hello().route(
        "/panic",
        get(|| async {
            if true {
                panic!("on purpose")
            }
        }),
    );
    let server = start(app, ServerLimits::default()).await;
    let answer = server.ask("GET /panic HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 500") && !answer.contains("on purpose"), "{answer}");
    assert!(server.ask(GET).await.contains("hello"));
}

fn slow(takes: Duration) -> Router {
    Router::new().route(
        "/",
        get(move || async move {
            time::sleep(takes).await;
            "hello late"
        }),
    )
}

#[tokio::test]
async fn requests_under_way_finish_and_idle_connections_are_closed() {
    let server = start(slow(Duration::from_millis(400)), ServerLimits::default()).await;
    let mut busy = server.open().await;
    busy.write_all(GET.as_bytes()).await.unwrap();
    let mut idle = server.open().await;
    time::sleep(Duration::from_millis(150)).await;
    let started = Instant::now();
    server.shutdown.cancel();
    assert_eq!(idle.read(&mut [0; 8]).await.unwrap(), 0);
    let answer = read_some(&mut busy).await;
    assert!(answer.contains("connection: close") && answer.ends_with("hello late"), "{answer}");
    server.done.await.unwrap().unwrap();
    assert!(started.elapsed() < Duration::from_secs(5), "idle connections do not hold up the end");
}

#[tokio::test]
async fn draining_has_a_deadline() {
    let limits = ServerLimits { drain: Duration::from_millis(200), ..ServerLimits::default() };
    let server = start(slow(Duration::from_secs(3600)), limits).await;
    let mut busy = server.open().await;
    busy.write_all(GET.as_bytes()).await.unwrap();
    time::sleep(Duration::from_millis(100)).await;
    server.shutdown.cancel();
    time::timeout(Duration::from_secs(10), server.done).await.unwrap().unwrap().unwrap();
    assert_eq!(read_some(&mut busy).await, "");
}

/// A listener that fails as one does when the process has no file descriptors left.
struct Starved {
    inner: TcpListener,
    failures: Arc<AtomicUsize>,
}

impl Accept for Starved {
    async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        const EMFILE: i32 = 24;
        const ECONNABORTED: i32 = 103;
        match self.failures.fetch_add(1, Ordering::SeqCst) {
            0 => Err(io::Error::from_raw_os_error(ECONNABORTED)),
            1..=3 => Err(io::Error::from_raw_os_error(EMFILE)),
            _ => Ok(self.inner.accept().await?),
        }
    }
}

#[tokio::test]
async fn a_failing_accept_is_waited_out() {
    let inner = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = inner.local_addr().unwrap();
    let failures = Arc::new(AtomicUsize::new(0));
    let (listener, shutdown) = (Starved { inner, failures: Arc::clone(&failures) }, CancellationToken::new());
    let started = Instant::now();
    let running = tokio::spawn(run(listener, hello(), ServerLimits::default(), None, shutdown.clone()));
    let server = Server { address, shutdown, done: tokio::spawn(async { Ok(()) }) };
    assert!(server.ask(GET).await.contains("hello"));
    assert!(started.elapsed() >= Duration::from_millis(10 + 20 + 40), "{:?}", started.elapsed());
    assert!((5..=6).contains(&failures.load(Ordering::SeqCst)), "no busy loop");
    server.shutdown.cancel();
    running.await.unwrap();
}
