//! The whole service around the connector, as a pod runs it.

use std::sync::Arc;
use std::time::Duration;

use aperium_mcp_service::connectors::prefect;
use aperium_mcp_service::{CredentialsSource, ServiceConfig, serve};
use aperium_platform::bearer::TokenSource;
use aperium_tests::{ports, wait};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::upstream::{Prefect, fields_of, policy};

pub(crate) async fn readiness_tells_good_from_refused_from_unreachable(prefect: Prefect) {
    let good = readiness(&prefect.api_url, &prefect.auth, "Ok").await;
    assert_eq!((&good["ready"], &good["tools"]), (&json!(true), &json!(11)), "writes are off unless asked for: {good}");
    let refused = readiness(&prefect.api_url, "admin:wr0ng-secret", "AuthFailed").await;
    assert_eq!(refused["ready"], false);
    assert!(!refused.to_string().contains("wr0ng"), "{refused}");
    let down = format!("http://127.0.0.1:{}/api", ports::free());
    assert_eq!(readiness(&down, &prefect.auth, "UpstreamUnreachable").await["ready"], false);
    let elsewhere = format!("{}/v2", prefect.api_url);
    assert_eq!(readiness(&elsewhere, &prefect.auth, "CredentialsInvalid").await["ready"], false);
    assert_eq!(readiness("", "", "CredentialsMissing").await["ready"], false);
}

/// What `/readyz` says once the credentials have this reason.
async fn readiness(api_url: &str, auth: &str, reason: &str) -> Value {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let token = TokenSource::fixed("token-of-the-test".into());
    let credentials = CredentialsSource::fixed(fields_of(api_url, &[("auth_string", auth)]));
    let config = ServiceConfig::new(Arc::new(prefect::Prefect::new()), token, credentials, policy());
    let service = tokio::spawn(serve(config, listener, stop.clone()));
    let what = format!("the credentials are {reason}");
    let report = wait::until(&what, Duration::from_secs(60), || async {
        let report = aperium_tests::http::get(&format!("http://{address}/readyz"), &[]).await.unwrap().json();
        (report["checks"]["credentials"]["reason"] == reason).then_some(report)
    })
    .await;
    stop.cancel();
    service.await.unwrap().unwrap();
    report
}
