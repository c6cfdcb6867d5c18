//! Credentials of tenants through the API, over a real store in a file, and what readiness says of it.

use super::harness::*;
use aperium_core::id::{ConnectorId, TenantId};
use aperium_platform::seal::Sealer;
use aperium_store::{Store, Target};
use axum::body::Body;
use axum::extract::Request;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use std::time::Duration;
use tempfile::TempDir;
use tower::ServiceExt as _;

mod tenants;

const PATH: &str = "/api/tenants/acme/connectors/postgres/credentials";
const PASSWORD: &str = "canary-9c3e-of-acme";

fn target(folder: &TempDir) -> Target {
    Target::Sqlite(folder.path().join("aperium.db"))
}

/// `other` administers a gateway with the service `postgres` and the remote server `odoo`.
async fn gateway(fake: &Fake, store: Option<Store>) -> Gateway {
    let mut setup = Setup { database: store, ..Setup::default() }
        .service("postgres", fake.address, "service-token")
        .url("odoo", fake.address, &json!({}))
        .grant("client:agent", &["postgres/**"])
        .grant("client:other", &["odoo/**"]);
    setup.grants[1]["spec"]["role"] = json!("admin");
    let gateway = setup.start().await;
    if let Some(database) = &gateway.state.database {
        while !database.check().ok {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    gateway
}

async fn ask(gateway: &Gateway, token: &str, method: &str, path: &str, body: Option<&Value>) -> Answer {
    let mut request: Request = post_as(token, path, "");
    *request.method_mut() = method.parse().unwrap();
    *request.body_mut() = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
    gateway.send(request).await
}

fn values() -> Value {
    json!({ "fields": { "host": "db.acme.test", "database": "erp", "username": "reader", "password": PASSWORD } })
}

#[tokio::test]
async fn an_admin_saves_values_that_never_come_back_and_the_store_has_them() {
    let (fake, folder) = (Fake::stateless(&[]).await, tempfile::tempdir().unwrap());
    let store = Store::open(&target(&folder), Sealer::ephemeral().unwrap()).unwrap();
    let gateway = gateway(&fake, Some(store.clone())).await;
    let empty = ask(&gateway, "other-token", "GET", PATH, None).await;
    assert_eq!((empty.status, &empty.json()["credential"]), (200, &Value::Null), "{}", empty.text);
    let fields: Vec<_> = empty.json()["fields"].as_array().unwrap().iter().map(|f| f["name"].clone()).collect();
    assert!(fields.contains(&json!("password")) && fields.contains(&json!("client_key")), "{fields:?}");

    let saved = ask(&gateway, "other-token", "PUT", PATH, Some(&values())).await;
    assert_eq!(saved.status, 200, "{}", saved.text);
    let shown = ask(&gateway, "other-token", "GET", PATH, None).await;
    for text in [&saved.text, &shown.text] {
        assert!(!text.contains(PASSWORD) && !text.contains("db.acme.test"), "{text}");
    }
    let credential = &shown.json()["credential"];
    assert_eq!(
        (&credential["version"], &credential["state"], &credential["saved_by"], &credential["used_at"]),
        (&json!(1), &json!("active"), &json!("client:other"), &Value::Null)
    );
    assert_eq!(credential["set"], json!(["database", "host", "password", "username"]));
    assert!(credential["saved_at"].as_str().unwrap().ends_with('Z'));
    let tenant = |name: &str| store.tenant(&TenantId::parse(name).unwrap());
    let postgres = ConnectorId::parse("postgres").unwrap();
    let loaded = tenant("acme").load_credential(&postgres).await.unwrap().unwrap();
    assert_eq!(loaded.fields["password"].expose_secret(), PASSWORD);
    assert!(tenant("globex").load_credential(&postgres).await.unwrap().is_none());
    let other = ask(&gateway, "other-token", "GET", &PATH.replace("acme", "globex"), None).await;
    assert_eq!(other.json()["credential"], Value::Null, "another tenant has nothing");

    assert_eq!(ask(&gateway, "other-token", "DELETE", PATH, None).await.status, 204);
    assert_eq!(ask(&gateway, "other-token", "DELETE", PATH, None).await.status, 404);
    assert!(tenant("acme").load_credential(&postgres).await.unwrap().is_none());
    let revoked = ask(&gateway, "other-token", "GET", PATH, None).await.json();
    assert_eq!((&revoked["credential"]["state"], &revoked["credential"]["set"]), (&json!("revoked"), &json!([])));
}

#[tokio::test]
async fn what_does_not_fit_the_connector_is_refused_without_being_quoted() {
    let (fake, folder) = (Fake::stateless(&[]).await, tempfile::tempdir().unwrap());
    let store = Store::open(&target(&folder), Sealer::ephemeral().unwrap()).unwrap();
    let gateway = gateway(&fake, Some(store)).await;
    let with = |pointer: &str, value: Value| {
        let mut body = values();
        body["fields"][pointer] = value;
        body
    };
    let mut past = values();
    past["expires_at"] = json!("2020-01-01T00:00:00Z");
    for (path, body, status) in [
        (PATH, json!({ "fields": { "password": PASSWORD } }), 422),
        (PATH, with("passphrase", json!(PASSWORD)), 422),
        (PATH, with("password", json!("")), 422),
        (PATH, with("password", json!("x".repeat(65_537))), 422),
        (PATH, with("password", json!([PASSWORD])), 400),
        (PATH, past, 422),
        ("/api/tenants/-/connectors/postgres/credentials", values(), 422),
        ("/api/tenants/acme/connectors/nothing/credentials", values(), 404),
        // A remote server's credentials are named in its Connector.
        ("/api/tenants/acme/connectors/odoo/credentials", values(), 409),
    ] {
        let answer = ask(&gateway, "other-token", "PUT", path, Some(&body)).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text);
        assert!(!answer.text.contains(PASSWORD), "{}", answer.text);
    }
}

/// T5: who is no admin reads the same answer for what is there and for what is not.
#[tokio::test]
async fn t5_nobody_but_an_admin_learns_anything() {
    let (fake, folder) = (Fake::stateless(&[]).await, tempfile::tempdir().unwrap());
    let store = Store::open(&target(&folder), Sealer::ephemeral().unwrap()).unwrap();
    let gateway = gateway(&fake, Some(store)).await;
    assert_eq!(ask(&gateway, "other-token", "PUT", PATH, Some(&values())).await.status, 200);
    let paths = [PATH.to_owned(), PATH.replace("acme", "globex"), PATH.replace("postgres", "nothing")];
    for (token, status) in [("agent-token", 403), ("nobodys-token", 401)] {
        for method in ["GET", "PUT", "DELETE"] {
            let mut answers = Vec::new();
            for path in &paths {
                let answer = ask(&gateway, token, method, path, Some(&values())).await;
                assert_eq!(answer.status, status, "{token} {method} {path}: {}", answer.text);
                let mut body = answer.json();
                body["request_id"] = Value::Null;
                answers.push(body);
            }
            assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
        }
    }
    let still = ask(&gateway, "other-token", "GET", PATH, None).await.json();
    assert_eq!(still["credential"]["state"], "active");
}

#[tokio::test]
async fn readiness_names_a_database_that_is_away_and_a_ring_that_is_not_its_own() {
    let (fake, folder) = (Fake::stateless(&[]).await, tempfile::tempdir().unwrap());
    let ready = async |gateway: &Gateway| {
        let request = Request::get("/readyz").body(Body::empty()).unwrap();
        let answer = Answer::read(gateway.admin.clone().oneshot(request).await.unwrap()).await;
        (answer.status, answer.json()["checks"]["database"].clone())
    };
    let none = gateway(&fake, None).await;
    assert_eq!(ready(&none).await, (200, Value::Null));
    assert_eq!(ask(&none, "other-token", "GET", PATH, None).await.status, 503);

    let own = gateway(&fake, Some(Store::open(&target(&folder), Sealer::ephemeral().unwrap()).unwrap())).await;
    let (status, check) = ready(&own).await;
    assert_eq!((status, &check["ok"]), (200, &json!(true)), "{check}");

    // The same file under another ring.
    let foreign = Store::open(&target(&folder), Sealer::ephemeral().unwrap()).unwrap();
    let foreign = Setup { database: Some(foreign), ..Setup::default() }.start().await;
    let away = Target::postgres(&"postgres://a:b@127.0.0.1:1/x".into()).unwrap();
    let away = Store::open(&away, Sealer::ephemeral().unwrap()).unwrap();
    let away = Setup { database: Some(away), ..Setup::default() }.start().await;
    for (gateway, reason) in [(&foreign, "SealInvalid"), (&away, "DatabaseUnavailable")] {
        let mut last = Value::Null;
        for _ in 0..800 {
            let (status, check) = ready(gateway).await;
            assert_eq!(status, 503, "{check}");
            last = check["reason"].clone();
            if last == reason {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(last, reason);
    }
}
