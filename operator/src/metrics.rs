//! The operator's numbers, under the prefix `aperium_operator`. Labels come from closed sets.

use crate::readiness::Answer;
use crate::stores::Key;
use axum::response::Response;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Seconds of a reconcile.
const BUCKETS: [f64; 10] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Failure {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Write {
    resource: &'static str,
    verb: &'static str,
}

/// The operator's numbers.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    reconciles: Family<Outcome, Counter>,
    failures: Family<Failure, Counter>,
    duration: Histogram,
    writes: Family<Write, Counter>,
    probes: Family<Outcome, Counter>,
    queue: Gauge,
    connectors: Gauge,
    connectors_ready: Gauge,
    leader: Gauge,
    settings_bad: Gauge,
    states: Mutex<HashMap<Key, bool>>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("aperium_operator");
        let duration = Histogram::new(BUCKETS);
        let metrics = Self {
            reconciles: Family::default(),
            failures: Family::default(),
            writes: Family::default(),
            probes: Family::default(),
            queue: Gauge::default(),
            connectors: Gauge::default(),
            connectors_ready: Gauge::default(),
            leader: Gauge::default(),
            settings_bad: Gauge::default(),
            states: Mutex::default(),
            duration: duration.clone(),
            registry: Registry::default(),
        };
        registry.register("reconciles", "Reconciles by result", metrics.reconciles.clone());
        registry.register("reconcile_errors", "Failed reconciles by reason", metrics.failures.clone());
        registry.register("reconcile_duration_seconds", "Duration of a reconcile", duration);
        registry.register("writes", "Writes to the API server", metrics.writes.clone());
        registry.register("readyz_requests", "Requests to pods by result", metrics.probes.clone());
        registry.register("queue_depth", "Connectors that are due", metrics.queue.clone());
        registry.register("connectors", "Connectors with a service", metrics.connectors.clone());
        registry.register(
            "connectors_ready",
            "Connectors with a service that are ready",
            metrics.connectors_ready.clone(),
        );
        registry.register("leader", "1 while this replica reconciles", metrics.leader.clone());
        registry.register("settings_invalid", "1 while the settings file cannot be used", metrics.settings_bad.clone());
        Self { registry, ..metrics }
    }
}

impl Metrics {
    /// A reconcile ended.
    pub fn reconciled(&self, failure: Option<&'static str>, took: Duration) {
        let result = if failure.is_some() { "error" } else { "ok" };
        self.reconciles.get_or_create(&Outcome { result }).inc();
        if let Some(reason) = failure {
            self.failures.get_or_create(&Failure { reason }).inc();
        }
        self.duration.observe(took.as_secs_f64());
    }

    /// A write is sent.
    pub fn write(&self, resource: &'static str, verb: &'static str) {
        self.writes.get_or_create(&Write { resource, verb }).inc();
    }

    /// Pods were asked.
    pub fn probes(&self, answers: &[Result<Answer, String>]) {
        for answer in answers {
            let result = match answer {
                Ok(answer) if answer.ready => "ready",
                Ok(_) => "not_ready",
                Err(_) => "unreachable",
            };
            self.probes.get_or_create(&Outcome { result }).inc();
        }
    }

    /// Whether a Connector is ready.
    pub fn ready(&self, key: &Key, ready: bool) {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        states.insert(key.clone(), ready);
    }

    /// A Connector is gone.
    pub fn forget(&self, key: &Key) {
        self.states.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    /// Whether this replica reconciles.
    pub fn leading(&self, leads: bool) {
        self.leader.set(i64::from(leads));
    }

    /// Whether the settings file can be used.
    pub fn settings(&self, good: bool) {
        self.settings_bad.set(i64::from(!good));
    }

    /// The answer to a scrape.
    #[must_use]
    pub fn scrape(&self, due: usize) -> Response {
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        self.queue.set(count(due));
        {
            let states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
            self.connectors.set(count(states.len()));
            self.connectors_ready.set(count(states.values().filter(|ready| **ready).count()));
        }
        aperium_platform::metrics::response(&self.registry)
    }
}
