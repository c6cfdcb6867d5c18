//! The platform database as the broker's reader.

use super::credentials::{Answer, CredentialReader, CredentialsDown, Loaded};
use aperium_core::id::{ConnectorId, TenantId};
use aperium_platform::probes::Check;
use aperium_store::credentials::State;
use aperium_store::{Store, StoreError, now_ms};

/// The sealed credentials of tenants.
#[derive(Debug, Clone)]
pub struct StoredCredentials(Store);

impl StoredCredentials {
    /// Those of this database.
    #[must_use]
    pub const fn new(store: Store) -> Self {
        Self(store)
    }
}

impl CredentialReader for StoredCredentials {
    fn load<'a>(&'a self, tenant: &'a TenantId, connector: &'a ConnectorId) -> Answer<'a, Option<Loaded>> {
        Box::pin(async move {
            let found = self.0.tenant(tenant).load_credential(connector).await.map_err(|error| down(&error))?;
            Ok(found.map(|found| Loaded { version: number(found.version), fields: found.fields }))
        })
    }

    fn version<'a>(&'a self, tenant: &'a TenantId, connector: &'a ConnectorId) -> Answer<'a, Option<u64>> {
        Box::pin(async move {
            let about = self.0.tenant(tenant).credential(connector).await.map_err(|error| down(&error))?;
            Ok(about.filter(|about| about.state(now_ms()) == State::Active).map(|about| number(about.version)))
        })
    }

    fn holders<'a>(&'a self, connector: &'a ConnectorId) -> Answer<'a, Vec<(TenantId, u64)>> {
        Box::pin(async move {
            let holders = self.0.every_tenant().credential_holders(connector).await.map_err(|error| down(&error))?;
            Ok(holders.into_iter().map(|(tenant, version)| (tenant, number(version))).collect())
        })
    }

    fn checked<'a>(&'a self, whose: (&'a TenantId, &'a ConnectorId), version: u64, check: &'a Check) -> Answer<'a, ()> {
        Box::pin(async move {
            let (tenant, connector) = whose;
            let version = i64::try_from(version).unwrap_or(i64::MAX);
            let reason = (!check.ok).then_some(check.reason.as_str());
            let kept = self.0.tenant(tenant).checked_credential(connector, version, reason).await;
            kept.map_err(|error| down(&error))
        })
    }
}

fn number(version: i64) -> u64 {
    u64::try_from(version).unwrap_or_default()
}

fn down(error: &StoreError) -> CredentialsDown {
    tracing::error!(reason = error.reason(), "the broker cannot read credentials");
    CredentialsDown
}

#[cfg(test)]
mod tests {
    use super::*;
    use aperium_platform::seal::Sealer;
    use aperium_store::Target;
    use aperium_store::credentials::Fields;
    use secrecy::ExposeSecret as _;

    #[tokio::test]
    async fn what_was_saved_is_read_for_its_tenant_and_what_was_revoked_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let target = Target::Sqlite(folder.path().join("aperium.db"));
        let store = Store::connect(&target, Sealer::ephemeral().unwrap()).await.unwrap();
        let reader = StoredCredentials::new(store.clone());
        let (acme, globex) = (TenantId::parse("acme").unwrap(), TenantId::parse("globex").unwrap());
        let odoo = ConnectorId::parse("odoo").unwrap();
        let fields: Fields = [("password".to_owned(), "s3cret".to_owned().into())].into();
        store.tenant(&acme).put_credential(&odoo, &fields, None, "admin").await.unwrap();
        let loaded = reader.load(&acme, &odoo).await.unwrap().unwrap();
        assert_eq!((loaded.version, loaded.fields["password"].expose_secret()), (1, "s3cret"));
        assert_eq!(reader.version(&acme, &odoo).await, Ok(Some(1)));
        assert!(reader.load(&globex, &odoo).await.unwrap().is_none());
        assert_eq!(reader.holders(&odoo).await, Ok(vec![(acme.clone(), 1)]));
        let told = async |version, check: Check| {
            reader.checked((&acme, &odoo), version, &check).await.unwrap();
            store.tenant(&acme).credential(&odoo).await.unwrap().unwrap().checked.map(|checked| checked.reason)
        };
        assert_eq!(told(9, Check::ok("of another version")).await, None);
        assert_eq!(told(1, Check::failed("AuthFailed", "no")).await, Some(Some("AuthFailed".to_owned())));
        assert_eq!(told(1, Check::ok("yes")).await, Some(None));
        store.tenant(&acme).put_credential(&odoo, &fields, None, "admin").await.unwrap();
        assert_eq!(told(1, Check::ok("late")).await, None, "nothing is known of the new version");
        store.tenant(&acme).revoke_credential(&odoo).await.unwrap();
        assert!(reader.load(&acme, &odoo).await.unwrap().is_none());
        assert_eq!((reader.version(&acme, &odoo).await, reader.holders(&odoo).await), (Ok(None), Ok(Vec::new())));
    }
}
