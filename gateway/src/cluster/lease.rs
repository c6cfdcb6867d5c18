//! Which replica writes status: the one that holds the Lease. A claim replaces the Lease by its resource version, so
//! that of two claims one fails.

use k8s_openapi::api::coordination::v1::{Lease as Object, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, PostParams};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The name of the Lease.
const NAME: &str = "aperium-gateway-status";
/// How long a claim holds without being renewed.
const HOLDS: Duration = Duration::from_secs(15);
/// After this long without a renewal the holder writes nothing any more.
const DEADLINE: Duration = Duration::from_secs(10);
/// Between two tries.
const RETRY: Duration = Duration::from_secs(3);

/// Why one of the cluster's tasks has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// The Lease was given back.
    Released,
    /// Nobody listens any more.
    Stopped,
}

/// One candidate.
pub(super) struct Lease {
    api: Api<Object>,
    replica: String,
    /// The claim of another replica, and when it was first seen as it is: no clocks are compared.
    seen: Option<(LeaseSpec, Instant)>,
    renewed: Option<Instant>,
}

impl Lease {
    /// A candidate that holds nothing.
    pub(super) fn new(client: Client, namespace: &str, replica: String) -> Self {
        Self { api: Api::namespaced(client, namespace), replica, seen: None, renewed: None }
    }

    /// Claims and renews until the token is cancelled, then gives the Lease back.
    pub(super) async fn run(mut self, leading: watch::Sender<bool>, shutdown: CancellationToken) -> Ended {
        loop {
            // No try may outlast the deadline, however often the client repeats it.
            match tokio::time::timeout(RETRY, self.claim()).await {
                Ok(Ok(true)) => self.renewed = Some(Instant::now()),
                Ok(Ok(false)) => self.renewed = None,
                Ok(Err(error)) => tracing::warn!(%error, "the Lease cannot be claimed"),
                Err(_) => tracing::warn!("the API server does not answer about the Lease"),
            }
            let leads = self.renewed.is_some_and(|renewed| renewed.elapsed() < DEADLINE);
            if leading.send_replace(leads) != leads {
                tracing::info!(leads, "leadership over the status of remote connectors");
            }
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = tokio::time::sleep(RETRY) => {}
            }
        }
        leading.send_replace(false);
        if self.renewed.is_some() {
            let _ = tokio::time::timeout(RETRY, self.release()).await;
        }
        Ended::Released
    }

    async fn claim(&mut self) -> Result<bool, kube::Error> {
        let params = PostParams::default();
        let written = match self.api.get_opt(NAME).await? {
            None => {
                let metadata = ObjectMeta { name: Some(NAME.to_owned()), ..ObjectMeta::default() };
                self.api.create(&params, &Object { metadata, spec: Some(self.spec(None)) }).await
            }
            Some(mut lease) => {
                let found = lease.spec.take().unwrap_or_default();
                if !self.is_free(&found) {
                    return Ok(false);
                }
                lease.spec = Some(self.spec(Some(&found)));
                self.api.replace(NAME, &params, &lease).await
            }
        };
        match written {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn is_free(&mut self, found: &LeaseSpec) -> bool {
        let holder = found.holder_identity.as_deref().unwrap_or_default();
        if holder.is_empty() || holder == self.replica {
            return true;
        }
        match &self.seen {
            Some((seen, since)) if seen == found => since.elapsed() > HOLDS,
            _ => {
                self.seen = Some((found.clone(), Instant::now()));
                false
            }
        }
    }

    fn spec(&self, found: Option<&LeaseSpec>) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        let own = found.filter(|found| found.holder_identity.as_deref() == Some(&self.replica));
        let transitions = found.and_then(|found| found.lease_transitions).unwrap_or_default();
        LeaseSpec {
            holder_identity: Some(self.replica.clone()),
            lease_duration_seconds: i32::try_from(HOLDS.as_secs()).ok(),
            acquire_time: own.and_then(|own| own.acquire_time.clone()).or_else(|| Some(now.clone())),
            renew_time: Some(now),
            lease_transitions: Some(if own.is_some() || found.is_none() {
                transitions
            } else {
                transitions.saturating_add(1)
            }),
            ..LeaseSpec::default()
        }
    }

    async fn release(&self) -> Result<(), kube::Error> {
        let Some(mut lease) = self.api.get_opt(NAME).await? else { return Ok(()) };
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity.as_deref() == Some(&self.replica) {
            spec.holder_identity = Some(String::new());
            self.api.replace(NAME, &PostParams::default(), &lease).await?;
        }
        Ok(())
    }
}
