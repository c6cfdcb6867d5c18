//! A Connector is deleted through the API: what anybody has stored for it goes with it, so that whoever makes another one
//! of the same id finds nothing.

use super::world::*;
use super::*;
use crate::document::{DocumentStore, Macros};
use crate::writer::Writer;
use aperium_core::id::{ConnectorId, TenantId};
use serde_json::Value;
use std::sync::Arc;

const TEXT: &str = r#"{"flags": {"connectors": {"value": true}}, "grants": [{"src": ["(loopback)"], "app": {"tailscale.com/cap/aperture":
    [{"role": "admin", "connectors": ["**"]}]}}]}"#;

/// The version of the connector that is made by this.
async fn make(world: &World, gateway: &Gateway, id: &str) -> String {
    let url = format!("{}/mcp", world.issuer());
    let spec = json!({ "protocol": "mcp", "url": url, "auth": { "type": "oauth2_dcr" } });
    let made = gateway.send(at("PUT", &format!("/api/connectors/{id}"), &json!({ "spec": spec }).to_string())).await;
    assert_eq!(made.status, 201, "{}", made.text);
    gateway.until(|snapshot| snapshot.connectors().iter().any(|entry| entry.config.id.as_str() == id)).await;
    made.json()["version"].as_str().unwrap().to_owned()
}

async fn delete(gateway: &Gateway, id: &str, version: &str) -> Answer {
    gateway.send(at("DELETE", &format!("/api/connectors/{id}?version={version}"), "")).await
}

#[tokio::test]
async fn t9_tokens_and_credentials_of_a_deleted_connector_are_gone_for_one_of_the_same_id() {
    let world = World::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.hujson");
    std::fs::write(&path, TEXT).unwrap();
    let mut setup = world.setup().await;
    let document = DocumentStore::open(&path, Macros::default(), Some(setup.settings.egress.clone())).unwrap();
    (setup.connectors, setup.grants) = (Vec::new(), Vec::new());
    setup.writer = Writer::Document(Arc::new(document));
    let store = setup.database.clone().unwrap();
    let gateway = setup.start().await;

    let github = make(&world, &gateway, "github").await;
    make(&world, &gateway, "slack").await;
    for id in ["github", "slack"] {
        consent(&world, &gateway, id).await;
        listed(&gateway, id).await;
        assert_eq!(status(&gateway, id).await, "ready");
    }
    let acme = store.tenant(&TenantId::parse("acme").unwrap());
    let ids = ["github", "slack"].map(|id| ConnectorId::parse(id).unwrap());
    for id in &ids {
        acme.put_credential(id, &[("password".to_owned(), "hunter2".into())].into(), None, "root").await.unwrap();
    }
    // A browser is on its way when the Connector goes: what it comes back with has nothing to come back to.
    let begun = connect(&gateway, "github").await;

    let stale = delete(&gateway, "github", "another").await;
    assert_eq!((stale.status, status(&gateway, "github").await.as_str()), (409, "ready"), "{}", stale.text);
    assert!(acme.load_credential(&ids[0]).await.unwrap().is_some(), "what is not deleted loses nothing");
    assert_eq!(delete(&gateway, "github", &github).await.status, 204);
    assert!(acme.load_credential(&ids[0]).await.unwrap().is_none());

    make(&world, &gateway, "github").await;
    assert_eq!(status(&gateway, "github").await, "needs_auth");
    let answer =
        come_back(&gateway, "github", &[("code", "c"), ("state", &begun["state"]), ("iss", &world.issuer())]).await;
    assert_eq!(answer.status, 400, "{}", answer.text);
    let refused = call(&gateway, "github").await["result"].to_string();
    assert!(refused.contains("authorization_required"), "{refused}");
    // The other one has lost nothing.
    assert!(acme.load_credential(&ids[1]).await.unwrap().is_some());
    assert_eq!(status(&gateway, "slack").await, "ready");
    assert_eq!(call(&gateway, "slack").await["result"]["content"][0]["text"], Value::from("search"));
}
