//! The exchange: redirects, proxies, pools, retries, limits, TLS; and whether anything was sent.

use std::time::Duration;

use axum::body::Body;
use http_body_util::BodyExt as _;
use tokio::net::TcpListener;

use super::{
    canary::{Canary, Reply, keep},
    *,
};

pub(super) async fn text(response: http::Response<EgressBody>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

fn client() -> ExternalClient {
    ExternalClient::new(policy(open_loopback()), Reach::Admin).unwrap()
}

fn post(canary: &Canary) -> http::Request<Body> {
    http::Request::post(url(canary.address)).body(Body::from("once")).unwrap()
}

#[tokio::test]
async fn a_request_reaches_the_canary_directly() {
    let canary = Canary::ok().await;
    let mut request = get(&url(canary.address));
    request.headers_mut().insert("host", "evil.example".parse().unwrap());
    *request.version_mut() = http::Version::HTTP_2;
    assert_eq!(text(client().send(request).await.unwrap()).await, "hello");
    let request = canary.requests().remove(0);
    assert!(request.starts_with("GET /path?q=1 HTTP/1.1\r\n"), "{request}");
    assert!(request.contains(&format!("host: {}\r\n", canary.address)) && !request.contains("evil"), "{request}");
}

/// The test above, run in a process whose environment names a proxy.
#[tokio::test]
async fn proxy_variables_are_ignored() {
    let proxy = Canary::start(vec![keep("502 Proxied", "", "")]).await;
    let at = format!("http://{}", proxy.address);
    let mut child = tokio::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "egress::tests::exchange::a_request_reaches_the_canary_directly"]);
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        child.env(name, &at);
    }
    let output = child.env_remove("NO_PROXY").env_remove("no_proxy").output().await.unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && printed.contains("1 passed"), "{printed}");
    assert_eq!(proxy.connections(), 0);
}

#[tokio::test]
async fn redirects_are_returned_and_never_followed() {
    for status in ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent", "201 Created", "200 OK"]
    {
        let trap = Canary::ok().await;
        for target in [format!("http://{}/", trap.address), "/again".to_owned(), format!("//{}/", trap.address)] {
            let headers = format!("location: {target}\r\nrefresh: 0; url={target}\r\ncontent-location: {target}\r\n");
            let canary = Canary::start(vec![keep(status, &headers, "")]).await;
            let response = client().send(post(&canary)).await.unwrap();
            assert_eq!(response.status().as_str(), &status[..3]);
            assert_eq!((canary.requests().len(), trap.connections()), (1, 0), "{status} {target}");
        }
    }
}

#[tokio::test]
async fn connections_are_kept_and_used_again() {
    let canary = Canary::ok().await;
    let client = client();
    for _ in 0..5 {
        assert_eq!(text(client.send(get(&url(canary.address))).await.unwrap()).await, "hello");
    }
    assert_eq!((canary.connections(), canary.requests().len()), (1, 5));
}

#[tokio::test]
async fn a_request_that_was_sent_is_never_sent_again() {
    // The connection breaks on a fresh connection, and on one that was used before.
    for (replies, requests) in [(vec![Reply::Hang], 1), (vec![keep("200 OK", "", "hello"), Reply::Hang], 2)] {
        for method in [http::Method::POST, http::Method::GET, http::Method::DELETE] {
            let canary = Canary::start(replies.clone()).await;
            let client = client();
            for _ in 1..requests {
                text(client.send(post(&canary)).await.unwrap()).await;
            }
            let mut request = post(&canary);
            *request.method_mut() = method;
            let error = client.send(request).await.unwrap_err();
            assert_eq!((error.reason(), error.before_send()), ("ExchangeFailed", false), "{error:?}");
            assert_eq!(canary.requests().len(), requests);
        }
    }
}

