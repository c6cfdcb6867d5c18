use super::*;
use crate::connector::UpstreamParts;
use aperium_core::id::{ConnectorId, ConnectorName, RequestId};
use aperium_platform::egress::{EgressPolicy, EgressRules, ExternalClient, GuardedDialer, Reach};
use aperium_platform::lease::{Audience, LeaseSigner, LeaseVerifier, Now, Scope};
use aperium_platform::seal::KeyRing;
use secrecy::ExposeSecret as _;
use std::sync::atomic::{AtomicUsize, Ordering};

const FIELD: &str = "whose";

/// Gives each lease fields that say whose they are.
struct Oracle {
    signer: LeaseSigner,
    asked: AtomicUsize,
}

#[async_trait::async_trait]
impl crate::broker::Broker for Oracle {
    async fn redeem(&self, lease: &str) -> Result<Redeemed, RedeemError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        // Others come by while it is on its way.
        tokio::task::yield_now().await;
        let claims = self.signer.open(lease, Now::clock()).map_err(|_| RedeemError::Refused)?;
        Ok(Redeemed { fields: Fields::from_iter([(FIELD.to_owned(), whose(&claims).into())]) })
    }

    async fn own(&self) -> Result<Redeemed, RedeemError> {
        Err(RedeemError::Refused)
    }

    async fn trial(&self, _: &str, _: &str) -> Result<Redeemed, RedeemError> {
        Ok(Redeemed { fields: Fields::from_iter([(FIELD.to_owned(), "a trial".into())]) })
    }
}

fn whose(claims: &Claims) -> String {
    format!("{}|{}|{}", claims.tenant, claims.user, claims.version)
}

fn bind(fields: Fields) -> Upstream {
    let policy = EgressPolicy::new(EgressRules::default()).unwrap();
    let http = ExternalClient::new(policy.clone(), Reach::Admin).unwrap();
    let dialer = GuardedDialer::new(policy, Reach::Admin);
    let parts = UpstreamParts { fields, settings: Arc::new(()), http, dialer, local: false };
    Upstream::new(parts, RequestId::accept(None), Instant::now() + Duration::from_secs(20))
}

struct Service {
    oracle: Arc<Oracle>,
    tenants: Tenants,
}

impl Service {
    fn new() -> Self {
        let signer = LeaseSigner::fixed(KeyRing::generate().unwrap());
        let oracle = Arc::new(Oracle { signer: signer.clone(), asked: AtomicUsize::new(0) });
        let leases = LeaseVerifier::beside(signer, audience(), connector());
        let tenants = Tenants::new(Platform { leases, broker: oracle.clone() }, true);
        Self { oracle, tenants }
    }

    /// What a call with a lease for these is given.
    async fn given(&self, tenant: &str, user: &str, version: u64) -> String {
        let scope = Scope {
            audience: audience(),
            connector: connector(),
            tool: "t".to_owned(),
            tenant: TenantId::parse(tenant).unwrap(),
            user: user.to_owned(),
            delegate: None,
            request: RequestId::accept(None),
            version,
        };
        let lease = self.oracle.signer.sign(&scope).unwrap();
        let claims = self.oracle.signer.open(&lease, Now::clock()).unwrap();
        let upstream = self.tenants.upstream(&claims, &lease, bind).await.unwrap();
        upstream.secret(FIELD).unwrap().expose_secret().to_owned()
    }

    fn asked(&self) -> usize {
        self.oracle.asked.load(Ordering::SeqCst)
    }
}

fn audience() -> Audience {
    Audience::of("erp", &ConnectorName::parse("odoo").unwrap())
}

fn connector() -> ConnectorId {
    ConnectorId::parse("odoo").unwrap()
}

/// T7: tenants, users and versions in every combination, many at once and in any order. Names that would be one if their
/// parts were put together are among them.
#[tokio::test]
async fn t7_what_is_kept_for_one_tenant_user_and_version_is_given_to_no_other() {
    let service = Service::new();
    let (tenants, users) = (["acme", "acme-1", "acme-11", "globex"], ["", "1", "11", "1|1", "ann", "acme"]);
    let all: Vec<_> = (0..tenants.len() * users.len() * 3)
        .map(|at| {
            (
                tenants[at % tenants.len()],
                users[at / tenants.len() % users.len()],
                (at / tenants.len() / users.len()) as u64,
            )
        })
        .collect();
    let calls = (0..1000_usize).map(|call| {
        let (tenant, user, version) = all[call.wrapping_mul(2_654_435_761) % all.len()];
        let service = &service;
        async move { assert_eq!(service.given(tenant, user, version).await, format!("{tenant}|{user}|{version}")) }
    });
    futures::future::join_all(calls).await;
    assert_eq!(service.asked(), all.len(), "each was asked for once, or this shows nothing");
}

#[tokio::test]
async fn t7_a_new_version_is_asked_for_at_once_and_a_trial_is_not_kept() {
    let service = Service::new();
    for version in [1, 1, 2, 2, 1] {
        assert_eq!(service.given("acme", "ann", version).await, format!("acme|ann|{version}"));
    }
    assert_eq!(service.asked(), 2);
    let tried = service.tenants.trial("lease", "sealed", bind).await.unwrap();
    assert_eq!(tried.secret(FIELD).unwrap().expose_secret(), "a trial");
    assert_eq!(service.given("acme", "ann", 2).await, "acme|ann|2");
    assert_eq!(service.tenants.kept.lock().unwrap().len(), 2);
}

/// T7, T9: nothing is kept for as long as 5 s, whether anybody asks for it or not.
#[tokio::test]
async fn t9_what_is_kept_ends_within_five_seconds_by_itself() {
    let service = Service::new();
    service.given("acme", "ann", 1).await;
    let old = Instant::now().checked_sub(KEPT - SWEEP).unwrap();
    for kept in service.tenants.kept.lock().unwrap().values_mut() {
        kept.since = old;
    }
    service.given("acme", "ann", 1).await;
    assert_eq!(service.asked(), 2, "what is too old is asked for again");
    for kept in service.tenants.kept.lock().unwrap().values_mut() {
        kept.since = old;
    }
    service.tenants.sweep();
    assert!(service.tenants.kept.lock().unwrap().is_empty());
}
