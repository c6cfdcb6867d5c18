//! Tenants as admins see them: whose credentials there are, how they are, and how a tenant goes.

use super::*;
use crate::broker::{CredentialReader as _, StoredCredentials};
use aperium_platform::probes::Check;

#[tokio::test]
async fn an_admin_lists_tenants_and_a_deleted_one_leaves_nothing_behind() {
    let (fake, folder) = (Fake::stateless(&[]).await, tempfile::tempdir().unwrap());
    let store = Store::open(&target(&folder), Sealer::ephemeral().unwrap()).unwrap();
    let gateway = gateway(&fake, Some(store.clone())).await;
    let get = async |path: &str| ask(&gateway, "other-token", "GET", path, None).await;
    assert_eq!(get("/api/tenants").await.json(), json!({ "tenants": [] }));
    for path in [PATH.to_owned(), PATH.replace("acme", "globex")] {
        assert_eq!(ask(&gateway, "other-token", "PUT", &path, Some(&values())).await.status, 200);
    }
    assert_eq!(get("/api/tenants").await.json(), json!({ "tenants": ["acme", "globex"] }));
    let acme = get("/api/tenants/acme").await;
    assert!(!acme.text.contains(PASSWORD) && !acme.text.contains("db.acme.test"), "{}", acme.text);
    let credential = &acme.json()["credentials"]["postgres"];
    assert_eq!((&credential["version"], &credential["state"]), (&json!(1), &json!("active")));
    for nobody in ["initech", "-", "%00", "acme%2Fx"] {
        let path = format!("/api/tenants/{nobody}");
        assert_eq!(get(&path).await.status, 404, "{nobody}");
        assert_eq!(ask(&gateway, "other-token", "DELETE", &path, None).await.status, 404, "{nobody}");
    }
    assert_eq!(ask(&gateway, "other-token", "DELETE", "/api/tenants/acme", None).await.status, 204);
    assert_eq!(ask(&gateway, "other-token", "DELETE", "/api/tenants/acme", None).await.status, 404);
    assert_eq!(get("/api/tenants/acme").await.status, 404);
    assert_eq!(get(PATH).await.json()["credential"], Value::Null);
    assert_eq!(get("/api/tenants").await.json(), json!({ "tenants": ["globex"] }));
    let reader = StoredCredentials::new(store);
    let (acme, globex) = (TenantId::parse("acme").unwrap(), TenantId::parse("globex").unwrap());
    let postgres = ConnectorId::parse("postgres").unwrap();
    assert!(reader.load(&acme, &postgres).await.unwrap().is_none(), "the broker has nothing to give");
    assert!(reader.load(&globex, &postgres).await.unwrap().is_some());
}

/// T5: who is no admin reads one answer for a tenant that is there and for one that is not.
#[tokio::test]
async fn t5_tenants_are_for_admins_alone() {
    let (fake, folder) = (Fake::stateless(&[]).await, tempfile::tempdir().unwrap());
    let store = Store::open(&target(&folder), Sealer::ephemeral().unwrap()).unwrap();
    let gateway = gateway(&fake, Some(store)).await;
    assert_eq!(ask(&gateway, "other-token", "PUT", PATH, Some(&values())).await.status, 200);
    for (token, status) in [("agent-token", 403), ("nobodys-token", 401)] {
        for (method, path) in
            [("GET", ""), ("GET", "/acme"), ("GET", "/globex"), ("DELETE", "/acme"), ("DELETE", "/globex")]
        {
            let answer = ask(&gateway, token, method, &format!("/api/tenants{path}"), None).await;
            assert_eq!(answer.status, status, "{token} {method} {path}: {}", answer.text);
            assert!(!answer.text.contains("acme"), "{}", answer.text);
        }
    }
    assert_eq!(ask(&gateway, "other-token", "GET", "/api/tenants/acme", None).await.status, 200, "it is still there");
}

#[tokio::test]
async fn the_state_of_each_tenant_is_with_the_connector_and_in_the_metrics() {
    let (fake, folder) = (Fake::stateless(&[]).await, tempfile::tempdir().unwrap());
    let store = Store::open(&target(&folder), Sealer::ephemeral().unwrap()).unwrap();
    let mut setup = Setup { database: Some(store.clone()), ..Setup::default() }
        .service("postgres", fake.address, "service-token")
        .url("odoo", fake.address, &json!({}))
        .grant("client:agent", &["postgres/**"])
        .grant("client:other", &["odoo/**"]);
    setup.grants[1]["spec"]["role"] = json!("admin");
    setup.settings.authentication.static_tokens[0].tenant = TenantId::parse("acme").ok();
    let gateway = setup.start().await;
    while !gateway.state.database.as_ref().unwrap().check().ok {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let own = async || ask(&gateway, TOKEN, "GET", "/api/connectors/postgres", None).await.json();
    assert_eq!(own().await["credential"], "missing");
    for tenant in ["acme", "globex", "initech"] {
        let path = PATH.replace("acme", tenant);
        assert_eq!(ask(&gateway, "other-token", "PUT", &path, Some(&values())).await.status, 200);
    }
    assert_eq!(own().await["credential"], "unchecked");
    let (acme, globex) = (TenantId::parse("acme").unwrap(), TenantId::parse("globex").unwrap());
    let (postgres, reader) = (ConnectorId::parse("postgres").unwrap(), StoredCredentials::new(store));
    reader.checked((&acme, &postgres), 1, &Check::failed("AuthFailed", "no")).await.unwrap();
    reader.checked((&globex, &postgres), 1, &Check::ok("yes")).await.unwrap();
    let mine = own().await;
    assert_eq!((&mine["credential"], &mine["admin"]), (&json!("fails"), &Value::Null), "of no other tenant");
    let counts = json!({ "works": 1, "fails": 1, "unchecked": 1, "expired": 0, "revoked": 0 });
    let listed = ask(&gateway, "other-token", "GET", "/api/connectors", None).await.json();
    let tenants: Vec<_> = listed["connectors"].as_array().unwrap().iter().map(|c| &c["admin"]["tenants"]).collect();
    assert_eq!(tenants, [&Value::Null, &Value::Null, &counts], "only services have credentials of tenants");
    let one = ask(&gateway, "other-token", "GET", "/api/connectors/postgres", None).await.json();
    let each = json!([
        { "tenant": "acme", "standing": "fails", "problem": "AuthFailed" },
        { "tenant": "globex", "standing": "works", "problem": null },
        { "tenant": "initech", "standing": "unchecked", "problem": null },
    ]);
    assert_eq!(one["admin"]["tenants"]["each"], each);
    let shown = ask(&gateway, "other-token", "GET", PATH, None).await.json();
    assert_eq!((&shown["credential"]["works"], &shown["credential"]["problem"]), (&json!(false), &json!("AuthFailed")));
    crate::tally::count(&gateway.state).await.unwrap();
    let request = Request::get("/metrics").body(Body::empty()).unwrap();
    let scraped = Answer::read(gateway.admin.clone().oneshot(request).await.unwrap()).await.text;
    for (state, count) in [("works", 1), ("fails", 1), ("revoked", 0)] {
        let line = format!("aperium_gateway_credentials{{connector=\"postgres\",state=\"{state}\"}} {count}");
        assert!(scraped.contains(&line), "{line} in {scraped}");
    }
    assert!(!scraped.contains("acme"), "tenants are no labels");
}
