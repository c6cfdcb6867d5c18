//! The broker: which service may have whose credential, for which call, once.
//!
//! ```text
//! call ──mint──► lease ──► pod ──redeem (its own ServiceAccount token, the lease)──► broker
//!                                  pod is the lease's audience? first time? ──► fields of tenant and connector ──► pod
//! probe ──mint──► lease ──► every pod of every service, whether it is ready or not
//! values that are not saved ──sealed for one lease──► a pod ──redeem──► the values ──► the pod tries them
//! delegate ──its ServiceAccount token, for whom, for what──► lease, for a call past the gateway
//! ```
//! What is given and what is refused is on record with the pod, the connector, the tenant and the reason; probes, which come
//! every few seconds, only where they are refused.

use crate::audit::Audit;
use crate::catalog::Place;
use crate::snapshot::Snapshot;
use aperium_core::id::{ConnectorId, ConnectorName, TenantId};
use aperium_platform::lease::{Audience, Claims, LeaseError, LeaseSigner, Now, PROBE, TRIAL};
use aperium_platform::seal::Sealer;
use aperium_platform::serve::ServerTls;
use aperium_store::Store;
use arc_swap::ArcSwap;
use std::fmt;
use std::sync::Arc;
use tokio::net::TcpListener;

mod credentials;
mod delegated;
mod listener;
mod local;
pub(crate) mod mint;
pub(crate) mod pods;
pub(crate) mod probe;
mod recorded;
mod redeemed;
mod stored;
pub(crate) mod trial;

pub use credentials::{CredentialReader, CredentialsDown, Fields, Loaded, MemoryCredentials, NoCredentials};
pub use local::{LocalBroker, LocalPod};
pub use redeemed::Redeemed;
pub use stored::StoredCredentials;

pub(crate) use listener::router;
use mint::Versions;
use pods::Pods;
use trial::Trials;

/// What a broker is made of.
#[derive(Debug)]
pub struct BrokerConfig {
    /// Signs leases.
    pub signer: LeaseSigner,
    /// The credentials of tenants.
    pub credentials: Arc<dyn CredentialReader>,
    /// Which leases were redeemed; all replicas must share it.
    pub redeemed: Redeemed,
    /// Where pods reach it; none within one process.
    pub listener: Option<(TcpListener, ServerTls)>,
    /// Services of this process reach it through this.
    pub local: LocalBroker,
}

impl BrokerConfig {
    /// Leases signed by this signer, and no credentials.
    #[must_use]
    pub fn without_credentials(signer: LeaseSigner) -> Self {
        Self {
            signer,
            credentials: Arc::new(NoCredentials),
            redeemed: Redeemed::in_memory(),
            listener: None,
            local: LocalBroker::default(),
        }
    }

    /// The same over a platform database.
    #[must_use]
    pub fn with_store(mut self, store: Store) -> Self {
        self.credentials = Arc::new(StoredCredentials::new(store.clone()));
        self.redeemed = Redeemed::in_store(store);
        self
    }
}

/// Why nothing is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BrokerError {
    /// The pod has not shown who it is.
    #[error("the token is not one of a pod for the broker")]
    NotAPod,
    /// The API server cannot be asked who the pod is.
    #[error("the pod cannot be identified now")]
    ReviewDown,
    /// The lease is not one for this pod.
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// The lease was redeemed before.
    #[error("the lease was redeemed before")]
    Replayed,
    /// Without a lease only the service of a single tenant is given anything.
    #[error("the service needs a lease")]
    NeedsLease,
    /// The tenant has no credential for this connector.
    #[error("there are no credentials of this tenant for this connector")]
    Missing,
    /// The credentials cannot be read now.
    #[error("the credentials cannot be read now")]
    Down,
}

impl BrokerError {
    /// `PascalCase` reason.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::NotAPod => "NotAPod",
            Self::ReviewDown => "ReviewUnavailable",
            Self::Lease(error) => error.reason(),
            Self::Replayed => "LeaseReplayed",
            Self::NeedsLease => "LeaseMissing",
            Self::Missing => "CredentialsMissing",
            Self::Down => "CredentialsUnavailable",
        }
    }
}

impl From<CredentialsDown> for BrokerError {
    fn from(_: CredentialsDown) -> Self {
        Self::Down
    }
}

/// The broker of one gateway.
pub(crate) struct Broker {
    signer: LeaseSigner,
    credentials: Arc<dyn CredentialReader>,
    redeemed: Redeemed,
    versions: Versions,
    pods: Option<Pods>,
    snapshot: Arc<ArcSwap<Snapshot>>,
    audit: Audit,
    trials: Trials,
}

