//! Bodies in both directions: piece by piece, cut at the cap, and never ended cleanly when they broke off.

use super::super::harness::*;
use super::{echo, github};
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::{Notify, mpsc};

const CAP: usize = 50 * 1024 * 1024;
const AUTH: &str = "host: aperium-gateway:8080\nauthorization: Bearer agent-token\n";

#[tokio::test]
async fn pieces_of_a_request_reach_the_upstream_as_they_come() {
    let (told, mut pieces) = mpsc::unbounded_channel();
    let origin = Origin::start(move |request: Request| {
        let told = told.clone();
        async move {
            let mut body = request.into_body().into_data_stream();
            while let Some(Ok(piece)) = body.next().await {
                told.send(String::from_utf8(piece.to_vec()).unwrap()).unwrap();
            }
            "done".into_response()
        }
    })
    .await;
    let gateway = github(&origin).await;
    let listening = gateway.listen().await;
    let mut client = listening
        .write(&format!("POST /v1/connectors/github/up HTTP/1.1\n{AUTH}transfer-encoding: chunked\n\n3\none\n"))
        .await;
    assert_eq!(pieces.recv().await.unwrap(), "one", "before the second was sent");
    client.write_all(b"3\r\ntwo\r\n0\r\n\r\n").await.unwrap();
    assert_eq!(pieces.recv().await.unwrap(), "two");
    assert!(read_until(&mut client, "done").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn pieces_of_an_answer_reach_the_caller_as_they_come() {
    let next = Arc::new(Notify::new());
    let wait = Arc::clone(&next);
    let origin = Origin::start(move |_| {
        let wait = Arc::clone(&wait);
        async move {
            let second = async move {
                wait.notified().await;
                Ok::<_, std::io::Error>(Bytes::from("second"))
            };
            let first = futures::future::ready(Ok(Bytes::from("first"))).left_future();
            Response::new(Body::from_stream(futures::stream::iter([first, second.right_future()]).then(|piece| piece)))
        }
    })
    .await;
    let gateway = github(&origin).await;
    let listening = gateway.listen().await;
    let mut client = listening.write(&format!("GET /v1/connectors/github/x HTTP/1.1\n{AUTH}\n")).await;
    read_until(&mut client, "first").await;
    next.notify_one();
    read_until(&mut client, "second").await;
}

#[tokio::test]
async fn a_body_that_breaks_off_never_looks_whole_to_the_upstream() {
    let (listener, address) = socket().await;
    let gateway =
        Setup::default().http("github", address, "", &Value::Null).grant("client:agent", &["**"]).start().await;
    let listening = gateway.listen().await;
    for (head, body) in [
        ("transfer-encoding: chunked\n\n", "5\nhello\n"),
        ("transfer-encoding: chunked\n\n", "5\nhello\nzz\n"),
        ("content-length: 10\n\n", "hello"),
    ] {
        let client = listening.write(&format!("POST /v1/connectors/github/up HTTP/1.1\n{AUTH}{head}{body}")).await;
        let (mut upstream, _) = listener.accept().await.unwrap();
        let mut seen = read_until(&mut upstream, "hello").await;
        drop(client);
        seen.push_str(&String::from_utf8(read_to_end(&mut upstream).await).unwrap());
        assert!(!seen.contains("\r\n0\r\n"), "{seen}");
    }
}

#[tokio::test]
async fn a_caller_that_leaves_ends_the_request_at_the_upstream() {
    let (listener, address) = socket().await;
    let gateway =
        Setup::default().http("github", address, "", &Value::Null).grant("client:agent", &["**"]).start().await;
    let listening = gateway.listen().await;
    let client = listening.write(&format!("GET /v1/connectors/github/slow HTTP/1.1\n{AUTH}\n")).await;
    let (mut upstream, _) = listener.accept().await.unwrap();
    read_until(&mut upstream, "\r\n\r\n").await;
    drop(client);
    let ended = tokio::time::timeout(Duration::from_secs(1), read_to_end(&mut upstream)).await;
    assert!(ended.is_ok(), "within a second, before any answer");
    // And while the answer is on its way.
    let mut client = listening.write(&format!("GET /v1/connectors/github/slow HTTP/1.1\n{AUTH}\n")).await;
    let (mut upstream, _) = listener.accept().await.unwrap();
    read_until(&mut upstream, "\r\n\r\n").await;
    upstream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n").await.unwrap();
    read_until(&mut client, "hello").await;
    drop(client);
    assert!(tokio::time::timeout(Duration::from_secs(1), read_to_end(&mut upstream)).await.is_ok());
}

#[tokio::test]
async fn an_answer_that_breaks_off_never_looks_whole_to_the_caller() {
    let (listener, address) = socket().await;
    let gateway =
        Setup::default().http("github", address, "", &Value::Null).grant("client:agent", &["**"]).start().await;
    let listening = gateway.listen().await;
    for answer in [
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello",
    ] {
        let mut client = listening.write(&format!("GET /v1/connectors/github/x HTTP/1.1\n{AUTH}\n")).await;
        let (mut upstream, _) = listener.accept().await.unwrap();
        read_until(&mut upstream, "\r\n\r\n").await;
        upstream.write_all(answer.as_bytes()).await.unwrap();
        upstream.shutdown().await.unwrap();
        let seen = String::from_utf8(read_to_end(&mut client).await).unwrap();
        assert!(seen.contains("hello") && !seen.contains("\r\n0\r\n"), "{seen}");
    }
}

#[tokio::test]
async fn what_is_no_http_is_502_and_sent_once() {
    let (listener, address) = socket().await;
    let gateway =
        Setup::default().http("github", address, "", &Value::Null).grant("client:agent", &["**"]).start().await;
    let headers: String = (0..101).map(|n| format!("x-{n}: y\r\n")).collect();
    for answer in [
        "",
        "nonsense\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
        &format!("HTTP/1.1 200 OK\r\n{headers}\r\n"),
        &format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(200 * 1024)),
    ] {
        let asked = gateway.post("/v1/connectors/github/x", "{}");
        let upstream = async {
            let (mut upstream, _) = listener.accept().await.unwrap();
            read_until(&mut upstream, "{}").await;
            let _ = upstream.write_all(answer.as_bytes()).await;
            let _ = upstream.shutdown().await;
            upstream
        };
        let (answered, _upstream) = tokio::join!(asked, upstream);
        assert_eq!(answered.status, 502, "{answer:.60} {}", answered.text);
        let again = tokio::time::timeout(Duration::from_millis(50), listener.accept()).await;
        assert!(again.is_err(), "a write is attempted once: {answer:.60}");
    }
}

#[tokio::test]
async fn informational_answers_are_passed_over() {
    let (listener, address) = socket().await;
    let gateway =
        Setup::default().http("github", address, "", &Value::Null).grant("client:agent", &["**"]).start().await;
    let upstream = async {
        let (mut upstream, _) = listener.accept().await.unwrap();
        read_until(&mut upstream, "\r\n\r\n").await;
        let answer = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        upstream.write_all(answer).await.unwrap();
        upstream
    };
    let (answer, _upstream) = tokio::join!(gateway.send(ask("GET", "/v1/connectors/github/x")), upstream);
    assert_eq!((answer.status, answer.text.as_str(), answer.headers.contains_key("link")), (200, "ok", false));
}

#[tokio::test]
async fn a_websocket_is_refused() {
    let origin = Origin::start(echo).await;
    let gateway = github(&origin).await;
    let mut request = ask("GET", "/v1/connectors/github/ws");
    request.headers_mut().insert("upgrade", "websocket".parse().unwrap());
    request.headers_mut().insert("connection", "upgrade".parse().unwrap());
    let answer = gateway.send(request).await;
    assert_eq!((answer.status, answer.json()), (400, json!({ "error": "protocol upgrades are not supported" })));
    assert!(origin.asked().is_empty());
}

fn sized(length: usize) -> Body {
    Body::from(vec![b'x'; length])
}

fn unsized_body(length: usize) -> Body {
    let piece = Bytes::from(vec![b'x'; 1024 * 1024]);
    let pieces =
        futures::stream::iter((0..length.div_ceil(piece.len())).map(move |_| Ok::<_, std::io::Error>(piece.clone())));
    Body::from_stream(pieces)
}

#[tokio::test]
async fn an_answer_of_known_length_is_cut_at_the_cap_and_says_so() {
    let origin = Origin::start(|request: Request| async move {
        let more = request.uri().path().ends_with("more");
        Response::new(sized(if more { CAP + 1 } else { CAP }))
    })
    .await;
    let gateway = github(&origin).await;
    let exact = gateway.send(ask("GET", "/v1/connectors/github/exact")).await;
    assert_eq!((exact.text.len(), exact.headers.contains_key("x-aperium-truncated")), (CAP, false));
    let cut = gateway.send(ask("GET", "/v1/connectors/github/more")).await;
    assert_eq!((cut.status, cut.text.len()), (200, CAP));
    assert_eq!(cut.headers["x-aperium-truncated"], "true");
    assert_eq!(cut.headers["content-length"].to_str().unwrap(), CAP.to_string(), "the framing is true");
    let head = gateway.send(ask("HEAD", "/v1/connectors/github/more")).await;
    assert_eq!((head.status, head.text.len()), (200, 0));
}

#[tokio::test]
async fn an_answer_of_unknown_length_breaks_off_at_the_cap() {
    let origin = Origin::start(|request: Request| async move {
        let more = request.uri().path().ends_with("more");
        Response::new(unsized_body(if more { CAP + 1 } else { CAP }))
    })
    .await;
    let gateway = github(&origin).await;
    assert_eq!(gateway.send(ask("GET", "/v1/connectors/github/exact")).await.text.len(), CAP);
    let response = gateway.router.clone().oneshot(ask("GET", "/v1/connectors/github/more")).await;
    let mut body = response.unwrap().into_body();
    let (mut seen, mut broke) = (0, false);
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => seen += frame.into_data().unwrap().len(),
            Err(_) => broke = true,
        }
    }
    assert!(broke && seen <= CAP, "{seen}");
}

