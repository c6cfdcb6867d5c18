//! T8: connections of one tenant are never those of another, however their calls meet. T9: they are closed once nobody
//! calls for that tenant any more, as after its deletion.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aperium_core::id::{ConnectorId, ConnectorName, RequestId, TenantId};
use aperium_mcp_service::broker::{Broker, Platform, RedeemError, Redeemed};
use aperium_platform::lease::{Audience, LeaseSigner, LeaseVerifier, Now, Scope};
use aperium_platform::seal::KeyRing;

use crate::server::{Server, shared};
use crate::service::{Options, Service};

const TENANTS: usize = 6;
const CALLS: usize = 240;

/// Gives each tenant the role of its own name.
struct Roles {
    signer: LeaseSigner,
    server: Arc<Server>,
}

#[async_trait::async_trait]
impl Broker for Roles {
    async fn redeem(&self, lease: &str) -> Result<Redeemed, RedeemError> {
        let claims = self.signer.open(lease, Now::clock()).map_err(|_| RedeemError::Refused)?;
        let options = Options::new(&self.server);
        let own = options.with("username", claims.tenant.as_str()).with("password", password(claims.tenant.as_str()));
        Ok(Redeemed { fields: own.fields() })
    }

    async fn own(&self) -> Result<Redeemed, RedeemError> {
        Err(RedeemError::Refused)
    }

    async fn trial(&self, _: &str, _: &str) -> Result<Redeemed, RedeemError> {
        Err(RedeemError::Refused)
    }
}

fn password(role: &str) -> String {
    format!("canary-of-{role}")
}

#[tokio::test(flavor = "multi_thread")]
async fn t8_no_connection_is_ever_used_for_two_tenants() {
    let server = shared();
    for number in 0..TENANTS {
        let role = format!("tenant{number}");
        server.psql("postgres", &format!("CREATE ROLE {role} LOGIN PASSWORD '{}'", password(&role)));
    }
    let signer = LeaseSigner::fixed(KeyRing::generate().unwrap());
    let (audience, connector) =
        (Audience::of("erp", &ConnectorName::parse("postgres").unwrap()), ConnectorId::parse("postgres").unwrap());
    let platform = Platform {
        leases: LeaseVerifier::beside(signer.clone(), audience.clone(), connector.clone()),
        broker: Arc::new(Roles { signer: signer.clone(), server: Arc::clone(&server) }),
    };
    let options = Options::new(&server).settings(serde_json::json!({"allowPlaintext": true}));
    let service = Arc::new(Service::over(&server, options, Some(platform)).await);
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..CALLS {
        let (service, signer) = (Arc::clone(&service), signer.clone());
        let (audience, connector) = (audience.clone(), connector.clone());
        calls.spawn(async move {
            let tenant = format!("tenant{}", number % TENANTS);
            let scope = Scope {
                audience,
                connector,
                tool: "postgres_run_query".to_owned(),
                tenant: TenantId::parse(&tenant).unwrap(),
                user: format!("user{}", number % 2),
                delegate: None,
                request: RequestId::accept(None),
                version: 1,
            };
            let sql = "SELECT current_user::text AS role, pg_backend_pid() AS pid";
            let answer = service.leased_query(sql, signer.sign(&scope).unwrap()).await;
            (tenant, answer)
        });
    }
    let mut owners: HashMap<i64, String> = HashMap::new();
    let mut answered = 0;
    for (tenant, answer) in calls.join_all().await {
        // What there is no connection left for is refused, which is none of anybody else's.
        if answer["isError"] == true {
            assert_eq!(answer["structuredContent"]["code"], "rate_limited", "{answer}");
            continue;
        }
        answered += 1;
        let row = &answer["structuredContent"]["rows"][0];
        assert_eq!(row[0], tenant, "{answer}");
        let owner = owners.entry(row[1].as_i64().unwrap()).or_insert_with(|| tenant.clone());
        assert_eq!(*owner, tenant, "a connection of {owner} was used for {tenant}");
    }
    assert!(answered >= CALLS / 2, "{answered} of {CALLS}");
    assert!(owners.len() < answered, "connections are used again, or this test shows nothing");
    // T9: what a deleted tenant had open is closed with what the service keeps of it, without another call.
    let sql = "SELECT COUNT(*) FROM pg_stat_activity WHERE usename LIKE 'tenant%'";
    let began = Instant::now();
    while server.psql("postgres", sql).trim() != "0" {
        assert!(began.elapsed() < Duration::from_secs(10), "connections of tenants are still open");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}
