use super::*;
use crate::Store;
use crate::testing::{ring, sqlite};
use aperium_core::id::TenantId;
use tempfile::TempDir;

async fn store() -> (TempDir, Store) {
    let (folder, target) = sqlite();
    (folder, Store::connect(&target, ring("k1", &[("k1", 1)])).await.unwrap())
}

fn of(store: &Store, tenant: &str) -> TenantStore {
    store.tenant(&TenantId::parse(tenant).unwrap())
}

fn id(text: &str) -> ConnectorId {
    ConnectorId::parse(text).unwrap()
}

fn fields(pairs: &[(&str, &str)]) -> Fields {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), SecretString::from(*value))).collect()
}

fn clear(credential: &Credential) -> Vec<(&str, &str)> {
    credential.fields.iter().map(|(name, value)| (name.as_str(), value.expose_secret())).collect()
}

#[tokio::test]
async fn a_saved_credential_is_read_by_its_tenant_and_connector_alone() {
    let (_folder, store) = store().await;
    let acme = of(&store, "acme");
    let saved = fields(&[("password", "hunter2"), ("user", "odoo")]);
    assert_eq!(acme.put_credential(&id("odoo"), &saved, None, "root").await, Ok(1));
    let loaded = acme.load_credential(&id("ODOO")).await.unwrap().unwrap();
    assert_eq!((loaded.version, clear(&loaded)), (1, vec![("password", "hunter2"), ("user", "odoo")]));
    assert!(!format!("{loaded:?}").contains("hunter2"));
    assert!(of(&store, "globex").load_credential(&id("odoo")).await.unwrap().is_none());
    assert!(acme.load_credential(&id("slack")).await.unwrap().is_none());
}

#[tokio::test]
async fn a_new_version_replaces_all_fields_and_tells_when_it_was_used() {
    let (_folder, store) = store().await;
    let acme = of(&store, "acme");
    acme.put_credential(&id("odoo"), &fields(&[("a", "1"), ("b", "2")]), None, "root").await.unwrap();
    acme.load_credential(&id("odoo")).await.unwrap();
    let before = now_ms();
    let first = acme.credential(&id("odoo")).await.unwrap().unwrap();
    assert!(first.used_ms.unwrap() <= before && first.saved_ms <= before);
    assert_eq!(acme.put_credential(&id("odoo"), &fields(&[("b", "3")]), None, "eve").await, Ok(2));
    let about = acme.credential(&id("odoo")).await.unwrap().unwrap();
    assert_eq!(
        (about.version, about.fields, about.saved_by.as_str(), about.used_ms),
        (2, vec!["b".to_owned()], "eve", None)
    );
    assert_eq!(clear(&acme.load_credential(&id("odoo")).await.unwrap().unwrap()), [("b", "3")]);
}

#[tokio::test]
async fn what_has_expired_or_was_revoked_is_not_given() {
    let (_folder, store) = store().await;
    let acme = of(&store, "acme");
    let values = fields(&[("a", "1")]);
    acme.put_credential(&id("odoo"), &values, Some(now_ms() - 1), "root").await.unwrap();
    acme.put_credential(&id("slack"), &values, Some(now_ms() + 60_000), "root").await.unwrap();
    assert!(acme.load_credential(&id("odoo")).await.unwrap().is_none());
    assert!(acme.load_credential(&id("slack")).await.unwrap().is_some());
    assert_eq!(acme.revoke_credential(&id("slack")).await, Ok(true));
    assert_eq!(acme.revoke_credential(&id("slack")).await, Ok(false));
    assert!(acme.load_credential(&id("slack")).await.unwrap().is_none());
    let states: Vec<State> = acme.credentials().await.unwrap().iter().map(|about| about.state(now_ms())).collect();
    assert_eq!(states, [State::Expired, State::Revoked]);
    assert!(acme.credential(&id("slack")).await.unwrap().unwrap().fields.is_empty());
    let again = acme.put_credential(&id("slack"), &values, None, "root").await;
    assert_eq!(again, Ok(3), "no version is ever used twice");
    assert!(acme.load_credential(&id("slack")).await.unwrap().is_some());
}

