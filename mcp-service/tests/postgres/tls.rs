//! The TLS modes against a server whose certificate is for `localhost`, reached as `localhost` and as `127.0.0.1`.

use std::fs;

use crate::server::{Server, shared};
use crate::service::{Options, Service};

fn pem(server: &Server, name: &str) -> String {
    fs::read_to_string(server.certificates.join(name)).unwrap()
}

async fn encrypted(service: &Service) -> bool {
    let answer = service.query("select ssl from pg_stat_ssl where pid = pg_backend_pid()").await.ok();
    answer["rows"][0][0] == true
}

#[tokio::test]
async fn verify_full_wants_the_ca_and_the_name() {
    let server = shared();
    let ca = || pem(&server, "ca.crt");
    let options = |host: &'static str, ca: String| {
        Options::new(&server).with("ssl_mode", "verify-full").with("host", host).with("ca_certificate", ca)
    };
    let good = Service::start(&server, options("localhost", ca())).await;
    assert!(encrypted(&good).await);
    let wrong_name = Service::start(&server, options("127.0.0.1", ca())).await;
    wrong_name.query("select 1").await.failed("upstream_unavailable");
    let wrong_ca = Service::start(&server, options("localhost", pem(&server, "other.crt"))).await;
    wrong_ca.query("select 1").await.failed("upstream_unavailable");
    // Nothing said means verify-full and the system's CAs, which do not know this one.
    let mut unsaid = Options::new(&server).with("host", "localhost");
    unsaid.credentials.retain(|(name, _)| *name != "ssl_mode");
    Service::start(&server, unsaid).await.query("select 1").await.failed("upstream_unavailable");
}

#[tokio::test]
async fn verify_ca_wants_the_ca_and_require_wants_only_tls() {
    let server = shared();
    let base = || Options::new(&server).with("ssl_mode", "verify-ca");
    let good = Service::start(&server, base().with("ca_certificate", pem(&server, "ca.crt"))).await;
    assert!(encrypted(&good).await, "another name does not matter");
    let wrong_ca = Service::start(&server, base().with("ca_certificate", pem(&server, "other.crt"))).await;
    wrong_ca.query("select 1").await.failed("upstream_unavailable");
    Service::start(&server, base()).await.query("select 1").await.failed("invalid_argument");
    let require = Service::start(&server, Options::new(&server).with("ssl_mode", "require")).await;
    assert!(encrypted(&require).await);
    let disable = Service::start(&server, Options::new(&server)).await;
    assert!(!encrypted(&disable).await);
}

#[tokio::test]
async fn a_client_certificate_is_shown_when_there_is_one() {
    let server = shared();
    let options = Options::new(&server)
        .with("ssl_mode", "require")
        .with("client_certificate", pem(&server, "client.crt"))
        .with("client_key", pem(&server, "client.key"));
    let service = Service::start(&server, options).await;
    let shown = service.query("select client_dn from pg_stat_ssl where pid = pg_backend_pid()").await.ok();
    assert_eq!(shown["rows"][0][0], "/CN=agent");
    let half = Options::new(&server).with("ssl_mode", "require").with("client_key", pem(&server, "client.key"));
    Service::start(&server, half).await.query("select 1").await.failed("invalid_argument");
}

#[tokio::test]
async fn plaintext_leaves_the_machine_only_when_an_admin_says_so() {
    let server = shared();
    let far = || Options::new(&server).with("host", "192.0.2.1");
    let error = Service::start(&server, far()).await.query("select 1").await.failed("invalid_argument");
    assert!(error["message"].as_str().unwrap().contains("allowPlaintext"));
}
