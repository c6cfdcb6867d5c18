//! Connections between requests: which are used again, which are closed, and when.

use std::time::Duration;

use axum::body::Body;
use futures::future::join_all;
use http_body_util::BodyExt as _;
use tokio::time::{sleep, timeout};

use super::{
    canary::{Canary, Reply, keep},
    exchange::text,
    *,
};

fn client(limits: &ClientLimits) -> ExternalClient {
    ExternalClient::with_limits(policy(open_loopback()), Reach::Admin, limits).unwrap()
}

async fn send(client: &ExternalClient, canary: &Canary) -> http::Response<EgressBody> {
    client.send(get(&url(canary.address))).await.unwrap()
}

/// Waits until the server has seen this many of its connections end.
async fn closed(canary: &Canary, connections: usize) {
    let waiting = async {
        while canary.closed() < connections {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(10), waiting).await.unwrap();
}

#[tokio::test]
async fn answers_without_a_body_leave_their_connection_for_the_next() {
    for (status, headers) in [("202 Accepted", ""), ("204 No Content", ""), ("304 Not Modified", "etag: x\r\n")] {
        let canary = Canary::start(vec![keep(status, headers, "")]).await;
        let client = client(&ClientLimits::default());
        for _ in 0..3 {
            // Nobody reads a body that is not there.
            drop(send(&client, &canary).await);
        }
        assert_eq!((canary.connections(), canary.requests().len()), (1, 3), "{status}");
    }
}

#[tokio::test]
async fn an_answer_that_comes_in_pieces_is_whole_and_its_connection_is_used_again() {
    let body = "z".repeat(300_000);
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-trailer: y\r\n\r\n";
    for (reply, expected) in
        [(keep("200 OK", "", &body), body.as_str()), (Reply::Keep(chunked.as_bytes().to_vec()), "hello")]
    {
        let canary = Canary::start(vec![reply]).await;
        let client = client(&ClientLimits::default());
        for _ in 0..3 {
            assert_eq!(text(send(&client, &canary).await).await, expected);
        }
        assert_eq!(canary.connections(), 1);
    }
}

#[tokio::test]
async fn an_answer_that_nobody_reads_to_its_end_closes_its_connection() {
    let canary = Canary::start(vec![keep("200 OK", "", &"z".repeat(3_000_000))]).await;
    let client = client(&ClientLimits::default());
    let mut response = send(&client, &canary).await;
    response.body_mut().frame().await.unwrap().unwrap();
    drop(response);
    closed(&canary, 1).await;
    drop(send(&client, &canary).await);
    assert_eq!(canary.connections(), 2);
}

#[tokio::test]
async fn a_request_that_is_given_up_closes_its_connection() {
    let canary = Canary::start(vec![Reply::Silent]).await;
    let client = client(&ClientLimits::default());
    let given_up = timeout(Duration::from_millis(100), client.send(get(&url(canary.address)))).await;
    assert!(given_up.is_err());
    closed(&canary, 1).await;
}

#[tokio::test]
async fn no_more_connections_rest_than_are_allowed() {
    let canary = Canary::ok().await;
    let client = client(&ClientLimits { max_idle_per_host: 2, ..ClientLimits::default() });
    for used in [5, 3] {
        let before = canary.connections();
        let responses = join_all((0..5).map(|_| send(&client, &canary))).await;
        assert_eq!(canary.connections() - before, used);
        join_all(responses.into_iter().map(text)).await;
    }
    closed(&canary, 6).await;
}

#[tokio::test]
async fn a_connection_that_has_rested_too_long_is_closed_though_nobody_asks_for_it() {
    let canary = Canary::ok().await;
    let client = client(&ClientLimits { idle_timeout: Duration::from_millis(200), ..ClientLimits::default() });
    text(send(&client, &canary).await).await;
    closed(&canary, 1).await;
    text(send(&client, &canary).await).await;
    assert_eq!(canary.connections(), 2);
    closed(&canary, 2).await;
}

#[tokio::test]
async fn the_connections_of_a_client_that_is_gone_are_closed() {
    let canary = Canary::ok().await;
    let client = client(&ClientLimits::default());
    text(send(&client, &canary).await).await;
    drop(client);
    closed(&canary, 1).await;
}

#[tokio::test]
async fn an_upload_goes_on_after_the_head_of_the_answer_has_come() {
    // The server says yes after the head of the request; the caller looks at nothing until all of it is written.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (seen, all) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut buffer, mut read) = (vec![0; 64 * 1024], 0);
        while !String::from_utf8_lossy(&buffer[..read]).contains("\r\n\r\n") {
            read += stream.read(&mut buffer[read..]).await.unwrap();
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n").await.unwrap();
        let mut total = read;
        while total < 8_000_000 {
            total += stream.read(&mut buffer).await.unwrap();
        }
        seen.send(total).unwrap();
        stream.write_all(b"!").await.unwrap();
    });
    let request = http::Request::post(url(address)).body(Body::from(vec![b'x'; 8_000_000])).unwrap();
    let response = client(&ClientLimits::default()).send(request).await.unwrap();
    assert!(timeout(Duration::from_secs(10), all).await.unwrap().unwrap() >= 8_000_000);
    assert_eq!(text(response).await, "!");
}
