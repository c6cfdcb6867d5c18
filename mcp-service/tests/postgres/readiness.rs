//! The truth table of `/readyz`: each cause has its name, and each repair is seen without a restart.

use std::sync::Arc;

use http::StatusCode;

use crate::server::{ROLE_PASSWORD, SUPERUSER_PASSWORD, Server, shared};
use crate::service::{Options, Service, fields};

#[tokio::test]
async fn good_credentials_make_it_ready() {
    let server = shared();
    let service = Service::start(&server, Options::new(&server)).await;
    let (status, report) = service.until("credentials", "Ok").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(report["ready"], true);
    assert_eq!(report["tools"], 11);
    assert!(report["toolsDigest"].as_str().unwrap().starts_with("sha256:"));
    let (_, metrics) = service.send("/metrics", None).await;
    for line in ["aperium_mcp_ready 1", "aperium_mcp_discovery_ok 1", "aperium_mcp_tools 11"] {
        assert!(metrics.as_str().unwrap().contains(line), "{line}");
    }
}

#[tokio::test]
async fn wrong_and_missing_credentials_are_told_apart_and_repaired_while_running() {
    let server = shared();
    let good = Options::new(&server);
    let service = Service::start(&server, Options::new(&server).with("password", "wrong")).await;
    let (status, report) = service.until("credentials", "AuthFailed").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(!report.to_string().contains("wrong"), "{report}");
    service.query("select 1").await.failed("auth_failed");
    // Only some of the fields: what is missing is named.
    service.credentials.send(fields(&[("host", "127.0.0.1".to_owned())])).unwrap();
    let (_, report) = service.until("credentials", "CredentialsMissing").await;
    assert_eq!(report["checks"]["credentials"]["message"], "missing: database, username");
    service.query("select 1").await.failed("auth_failed");
    service.credentials.send(good.fields()).unwrap();
    let (status, _) = service.until("credentials", "Ok").await;
    assert_eq!(status, StatusCode::OK);
    service.query("select 1").await.ok();
    // And back: what was taken away is not used any more.
    service.credentials.send(fields(&[])).unwrap();
    service.until("credentials", "CredentialsMissing").await;
    service.query("select 1").await.failed("auth_failed");
}

#[tokio::test]
async fn a_database_that_is_down_is_named_and_comes_back() {
    // A server of its own: others must not see it go.
    let server = Arc::new(Server::start());
    let service = Service::start(&server, Options::new(&server)).await;
    service.until("credentials", "Ok").await;
    service.query("select 1").await.ok();
    server.down();
    service.query("select 1").await.failed("upstream_unavailable");
    // A new look without waiting for the next probe: the same credentials, told anew.
    service.credentials.send(fields(&[])).unwrap();
    service.until("credentials", "CredentialsMissing").await;
    service.credentials.send(Options::new(&server).fields()).unwrap();
    let (status, _) = service.until("credentials", "UpstreamUnreachable").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    server.up();
    let (status, _) = service.until("credentials", "Ok").await;
    assert_eq!(status, StatusCode::OK);
    service.query("select 1").await.ok();
}

#[tokio::test]
async fn a_malformed_field_is_named() {
    let server = shared();
    for (field, value) in [("port", "x"), ("port", "0"), ("ssl_mode", "prefer"), ("ca_certificate", "no pem")] {
        let mut options = Options::new(&server).with(field, value);
        if field == "ca_certificate" {
            options = options.with("ssl_mode", "verify-full");
        }
        let service = Service::start(&server, options).await;
        let (_, report) = service.until("credentials", "CredentialsInvalid").await;
        assert!(report.to_string().contains(field), "{report}");
    }
}

#[tokio::test]
async fn a_host_that_the_policy_closes_is_refused_and_no_secret_is_said() {
    let server = shared();
    for host in ["169.254.169.254", "metadata.google.internal", "kubernetes.default.svc", "0.0.0.0"] {
        let service =
            Service::start(&server, Options::new(&server).with("host", host).with("ssl_mode", "require")).await;
        let (_, report) = service.until("credentials", "Forbidden").await;
        assert!(!report.to_string().contains(ROLE_PASSWORD));
        let answer = service.query("select 1").await.failed("forbidden");
        assert!(!answer.to_string().contains(ROLE_PASSWORD));
        assert!(!answer.to_string().contains(SUPERUSER_PASSWORD));
    }
}

#[tokio::test]
async fn without_the_token_nothing_but_the_probes_answers() {
    let server = shared();
    let service = Service::start(&server, Options::new(&server)).await;
    for path in ["/healthz", "/readyz"] {
        assert_ne!(service.status_without_token(path).await, StatusCode::UNAUTHORIZED, "{path}");
    }
    for path in ["/mcp", "/mcp/", "/metrics"] {
        assert_eq!(service.status_without_token(path).await, StatusCode::UNAUTHORIZED, "{path}");
    }
    let (_, metrics) = service.send("/metrics", None).await;
    assert!(metrics.as_str().unwrap().contains("aperium_mcp_auth_failures_total 3"));
}
