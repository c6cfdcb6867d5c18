//! What happened → OpenMetrics. Labels come from closed sets, or are ids of Connectors.

use crate::audit::meter::Meter as AuditMeter;
use crate::snapshot::Kind;
use aperium_platform::serve::Refusals;
use http::StatusCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

mod credentials;

use credentials::Credentials;

/// A request by what it wanted and what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Request {
    /// A closed set: see [`method_class`].
    method: &'static str,
    /// A closed set: see `Failure::outcome`.
    outcome: &'static str,
}

/// A request by the names of OpenTelemetry ("Semantic conventions for Model Context Protocol", server metrics).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Operation {
    /// A closed set: see [`method_class`].
    mcp_method_name: &'static str,
    /// The outcome, where it is none that was asked for.
    error_type: Option<&'static str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByConnector {
    connector: String,
}

/// Requests on the proxy path of a connector, by the class of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Proxied {
    connector: String,
    /// `1xx` to `5xx`, or `none` where the caller left before there was one.
    status: &'static str,
    /// A closed set: see `entry::http`.
    outcome: &'static str,
}

/// Exchanges with an upstream that came to nothing, refusals of the egress guard among them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Failed {
    connector: String,
    /// A closed set: see `UpstreamError::reason`.
    reason: &'static str,
}

/// Definitions of an upstream that were replaced by others under the same name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Redefined {
    connector: String,
    /// A closed set: see `Kind::noun`.
    kind: &'static str,
}

#[derive(Debug, Clone, Copy)]
struct CallBuckets;

impl MetricConstructor<Histogram> for CallBuckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new([
            0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
        ])
    }
}

#[derive(Debug, Clone, Copy)]
struct OperationBuckets;

impl MetricConstructor<Histogram> for OperationBuckets {
    fn new_metric(&self) -> Histogram {
        // Those of the convention.
        Histogram::new([0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0])
    }
}

/// The classes and outcomes of proxied requests so far, for the same reason.
type Proxies = Arc<Mutex<BTreeSet<(&'static str, &'static str)>>>;

/// The reasons that any exchange has failed for so far: what a connector's series may be labelled with.
type Reasons = Arc<Mutex<BTreeSet<&'static str>>>;

/// All metrics of the gateway.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<Request, Counter>,
    operations: Family<Operation, Histogram, OperationBuckets>,
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

/// The metrics of one connector, looked up once.
#[derive(Debug, Clone)]
pub(crate) struct Meter {
    id: Box<str>,
    failures: Family<Failed, Counter>,
    reasons: Reasons,
    redefined: Family<Redefined, Counter>,
    proxied: Family<Proxied, Counter>,
    proxies: Proxies,
    proxy_duration: Family<ByConnector, Histogram, CallBuckets>,
    calls: Histogram,
    discovery_ok: Gauge,
    tools: Gauge,
}

impl Meter {
    /// A call took this long.
    pub(crate) fn called(&self, took: Duration) {
        self.calls.observe(took.as_secs_f64());
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
        let error_type = Some(outcome).filter(|outcome| !matches!(*outcome, "ok" | "input_required"));
        let label = Operation { mcp_method_name: method, error_type };
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

/// The label of a status.
pub(crate) fn status_class(status: StatusCode) -> &'static str {
    match status.as_u16() / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    }
}

/// The label of a method: what is not served is `other`, whatever it is called.
pub(crate) fn method_class(method: &str) -> &'static str {
    match method {
        "tools/call" => "tools/call",
        "tools/list" => "tools/list",
        "prompts/list" => "prompts/list",
        "prompts/get" => "prompts/get",
        "resources/list" => "resources/list",
        "resources/templates/list" => "resources/templates/list",
        "resources/read" => "resources/read",
        "completion/complete" => "completion/complete",
        "initialize" => "initialize",
        "server/discover" => "server/discover",
        "ping" => "ping",
        "subscriptions/listen" => "subscriptions/listen",
        "resources/subscribe" => "resources/subscribe",
        "resources/unsubscribe" => "resources/unsubscribe",
        "logging/setLevel" => "logging/setLevel",
        method if method.starts_with("notifications/") => "notification",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m22_methods_that_callers_make_up_share_one_label() {
        assert_eq!(method_class("tools/call"), "tools/call");
        assert_eq!(method_class("x".repeat(100).as_str()), "other");
        assert_eq!(method_class("notifications/made/up"), "notification");
    }

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
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &metrics.registry).unwrap();
        for line in [
            "mcp_server_operation_duration_seconds_count{mcp_method_name=\"tools/list\",error_type=\"\"} 1",
            "le=\"0.02\"",
            "mcp_server_operation_duration_seconds_sum{mcp_method_name=\"tools/call\",error_type=\"tool_error\"} 3.0",
            "aperium_gateway_requests_total{method=\"tools/call\",outcome=\"tool_error\"} 1",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}
