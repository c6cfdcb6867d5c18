//! What happened → OpenMetrics. Labels come from closed sets, or are ids of Connectors.

use crate::audit::meter::Meter as AuditMeter;
use crate::snapshot::Kind;
use aperium_platform::serve::Refusals;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

mod credentials;
mod labels;
mod meter;

pub(crate) use labels::method_class;
pub(crate) use meter::Meter;

use credentials::Credentials;
use labels::{
    ByConnector, CallBuckets, Failed, Operation, OperationBuckets, Proxied, Proxies, Reasons, Redefined, Request,
    error_type,
};

/// All metrics of the gateway.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<Request, Counter>,
    operations: Family<Operation, Histogram, OperationBuckets>,
    sent: Family<Operation, Histogram, OperationBuckets>,
    calls: Family<ByConnector, Histogram, CallBuckets>,
    proxied: Family<Proxied, Counter>,
    proxies: Proxies,
    proxy_duration: Family<ByConnector, Histogram, CallBuckets>,
    failures: Family<Failed, Counter>,
    reasons: Reasons,
    redefined: Family<Redefined, Counter>,
    refusals: Refusals,
    discovery_ok: Family<ByConnector, Gauge>,
    tools: Family<ByConnector, Gauge>,
    reloads_failed: Counter,
    subscriptions: Gauge,
    /// Stored credentials of tenants.
    pub(crate) credentials: Credentials,
    audit: AuditMeter,
}

impl Metrics {
    /// Registers all of them.
    pub(crate) fn new() -> Self {
        let mut all = Registry::default();
        let operations = Family::new_with_constructor(OperationBuckets);
        all.register_with_unit(
            "mcp_server_operation_duration",
            "MCP requests from their message to the last byte of the answer",
            Unit::Seconds,
            operations.clone(),
        );
        let sent = Family::new_with_constructor(OperationBuckets);
        all.register_with_unit(
            "mcp_client_operation_duration",
            "Requests to upstream servers for callers, from sending to the last byte of the answer",
            Unit::Seconds,
            sent.clone(),
        );
        let registry = all.sub_registry_with_prefix("aperium_gateway");
        let requests = Family::default();
        let calls = Family::new_with_constructor(CallBuckets);
        let (failures, redefined, refusals) = (Family::default(), Family::default(), Refusals::default());
        refusals.register(registry);
        registry.register("upstream_failures", "Exchanges with an upstream that came to nothing", failures.clone());
        registry.register(
            "definitions_changed",
            "Definitions that an upstream has replaced by others under the same name",
            redefined.clone(),
        );
        let (proxied, proxy_duration) = (Family::default(), Family::new_with_constructor(CallBuckets));
        let (discovery_ok, tools) = (Family::default(), Family::default());
        let (reloads_failed, subscriptions) = (Counter::default(), Gauge::default());
        registry.register("requests", "MCP messages by method and outcome", requests.clone());
        registry.register_with_unit(
            "call_duration",
            "Requests that were passed on, from request to last byte",
            Unit::Seconds,
            calls.clone(),
        );
        registry.register(
            "proxy_requests",
            "Requests on proxy paths by class of the answer and outcome",
            proxied.clone(),
        );
        registry.register_with_unit(
            "proxy_duration",
            "Requests on proxy paths, from request to last byte",
            Unit::Seconds,
            proxy_duration.clone(),
        );
        registry.register("discovery_ok", "1 if the last poll of the connector succeeded", discovery_ok.clone());
        registry.register("tools", "Tools of the connector that are listed", tools.clone());
        registry.register(
            "reloads_failed",
            "Configuration that was not taken over because it is bad",
            reloads_failed.clone(),
        );
        registry.register("subscriptions", "Streams of changes that clients listen to", subscriptions.clone());
        let credentials = Credentials::register(registry);
        let audit = AuditMeter::register(registry);
        Self {
            registry: all,
            requests,
            operations,
            sent,
            calls,
            proxied,
            proxies: Proxies::default(),
            proxy_duration,
            failures,
            reasons: Reasons::default(),
            redefined,
            refusals,
            discovery_ok,
            tools,
            reloads_failed,
            subscriptions,
            credentials,
            audit,
        }
    }

    /// The answer to a scrape.
    pub(crate) fn scrape(&self) -> axum::response::Response {
        aperium_platform::metrics::response(&self.registry)
    }

