//! The broker for services of the same process: an identity in memory in place of a ServiceAccount token.

use super::{Broker, BrokerError, Loaded};
use aperium_platform::lease::Audience;
use std::sync::{Arc, OnceLock, Weak};

/// Where the broker of this process will be once its gateway runs. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct LocalBroker(Arc<OnceLock<Weak<Broker>>>);

/// What a service of this process shows: only who holds it can be that service.
#[derive(Debug, Clone)]
pub struct LocalPod {
    broker: LocalBroker,
    audience: Audience,
}

impl LocalBroker {
    pub(super) fn opened(&self, broker: &Arc<Broker>) {
        // A second gateway of the same process would need a second one of these.
        let _ = self.0.set(Arc::downgrade(broker));
    }

    /// The identity of a service that this process starts.
    #[must_use]
    pub fn pod(&self, audience: Audience) -> LocalPod {
        LocalPod { broker: self.clone(), audience }
    }

    fn broker(&self) -> Result<Arc<Broker>, BrokerError> {
        self.0.get().and_then(Weak::upgrade).ok_or(BrokerError::Down)
    }
}

impl LocalPod {
    /// The fields that a lease is for.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn redeem(&self, lease: &str) -> Result<Loaded, BrokerError> {
        self.broker.broker()?.redeem(&self.audience, lease, "").await
    }

    /// The fields that an admin has not saved yet.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn trial(&self, lease: &str, sealed: &str) -> Result<Loaded, BrokerError> {
        self.broker.broker()?.redeem(&self.audience, lease, sealed).await
    }

    /// The fields of the one tenant of a single-tenant service.
    ///
    /// # Errors
    /// [`BrokerError`].
    pub async fn own(&self) -> Result<Loaded, BrokerError> {
        self.broker.broker()?.own(&self.audience).await
    }
}
