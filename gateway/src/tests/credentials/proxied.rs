//! The same credentials behind `/v1/connectors/<id>/`: they arrive, they do not come back, and nothing writes them down.

use super::*;
use axum::extract::Request;
use axum::response::IntoResponse as _;
use http::{HeaderValue, StatusCode};
use tower::ServiceExt as _;

/// Says all that it was sent.
async fn mirror(request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let all = json!({ "target": parts.uri.to_string(), "headers": format!("{:?}", plain(&parts.headers)) });
    let mut response = (StatusCode::OK, all.to_string()).into_response();
    for value in parts.headers.values() {
        response.headers_mut().append("x-mirror", value.clone());
    }
    response
}

fn plain(headers: &HeaderMap) -> Vec<(String, String)> {
    let plain = |(name, value): (&http::HeaderName, &HeaderValue)| {
        (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    headers.iter().map(plain).collect()
}

async fn gateway(origin: &Origin, auth: &Value, values: &[(&str, &str)]) -> Gateway {
    let setup = Setup::default().http("api", origin.address, "/v3", auth).secret("api", values);
    setup.grant("client:agent", &["api/proxy"]).start().await
}

#[tokio::test]
async fn a_credential_of_an_http_api_arrives_and_is_neither_reflected_nor_written_down() {
    let origin = Origin::start(mirror).await;
    let key = "wk-q4711z-example-key";
    let cases = [
        (auth("bearer_token", "bearerToken", &json!({})), vec![("secret", key)]),
        (auth("api_key", "apiKey", &json!({ "in": "header", "name": "X-Api-Key" })), vec![("secret", key)]),
        (auth("api_key", "apiKey", &json!({ "in": "query", "name": "key" })), vec![("secret", key)]),
        (auth("basic", "basic", &json!({})), vec![("username", "me"), ("password", key)]),
    ];
    for (auth, values) in cases {
        let (lines, _guard) = Lines::here();
        let gateway = gateway(&origin, &auth, &values).await;
        let mut request = ask("GET", "/v1/connectors/api/items?x=1&key=theirs&%6bey=theirs-too");
        request.headers_mut().insert("x-api-key", HeaderValue::from_static("theirs"));
        request.headers_mut().insert("accept-encoding", HeaderValue::from_static("gzip"));
        let answer = gateway.send(request).await;
        assert_eq!(answer.status, 200, "{auth}");
        let asked = format!("{:?}", plain(&origin.last()));
        let basic = base64::engine::general_purpose::STANDARD.encode(format!("me:{key}"));
        let target = answer.json()["target"].as_str().unwrap().to_owned();
        assert!(!asked.contains(TOKEN) && !asked.contains("gzip"), "{asked}");
        match auth["auth"]["apiKey"]["in"].as_str() {
            Some("header") => assert!(!asked.contains("theirs"), "{asked}"),
            Some(_) => assert!(target.starts_with("/v3/items?x=1&key=*") && !target.contains("theirs"), "{target}"),
            None => assert!(target.contains("key=theirs") && asked.contains("theirs"), "{target} {asked}"),
        }
        assert!(answer.text.contains("*******************"), "it was there, and is covered: {}", answer.text);
        let metrics = Answer::read(gateway.admin.clone().oneshot(ask("GET", "/metrics")).await.unwrap()).await.text;
        assert!(metrics.contains("aperium"), "{metrics}");
        for (place, text) in [("answer", format!("{answer:?}")), ("log", lines.text()), ("metrics", metrics)] {
            assert!(
                !text.contains(key) && !text.contains(&basic) && !text.contains("q4711z"),
                "{auth}: {place}: {text}"
            );
        }
        assert!(!lines.text().is_empty());
    }
}

#[tokio::test]
async fn client_credentials_serve_an_http_api_and_its_status() {
    let issuer =
        Fake::start(|_| async { answer(200, &json!({ "access_token": "token-q4711z", "expires_in": 60 })) }).await;
    let origin = Origin::start(mirror).await;
    let token_url = json!({ "tokenUrl": format!("http://{}/token?client=canary-parameter", issuer.address) });
    let auth = auth("oauth2_client_credentials", "clientCredentials", &token_url);
    let (lines, _guard) = Lines::here();
    let gateway = gateway(&origin, &auth, &[("client_id", "id"), ("client_secret", "client-secret-q4711z")]).await;
    let answer = gateway.send(ask("GET", "/v1/connectors/api/items")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(origin.last()["authorization"], "Bearer token-q4711z");
    assert!(!format!("{answer:?}").contains("q4711z") && !lines.text().contains("q4711z"));
    let snapshot = gateway.state.snapshot.load();
    let entry = snapshot.connectors().iter().find(|entry| entry.config.id.as_str() == "api").unwrap();
    let condition = entry.credential.remote().unwrap().condition();
    assert!(matches!(condition, crate::pipeline::credential::Condition::Fetched), "{condition:?}");
}

#[tokio::test]
async fn without_its_secret_an_http_api_is_not_asked() {
    let origin = Origin::start(mirror).await;
    let setup = Setup::default().http("api", origin.address, "", &auth("bearer_token", "bearerToken", &json!({})));
    let gateway = setup.grant("client:agent", &["api/proxy"]).start().await;
    let answer = gateway.send(ask("POST", "/v1/connectors/api/items")).await;
    assert_eq!(answer.status, 502, "{answer:?}");
    assert_eq!(answer.json()["error"], "upstream unavailable: its credential is not available");
    assert!(origin.asked().is_empty());
}