/// A server that closes every connection right after its answer, so that requests meet connections that are just being
/// closed: whatever happens, what counts as unsent never arrived, and nothing arrived twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn before_send_tells_the_truth_when_kept_connections_break() {
    let Reply::Keep(bytes) = keep("200 OK", "", "hello") else { panic!("keep makes Keep") };
    let canary = Canary::start(vec![Reply::Last(bytes)]).await;
    // A request that a connection swallows while it closes must not hold the test for the backstop of five minutes.
    let limits = ClientLimits { response_timeout: Duration::from_secs(2), ..ClientLimits::default() };
    let client = ExternalClient::with_limits(policy(open_loopback()), Reach::Admin, &limits).unwrap();
    let (mut answered, mut unsent, mut unsure) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..400 {
        let body = format!("<{number}>");
        let request = http::Request::post(url(canary.address)).body(Body::from(body.clone())).unwrap();
        match client.send(request).await {
            Ok(response) => {
                drop(text(response).await);
                answered.push(body);
            }
            Err(error) if error.before_send() => unsent.push(body),
            Err(_) => unsure.push(body),
        }
    }
    let arrived = |body: &str| canary.requests().iter().filter(|seen| seen.ends_with(body)).count();
    assert!(!answered.is_empty());
    assert!(answered.iter().all(|body| arrived(body) == 1));
    assert!(unsent.iter().all(|body| arrived(body) == 0));
    assert!(unsure.iter().all(|body| arrived(body) <= 1));
}

#[tokio::test]
async fn nobody_listening_is_an_error_before_anything_was_sent() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = client().send(get(&url(gone))).await.unwrap_err();
    assert_eq!((error.reason(), error.before_send()), ("ConnectFailed", true));
    let error = ClusterClient::new().send(&ClusterEndpoint::local(gone).unwrap(), get("/x")).await.unwrap_err();
    assert_eq!((error.reason(), error.before_send()), ("ConnectFailed", true));
}

#[tokio::test]
async fn silence_ends_with_the_limit_and_counts_as_sent() {
    let canary = Canary::start(vec![Reply::Silent]).await;
    let limits = ClientLimits { response_timeout: Duration::from_millis(200), ..ClientLimits::default() };
    let client = ExternalClient::with_limits(policy(open_loopback()), Reach::Admin, &limits).unwrap();
    let error = client.send(post(&canary)).await.unwrap_err();
    assert_eq!((error.reason(), error.before_send()), ("ResponseTimeout", false));
    assert_eq!(canary.requests().len(), 1);
}

#[tokio::test]
async fn response_heads_are_bounded() {
    let fat = format!("x: {}\r\n", "y".repeat(200 * 1024));
    let many = (0..101).map(|n| format!("x-{n}: y\r\n")).collect::<String>();
    for headers in [fat, many] {
        let canary = Canary::start(vec![keep("200 OK", &headers, "")]).await;
        let error = client().send(get(&url(canary.address))).await.unwrap_err();
        assert_eq!((error.reason(), error.before_send()), ("ExchangeFailed", false));
    }
    let fits = (0..90).map(|n| format!("x-{n}: y\r\n")).collect::<String>();
    let canary = Canary::start(vec![keep("200 OK", &fits, "")]).await;
    assert_eq!(client().send(get(&url(canary.address))).await.unwrap().headers().len(), 91);
}

#[tokio::test]
async fn broken_answers_are_errors() {
    for bytes in [
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        "hello\r\n\r\n",
        "HTTP/1.1 200 OK\r\na: b\r\n c\r\n\r\n",
    ] {
        let canary = Canary::start(vec![Reply::Keep(bytes.as_bytes().to_vec())]).await;
        let error = client().send(get(&url(canary.address))).await.unwrap_err();
        assert_eq!(error.reason(), "ExchangeFailed", "{bytes:?}");
    }
}

