//! Credentials of remote MCP servers: they arrive there, they follow their Secret, and they never come back.

use super::harness::*;
use crate::snapshot::Health;
use aperium_crds::Connector;
use axum::response::Response;
use base64::Engine as _;
use http::HeaderMap;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

mod proxied;

const KEY: &str = "sk-live/q4711z-\"quoted\"";

fn auth(kind: &str, block: &str, fields: &Value) -> Value {
    let mut fields = fields.clone();
    fields["secretRef"] = json!({ "name": "s" });
    json!({ "auth": { "type": kind, block: fields } })
}

/// A server that lets in whoever carries what `right` asks for.
async fn guarded(right: impl Fn(&Seen) -> bool + Clone + Send + Sync + 'static) -> Fake {
    Fake::start(move |seen: Seen| {
        let right = right.clone();
        async move {
            if right(&seen) {
                stateless(&seen, &definitions(&["echo"]))
            } else {
                answer(401, &json!({ "error": "no" }))
            }
        }
    })
    .await
}

fn header(headers: &HeaderMap, name: &str) -> Vec<String> {
    headers.get_all(name).iter().map(|value| value.to_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn each_kind_of_credential_arrives_where_it_belongs_and_the_callers_own_does_not() {
    let basic = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode("me:pass word"));
    type Case = (Value, &'static [(&'static str, &'static str)], Box<dyn Fn(&Seen) -> bool + Send + Sync>);
    let cases: Vec<Case> = vec![
        (
            auth("bearer_token", "bearerToken", &json!({})),
            &[("secret", "abc-123-def\n")],
            Box::new(|seen| header(&seen.headers, "authorization") == ["Bearer abc-123-def"]),
        ),
        (
            auth("api_key", "apiKey", &json!({ "in": "header", "name": "X-API-Key" })),
            &[("secret", "wk-example-key")],
            Box::new(|seen| {
                header(&seen.headers, "x-api-key") == ["wk-example-key"] && !seen.headers.contains_key("authorization")
            }),
        ),
        (
            auth("api_key", "apiKey", &json!({ "in": "query", "name": "key" })),
            &[("secret", "a b&c")],
            Box::new(|seen| seen.uri == "/mcp?key=a%20b%26c" && !seen.headers.contains_key("authorization")),
        ),
        (
            auth("basic", "basic", &json!({})),
            &[("username", "me"), ("password", "pass word")],
            Box::new(move |seen| header(&seen.headers, "authorization") == [basic.clone()]),
        ),
    ];
    for (auth, values, right) in cases {
        let right: Arc<dyn Fn(&Seen) -> bool + Send + Sync> = right.into();
        let fake = guarded(move |seen| right(seen)).await;
        let setup = Setup::default().url("odoo", fake.address, &auth).secret("odoo", values);
        let gateway = setup.grant("client:agent", &["**"]).start().await;
        assert_eq!(gateway.tools("/v1/mcp").await, ["odoo_echo"], "{auth}");
        let mut request = stateless_post("/v1/mcp?key=theirs", "tools/call", &json!({ "name": "odoo_echo" }));
        request.headers_mut().insert("x-api-key", "theirs".parse().unwrap());
        let answer = gateway.send(request).await;
        assert_eq!(answer.json()["result"]["content"][0]["text"], "echo", "{auth} {answer:?}");
        assert!(fake.seen.lock().unwrap().iter().all(|seen| !format!("{:?}", seen.headers).contains(TOKEN)));
    }
}

/// The condition of this type that a Connector gets.
fn condition(gateway: &Gateway, kind: &str) -> Option<(String, String, String)> {
    let snapshot = gateway.state.snapshot.load();
    let entry = &snapshot.connectors()[0];
    let spec = json!({ "protocol": "mcp", "url": "https://example.com" });
    let manifest = json!({ "apiVersion": "aperium.dev/v1alpha1", "kind": "Connector", "metadata": { "name": "odoo" }, "spec": spec });
    let connector: Connector = serde_json::from_value(manifest).unwrap();
    let now = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(k8s_openapi::jiff::Timestamp::UNIX_EPOCH);
    let status = crate::status::of(&connector, Some(entry), None, &now);
    let found = status.conditions.into_iter().find(|condition| condition.type_ == kind)?;
    Some((found.status, found.reason, found.message))
}

#[tokio::test]
async fn a_credential_follows_its_secret_and_nothing_is_sent_without() {
    let fake = guarded(|seen| header(&seen.headers, "authorization") == ["Bearer second-value"]).await;
    let setup = Setup::default().url("odoo", fake.address, &auth("bearer_token", "bearerToken", &json!({})));
    let gateway = setup.grant("client:agent", &["**"]).start().await;
    let (status, reason, _) = condition(&gateway, "ResolvedRefs").unwrap();
    assert_eq!((status.as_str(), reason.as_str()), ("Unknown", "Pending"));
    let refused = gateway.rpc("/v1/mcp", "tools/call", &json!({ "name": "odoo_echo" })).await;
    assert!(refused.to_string().contains("its credential is not available"), "{refused}");
    assert_eq!(fake.seen.lock().unwrap().len(), 0, "nothing goes out without the credential");

    gateway.secret("odoo", secret(&[("token", "second-value")])).await;
    gateway.until(|_| condition(&gateway, "ResolvedRefs").is_some_and(|said| said.1 == "SecretKeyMissing")).await;
    let (status, _, message) = condition(&gateway, "ResolvedRefs").unwrap();
    assert!(status == "False" && message.contains("\"s\"") && !message.contains("second-value"), "{message}");

    gateway.secret("odoo", secret(&[("secret", "first-value")])).await;
    gateway.until(|_| condition(&gateway, "CredentialsAvailable").is_some_and(|said| said.1 == "AuthFailed")).await;
    assert_eq!(condition(&gateway, "ResolvedRefs").unwrap().0, "True");

    gateway.secret("odoo", secret(&[("secret", "second-value")])).await;
    gateway.until(|snapshot| snapshot.connectors()[0].health == Health::Registered).await;
    assert_eq!(condition(&gateway, "CredentialsAvailable").unwrap().0, "True");
    assert_eq!(gateway.tools("/v1/mcp").await, ["odoo_echo"]);
    // The Secret of another name is not this connector's, whoever says so.
    let mut other = secret(&[("secret", "stolen-value")]);
    other.secret = "other".into();
    gateway.secret("odoo", other).await;
    let called = gateway.rpc("/v1/mcp", "tools/call", &json!({ "name": "odoo_echo" })).await;
    assert_eq!(called["result"]["content"][0]["text"], "echo", "{called}");
}

/// Repeats all that it was sent, in every place where an upstream can put it.
fn reflecting(seen: &Seen) -> Response {
    if seen.json()["method"] != "tools/call" {
        return stateless(seen, &definitions(&["json", "error", "events", "status", "drip"]));
    }
    let all = format!("{:?} {}", header(&seen.headers, "x-key"), seen.uri);
    let id = seen.json()["id"].clone();
    let echoed = header(&seen.headers, "x-key").pop().unwrap();
    let error = json!({ "code": -32000, "message": format!("bad key {echoed}"), "data": all });
    let mut response = match seen.json()["params"]["name"].as_str().unwrap() {
        "json" => result(seen, &json!({ "content": [{ "type": "text", "text": format!("you sent {all} {echoed}") }] })),
        "error" => answer(200, &json!({ "jsonrpc": "2.0", "id": id, "error": error })),
        "status" => answer(400, &json!({ "jsonrpc": "2.0", "id": id, "error": error })),
        kind => {
            let event = format!("data: {}\n\n", json!({ "jsonrpc": "2.0", "id": id, "error": error }));
            let size = if kind == "drip" { 1 } else { 4096 };
            let parts: Vec<Vec<u8>> = event.as_bytes().chunks(size).map(<[u8]>::to_vec).collect();
            let parts = futures::stream::iter(parts.into_iter().map(Ok::<_, std::io::Error>));
            let mut response = Response::new(axum::body::Body::from_stream(parts));
            response.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
            response
        }
    };
    response.headers_mut().insert("x-reflected", echoed.parse().unwrap());
    response
}

#[tokio::test]
async fn m21_an_upstream_that_reflects_the_credential_tells_no_caller() {
    let (lines, _guard) = Lines::here();
    let fake = Fake::start(|seen: Seen| async move { reflecting(&seen) }).await;
    let auth = auth("api_key", "apiKey", &json!({ "in": "header", "name": "X-Key" }));
    let setup = Setup::default().url("odoo", fake.address, &auth).secret("odoo", &[("secret", KEY)]);
    let gateway = setup.grant("client:agent", &["**"]).start().await;
    for kind in ["json", "error", "events", "status", "drip"] {
        let name = format!("odoo_{kind}");
        let answer = gateway.send(stateless_post("/v1/mcp", "tools/call", &json!({ "name": name }))).await;
        let everything = format!("{answer:?}");
        assert!(!everything.contains("q4711z"), "{kind}: {everything}");
        assert!(answer.text.contains("****"), "{kind}: it was there, and is covered: {}", answer.text);
        assert!(
            serde_json::from_str::<Value>(answer.text.trim_start_matches("event: message\ndata: ")).is_ok(),
            "{kind}"
        );
    }
    let metrics = Answer::read(gateway.state.metrics.scrape()).await.text;
    assert!(!lines.text().contains("q4711z") && lines.access().len() == 5, "nor the log: {}", lines.text());
    assert!(!metrics.contains("q4711z") && metrics.contains("odoo"), "nor the metrics");
}

#[tokio::test]
async fn client_credentials_are_fetched_once_and_a_refused_call_is_not_repeated() {
    let issued = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&issued);
    let issuer = Fake::start(move |seen: Seen| {
        let number = counter.fetch_add(1, Ordering::SeqCst);
        assert!(seen.text.starts_with("grant_type=client_credentials&scope=read%3Adata"));
        async move {
            answer(
                200,
                &json!({ "access_token": format!("token-{number}"), "token_type": "Bearer", "expires_in": 3600 }),
            )
        }
    })
    .await;
    let good = Arc::new(AtomicUsize::new(0));
    let accepted = Arc::clone(&good);
    let fake = guarded(move |seen| {
        header(&seen.headers, "authorization") == [format!("Bearer token-{}", accepted.load(Ordering::SeqCst))]
    })
    .await;
    let auth = auth(
        "oauth2_client_credentials",
        "clientCredentials",
        &json!({ "tokenUrl": format!("http://{}/token", issuer.address), "scopes": ["read:data"] }),
    );
    // A poll of its own would have a refused token replaced before the call shows anything.
    let mut slow = auth.clone();
    slow["discovery"] = json!({ "periodSeconds": 3600, "timeoutSeconds": 4 });
    let setup = Setup::default().url("odoo", fake.address, &slow);
    let setup = setup.secret("odoo", &[("client_id", "aperture-analytics"), ("client_secret", "secret-example")]);
    let gateway = setup.grant("client:agent", &["**"]).start().await;
    gateway.until(|snapshot| snapshot.connectors()[0].health == Health::Registered).await;
    let call = || async { gateway.rpc("/v1/mcp", "tools/call", &json!({ "name": "odoo_echo" })).await };
    for _ in 0..3 {
        assert_eq!(call().await["result"]["content"][0]["text"], "echo");
    }
    assert_eq!(issued.load(Ordering::SeqCst), 1);
    // The upstream takes another token from now on: one call fails, once, and the next one carries a new token.
    good.store(1, Ordering::SeqCst);
    let before = fake.count("tools/call");
    assert_eq!(call().await["result"]["isError"], true);
    assert_eq!(fake.count("tools/call"), before + 1, "a call that was sent is not sent again");
    assert_eq!(call().await["result"]["content"][0]["text"], "echo");
    assert_eq!(issued.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_token_endpoint_that_refuses_is_said_in_the_status_and_recovers() {
    let open = Arc::new(AtomicUsize::new(0));
    let opened = Arc::clone(&open);
    let issuer = Fake::start(move |_| {
        let open = opened.load(Ordering::SeqCst) == 1;
        async move {
            if open {
                answer(200, &json!({ "access_token": "token-0", "token_type": "bearer" }))
            } else {
                answer(401, &json!({ "error": "invalid_client", "error_description": "secret-example is wrong" }))
            }
        }
    })
    .await;
    let fake = guarded(|seen| header(&seen.headers, "authorization") == ["Bearer token-0"]).await;
    let token_url = json!({ "tokenUrl": format!("http://{}/token", issuer.address) });
    let auth = auth("oauth2_client_credentials", "clientCredentials", &token_url);
    let setup = Setup::default().url("odoo", fake.address, &auth);
    let setup = setup.secret("odoo", &[("client_id", "id"), ("client_secret", "secret-example")]);
    let gateway = setup.grant("client:agent", &["**"]).start().await;
    gateway.until(|_| condition(&gateway, "CredentialsAvailable").is_some_and(|said| said.0 == "False")).await;
    let (_, reason, message) = condition(&gateway, "CredentialsAvailable").unwrap();
    assert_eq!(reason, "TokenRefused");
    assert!(message.contains("401 (invalid_client)") && !message.contains("secret-example"), "{message}");
    let answer = gateway.rpc("/v1/mcp", "tools/call", &json!({ "name": "odoo_echo" })).await;
    assert!(answer.to_string().contains("its credential could not be obtained"), "{answer}");
    assert!(!answer.to_string().contains("127.0.0.1"), "{answer}");
    assert_eq!(fake.seen.lock().unwrap().len(), 0);
    open.store(1, Ordering::SeqCst);
    gateway.until(|snapshot| snapshot.connectors()[0].health == Health::Registered).await;
    assert_eq!(condition(&gateway, "CredentialsAvailable").unwrap().0, "True");
}
