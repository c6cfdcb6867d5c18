//! What the service counts: outcomes of calls come in, OpenMetrics families go out.
//!
//! Labels are bounded: the names of tools that exist (anything else is `unknown`), two kinds of access, and the codes
//! of [`ErrorCode`](crate::connector::ErrorCode).

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// The label of a tool name that does not exist.
pub(crate) const UNKNOWN_TOOL: &str = "unknown";

const SECONDS: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    tool: &'static str,
    access: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ToolLabels {
    tool: &'static str,
    access: &'static str,
}

type MakeHistogram = fn() -> Histogram;

/// The metrics of one service.
pub(crate) struct Metrics {
    registry: Registry,
    calls: Family<CallLabels, Counter>,
    duration: Family<ToolLabels, Histogram, MakeHistogram>,
    tools: Gauge,
    ready: Gauge,
    discovery_ok: Gauge,
    auth_failures: Counter,
}

impl Metrics {
    /// All families, registered.
    pub(crate) fn new() -> Self {
        let mut registry = Registry::default();
        let calls = Family::<CallLabels, Counter>::default();
        let make: MakeHistogram = || Histogram::new(SECONDS);
        let duration = Family::<ToolLabels, Histogram, MakeHistogram>::new_with_constructor(make);
        let (tools, ready, discovery_ok) = (Gauge::default(), Gauge::default(), Gauge::default());
        let auth_failures = Counter::default();
        registry.register("aperium_mcp_tool_calls", "Tool calls by outcome", calls.clone());
        registry.register("aperium_mcp_tool_call_duration_seconds", "How long tool calls took", duration.clone());
        registry.register("aperium_mcp_tools", "Tools that are listed", tools.clone());
        registry.register("aperium_mcp_ready", "Whether all readiness checks pass", ready.clone());
        registry.register("aperium_mcp_discovery_ok", "Whether the tools could be listed", discovery_ok.clone());
        registry.register("aperium_mcp_auth_failures", "Requests without a good service token", auth_failures.clone());
        Self { registry, calls, duration, tools, ready, discovery_ok, auth_failures }
    }

    /// One finished call.
    pub(crate) fn call(&self, tool: &'static str, access: &'static str, outcome: &'static str, took: Duration) {
        self.calls.get_or_create(&CallLabels { tool, access, outcome }).inc();
        self.duration.get_or_create(&ToolLabels { tool, access }).observe(took.as_secs_f64());
    }

    /// One request without a good service token.
    pub(crate) fn auth_failure(&self) {
        self.auth_failures.inc();
    }

    /// The state of readiness.
    pub(crate) fn state(&self, ready: bool, discovery_ok: bool, tools: usize) {
        self.ready.set(i64::from(ready));
        self.discovery_ok.set(i64::from(discovery_ok));
        self.tools.set(i64::try_from(tools).unwrap_or(i64::MAX));
    }

    /// For `/metrics`.
    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}
