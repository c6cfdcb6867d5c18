//! Raw requests, written from RFC 9112 and 9110: each is refused before any handler, or broken off in its body, or
//! handled exactly once for a reason that is given.

use std::sync::atomic::AtomicUsize;

use axum::{Router, body::Body, extract::Request, routing};
use http_body_util::BodyExt as _;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::egress::{EgressPolicy, EgressRules, GuardedDialer, LoopbackOpening, Reach};
use crate::serve::{ServerLimits, serve};

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

const CASES: &[(&str, Fate, &str)] = &[
    // Plain requests.
    ("GET / HTTP/1.1\nHost: x\n\n", Handled(1), "the plain case"),
    ("GET /a?b=c HTTP/1.1\nHost: x:8080\n\n", Handled(1), "a port"),
    ("GET / HTTP/1.1\nHost: [::1]:8080\n\n", Handled(1), "an IPv6 address"),
    ("GET / HTTP/1.0\nHost: x\n\n", Handled(1), "HTTP/1.0 without anything odd"),
    ("\nGET / HTTP/1.1\nHost: x\n\n", Handled(1), "RFC 9112 §2.2: one empty line before is passed over"),
    ("POST / HTTP/1.1\nHost: x\nContent-Length: 3\n\nabc", Handled(1), "a body"),
    ("POST / HTTP/1.1\nHost: x\nContent-Length: 0\n\n", Handled(1), "an empty body"),
    ("POST / HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n3\nabc\n0\n\n", Handled(1), "a chunked body"),
    ("POST / HTTP/1.1\nHost: x\nTransfer-Encoding: Chunked\n\n0\n\n", Handled(1), "codings have no case"),
    ("POST / HTTP/1.1\nHost: x\ntransfer-encoding:chunked\n\n0\nx: y\n\n", Handled(1), "trailers, which go nowhere"),
    ("GET / HTTP/1.1\nhOST: x\nX-A:\n\n", Handled(1), "names have no case, values may be empty"),
    ("GET / HTTP/1.1\nHost: x\nX-A: \ta b\t \n\n", Handled(1), "blanks around a value"),
    ("GET / HTTP/1.1\nHost: x\nX-A: \u{fc}\n\n", Handled(1), "obs-text is legal in values"),
    ("GET / HTTP/1.1\nHost: x\nConnection: keep-alive\n\n", Handled(1), "keep-alive"),
    ("GET / HTTP/1.1\nHost: x\nConnection: Close\n\n", Handled(1), "close"),
    (
        "GET / HTTP/1.1\nHost: x\nConnection: Upgrade, HTTP2-Settings\nUpgrade: h2c\nHTTP2-Settings: AAA\n\n",
        Handled(1),
        "RFC 9110 §7.8: an offer of HTTP/2 may be passed over; Java's client makes it",
    ),
    ("POST / HTTP/1.1\nHost: x\nExpect: 100-continue\nContent-Length: 2\n\nab", Handled(1), "the one expectation"),
    ("GET / HTTP/1.1\nHost: x\n\nGET / HTTP/1.1\nHost: x\n\n", Handled(2), "RFC 9112 §9.3.2: pipelining"),
    (
        "POST / HTTP/1.1\nHost: x\nContent-Length: 3\n\nabcGET / HTTP/1.1\nHost: x\n\n",
        Handled(2),
        "pipelining after a body",
    ),
    ("GET / HTTP/1.1\nHost: x\nContent-Length: 1\n\na", Handled(1), "a GET may have a body where its handler says so"),
    ("OPTIONS /x HTTP/1.1\nHost: x\n\n", Handled(1), "OPTIONS of a path"),
    // The request line.
    ("GET  / HTTP/1.1\nHost: x\n\n", Refused(400), "two blanks"),
    ("GET /  HTTP/1.1\nHost: x\n\n", Refused(400), "two blanks"),
    (" GET / HTTP/1.1\nHost: x\n\n", Refused(400), "a blank before the method"),
    ("GET\t/ HTTP/1.1\nHost: x\n\n", Refused(400), "a tab"),
    ("GET / HTTP/1.1 \nHost: x\n\n", Refused(400), "a blank at the end"),
    ("GET /\nHost: x\n\n", Refused(400), "HTTP/0.9"),
    ("GET / HTTP/1.1 HTTP/1.1\nHost: x\n\n", Refused(400), "two versions"),
    ("GET /a b HTTP/1.1\nHost: x\n\n", Refused(400), "a blank in the target"),
    ("GET / HTTP/2.0\nHost: x\n\n", Refused(505), "a version that is not spoken"),
    ("GET / HTTP/1.2\nHost: x\n\n", Refused(505), "a version that is not spoken"),
    ("GET / HTTP/01.1\nHost: x\n\n", Refused(505), "a version in another spelling"),
    ("GET / http/1.1\nHost: x\n\n", Refused(400), "the name of the protocol has a case"),
    ("GET / HTP/1.1\nHost: x\n\n", Refused(400), "another protocol"),
    ("PRI * HTTP/2.0\n\nSM\n\n", Refused(505), "HTTP/2 on its own"),
    ("\n\nGET / HTTP/1.1\nHost: x\n\n", Refused(400), "two empty lines before"),
    ("G(T / HTTP/1.1\nHost: x\n\n", Refused(400), "no token"),
    ("GE␀T / HTTP/1.1\nHost: x\n\n", Refused(400), "NUL in the method"),
    ("get / HTTP/1.1\nHost: x\n\n", Refused(405), "methods have a case"),
    ("TRACE / HTTP/1.1\nHost: x\n\n", Refused(405), "would echo the request"),
    ("CONNECT x:443 HTTP/1.1\nHost: x\n\n", Refused(405), "would open a tunnel"),
    ("PROPFIND / HTTP/1.1\nHost: x\n\n", Refused(405), "a method that nobody serves"),
    ("GETX / HTTP/1.1\nHost: x\n\n", Refused(405), "a method that nobody serves"),
    ("\u{16}\u{3}\u{1}\u{2}\n\n", Refused(400), "TLS on the plain port"),
    // The target.
    ("GET http://x/ HTTP/1.1\nHost: x\n\n", Refused(400), "absolute-form: its host could differ from Host"),
    ("GET http://evil/ HTTP/1.1\nHost: x\n\n", Refused(400), "absolute-form"),
    ("GET x:80 HTTP/1.1\nHost: x\n\n", Refused(400), "authority-form"),
    ("OPTIONS * HTTP/1.1\nHost: x\n\n", Refused(400), "asterisk-form: there is no proxy behind"),
    ("GET ! HTTP/1.1\nHost: x\n\n", Refused(400), "no path"),
    ("GET ?a HTTP/1.1\nHost: x\n\n", Refused(400), "no path"),
    ("GET a HTTP/1.1\nHost: x\n\n", Refused(400), "a relative path"),
    ("GET \\a HTTP/1.1\nHost: x\n\n", Refused(400), "a backslash"),
    ("GET /#a HTTP/1.1\nHost: x\n\n", Refused(400), "a fragment"),
    ("GET /␀ HTTP/1.1\nHost: x\n\n", Refused(400), "NUL"),
    ("GET /\u{7f} HTTP/1.1\nHost: x\n\n", Refused(400), "DEL"),
    ("GET /\u{fc} HTTP/1.1\nHost: x\n\n", Refused(400), "unencoded"),
    // Line ends.
    ("GET / HTTP/1.1␊Host: x␊␊", Refused(400), "bare LF throughout"),
    ("GET / HTTP/1.1␊Host: x\n\n", Refused(400), "bare LF after the request line"),
    ("GET / HTTP/1.1\nHost: x␊\n", Refused(400), "bare LF after a header"),
    ("GET / HTTP/1.1\nHost: x\n␊", Refused(400), "bare LF as the empty line"),
    ("GET / HTTP/1.1\nUseless:␊␊GET / HTTP/1.1\nHost: x\n\n", Refused(400), "a pair of bare LFs as the end"),
    ("␊GET / HTTP/1.1\nHost: x\n\n", Refused(400), "bare LF before"),
    ("GET / HTTP/1.1␍Host: x\n\n", Refused(400), "bare CR after the request line"),
    ("GET / HTTP/1.1\nHost: x␍X-A: b\n\n", Refused(400), "bare CR in a header"),
    ("GET / HTTP/1.1\nHost: x\nX-A: a␍␍b\n\n", Refused(400), "bare CRs in a value"),
    ("GET / HTTP/1.1\nHost: x\nX-A: a␍\n\n", Refused(400), "CR CR LF"),
    // Header lines.
    ("GET / HTTP/1.1\nHost: x\nX-A : b\n\n", Refused(400), "a blank before the colon"),
    ("GET / HTTP/1.1\nHost: x\nX-A\t: b\n\n", Refused(400), "a tab before the colon"),
    ("GET / HTTP/1.1\nHost: x\n: b\n\n", Refused(400), "no name"),
    ("GET / HTTP/1.1\nHost: x\nX-A\n\n", Refused(400), "no colon"),
    ("GET / HTTP/1.1\nHost: x\nX-A: b\n c\n\n", Refused(400), "a folded value"),
    ("GET / HTTP/1.1\nHost: x\n\tX-A: b\n\n", Refused(400), "a folded value"),
    ("GET / HTTP/1.1\n Host: x\n\n", Refused(400), "a folded request line"),
    ("GET / HTTP/1.1\nHost: x\nX A: b\n\n", Refused(400), "a blank in a name"),
    ("GET / HTTP/1.1\nHost: x\nX(A): b\n\n", Refused(400), "no token"),
    ("GET / HTTP/1.1\nHost: x\nX-\u{fc}: b\n\n", Refused(400), "no ASCII"),
    ("GET / HTTP/1.1\nHost: x\nX-A: ␀\n\n", Refused(400), "NUL in a value"),
    ("GET / HTTP/1.1\nHost: x\nX-A: \u{8}\n\n", Refused(400), "a control character in a value"),
    ("GET / HTTP/1.1\nHost: x\nX-A: \u{7f}\n\n", Refused(400), "DEL in a value"),
    ("GET / HTTP/1.1\nHost: x\nX_A: b\n\n", Refused(400), "an underscore"),
    ("GET / HTTP/1.1\nHost: x\nContent_Length: 5\n\n", Refused(400), "an underscore that some read as a hyphen"),
    ("GET / HTTP/1.1\nHost: x\nConnection: Authorization\n\n", Refused(400), "nominates a header of the message"),
    ("GET / HTTP/1.1\nHost: x\nConnection: close, X-Request-Id\n\n", Refused(400), "nominates a header of the message"),
    ("GET / HTTP/1.1\nHost: x\nConnection: Host\n\n", Refused(400), "nominates Host"),
    ("GET / HTTP/1.1\nHost: x\nConnection: close\nConnection: cookie\n\n", Refused(400), "in the second field"),
    ("GET / HTTP/1.1\nHost: x\nExpect: the-unexpected\n\n", Refused(417), "an expectation that nobody meets"),
    // Host.
    ("GET / HTTP/1.1\n\n", Refused(400), "none"),
    ("GET / HTTP/1.0\n\n", Refused(400), "none, under HTTP/1.0 too"),
    ("GET / HTTP/1.1\nHost: x\nHost: y\n\n", Refused(400), "two"),
    ("GET / HTTP/1.1\nHost: x\nHost: x\n\n", Refused(400), "two of a kind"),
    ("GET / HTTP/1.1\nHost:\n\n", Refused(400), "empty"),
    ("GET / HTTP/1.1\nHost: x, y\n\n", Refused(400), "a list"),
    ("GET / HTTP/1.1\nHost: a/evil\n\n", Refused(400), "a path"),
    ("GET / HTTP/1.1\nHost: a@b\n\n", Refused(400), "user information"),
    ("GET / HTTP/1.1\nHost: a b\n\n", Refused(400), "a blank"),
    ("GET / HTTP/1.1\nHost: a#b\n\n", Refused(400), "a fragment"),
    ("GET / HTTP/1.1\nHost: http://a\n\n", Refused(400), "a URL"),
    ("GET / HTTP/1.1\nHost: a%2eb\n\n", Refused(400), "an encoding"),
    ("GET / HTTP/1.1\nHost: a\\b\n\n", Refused(400), "a backslash"),
    ("GET / HTTP/1.1\nHost : x\n\n", Refused(400), "a blank before the colon"),
    // Content-Length.
    ("POST / HTTP/1.1\nHost: x\nContent-Length: 3\nContent-Length: 3\n\nabc", Refused(400), "twice the same"),
    ("POST / HTTP/1.1\nHost: x\nContent-Length: 3\nContent-Length: 4\n\nabc", Refused(400), "twice, differing"),
    ("POST / HTTP/1.1\nHost: x\nContent-Length: 3, 3\n\nabc", Refused(400), "a list"),
    ("POST / HTTP/1.1\nHost: x\nContent-Length: 010\n\n0123456789", Refused(400), "octal for some"),
    ("POST / HTTP/1.1\nHost: x\nContent-Length: 00\n\n", Refused(400), "leading zeros"),
    ("POST / HTTP/1.1\nHost: x\nContent-Length: +3\n\nabc", Refused(400), "a sign"),
    ("POST / HTTP/1.1\nHost: x\nContent-Length: -3\n\nabc", Refused(400), "a sign"),
    ("POST / HTTP/1.1\nHost: x\nContent-Length: 0x3\n\nabc", Refused(400), "hexadecimal"),
    ("POST / HTTP/1.1\nHost: x\nContent-Length: 3.0\n\nabc", Refused(400), "no integer"),
    ("POST / HTTP/1.1\nHost: x\nContent-Length: 3 0\n\nabc", Refused(400), "two numbers"),
    ("POST / HTTP/1.1\nHost: x\nContent-Length: \"3\"\n\nabc", Refused(400), "quoted"),
    ("POST / HTTP/1.1\nHost: x\nContent-Length:\n\n", Refused(400), "empty"),
    ("POST / HTTP/1.1\nHost: x\nContent-Length: 18446744073709551616\n\n", Refused(400), "beyond 64 bits"),
    ("POST / HTTP/1.1\nHost: x\nContent-Length: ٣\n\nabc", Refused(400), "a digit of another script"),
    // Transfer-Encoding.
    ("POST / HTTP/1.1\nHost: x\nContent-Length: 3\nTransfer-Encoding: chunked\n\n0\n\n", Refused(400), "both, CL.TE"),
    ("POST / HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\nContent-Length: 3\n\n0\n\n", Refused(400), "both, TE.CL"),
    (
        "POST / HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\nTransfer-Encoding: chunked\n\n0\n\n",
        Refused(400),
        "twice",
    ),
    ("POST / HTTP/1.1\nHost: x\nTransfer-Encoding: chunked, chunked\n\n0\n\n", Refused(400), "twice in one"),
    ("POST / HTTP/1.1\nHost: x\nTransfer-Encoding: gzip, chunked\n\n0\n\n", Refused(400), "another coding first"),
    ("POST / HTTP/1.1\nHost: x\nTransfer-Encoding: chunked, gzip\n\n0\n\n", Refused(400), "chunked not last"),
    ("POST / HTTP/1.1\nHost: x\nTransfer-Encoding: ,chunked\n\n0\n\n", Refused(400), "an empty element"),
    ("POST / HTTP/1.1\nHost: x\nTransfer-Encoding: chunked,\n\n0\n\n", Refused(400), "an empty element"),
    ("POST / HTTP/1.1\nHost: x\nTransfer-Encoding: identity\n\n", Refused(400), "a coding that is no more"),
    ("POST / HTTP/1.1\nHost: x\nTransfer-Encoding: xchunked\n\n0\n\n", Refused(400), "a lookalike"),
    ("POST / HTTP/1.1\nHost: x\nTransfer-Encoding: \"chunked\"\n\n0\n\n", Refused(400), "quoted"),
    ("POST / HTTP/1.1\nHost: x\nTransfer-Encoding: chunked;a=b\n\n0\n\n", Refused(400), "with a parameter"),
    ("POST / HTTP/1.1\nHost: x\nTransfer-Encoding: \u{b}chunked\n\n0\n\n", Refused(400), "a vertical tab"),
    ("POST / HTTP/1.1\nHost: x\nTransfer-Encoding:\n\n", Refused(400), "empty"),
    ("POST / HTTP/1.1\nHost: x\nTransfer-Encoding : chunked\n\n0\n\n", Refused(400), "a blank before the colon"),
    ("POST / HTTP/1.1\nHost: x\nTransfer-Encoding:\n chunked\n\n0\n\n", Refused(400), "folded"),
    ("POST / HTTP/1.0\nHost: x\nTransfer-Encoding: chunked\n\n0\n\n", Refused(400), "under HTTP/1.0"),
    ("POST / HTTP/1.1\nHost: x\nTransfer_Encoding: chunked\n\n0\n\n", Refused(400), "an underscore"),
    // Chunks.
    ("POST / HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n3\nabcd\n0\n\n", Broken, "data beyond the size"),
    ("POST / HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n0x3\nabc\n0\n\n", Broken, "a prefix"),
    ("POST / HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n+3\nabc\n0\n\n", Broken, "a sign"),
    ("POST / HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n 3\nabc\n0\n\n", Broken, "a blank before"),
    ("POST / HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n3 \nabc\n0\n\n", Broken, "a blank after"),
    ("POST / HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n3;a=b\nabc\n0\n\n", Broken, "an extension"),
    ("POST / HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n3;␊abc\n0\n\n", Broken, "an extension with a bare LF"),
    ("POST / HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n3␊abc\n0\n\n", Broken, "bare LF after a size"),
    ("POST / HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n3\nabc␊0\n\n", Broken, "bare LF after data"),
    ("POST / HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n3\nabcxx0\n\n", Broken, "no CR LF after data"),
    ("POST / HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n\nabc\n0\n\n", Broken, "an empty size"),
    ("POST / HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n10000000000000000\nabc", Broken, "a size beyond 64 bits"),
    ("POST / HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n0\n␊", Broken, "bare LF at the end"),
    ("POST / HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n0\n x: y\n\n", Broken, "a folded trailer"),
    ("POST / HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n0\nx: ␀\n\n", Broken, "NUL in a trailer"),
    // What is smuggled behind a body is a request of its own, judged like any other.
    (
        "POST / HTTP/1.1\nHost: x\nContent-Length: 0\n\nGET /smuggled HTTP/1.1\n\n",
        Handled(1),
        "the second has no Host and is refused",
    ),
    // Not complete.
    ("GET / HTTP/1.1\nHost: x\n", Waits, "no empty line"),
    ("GET / HTT", Waits, "half a request line"),
];

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

