//! Metrics of the audit log.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::time::Duration;

/// Why something was not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    /// A closed set: see `Unrecorded::reason` and `StoreError::reason`.
    reason: &'static str,
}

/// All of them. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Meter {
    enabled: Gauge,
    queued: Gauge,
    written: Counter,
    dropped: Counter,
    refused: Family<Reason, Counter>,
    failures: Family<Reason, Counter>,
    flush: Histogram,
}

impl Meter {
    /// Registers them.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let flush = Histogram::new([0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]);
        let all = Self {
            enabled: Gauge::default(),
            queued: Gauge::default(),
            written: Counter::default(),
            dropped: Counter::default(),
            refused: Family::default(),
            failures: Family::default(),
            flush,
        };
        registry.register("audit_enabled", "1 if there is an audit log", all.enabled.clone());
        registry.register("audit_queued", "Records that waited when the last batch was taken", all.queued.clone());
        registry.register("audit_written", "Records that are in the database", all.written.clone());
        registry.register("audit_dropped", "Records of reads that found no room in the queue", all.dropped.clone());
        registry.register(
            "audit_refused",
            "Writes that were refused because they could not be put on record",
            all.refused.clone(),
        );
        registry.register("audit_failures", "Batches and checkpoints that failed", all.failures.clone());
        registry.register_with_unit("audit_flush", "One batch into the database", Unit::Seconds, all.flush.clone());
        all
    }

    pub(super) fn enabled(&self) {
        self.enabled.set(1);
    }

    pub(super) fn queued(&self, records: usize) {
        self.queued.set(i64::try_from(records).unwrap_or(i64::MAX));
    }

    pub(super) fn written(&self, records: usize, took: Duration) {
        self.written.inc_by(u64::try_from(records).unwrap_or(u64::MAX));
        self.flush.observe(took.as_secs_f64());
    }

    pub(super) fn dropped(&self) {
        self.dropped.inc();
    }

    pub(super) fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&Reason { reason }).inc();
    }

    pub(super) fn failed(&self, reason: &'static str) {
        self.failures.get_or_create(&Reason { reason }).inc();
    }
}
