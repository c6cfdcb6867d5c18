//! The connector's credential on a proxy path: it takes the place of whatever the caller sent, and never comes back.

use super::super::harness::*;
use super::echo;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::{HeaderValue, header};
use serde_json::{Value, json};

const KEY: &str = "sk-live-q4711z-0815";

fn auth(kind: &str, block: &str, fields: &Value) -> Value {
    let mut fields = fields.clone();
    fields["secretRef"] = json!({ "name": "s" });
    json!({ "auth": { "type": kind, block: fields } })
}

async fn start(origin: &Origin, auth: &Value, values: &[(&str, &str)]) -> Gateway {
    let setup = Setup::default().http("github", origin.address, "/v3", auth).secret("github", values);
    let gateway = setup.grant("client:agent", &["github/proxy"]).start().await;
    gateway.state.settled().await;
    gateway
}

#[tokio::test]
async fn it_takes_the_place_of_the_callers_own_in_every_spelling() {
    let origin = Origin::start(echo).await;
    let bearer = auth("bearer_token", "bearerToken", &json!({}));
    let gateway = start(&origin, &bearer, &[("secret", KEY)]).await;
    assert_eq!(gateway.send(ask("GET", "/v1/connectors/github/user")).await.status, 200);
    assert_eq!(origin.last()["authorization"], format!("Bearer {KEY}"));

    let in_header = auth("api_key", "apiKey", &json!({ "in": "header", "name": "X-API-Key" }));
    let gateway = start(&origin, &in_header, &[("secret", KEY)]).await;
    let mut request = ask("GET", "/v1/connectors/github/user");
    for theirs in ["theirs-1", "theirs-2"] {
        request.headers_mut().append("x-api-key", HeaderValue::from_static(theirs));
    }
    assert_eq!(gateway.send(request).await.status, 200);
    assert_eq!(origin.last().get_all("x-api-key").iter().collect::<Vec<_>>(), [KEY]);
    assert!(!origin.last().contains_key("authorization"));

    let in_query = auth("api_key", "apiKey", &json!({ "in": "query", "name": "key" }));
    let gateway = start(&origin, &in_query, &[("secret", KEY)]).await;
    let path =
        "/v1/connectors/github/user?key=theirs&a=1&KEY=theirs&%6bey=theirs&%256bey=theirs&key[]=theirs&b=2;key=theirs";
    let told = gateway.send(ask("GET", path)).await.json();
    // The echo repeats the key, and the mask covers it.
    assert_eq!(told["target"], format!("/v3/user?a=1&b=2&key={}", "*".repeat(KEY.len())));
}

#[tokio::test]
async fn nothing_is_sent_without_it() {
    let origin = Origin::start(echo).await;
    let bearer = auth("bearer_token", "bearerToken", &json!({}));
    let setup = Setup::default().http("github", origin.address, "", &bearer);
    let gateway = setup.grant("client:agent", &["**"]).start().await;
    let answer = gateway.send(ask("GET", "/v1/connectors/github/user")).await;
    assert_eq!(answer.status, 502);
    assert_eq!(answer.json()["error"], "upstream unavailable: its credential is not available");
    assert!(origin.asked().is_empty());
}

#[tokio::test]
async fn m21_an_upstream_that_reflects_it_tells_no_caller() {
    let origin = Origin::start(|request: Request| async move {
        assert_eq!(request.headers()[header::ACCEPT_ENCODING], "identity", "what is compressed cannot be looked into");
        let seen = request.headers()[header::AUTHORIZATION].clone();
        let text = format!("you sent {seen:?} {}", seen.to_str().unwrap());
        let pieces: Vec<Vec<u8>> = text.as_bytes().chunks(5).map(<[u8]>::to_vec).collect();
        let pieces = futures::stream::iter(pieces.into_iter().map(Ok::<_, std::io::Error>));
        let mut response = match request.uri().path() {
            "/v3/streamed" => Response::new(Body::from_stream(pieces)),
            _ => Response::new(Body::from(text)),
        };
        response.headers_mut().insert("x-reflected", seen);
        response
    })
    .await;
    let gateway = start(&origin, &auth("bearer_token", "bearerToken", &json!({})), &[("secret", KEY)]).await;
    for path in ["/v1/connectors/github/whole", "/v1/connectors/github/streamed"] {
        let mut request = ask("GET", path);
        request.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        let answer = gateway.send(request).await;
        let all = format!("{answer:?}");
        assert!(answer.status == 200 && !all.contains("q4711z") && answer.text.contains("****"), "{all}");
    }
}

#[tokio::test]
async fn a_credential_that_is_refused_is_tried_once_and_the_answer_passes_without_a_challenge() {
    let origin = Origin::start(|_| async {
        let mut response = Response::new(Body::from("{\"message\":\"Bad credentials\"}"));
        *response.status_mut() = http::StatusCode::UNAUTHORIZED;
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"x\""));
        response
    })
    .await;
    let gateway = start(&origin, &auth("bearer_token", "bearerToken", &json!({})), &[("secret", KEY)]).await;
    let answer = gateway.send(ask("GET", "/v1/connectors/github/user")).await;
    assert_eq!((answer.status, answer.text.as_str()), (401, "{\"message\":\"Bad credentials\"}"));
    assert!(!answer.headers.contains_key(header::WWW_AUTHENTICATE));
    assert_eq!(origin.asked().len(), 1);
}
