//! The broker of this process, as its services see it: no ServiceAccount token, but an identity that nobody else holds.

use aperium_core::id::{ConnectorId, ConnectorName};
use aperium_gateway::BrokerConfig;
use aperium_gateway::broker::{BrokerError, Loaded, LocalPod};
use aperium_mcp_service::broker::{Broker, Platform, RedeemError, Redeemed};
use aperium_platform::lease::{Audience, LeaseVerifier};
use std::sync::Arc;

/// How a service of this process gets credentials from the platform.
pub(crate) fn platform(broker: &BrokerConfig, namespace: &str, connector: &ConnectorName, id: ConnectorId) -> Platform {
    let audience = Audience::of(namespace, connector);
    let leases = LeaseVerifier::beside(broker.signer.clone(), audience.clone(), id);
    Platform { leases, broker: Arc::new(Local(broker.local.pod(audience))) }
}

struct Local(LocalPod);

#[async_trait::async_trait]
impl Broker for Local {
    async fn redeem(&self, lease: &str) -> Result<Redeemed, RedeemError> {
        given(self.0.redeem(lease).await)
    }

    async fn trial(&self, lease: &str, sealed: &str) -> Result<Redeemed, RedeemError> {
        given(self.0.trial(lease, sealed).await)
    }

    async fn own(&self) -> Result<Redeemed, RedeemError> {
        given(self.0.own().await)
    }
}

fn given(loaded: Result<Loaded, BrokerError>) -> Result<Redeemed, RedeemError> {
    match loaded {
        Ok(loaded) => Ok(Redeemed { fields: loaded.fields.into_iter().collect() }),
        Err(BrokerError::Missing) => Err(RedeemError::Missing),
        Err(BrokerError::Down | BrokerError::ReviewDown) => Err(RedeemError::Down),
        Err(BrokerError::Lease(_) | BrokerError::NotAPod | BrokerError::NeedsLease | BrokerError::Replayed) => {
            Err(RedeemError::Refused)
        }
    }
}

#[cfg(test)]
mod tests;
