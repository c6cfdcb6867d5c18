//! `PUT` and `DELETE` over a folder.

use super::harness::*;
use crate::config::Given;
use crate::folder::{self, FolderStore};
use crate::writer::Writer;
use axum::body::Body;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;

const ADMINS: &str = "apiVersion: aperium.dev/v1alpha1\nkind: Grant\nmetadata: {name: admins}\nspec: {subjects: ['client:agent'], role: admin, connectors: ['**']}\n";

/// A gateway over a folder in which `agent` is admin.
async fn gateway(path: &std::path::Path) -> Gateway {
    std::fs::write(path.join("admins.yaml"), ADMINS).unwrap();
    let loaded = folder::load(path).unwrap();
    let given = Given { resources: loaded.resources, secrets: loaded.secrets, services: HashMap::new() };
    let store = Arc::new(FolderStore::new(path, given, Box::new(|_| Ok(()))));
    let gateway = Setup { writer: Writer::Folder(Arc::clone(&store)), ..Setup::default() }.start().await;
    let told =
        crate::given::forward(store.given(), "aperium-system".into(), gateway.events.clone(), gateway.stop.clone());
    tokio::spawn(told);
    gateway.until(|snapshot| !snapshot.catalog.grants.is_empty()).await;
    gateway
}

async fn send(gateway: &Gateway, method: &str, path: &str, body: &Value) -> Answer {
    let mut request = post(path, &body.to_string());
    *request.method_mut() = method.parse().unwrap();
    if body.is_null() {
        *request.body_mut() = Body::empty();
    }
    gateway.send(request).await
}

#[tokio::test]
async fn a_connector_is_made_changed_and_deleted_and_served_before_the_answer() {
    let fake = Fake::stateless(&["search"]).await;
    let folder = tempfile::tempdir().unwrap();
    let gateway = gateway(folder.path()).await;
    let mut spec = json!({ "protocol": "mcp", "url": format!("http://{}/mcp", fake.address) });
    let made = send(&gateway, "PUT", "/api/connectors/Odoo", &json!({ "spec": spec })).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!(made.json()["name"], "odoo");
    let shown = send(&gateway, "GET", "/api/connectors/odoo", &Value::Null).await.json();
    assert_eq!((&shown["id"], &shown["admin"]["spec"]["id"]), (&json!("Odoo"), &json!("Odoo")));
    assert_eq!(shown["admin"]["version"], made.json()["version"]);
    spec["description"] = json!("orders");
    spec["id"] = json!("Odoo");
    let unread = send(&gateway, "PUT", "/api/connectors/odoo", &json!({ "spec": spec })).await;
    assert_eq!(unread.status, 422, "the path says odoo, spec.id Odoo: {}", unread.text);
    let unread = send(&gateway, "PUT", "/api/connectors/Odoo", &json!({ "spec": spec })).await;
    assert_eq!((unread.status, unread.json()["error"].as_str().unwrap().contains("name the version")), (409, true));
    let version = made.json()["version"].clone();
    let changed = send(&gateway, "PUT", "/api/connectors/Odoo", &json!({ "spec": spec, "version": version })).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    let shown = send(&gateway, "GET", "/api/connectors/odoo", &Value::Null).await.json();
    assert_eq!(shown["description"], "orders");
    let stale =
        send(&gateway, "DELETE", &format!("/api/connectors/odoo?version={}", version.as_str().unwrap()), &Value::Null)
            .await;
    assert_eq!(stale.status, 409);
    let version = changed.json()["version"].as_str().unwrap().to_owned();
    let gone = send(&gateway, "DELETE", &format!("/api/connectors/odoo?version={version}"), &Value::Null).await;
    assert_eq!((gone.status, gone.text.as_str()), (204, ""));
    assert_eq!(send(&gateway, "GET", "/api/connectors/odoo", &Value::Null).await.status, 404);
    assert_eq!(send(&gateway, "DELETE", "/api/connectors/odoo", &Value::Null).await.status, 404);
}