    /// The metrics of the audit log.
    pub(crate) fn audit(&self) -> AuditMeter {
        self.audit.clone()
    }

    /// The counter of what the listeners refuse.
    pub(crate) fn refusals(&self) -> Refusals {
        self.refusals.clone()
    }

    /// A message was answered.
    pub(crate) fn request(&self, method: &'static str, outcome: &'static str) {
        self.requests.get_or_create(&Request { method, outcome }).inc();
    }

    /// A message was answered that began so long ago.
    pub(crate) fn operation(&self, method: &'static str, outcome: &'static str, took: Duration) {
        self.request(method, outcome);
        let label = Operation { mcp_method_name: method, error_type: error_type(outcome) };
        self.operations.get_or_create(&label).observe(took.as_secs_f64());
    }

    /// As many streams of changes are listened to.
    pub(crate) fn subscriptions(&self, open: usize) {
        self.subscriptions.set(i64::try_from(open).unwrap_or(i64::MAX));
    }

    /// New configuration was bad.
    pub(crate) fn reload_failed(&self) {
        self.reloads_failed.inc();
    }

    /// The metrics of a connector.
    pub(crate) fn meter(&self, id: &str) -> Meter {
        let label = ByConnector { connector: id.to_owned() };
        Meter {
            id: id.into(),
            failures: self.failures.clone(),
            reasons: Arc::clone(&self.reasons),
            redefined: self.redefined.clone(),
            proxied: self.proxied.clone(),
            proxies: Arc::clone(&self.proxies),
            proxy_duration: self.proxy_duration.clone(),
            sent: self.sent.clone(),
            calls: self.calls.get_or_create(&label).clone(),
            discovery_ok: self.discovery_ok.get_or_create(&label).clone(),
            tools: self.tools.get_or_create(&label).clone(),
        }
    }

    /// The connector is gone, and its series with it.
    pub(crate) fn forget(&self, id: &str) {
        let label = ByConnector { connector: id.to_owned() };
        self.calls.remove(&label);
        self.proxy_duration.remove(&label);
        self.discovery_ok.remove(&label);
        self.tools.remove(&label);
        self.credentials.forget(id);
        for reason in self.reasons.lock().unwrap_or_else(PoisonError::into_inner).iter().copied() {
            self.failures.remove(&Failed { connector: id.to_owned(), reason });
        }
        for (status, outcome) in self.proxies.lock().unwrap_or_else(PoisonError::into_inner).iter().copied() {
            self.proxied.remove(&Proxied { connector: id.to_owned(), status, outcome });
        }
        for kind in Kind::ALL {
            self.redefined.remove(&Redefined { connector: id.to_owned(), kind: kind.noun() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;

    #[test]
    fn a_connector_that_is_gone_leaves_no_series() {
        let metrics = Metrics::new();
        let text = |metrics: &Metrics| {
            let mut text = String::new();
            prometheus_client::encoding::text::encode(&mut text, &metrics.registry).unwrap();
            text
        };
        let meter = metrics.meter("odoo");
        meter.polled(Some(3));
        meter.failed("Timeout");
        meter.redefined("tool", 1);
        meter.proxied(Some(StatusCode::OK), "ok", Duration::ZERO);
        meter.proxied(None, "cancelled", Duration::ZERO);
        assert!(text(&metrics).contains("aperium_gateway_tools{connector=\"odoo\"} 3"));
        metrics.forget("odoo");
        assert!(!text(&metrics).contains("odoo"), "{}", text(&metrics));
    }

    #[test]
    fn operations_have_the_names_of_the_convention() {
        let metrics = Metrics::new();
        metrics.operation("tools/list", "ok", Duration::from_millis(15));
        metrics.operation("tools/call", "tool_error", Duration::from_secs(3));
        metrics.meter("odoo").sent("tools/call", "tool_error", Duration::from_secs(2));
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &metrics.registry).unwrap();
        for line in [
            "mcp_server_operation_duration_seconds_count{mcp_method_name=\"tools/list\",error_type=\"\"} 1",
            "le=\"0.02\"",
            "mcp_server_operation_duration_seconds_sum{mcp_method_name=\"tools/call\",error_type=\"tool_error\"} 3.0",
            "mcp_client_operation_duration_seconds_sum{mcp_method_name=\"tools/call\",error_type=\"tool_error\"} 2.0",
            "aperium_gateway_requests_total{method=\"tools/call\",outcome=\"tool_error\"} 1",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}