/// A guard over bytes in memory: what goes on, and the verdict.
fn judged(bytes: &[u8], pieces: &[usize]) -> (Vec<u8>, u64, Option<Refusal>, bool) {
    let limits = Limits { head_bytes: 4096, headers: 20, write_pause: Duration::from_secs(1) };
    let verdict = Arc::new(Verdict::default());
    let mut guard = Guard::new(tokio::io::empty(), limits, Arc::clone(&verdict));
    let (mut passed, mut rest, mut turn) = (Vec::new(), bytes, 0);
    while !rest.is_empty() {
        let piece = pieces.get(turn % pieces.len().max(1)).copied().unwrap_or(usize::MAX).clamp(1, rest.len());
        turn += 1;
        let (new, later) = rest.split_at(piece);
        rest = later;
        if guard.held.is_empty() {
            let good = guard.judge(new);
            passed.extend_from_slice(&new[..good]);
            if matches!(guard.state, State::Head) {
                guard.held = new[good..].to_vec();
            }
        } else {
            guard.held.extend_from_slice(new);
            guard.judge_held();
        }
        passed.append(&mut guard.released);
    }
    let refused = verdict.refused.get().map(|(_, refusal)| *refusal);
    (passed, guard.heads, refused, matches!(guard.state, State::Broken))
}