#[tokio::test]
async fn what_cannot_be_served_is_not_saved() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = gateway(folder.path()).await;
    let error = async |path: &str, body: Value| {
        let answer = send(&gateway, "PUT", path, &body).await;
        (answer.status, answer.json()["error"].as_str().unwrap().to_owned())
    };
    let url = json!({ "protocol": "mcp", "url": "https://example.com" });
    assert!(error("/api/connectors/tailscale", json!({ "spec": url })).await.1.contains("is a reserved identifier"));
    assert!(error("/api/connectors/a-b", json!({ "spec": url })).await.1.contains("invalid ID"));
    assert_eq!(error("/api/connectors/a", json!({ "spec": { "url": "https://example.com" } })).await.0, 422);
    assert!(error("/api/connectors/a", json!({ "spec": { "protocol": "mcp" } })).await.1.contains("exactly one of"));
    assert_eq!(error("/api/connectors/a", json!({ "spec": url, "nonsense": 1 })).await.0, 400);
    assert_eq!(error("/api/connectors/a", json!({ "spec": url, "namespace": "other" })).await.0, 422);
    assert!(error("/api/grants/g", json!({ "spec": { "subjects": ["nobody"] } })).await.1.contains("subject must be"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn grants_are_changed_but_nobody_locks_themselves_out_and_hand_written_files_stay() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = gateway(folder.path()).await;
    let spec = json!({ "subjects": ["client:other"], "connectors": ["odoo/tools/*"] });
    let made = send(&gateway, "PUT", "/api/grants/others", &json!({ "spec": spec })).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let mut whoami = post_as("other-token", "/api/whoami", "");
    *whoami.method_mut() = http::Method::GET;
    assert_eq!(gateway.send(whoami).await.json()["grants"][0]["name"], "aperium-system/others");
    let grants = send(&gateway, "GET", "/api/grants", &Value::Null).await.json();
    let admins = grants["grants"].as_array().unwrap().iter().find(|grant| grant["name"] == "admins").unwrap().clone();
    let version = admins["version"].as_str().unwrap();
    let lockout = send(&gateway, "DELETE", &format!("/api/grants/admins?version={version}"), &Value::Null).await;
    assert_eq!((lockout.status, lockout.json()["error"].as_str().unwrap().contains("role admin")), (422, true));
    let mut spec = admins["spec"].clone();
    spec["connectors"] = json!(["odoo/**"]);
    let by_hand = send(&gateway, "PUT", "/api/grants/admins", &json!({ "spec": spec, "version": version })).await;
    assert_eq!(by_hand.status, 409);
    assert!(by_hand.json()["error"].as_str().unwrap().contains("managed by the file admins.yaml"), "{}", by_hand.text);
    let mut other = post_as("other-token", "/api/grants/x", &json!({ "spec": spec }).to_string());
    *other.method_mut() = http::Method::PUT;
    assert_eq!(gateway.send(other).await.status, 403);
}

#[tokio::test]
async fn two_changes_at_once_do_not_lock_out_together_whom_neither_locks_out_alone() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = gateway(folder.path()).await;
    let spec = json!({ "subjects": ["client:agent"], "role": "admin" });
    let mut versions = Vec::new();
    for name in ["one", "two"] {
        let made = send(&gateway, "PUT", &format!("/api/grants/{name}"), &json!({ "spec": spec })).await;
        versions.push(made.json()["version"].as_str().unwrap().to_owned());
    }
    std::fs::remove_file(folder.path().join("admins.yaml")).unwrap();
    let user = json!({ "subjects": ["client:other"] });
    assert_eq!(send(&gateway, "PUT", "/api/grants/other", &json!({ "spec": user })).await.status, 201);
    let paths =
        [format!("/api/grants/one?version={}", versions[0]), format!("/api/grants/two?version={}", versions[1])];
    let deleted = paths.map(|path| {
        let mut request = post(&path, "");
        *request.method_mut() = http::Method::DELETE;
        gateway.send(request)
    });
    let statuses: Vec<u16> = futures::future::join_all(deleted).await.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [204, 422]);
    assert_eq!(send(&gateway, "GET", "/api/grants", &Value::Null).await.status, 200, "somebody is admin still");
}
