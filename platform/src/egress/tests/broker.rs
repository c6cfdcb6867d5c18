//! The broker's client against a listener with a certificate of the CA that it was told, and of another.

use std::time::Duration;

use axum::{Router, body::Body, routing::post};
use http::Request;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::egress::{BrokerAddress, BrokerClient, EgressError};
use crate::serve::{ServerLimits, ServerTls, serve_tls};

/// A CA's certificate, and a certificate and key of it for `localhost`.
fn certificates() -> (String, String, String) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let server = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
    (ca.pem(), server.pem(), key.serialize_pem())
}

#[tokio::test]
async fn only_a_certificate_of_its_own_ca_is_the_broker() {
    let folder = tempfile::tempdir().unwrap();
    let (ca, certificate, key) = certificates();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("tls.crt"), certificate).unwrap();
    std::fs::write(path("tls.key"), key).unwrap();
    std::fs::write(path("ca.crt"), ca).unwrap();
    std::fs::write(path("other.crt"), certificates().0).unwrap();

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = Router::new().route("/redeem", post(async || "here"));
    let stop = CancellationToken::new();
    let tls = ServerTls::files(path("tls.crt"), path("tls.key"));
    let limits = ServerLimits { drain: Duration::from_secs(1), ..ServerLimits::default() };
    tokio::spawn(serve_tls(listener, tls, app, limits, stop.clone()));

    let request = || Request::post("http://elsewhere.example.com/redeem").body(Body::empty()).unwrap();
    let to = |host: &str| BrokerAddress::parse(&format!("{host}:{}", address.port())).unwrap();
    let good = BrokerClient::new(to("localhost"), path("ca.crt"));
    assert_eq!(good.send(request()).await.unwrap().status(), 200, "whatever host the request names");
    let refused = |client: BrokerClient| async move { client.send(request()).await.unwrap_err() };
    let other = refused(BrokerClient::new(to("localhost"), path("other.crt"))).await;
    assert!(matches!(other, EgressError::Tls { .. }), "{other}");
    let name = refused(BrokerClient::new(to("127.0.0.1"), path("ca.crt"))).await;
    assert!(matches!(name, EgressError::Tls { .. }), "another name: {name}");
    let missing = refused(BrokerClient::new(to("localhost"), path("none.crt"))).await;
    assert!(missing.before_send(), "{missing}");
    assert!(BrokerAddress::parse("https://localhost:1").is_err());
    stop.cancel();
}
