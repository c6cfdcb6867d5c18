//! One of several replicas leads: a Lease that is replaced by resource version, so that of two claims one fails.
//!
//! Timing as in client-go: the holder renews every 2 s and gives up after 10 s without success; others take over when
//! the record has not changed for 15 s by their own clock (no clocks are compared).

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long a record holds without being renewed.
const DURATION: Duration = Duration::from_secs(15);
/// How long the holder tries to renew.
const DEADLINE: Duration = Duration::from_secs(10);
/// The pause between two tries.
const RETRY: Duration = Duration::from_secs(2);

/// One candidate.
#[derive(Debug)]
pub struct Elector {
    api: Api<Lease>,
    name: &'static str,
    identity: String,
    /// The record that was seen last, and when it was first seen so.
    observed: Option<(LeaseSpec, Instant)>,
    held: Option<Lease>,
}

/// Why the Lease is not held any more.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    /// Nobody could be asked for too long.
    #[error("the Lease could not be renewed for {} s", DEADLINE.as_secs())]
    Deadline,
    /// Another replica has it.
    #[error("another replica holds the Lease")]
    Taken,
}

impl Elector {
    /// A candidate for the Lease of that name.
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: &'static str, identity: String) -> Self {
        Self { api: Api::namespaced(client, namespace), name, identity, observed: None, held: None }
    }

    /// Waits until this replica leads; false when the token is cancelled before.
    pub async fn acquire(&mut self, stop: &CancellationToken) -> bool {
        loop {
            match tokio::time::timeout(DEADLINE, self.attempt()).await {
                Ok(Ok(true)) => return true,
                Ok(Ok(false)) => {}
                Ok(Err(error)) => tracing::warn!(%error, "the Lease could not be taken"),
                Err(_) => tracing::warn!("the API server does not answer about the Lease"),
            }
            tokio::select! {
                () = stop.cancelled() => return false,
                () = tokio::time::sleep(RETRY) => {}
            }
        }
    }

    /// Renews until the Lease is lost.
    pub async fn hold(&mut self) -> Lost {
        let mut renewed = Instant::now();
        loop {
            tokio::time::sleep(RETRY).await;
            // No try may outlast the deadline, whatever the client does underneath.
            match tokio::time::timeout_at(renewed + DEADLINE, self.attempt()).await {
                Ok(Ok(true)) => renewed = Instant::now(),
                Ok(Ok(false)) => return Lost::Taken,
                Ok(Err(error)) => tracing::warn!(%error, "the Lease could not be renewed"),
                Err(_) => return Lost::Deadline,
            }
            if renewed.elapsed() >= DEADLINE {
                return Lost::Deadline;
            }
        }
    }

    /// Gives the Lease back, so that another replica need not wait.
    pub async fn release(&mut self) {
        let Some(mut lease) = self.held.take() else { return };
        let spec = lease.spec.get_or_insert_default();
        spec.holder_identity = Some(String::new());
        spec.lease_duration_seconds = Some(1);
        spec.renew_time = Some(MicroTime(Timestamp::now()));
        let params = PostParams::default();
        let released = self.api.replace(self.name, &params, &lease);
        match tokio::time::timeout(RETRY, released).await {
            Ok(Ok(_)) => tracing::info!("the Lease is released"),
            Ok(Err(error)) => tracing::warn!(%error, "the Lease could not be released"),
            Err(_) => tracing::warn!("the Lease could not be released in time"),
        }
    }

    /// One try to take or renew. True: this replica holds it.
    async fn attempt(&mut self) -> Result<bool, kube::Error> {
        // While it is held nobody else writes it: the answer to the last write is the newest version.
        let found = match &self.held {
            Some(lease) => Some(lease.clone()),
            None => self.api.get_opt(self.name).await?,
        };
        let params = PostParams::default();
        let written = match found {
            None => {
                let metadata = ObjectMeta { name: Some(self.name.to_owned()), ..ObjectMeta::default() };
                let lease = Lease { metadata, spec: Some(self.record(None)) };
                self.api.create(&params, &lease).await
            }
            Some(mut lease) => {
                let spec = lease.spec.clone().unwrap_or_default();
                if !self.may_take(&spec) {
                    return Ok(false);
                }
                lease.spec = Some(self.record(Some(&spec)));
                self.api.replace(self.name, &params, &lease).await
            }
        };
        match written {
            Ok(lease) => {
                self.held = Some(lease);
                Ok(true)
            }
            Err(kube::Error::Api(status)) if status.code == 409 => {
                // Somebody wrote in between: look again, as if nothing was held.
                let held = self.held.take().is_some();
                if held { self.still_ours().await } else { Ok(false) }
            }
            Err(error) => Err(error),
        }
    }

    /// After a conflict while holding: an edit of labels is no loss, another holder is.
    async fn still_ours(&mut self) -> Result<bool, kube::Error> {
        let found = self.api.get_opt(self.name).await?;
        let ours =
            found.as_ref().and_then(|lease| lease.spec.as_ref()?.holder_identity.as_deref()) == Some(&self.identity);
        if ours {
            self.held = found;
        }
        Ok(ours)
    }

    fn may_take(&mut self, spec: &LeaseSpec) -> bool {
        let holder = spec.holder_identity.as_deref().unwrap_or_default();
        if holder.is_empty() || holder == self.identity {
            return true;
        }
        if self.observed.as_ref().is_none_or(|(seen, _)| seen != spec) {
            self.observed = Some((spec.clone(), Instant::now()));
        }
        let lasts = u64::try_from(spec.lease_duration_seconds.unwrap_or_default()).unwrap_or_default();
        self.observed.as_ref().is_some_and(|(_, since)| since.elapsed() > Duration::from_secs(lasts))
    }

    fn record(&self, before: Option<&LeaseSpec>) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        let same = before.is_some_and(|spec| spec.holder_identity.as_deref() == Some(&self.identity));
        let transitions = before.and_then(|spec| spec.lease_transitions).unwrap_or_default();
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            acquire_time: before
                .filter(|_| same)
                .and_then(|spec| spec.acquire_time.clone())
                .or_else(|| Some(now.clone())),
            renew_time: Some(now),
            lease_transitions: Some(if same || before.is_none() { transitions } else { transitions.saturating_add(1) }),
            ..LeaseSpec::default()
        }
    }
}