#[tokio::test]
async fn a_protocol_switch_is_refused() {
    let switch = Reply::Keep(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n".to_vec());
    let canary = Canary::start(vec![switch]).await;
    let mut request = get(&url(canary.address));
    request.headers_mut().insert("connection", "upgrade".parse().unwrap());
    request.headers_mut().insert("upgrade", "x".parse().unwrap());
    let error = client().send(request).await.unwrap_err();
    assert_eq!((error.reason(), error.before_send()), ("ProtocolSwitch", false));
    let mut request = get(&url(canary.address));
    *request.method_mut() = http::Method::CONNECT;
    assert!(client().send(request).await.unwrap_err().refused());
}

#[tokio::test]
async fn bodies_are_passed_on_as_they_came() {
    let canary = Canary::start(vec![keep("200 OK", "content-encoding: gzip\r\n", "not really gzip")]).await;
    let response = client().send(get(&url(canary.address))).await.unwrap();
    assert_eq!(response.headers()["content-encoding"], "gzip");
    assert_eq!(text(response).await, "not really gzip");
    assert!(!canary.requests()[0].to_ascii_lowercase().contains("accept-encoding"));
}

#[tokio::test]
async fn plain_text_where_tls_is_expected_fails_before_sending() {
    let canary = Canary::start(vec![Reply::Hang]).await;
    let limits = ClientLimits { connect_timeout: Duration::from_millis(500), ..ClientLimits::default() };
    let client = ExternalClient::with_limits(policy(open_loopback()), Reach::Admin, &limits).unwrap();
    let error = client.send(get(&format!("https://{}/", canary.address))).await.unwrap_err();
    assert_eq!((error.reason(), error.before_send()), ("TlsFailed", true));
    assert_eq!(canary.requests().len(), 0);
}

/// An HTTPS server with a certificate for `names`, offering `alpn`; and that certificate.
async fn https(names: &[&str], alpn: &[u8]) -> (SocketAddr, rustls_pki_types::CertificateDer<'static>) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let key = rustls_pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![alpn.to_vec()];
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(tls) = acceptor.accept(tcp).await else { return };
                let service = hyper::service::service_fn(|request: http::Request<hyper::body::Incoming>| async move {
                    let seen = format!("{:?} {}", request.version(), request.uri().path());
                    Ok::<_, std::convert::Infallible>(http::Response::new(Body::from(seen)))
                });
                let builder = hyper_util::server::conn::auto::Builder::new(hyper_util::rt::TokioExecutor::new());
                let _ = builder.serve_connection(hyper_util::rt::TokioIo::new(tls), service).await;
            });
        }
    });
    (address, made.cert.der().clone())
}

#[tokio::test]
async fn tls_verifies_the_name_and_agrees_on_the_protocol() {
    for (alpn, seen) in [(&b"h2"[..], "HTTP/2.0 /x"), (b"http/1.1", "HTTP/1.1 /x")] {
        let (address, root) = https(&["tls.example.com", "127.0.0.1"], alpn).await;
        let trusting = || tls::client_config(&[b"h2", b"http/1.1"], vec![root.clone()]).unwrap();
        let dns = Dns::answering([&["127.0.0.1"]]);
        let policy = EgressPolicy::with_resolver(open_loopback(), dns).unwrap().with_tls(trusting());
        let client = ExternalClient::new(policy, Reach::Admin).unwrap();
        let port = address.port();
        for host in ["tls.example.com", "TLS.Example.com", "127.0.0.1", "127.1"] {
            let response = client.send(get(&format!("https://{host}:{port}/x"))).await.unwrap();
            assert_eq!(text(response).await, seen, "{host}");
        }
        let error = client.send(get(&format!("https://other.example.com:{port}/x"))).await.unwrap_err();
        assert_eq!((error.reason(), error.before_send()), ("TlsFailed", true));
    }
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused() {
    let (address, _) = https(&["127.0.0.1"], b"h2").await;
    let error = client().send(get(&format!("https://{address}/x"))).await.unwrap_err();
    assert_eq!((error.reason(), error.before_send()), ("TlsFailed", true));
}
