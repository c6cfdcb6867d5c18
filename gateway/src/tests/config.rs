//! The configuration as one document: shown for every source, saved where the document is the source.

use super::harness::*;
use crate::document::{DocumentStore, Macros};
use crate::writer::Writer;
use axum::body::Body;
use axum::extract::Request;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;

const TEXT: &str = r#"{
  // managed by hand
  "flags": {"connectors": {"value": true}},
  "grants": [{"src": ["client:agent"], "app": {"tailscale.com/cap/aperture": [{"role": "admin", "connectors": ["**"]}]}}],
  "connectors": {"servers": {
    "github": {"protocol": "http", "url": "https://api.github.com", "auth": {"type": "bearer_token", "secret": "hunter2"}},
  }},
}"#;

struct Bed {
    gateway: Gateway,
    path: PathBuf,
    _folder: tempfile::TempDir,
}

async fn bed() -> Bed {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.hujson");
    std::fs::write(&path, TEXT).unwrap();
    let store = Arc::new(DocumentStore::open(&path, Macros::default(), None).unwrap());
    let gateway = Setup { writer: Writer::Document(store), ..Setup::default() }.start().await;
    gateway.until(|snapshot| snapshot.connectors().len() == 1).await;
    Bed { gateway, path, _folder: folder }
}

fn request(method: &str, path: &str, token: &str, body: &Value) -> Request {
    let mut request = post_as(token, path, &body.to_string());
    *request.method_mut() = method.parse().unwrap();
    if method == "GET" {
        *request.body_mut() = Body::empty();
        request.headers_mut().remove("content-type");
    }
    request
}

impl Bed {
    async fn send(&self, method: &str, path: &str, body: &Value) -> Answer {
        self.gateway.send(request(method, path, TOKEN, body)).await
    }

    async fn shown(&self) -> (String, String) {
        let answer = self.send("GET", "/api/config", &Value::Null).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let text = |field: &str| answer.json()[field].as_str().unwrap().to_owned();
        (text("config"), text("hash"))
    }

    async fn save(&self, config: &str, hash: &str) -> Answer {
        self.send("PUT", "/api/config", &json!({ "config": config, "hash": hash })).await
    }
}

#[tokio::test]
async fn a_document_is_shown_without_secrets_changed_and_served_at_once() {
    let bed = bed().await;
    let (config, hash) = bed.shown().await;
    assert!(config.contains("// managed by hand") && config.contains("\"***\"") && !config.contains("hunter2"));
    let added = config.replace(
        "\"github\": {",
        "\"local\": {\"protocol\": \"http\", \"url\": \"https://a.example\"},\n    \"github\": {",
    );
    let saved = bed.save(&added, &hash).await;
    assert_eq!((saved.status, &saved.json()["success"]), (200, &json!(true)), "{saved:?}");
    let list = bed.send("GET", "/api/connectors", &Value::Null).await.text;
    assert!(list.contains("\"local\"") && list.contains("\"github\""), "{list}");
    let file = std::fs::read_to_string(&bed.path).unwrap();
    assert!(file.contains("hunter2") && file.contains("// managed by hand") && file.contains("\"local\""), "{file}");
    assert_eq!(saved.json()["new_hash"].as_str(), Some(bed.shown().await.1.as_str()));
    // The hash of before is no longer good.
    let stale = bed.save(&added, &hash).await;
    assert_eq!(stale.status, 412, "{stale:?}");
    assert!(stale.json()["error"].as_str().unwrap().contains("has changed since it was read"), "{stale:?}");
}

#[tokio::test]
async fn what_is_wrong_is_said_and_nothing_is_saved() {
    let bed = bed().await;
    let (config, hash) = bed.shown().await;
    let refused = bed.save(&config.replace("\"protocol\": \"http\", ", ""), &hash).await;
    let body = refused.json();
    assert_eq!((refused.status, &body["success"]), (422, &json!(false)), "{refused:?}");
    assert_eq!(body["findings"][0]["message"], "protocol is required (e.g. \"mcp\" or \"http\")");
    assert_eq!(body["findings"][0]["path"], "connectors.servers.github");
    assert!(body["request_id"].is_string());
    let locked_out = bed.save(&config.replace("client:agent", "client:other"), &hash).await;
    assert_eq!(locked_out.status, 422);
    assert!(locked_out.json()["error"].as_str().unwrap().contains("would take the role admin from client:agent"));
    for (body, wanted) in [
        (json!({ "config": config }), "missing field `hash`"),
        (json!({ "config": config, "hash": hash, "x": 1 }), "unknown field `x`"),
    ] {
        let answer = bed.send("PUT", "/api/config", &body).await;
        assert!(answer.status == 400 && answer.text.contains(wanted), "{answer:?}");
    }
    assert_eq!(std::fs::read_to_string(&bed.path).unwrap(), TEXT);
}

