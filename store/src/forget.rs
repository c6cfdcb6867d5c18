//! A connector is deleted: whoever makes another one of the same id finds nothing of it.

use crate::error::StoreError;
use crate::now_ms;
use crate::scope::EveryTenant;
use aperium_core::id::ConnectorId;

/// The rows of credentials stay, so that no version is ever used twice.
const REVOKE: &str = "UPDATE credential_sets /* every tenant */ SET revoked_ms = $2 \
    WHERE connector = $1 AND revoked_ms IS NULL";
const FORGET: [&str; 4] = [
    "DELETE FROM credential_fields /* every tenant */ WHERE connector = $1",
    "DELETE FROM oauth_tokens /* every tenant */ WHERE LOWER(connector) = $1",
    "DELETE FROM oauth_flows /* every tenant */ WHERE LOWER(connector) = $1",
    "DELETE FROM oauth_clients /* every tenant */ WHERE LOWER(connector) = $1",
];

impl EveryTenant {
    /// Takes away what any tenant and any of its users have stored for a connector: credentials, tokens, flows that wait
    /// for their browser, and what the gateway is at its authorization server. Says how many rows that were.
    ///
    /// # Errors
    /// [`StoreError`]
    pub async fn forget_connector(&self, connector: &ConnectorId) -> Result<u64, StoreError> {
        let key = connector.key();
        let mut tx = self.write().await?;
        tx.query(REVOKE).bind(key.as_str()).bind(now_ms()).execute().await?;
        let mut gone = 0;
        for sql in FORGET {
            gone += tx.query(sql).bind(key.as_str()).execute().await?;
        }
        tx.commit().await?;
        Ok(gone)
    }
}

#[cfg(test)]
mod tests {
    use crate::credentials::Fields;
    use crate::testing::{ring, sqlite};
    use crate::{Flow, NewToken, Store, TokenKey};
    use aperium_core::id::{ConnectorId, TenantId};

    #[tokio::test]
    async fn nothing_of_a_deleted_connector_is_left_and_everything_of_the_others_is() {
        let (_folder, target) = sqlite();
        let store = Store::connect(&target, ring("a", &[("a", 1)])).await.unwrap();
        let ids = ["GitHub", "slack"].map(|id| ConnectorId::parse(id).unwrap());
        let key = |id: &'static str| TokenKey { connector: id, person: "anna", upstream: "https://mcp.example/" };
        let token = NewToken { renew_ms: None, refreshable: true, content: b"token" };
        for name in ["acme", "globex"] {
            let tenant = store.tenant(&TenantId::parse(name).unwrap());
            for id in &ids {
                let fields: Fields = [("password".to_owned(), "hunter2".into())].into();
                tenant.put_credential(id, &fields, None, "root").await.unwrap();
            }
            for id in ["GitHub", "slack"] {
                tenant.save_oauth_token(&key(id), "https://as.example", &token).await.unwrap();
                tenant.save_oauth_client(id, "https://as.example", b"client").await.unwrap();
                let text = str::to_owned;
                let flow = Flow {
                    connector: text(id),
                    person: text("anna"),
                    browser: text(""),
                    content: b"f".to_vec().into(),
                };
                tenant.begin_oauth_flow(id, &flow, i64::MAX).await.unwrap();
            }
        }
        assert_eq!(store.every_tenant().forget_connector(&ids[0]).await, Ok(8));
        for name in ["acme", "globex"] {
            let tenant = store.tenant(&TenantId::parse(name).unwrap());
            assert!(tenant.oauth_token(&key("GitHub")).await.unwrap().is_none());
            assert!(tenant.oauth_client("GitHub", "https://as.example").await.unwrap().is_none());
            assert!(tenant.take_oauth_flow("GitHub", "GitHub").await.unwrap().is_none());
            assert!(tenant.load_credential(&ids[0]).await.unwrap().is_none());
            assert!(tenant.oauth_token(&key("slack")).await.unwrap().is_some());
            assert!(tenant.oauth_client("slack", "https://as.example").await.unwrap().is_some());
            assert!(tenant.load_credential(&ids[1]).await.unwrap().is_some());
        }
    }
}
