//! What admins do with the credentials of a tenant, as a service sees it: they are tried before they are saved, and gone
//! with the tenant.

use super::world::{SERVICE_TOKEN, World, audience, id, tenant};
use aperium_gateway::BrokerConfig;
use aperium_gateway::broker::BrokerError;
use aperium_platform::lease::{LEASE_HEADER, LeaseError, LeaseSigner, PROBE, TRIAL};
use aperium_platform::seal::{KeyRing, Sealer};
use aperium_store::{Store, Target};
use axum::body::Body;
use http::{Request, StatusCode};
use secrecy::SecretString;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const PATH: &str = "/api/tenants/tenant1/connectors/a/credentials";

/// One service, and a database in which tenant 1 has a credential.
async fn world(folder: &tempfile::TempDir) -> World {
    let target = Target::Sqlite(folder.path().join("aperium.db"));
    let store = Store::connect(&target, Sealer::ephemeral().unwrap()).await.unwrap();
    let fields = [("password".to_owned(), SecretString::from("canary-1-a"))].into();
    store.tenant(&tenant(1)).put_credential(&id("a"), &fields, None, "admin").await.unwrap();
    let signer = LeaseSigner::fixed(KeyRing::generate().unwrap());
    let broker = BrokerConfig::without_credentials(signer).with_store(store.clone());
    World::over(&["a"], broker, Some(store)).await
}

fn outcomes(tested: &Value) -> Vec<String> {
    let text = |step: &Value, field: &str| step[field].as_str().unwrap().to_owned();
    let steps = tested["steps"].as_array().unwrap().iter();
    steps.map(|step| format!("{} {}", text(step, "step"), text(step, "outcome"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_hears_of_each_step_and_nothing_is_saved() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(&folder).await;
    let before = world.api("GET", PATH, &Value::Null).await.1;
    let test = async |fields: Value| {
        let (status, tested) = world.api("POST", &format!("{PATH}/test"), &json!({ "fields": fields })).await;
        assert_eq!(status, StatusCode::OK, "{tested}");
        assert!(!tested.to_string().contains("canary"), "{tested}");
        tested
    };
    let works = test(json!({ "password": "canary-new" })).await;
    assert_eq!(works["works"], true);
    assert_eq!(outcomes(&works), ["fields ok", "dns ok", "policy ok", "tcp ok", "tls ok", "auth ok", "tools ok"]);
    let refused = test(json!({ "password": "wrong" })).await;
    assert_eq!(refused["works"], false);
    assert_eq!(outcomes(&refused)[4..], ["tls ok", "auth failed", "tools skipped"]);
    assert_eq!(refused["steps"][5]["message"], "the upstream refuses the password");
    let missing = test(json!({ "pass": "canary-new" })).await;
    assert_eq!(outcomes(&missing)[..2], ["fields failed", "dns skipped"]);
    let after = world.api("GET", PATH, &Value::Null).await.1;
    assert_eq!(
        (&after["credential"]["version"], &after["credential"]["set"]),
        (&before["credential"]["version"], &before["credential"]["set"]),
        "nothing was saved"
    );
    for (path, body, status) in [
        ("/api/tenants/-/connectors/a/credentials/test", json!({ "fields": { "password": "x" } }), 422),
        ("/api/tenants/tenant1/connectors/nothing/credentials/test", json!({ "fields": { "password": "x" } }), 404),
        ("/api/tenants/tenant1/connectors/a/credentials/test", json!({ "fields": { "password": ["canary"] } }), 400),
    ] {
        let (answered, answer) = world.api("POST", path, &body).await;
        assert_eq!(answered, status, "{path}: {answer}");
        assert!(!answer.to_string().contains("canary"), "{answer}");
    }
}

/// A lease for a trial gives nothing that is stored, and what is sealed for one lease opens with no other.
#[tokio::test(flavor = "multi_thread")]
async fn t6_a_lease_for_a_trial_yields_no_stored_credential() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(&folder).await;
    let pod = world.broker.pod(audience("a"));
    let trial = || world.lease_for(TRIAL, "a", 1);
    assert_eq!(pod.redeem(&trial()).await.unwrap_err(), BrokerError::Lease(LeaseError::Tool));
    assert_eq!(pod.trial(&trial(), "bm90IHNlYWxlZA").await.unwrap_err(), BrokerError::Lease(LeaseError::Malformed));
    for tool in ["oracle_ask", PROBE] {
        let refused = pod.trial(&world.lease_for(tool, "a", 1), "bm90IHNlYWxlZA").await.unwrap_err();
        assert_eq!(refused, BrokerError::Lease(LeaseError::Tool), "{tool}");
    }
    // The pod itself takes no other lease for it, and this one for nothing else.
    let ask = async |path: &str, lease: &str| {
        let request = Request::post(path).header("authorization", format!("Bearer {SERVICE_TOKEN}"));
        let request = request.header(LEASE_HEADER, lease).body(Body::from("bm90IHNlYWxlZA")).unwrap();
        world.ask_pod("a", request).await.0
    };
    assert_eq!(ask("/trial", &world.lease_for(PROBE, "a", 1)).await, StatusCode::FORBIDDEN);
    assert_eq!(ask("/probe", &trial()).await, StatusCode::FORBIDDEN);
    let called = world.direct("a", "canary-1-a", &[(LEASE_HEADER, trial())]).await;
    assert_eq!(called.0, StatusCode::FORBIDDEN, "{}", called.1);
}

/// T9: a tenant that is deleted and made anew at once calls with nothing that a service remembers of the deleted one, as
/// soon as the gateway has looked for the version again.
#[tokio::test(flavor = "multi_thread")]
async fn t9_a_tenant_that_is_made_anew_calls_with_nothing_of_the_deleted_one() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(&folder).await;
    // The service keeps what it has for 5 s from here; the gateway believes a version for 2 s.
    assert_eq!(world.call(1, "a", "canary-1-a").await["result"]["isError"], false);
    let (status, answer) = world.api("DELETE", "/api/tenants/tenant1", &Value::Null).await;
    assert_eq!(status, StatusCode::NO_CONTENT, "{answer}");
    let (status, answer) = world.api("PUT", PATH, &json!({ "fields": { "password": "anew-1-a" } })).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    tokio::time::sleep(Duration::from_millis(2100)).await;
    let called = world.call(1, "a", "anew-1-a").await;
    assert_eq!(called["result"]["structuredContent"]["right"], true, "{called}");
}

/// T9: a deleted tenant's credential is used no more once what a service keeps for 5 s is over.
#[tokio::test(flavor = "multi_thread")]
async fn t9_a_deleted_tenant_is_served_no_more_after_5_s() {
    let folder = tempfile::tempdir().unwrap();
    let world = world(&folder).await;
    let works = async || world.call(1, "a", "canary-1-a").await["result"]["isError"] == false;
    assert!(works().await);
    let (status, answer) = world.api("DELETE", "/api/tenants/tenant1", &Value::Null).await;
    assert_eq!(status, StatusCode::NO_CONTENT, "{answer}");
    let deleted = Instant::now();
    let mut last = Duration::ZERO;
    while deleted.elapsed() < Duration::from_secs(7) {
        if works().await {
            last = deleted.elapsed();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(last < Duration::from_secs(5), "it was still served after {last:?}");
    assert_eq!(world.api("GET", "/api/tenants/tenant1", &Value::Null).await.0, StatusCode::NOT_FOUND);
}
