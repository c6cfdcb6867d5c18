//! The metrics of one connector.

use super::labels::{
    ByConnector, CallBuckets, Failed, Operation, OperationBuckets, Proxied, Proxies, Reasons, Redefined, error_type,
    status_class,
};
use http::StatusCode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use std::sync::PoisonError;
use std::time::Duration;

/// The metrics of one connector, looked up once.
#[derive(Debug, Clone)]
pub(crate) struct Meter {
    pub(super) id: Box<str>,
    pub(super) failures: Family<Failed, Counter>,
    pub(super) reasons: Reasons,
    pub(super) redefined: Family<Redefined, Counter>,
    pub(super) proxied: Family<Proxied, Counter>,
    pub(super) proxies: Proxies,
    pub(super) proxy_duration: Family<ByConnector, Histogram, CallBuckets>,
    pub(super) sent: Family<Operation, Histogram, OperationBuckets>,
    pub(super) calls: Histogram,
    pub(super) discovery_ok: Gauge,
    pub(super) tools: Gauge,
}

impl Meter {
    /// A call took this long.
    pub(crate) fn called(&self, took: Duration) {
        self.calls.observe(took.as_secs_f64());
    }

    /// A request to the upstream ended that was sent so long ago.
    pub(crate) fn sent(&self, method: &'static str, outcome: &'static str, took: Duration) {
        let label = Operation { mcp_method_name: method, error_type: error_type(outcome) };
        self.sent.get_or_create(&label).observe(took.as_secs_f64());
    }

    /// An exchange with the upstream came to nothing.
    pub(crate) fn failed(&self, reason: &'static str) {
        self.reasons.lock().unwrap_or_else(PoisonError::into_inner).insert(reason);
        self.failures.get_or_create(&Failed { connector: String::from(&*self.id), reason }).inc();
    }

    /// So many definitions of a kind were replaced by others under the same names.
    pub(crate) fn redefined(&self, kind: &'static str, count: usize) {
        let label = Redefined { connector: String::from(&*self.id), kind };
        self.redefined.get_or_create(&label).inc_by(count.try_into().unwrap_or(u64::MAX));
    }

    /// A request on the proxy path ended.
    pub(crate) fn proxied(&self, status: Option<StatusCode>, outcome: &'static str, took: Duration) {
        let (connector, status) = (String::from(&*self.id), status.map_or("none", status_class));
        self.proxy_duration.get_or_create(&ByConnector { connector: connector.clone() }).observe(took.as_secs_f64());
        let label = Proxied { connector, status, outcome };
        if let Some(counter) = self.proxied.get(&label) {
            counter.inc();
        } else {
            self.proxies.lock().unwrap_or_else(PoisonError::into_inner).insert((status, outcome));
            self.proxied.get_or_create(&label).inc();
        }
    }

    /// A poll has succeeded with this many tools, or failed.
    pub(crate) fn polled(&self, tools: Option<usize>) {
        self.discovery_ok.set(i64::from(tools.is_some()));
        self.tools.set(i64::try_from(tools.unwrap_or(0)).unwrap_or(i64::MAX));
    }
}