#[tokio::test]
async fn a_request_body_beyond_its_limit_is_413_and_its_upload_is_cut() {
    let origin = Origin::start(echo).await;
    let mut setup = Setup::default();
    setup.settings.limits.max_proxy_request_bytes = 10;
    let gateway = setup.http("github", origin.address, "", &Value::Null).grant("client:agent", &["**"]).start().await;
    assert_eq!(gateway.post("/v1/connectors/github/x", "0123456789").await.json()["body"], "0123456789");
    let announced = gateway.post("/v1/connectors/github/x", "0123456789a").await;
    assert_eq!(
        (announced.status, announced.json()),
        (413, json!({ "error": "request body holds more than 10 bytes" }))
    );
    assert_eq!(origin.asked().len(), 1);
    let mut streamed = post("/v1/connectors/github/x", "");
    let pieces = futures::stream::iter(["0123456789", "a"].map(Ok::<_, std::io::Error>));
    *streamed.body_mut() = Body::from_stream(pieces);
    assert_eq!(gateway.send(streamed).await.status, 413);
}

#[tokio::test]
async fn trailers_go_in_neither_direction() {
    let (listener, address) = socket().await;
    let gateway =
        Setup::default().http("github", address, "", &Value::Null).grant("client:agent", &["**"]).start().await;
    let listening = gateway.listen().await;
    let mut client = listening
        .write(&format!(
            "POST /v1/connectors/github/x HTTP/1.1\n{AUTH}te: trailers\ntrailer: x-secret\ntransfer-encoding: chunked\n\n2\nhi\n0\nx-secret: canary\n\n"
        ))
        .await;
    let (mut upstream, _) = listener.accept().await.unwrap();
    let seen = read_until(&mut upstream, "0\r\n\r\n").await;
    assert!(!seen.contains("canary") && !seen.contains("trailer"), "{seen}");
    let answer = "HTTP/1.1 200 OK\r\ntrailer: x-secret\r\ntransfer-encoding: chunked\r\n\r\n2\r\nho\r\n0\r\nx-secret: canary\r\n\r\n";
    upstream.write_all(answer.as_bytes()).await.unwrap();
    let seen = read_until(&mut client, "0\r\n\r\n").await;
    assert!(seen.contains("ho") && !seen.contains("canary") && !seen.contains("trailer"), "{seen}");
}
