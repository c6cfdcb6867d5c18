//! Somebody may write the rows and has no key: nothing that they move, cut or bring back opens.

use crate::databases::{Database, ring};
use crate::{odoo, of, password, save};
use aperium_platform::seal::SealError;
use aperium_store::StoreError;

const REFUSED: Result<Option<String>, StoreError> = Err(StoreError::Seal(SealError::Invalid));

/// T3: a sealed value in the place of another one, of another tenant, connector, field or version; a data key of
/// another tenant.
#[tokio::test]
async fn t3_a_row_in_the_place_of_another_does_not_open() {
    let swaps = [
        (
            "tenant",
            "UPDATE credential_fields SET sealed = (SELECT other.sealed FROM credential_fields other WHERE \
             other.tenant = 'globex' AND other.connector = 'odoo' AND other.field = 'password') \
             WHERE tenant = 'acme' AND connector = 'odoo' AND field = 'password'",
        ),
        (
            "connector",
            "UPDATE credential_fields SET sealed = (SELECT other.sealed FROM credential_fields other WHERE \
             other.tenant = 'acme' AND other.connector = 'slack' AND other.field = 'password') \
             WHERE tenant = 'acme' AND connector = 'odoo' AND field = 'password'",
        ),
        (
            "field",
            "UPDATE credential_fields SET sealed = (SELECT other.sealed FROM credential_fields other WHERE \
             other.tenant = 'acme' AND other.connector = 'odoo' AND other.field = 'user') \
             WHERE tenant = 'acme' AND connector = 'odoo' AND field = 'password'",
        ),
        ("version", "UPDATE credential_fields SET version = version + 1 WHERE tenant = 'acme' AND connector = 'odoo'"),
        (
            "data key",
            "UPDATE tenants SET data_key = (SELECT other.data_key FROM tenants other WHERE other.id = 'globex') \
             WHERE id = 'acme'",
        ),
    ];
    for (what, sql) in swaps {
        for database in Database::both() {
            let store = database.store(&ring(&[1])).await;
            save(&store, "acme", "hunter2").await;
            save(&store, "globex", "swordfish").await;
            assert!(database.attack(sql).await > 0, "{what}");
            assert_eq!(password(&store, "acme").await, REFUSED, "{what}");
            assert_eq!(password(&store, "globex").await, Ok(Some("swordfish".to_owned())), "{what}");
        }
    }
}

/// T4: a value of an older version, with its number or with that of the newer one.
#[tokio::test]
async fn t4_an_old_version_does_not_come_back() {
    for database in Database::both() {
        let store = database.store(&ring(&[1])).await;
        save(&store, "acme", "old").await;
        database.attack("CREATE TABLE kept AS SELECT * FROM credential_fields").await;
        save(&store, "acme", "new").await;
        let back = "UPDATE credential_fields SET sealed = (SELECT kept.sealed FROM kept WHERE kept.tenant = 'acme' AND \
            kept.connector = credential_fields.connector AND kept.field = credential_fields.field)";
        database.attack(back).await;
        assert_eq!(password(&store, "acme").await, REFUSED);
        database.attack("UPDATE credential_fields SET version = 1").await;
        assert_eq!(password(&store, "acme").await, REFUSED);
        // After a revocation too: its version is never used again.
        assert_eq!(of(&store, "acme").revoke_credential(&odoo()).await, Ok(true));
        save(&store, "acme", "newest").await;
        database.attack(back).await;
        assert_eq!(password(&store, "acme").await, REFUSED);
    }
}

/// T4: bits that are flipped, values that are cut.
#[tokio::test]
async fn t4_changed_and_cut_values_do_not_open() {
    let database = Database::sqlite();
    let store = database.store(&ring(&[1])).await;
    save(&store, "acme", "hunter2").await;
    let raw = database.raw("attacker").await;
    let select = "SELECT sealed FROM credential_fields WHERE connector = 'odoo' AND field = 'password'";
    let good: Vec<u8> = sqlx::query_scalar(select).fetch_one(&raw).await.unwrap();
    let update = "UPDATE credential_fields SET sealed = $1 WHERE connector = 'odoo' AND field = 'password'";
    let flipped = (0..good.len()).map(|at| {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        bad
    });
    let cut = (0..good.len()).map(|length| good[..length].to_vec());
    for bad in flipped.chain(cut) {
        sqlx::query(update).bind(bad.clone()).execute(&raw).await.unwrap();
        let error = password(&store, "acme").await.unwrap_err();
        assert!(matches!(error, StoreError::Seal(SealError::Invalid | SealError::UnknownKey)), "{bad:?}: {error}");
    }
    sqlx::query(update).bind(good).execute(&raw).await.unwrap();
    assert_eq!(password(&store, "acme").await, Ok(Some("hunter2".to_owned())));
}

/// T9: what a deleted tenant had is read by no replica from then on, and is in no file any more.
#[tokio::test]
async fn t9_a_deleted_tenant_is_gone_for_every_replica() {
    for database in Database::both() {
        let [one, two] = [database.store(&ring(&[1])).await, database.store(&ring(&[1])).await];
        save(&one, "acme", "hunter2").await;
        assert_eq!(password(&two, "acme").await, Ok(Some("hunter2".to_owned())));
        database.attack("CREATE TABLE kept AS SELECT * FROM credential_fields").await;
        assert_eq!(of(&one, "acme").delete().await, Ok(true));
        assert_eq!(password(&two, "acme").await, Ok(None));
        assert_eq!(database.number("SELECT COUNT(*) FROM credential_fields").await, 0);
        // Rows out of a backup find a tenant with another data key.
        save(&two, "acme", "other").await;
        database.attack("DELETE FROM credential_fields").await;
        database.attack("INSERT INTO credential_fields SELECT * FROM kept").await;
        assert_eq!(password(&one, "acme").await, REFUSED);
    }
}

/// T9: a tenant that is deleted and made anew begins at no version that was used before: what a service still holds, and a
/// probe that ends late, are of the one that was deleted.
#[tokio::test]
async fn t9_a_tenant_that_is_made_anew_begins_at_a_version_that_nobody_has_seen() {
    for database in Database::both() {
        let store = database.store(&ring(&[1])).await;
        let acme = of(&store, "acme");
        let version = async || acme.credential(&odoo()).await.unwrap().unwrap().version;
        for expected in 1..=3 {
            save(&store, "acme", "hunter2").await;
            assert_eq!(version().await, expected);
        }
        assert_eq!(acme.delete().await, Ok(true));
        save(&store, "acme", "other").await;
        assert_eq!((version().await, password(&store, "acme").await), (4, Ok(Some("other".to_owned()))));
        acme.checked_credential(&odoo(), 3, Some("AuthFailed")).await.unwrap();
        assert_eq!(acme.credential(&odoo()).await.unwrap().unwrap().checked, None, "a late probe");
        // A row that goes any other way counts as well, and one with a lower version takes nothing back.
        save(&store, "globex", "swordfish").await;
        save(&store, "globex", "swordfish").await;
        assert_eq!(database.attack("DELETE FROM tenants WHERE id = 'globex'").await, 1);
        assert_eq!(acme.delete().await, Ok(true));
        save(&store, "acme", "another").await;
        assert_eq!(version().await, 6);
        assert_eq!(database.number("SELECT COUNT(*) FROM retired_versions").await, 1);
    }
}