#[tokio::test]
async fn limits_are_kept_before_anything_is_written() {
    let (_folder, store) = store().await;
    let acme = of(&store, "acme");
    let many: Fields = (0..=MAX_FIELDS).map(|n| (n.to_string(), "x".into())).collect();
    let long = "x".repeat(MAX_NAME + 1);
    for bad in [
        fields(&[]),
        many,
        fields(&[("", "x")]),
        fields(&[("a", "")]),
        fields(&[(&long, "x")]),
        fields(&[("a", &"x".repeat(MAX_VALUE + 1))]),
    ] {
        assert_eq!(acme.put_credential(&id("odoo"), &bad, None, "root").await, Err(PutError::Limits));
    }
    assert_eq!(acme.put_credential(&id("odoo"), &fields(&[("a", "x")]), None, &long).await, Err(PutError::Limits));
    assert!(store.every_tenant().list().await.unwrap().is_empty());
    let most = fields(&[("a", &"x".repeat(MAX_VALUE))]);
    assert_eq!(acme.put_credential(&id("odoo"), &most, None, "root").await, Ok(1));
}

#[tokio::test]
async fn saves_at_once_each_get_a_version_and_one_of_them_stays_whole() {
    let (_folder, store) = store().await;
    let mut saves = tokio::task::JoinSet::new();
    for n in 0..16 {
        let acme = of(&store, "acme");
        let value = n.to_string();
        saves.spawn(async move {
            acme.put_credential(&id("odoo"), &fields(&[("a", &value), ("b", &value)]), None, "root").await.unwrap()
        });
    }
    let mut versions = saves.join_all().await;
    versions.sort_unstable();
    assert_eq!(versions, (1..=16).collect::<Vec<_>>());
    let loaded = of(&store, "acme").load_credential(&id("odoo")).await.unwrap().unwrap();
    assert_eq!((loaded.version, clear(&loaded)[0].1), (16, clear(&loaded)[1].1));
}

#[tokio::test]
async fn what_probes_say_is_kept_for_their_version_and_counted_by_state() {
    let (_folder, store) = store().await;
    let saved = fields(&[("a", "1")]);
    for (tenant, expires) in [("works", None), ("fails", None), ("new", None), ("old", Some(1)), ("gone", None)] {
        of(&store, tenant).put_credential(&id("odoo"), &saved, expires, "root").await.unwrap();
    }
    of(&store, "works").put_credential(&id("slack"), &saved, None, "root").await.unwrap();
    of(&store, "works").checked_credential(&id("odoo"), 1, None).await.unwrap();
    of(&store, "fails").checked_credential(&id("ODOO"), 1, Some("AuthFailed")).await.unwrap();
    of(&store, "new").checked_credential(&id("odoo"), 7, None).await.unwrap();
    of(&store, "gone").revoke_credential(&id("odoo")).await.unwrap();
    let counts = store.every_tenant().credential_counts().await.unwrap();
    assert_eq!(counts["odoo"], Counts { works: 1, fails: 1, unchecked: 1, expired: 1, revoked: 1 });
    assert_eq!(counts["slack"], Counts { unchecked: 1, ..Counts::default() });
    let known = store.every_tenant().credential_standings(&id("odoo")).await.unwrap();
    let said: Vec<_> =
        known.iter().map(|(tenant, about)| (tenant.as_str(), about.checked.clone().map(|c| c.reason))).collect();
    let failed = Some(Some("AuthFailed".to_owned()));
    assert_eq!(said, [("fails", failed), ("gone", None), ("new", None), ("old", None), ("works", Some(None))]);
    // A new version is a new question.
    of(&store, "fails").put_credential(&id("odoo"), &saved, None, "root").await.unwrap();
    assert_eq!(of(&store, "fails").credential(&id("odoo")).await.unwrap().unwrap().checked, None);
}