/// Two requests with a few of their bytes changed, taken out, doubled or replaced by what makes trouble.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let seed = prop::sample::select(vec![
        "POST /a HTTP/1.1\nHost: x\nContent-Length: 3\n\nabc",
        "POST /a HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n3\nabc\n0\n\n",
        "GET /a HTTP/1.1\nHost: x\nConnection: keep-alive\nX-A: b\n\n",
    ]);
    let trouble = prop::sample::select(vec![
        "\r\n",
        "\n",
        "\r",
        " ",
        "\t",
        "\0",
        ":",
        ";",
        ",",
        "0",
        "\r\n\r\n",
        "chunked",
        "Content-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Host: y\r\n",
        "\x0b",
        "\u{fc}",
        "_",
        "0\r\n\r\n",
        "GET / HTTP/1.1\r\n",
    ]);
    let edit = (any::<prop::sample::Index>(), 0..4_u8, trouble, any::<u8>());
    (prop::collection::vec(seed, 1..3), prop::collection::vec(edit, 0..4)).prop_map(|(seeds, edits)| {
        let mut bytes: Vec<u8> = seeds.iter().flat_map(|seed| raw(seed)).collect();
        for (at, kind, trouble, byte) in edits {
            let at = at.index(bytes.len());
            match kind {
                0 => drop(bytes.splice(at..at, trouble.bytes())),
                1 => drop(bytes.remove(at)),
                2 => bytes[at] = byte,
                _ => {
                    let copy = bytes[at..(at + 20).min(bytes.len())].to_vec();
                    drop(bytes.splice(at..at, copy));
                }
            }
            if bytes.is_empty() {
                bytes.push(b'x');
            }
        }
        bytes
    })
}