#[tokio::test]
async fn validation_reports_warnings_as_errors_and_saves_nothing() {
    let bed = bed().await;
    let verdict =
        async |config: &str| bed.send("POST", "/aperture/config:validate", &json!({ "config": config })).await.json();
    let (config, _) = bed.shown().await;
    let good = verdict(&config).await;
    assert_eq!((&good["Valid"], &good["Errors"]), (&json!(true), &json!([])), "{good}");
    let bad = verdict(&config.replace("\"url\"", "\"basurl\"")).await;
    assert_eq!(bad["Valid"], false);
    assert_eq!(bad["Errors"], json!(["connector github has no url configured", "unknown config key \"basurl\""]));
    assert_eq!(verdict("").await["Errors"], json!(["config must not be empty"]));
    assert_eq!(std::fs::read_to_string(&bed.path).unwrap(), TEXT);
}

#[tokio::test]
async fn only_admins_see_and_change_it() {
    let bed = bed().await;
    for (method, path) in [("GET", "/api/config"), ("PUT", "/api/config"), ("POST", "/aperture/config:validate")] {
        // `other` has no grant at all here.
        let body = json!({ "config": "{}", "hash": "" });
        assert_eq!(bed.gateway.send(request(method, path, "other-token", &body)).await.status, 403, "{method} {path}");
    }
    let user = Setup::default().grant("client:agent", &["**"]).start().await;
    let answer = user.send(request("GET", "/api/config", TOKEN, &Value::Null)).await;
    assert!(answer.status == 403 && answer.text.contains("role admin"), "{answer:?}");
}

#[tokio::test]
async fn a_document_that_changes_in_its_file_is_taken_over() {
    let bed = bed().await;
    std::fs::write(&bed.path, TEXT.replace("\"github\"", "\"gitlab\"")).unwrap();
    bed.gateway.until(|snapshot| snapshot.connectors().iter().any(|entry| entry.config.id.as_str() == "gitlab")).await;
}

#[tokio::test]
async fn resources_are_shown_as_a_document_and_not_saved_as_one() {
    let mut setup =
        Setup::default().http("github", "127.0.0.1:9".parse().unwrap(), "/api", &json!({ "labels": ["code"] }));
    setup = setup.grant("client:agent", &["**"]);
    setup.grants[0]["spec"]["role"] = json!("admin");
    let gateway = setup.start().await;
    let shown = gateway.send(request("GET", "/api/config", TOKEN, &Value::Null)).await.json();
    let config = shown["config"].as_str().unwrap();
    let tree: Value = serde_json::from_str(config).unwrap();
    assert_eq!(tree["connectors"]["servers"]["github"]["labels"], json!(["code"]), "{config}");
    assert_eq!(tree["grants"][0]["app"]["tailscale.com/cap/aperture"][0]["role"], "admin");
    let body = json!({ "config": config, "hash": shown["hash"] });
    let saved = gateway.send(request("PUT", "/api/config", TOKEN, &body)).await;
    assert!(saved.status == 409 && saved.text.contains("managed by a folder of resources"), "{saved:?}");
    let body = json!({ "config": config });
    let verdict = gateway.send(request("POST", "/aperture/config:validate", TOKEN, &body)).await.json();
    assert_eq!(verdict["Errors"], json!([]), "{verdict}");
}

#[tokio::test]
async fn one_connector_or_grant_is_changed_in_the_text_of_the_document() {
    let bed = bed().await;
    let spec = json!({ "protocol": "mcp", "url": "https://a.example/mcp", "labels": ["x"] });
    let made = bed.send("PUT", "/api/connectors/local", &json!({ "spec": spec })).await;
    assert_eq!(made.status, 201, "{made:?}");
    let version = made.json()["version"].clone();
    assert!(std::fs::read_to_string(&bed.path).unwrap().contains("// managed by hand"));
    assert!(bed.shown().await.0.contains("https://a.example/mcp"));
    // One that exists is changed by its version, and what a document cannot say is refused.
    assert_eq!(bed.send("PUT", "/api/connectors/local", &json!({ "spec": spec })).await.status, 409);
    let hide = json!({ "protocol": "mcp", "url": "https://a.example/mcp", "tools": { "hide": ["a"] } });
    let refused = bed.send("PUT", "/api/connectors/local", &json!({ "spec": hide, "version": version })).await;
    assert!(refused.status == 422 && refused.text.contains("a document cannot say spec.tools"), "{refused:?}");
    // The secret of before is kept.
    let list = bed.send("GET", "/api/config", &Value::Null).await.json();
    assert!(list["config"].as_str().unwrap().contains("***"));
    let grant = json!({ "spec": { "subjects": ["group:ops"], "connectors": ["local/**"] } });
    let made = bed.send("PUT", "/api/grants/ops", &grant).await;
    assert_eq!(made.status, 201, "{made:?}");
    let grant = format!("/api/grants/ops?version={}", made.json()["version"].as_str().unwrap());
    let connector = format!("/api/connectors/local?version={}", version.as_str().unwrap());
    // A connector that a grant names cannot go before the grant.
    let early = bed.send("DELETE", &connector, &Value::Null).await;
    assert!(early.status == 422 && early.text.contains("does not match any declared connector"), "{early:?}");
    assert_eq!(bed.send("DELETE", &grant, &Value::Null).await.status, 204);
    assert_eq!(bed.send("DELETE", &connector, &Value::Null).await.status, 204);
    let file = std::fs::read_to_string(&bed.path).unwrap();
    assert!(!file.contains("local") && !file.contains("ops") && file.contains("hunter2"), "{file}");
}