impl Broker {
    /// Puts it together; services of this process find it in `config.local` from now on.
    pub(crate) fn new(
        config: BrokerConfig,
        pods: Option<Pods>,
        snapshot: Arc<ArcSwap<Snapshot>>,
        audit: Audit,
        sealer: Sealer,
    ) -> Arc<Self> {
        let BrokerConfig { signer, credentials, redeemed, local, .. } = config;
        let (versions, trials) = (Versions::default(), Trials::new(sealer));
        let broker = Arc::new(Self { signer, credentials, redeemed, versions, pods, snapshot, audit, trials });
        local.opened(&broker);
        broker
    }

    /// Who asks, by the ServiceAccount token of the pod.
    async fn pod(&self, token: &str) -> Result<Audience, BrokerError> {
        self.pods.as_ref().ok_or(BrokerError::NotAPod)?.identify(token).await
    }

    /// The fields that a lease is for, once, for the pod that it is for.
    /// With a lease for a trial come the sealed values, with no other anything.
    pub(crate) async fn redeem(&self, pod: &Audience, lease: &str, sealed: &str) -> Result<Loaded, BrokerError> {
        let claims = self.signer.open(lease, Now::clock()).map_err(BrokerError::from);
        let given = match &claims {
            Ok(claims) => self.give(pod, claims, sealed).await,
            Err(error) => Err(*error),
        };
        let (claims, refused) = (claims.as_ref().ok(), given.as_ref().err());
        record(pod, claims, refused);
        if refused.is_some() || claims.is_none_or(|claims| claims.tool != PROBE) {
            self.audit.note(|| recorded::redeemed(pod, claims, refused));
        }
        given
    }

    async fn give(&self, pod: &Audience, claims: &Claims, sealed: &str) -> Result<Loaded, BrokerError> {
        if claims.audience != *pod {
            return Err(LeaseError::Audience.into());
        }
        if (claims.tool == TRIAL) == sealed.is_empty() {
            return Err(LeaseError::Tool.into());
        }
        if !self.redeemed.first(claims).await? {
            return Err(BrokerError::Replayed);
        }
        if claims.tool == TRIAL {
            let fields = self.trials.open(claims, sealed).map_err(|_| LeaseError::Malformed)?;
            return Ok(Loaded { version: claims.version, fields });
        }
        self.load(&claims.tenant, &claims.connector).await
    }

    /// The fields of the one tenant of a single-tenant service.
    pub(crate) async fn own(&self, pod: &Audience) -> Result<Loaded, BrokerError> {
        let served = self.single_tenant(pod);
        let given = match &served {
            Some((connector, tenant)) => self.load(tenant, connector).await,
            None => Err(BrokerError::NeedsLease),
        };
        self.audit.note(|| recorded::own(pod, served.as_ref(), given.as_ref().err()));
        let refused = given.as_ref().err().map(|error| error.reason());
        let of = served.as_ref().map(|(connector, tenant)| (connector.as_str(), tenant.as_str()));
        let (connector, tenant) = of.unzip();
        match refused {
            None => tracing::debug!(%pod, connector, tenant, "credentials given to a single-tenant service"),
            Some(reason) => tracing::warn!(%pod, connector, tenant, reason, "credentials refused"),
        }
        given
    }

    /// The connector and tenant of a single-tenant service that runs under this ServiceAccount.
    fn single_tenant(&self, pod: &Audience) -> Option<(ConnectorId, TenantId)> {
        self.snapshot.load().catalog.connectors.iter().find_map(|config| {
            let Place::Service { whose, .. } = &config.place else { return None };
            let name = ConnectorName::parse(&config.key.name).ok()?;
            let is_it = whose.platform && Audience::of(&config.key.namespace, &name) == *pod;
            is_it.then(|| Some((config.id.clone(), whose.tenant.clone()?))).flatten()
        })
    }

    async fn load(&self, tenant: &TenantId, connector: &ConnectorId) -> Result<Loaded, BrokerError> {
        self.credentials.load(tenant, connector).await?.ok_or(BrokerError::Missing)
    }
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker").field("signer", &self.signer).finish_non_exhaustive()
    }
}

/// One line for each redemption, refused or not.
fn record(pod: &Audience, claims: Option<&Claims>, refused: Option<&BrokerError>) {
    let connector = claims.map(|claims| claims.connector.as_str());
    let tenant = claims.map(|claims| claims.tenant.as_str());
    let user = claims.map(|claims| claims.user.as_str());
    let delegate = claims.and_then(|claims| claims.delegate.as_deref());
    let request_id = claims.map(|claims| claims.request.as_str());
    match refused {
        None => tracing::debug!(request_id, %pod, connector, tenant, user, delegate, "lease redeemed"),
        // Nothing is wrong with the lease: the tenant has entered nothing, or the service needs nothing.
        Some(BrokerError::Missing) => {
            tracing::debug!(request_id, %pod, connector, tenant, user, delegate, "lease redeemed: nothing is stored");
        }
        Some(error) => {
            let audience = claims.map(|claims| claims.audience.as_str());
            let reason = error.reason();
            tracing::warn!(request_id, %pod, audience, connector, tenant, user, delegate, reason, "lease refused");
        }
    }
}