/// 1 % of the full run of a million, or as many as `PROPTEST_CASES` asks for.
fn cases() -> ProptestConfig {
    let given = ProptestConfig::default();
    if given.cases == 256 { ProptestConfig { cases: 10_000, ..given } } else { given }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn pieces_make_no_difference(bytes in mutated(), pieces in prop::collection::vec(1_usize..9, 1..6)) {
        prop_assert_eq!(judged(&bytes, &[]), judged(&bytes, &pieces));
    }

    #[test]
    fn what_goes_on_has_one_reading(bytes in mutated()) {
        let (passed, heads, refused, _) = judged(&bytes, &[]);
        let passed = refused.map_or(passed.as_slice(), |_| passed.strip_suffix(HARMLESS).unwrap());
        // As many heads as the guard has counted, to a reader that knows nothing but what passed.
        let (again, counted, none, _) = judged(passed, &[]);
        prop_assert_eq!((again.as_slice(), counted, none), (passed, heads, None));
        let mut headers = [httparse::EMPTY_HEADER; 32];
        let mut request = httparse::Request::new(&mut headers);
        if heads > 0 {
            // The parser that comes next agrees about the first.
            prop_assert!(request.parse(passed).unwrap().is_complete());
            let all = |name: &str| request.headers.iter().filter(|h| h.name.eq_ignore_ascii_case(name)).count();
            prop_assert_eq!(all("host"), 1);
            prop_assert!(all("content-length") + all("transfer-encoding") <= 1);
            prop_assert!(request.path.unwrap().starts_with('/'));
        }
    }
}
