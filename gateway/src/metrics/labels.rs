//! What series are labelled with, and the buckets of durations.

use http::StatusCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::MetricConstructor;
use prometheus_client::metrics::histogram::Histogram;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

/// A request by what it wanted and what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Request {
    /// A closed set: see [`method_class`].
    pub(super) method: &'static str,
    /// A closed set: see `Failure::outcome`.
    pub(super) outcome: &'static str,
}

/// A request by the names of OpenTelemetry ("Semantic conventions for Model Context Protocol", server and client metrics).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Operation {
    /// A closed set: see [`method_class`].
    pub(super) mcp_method_name: &'static str,
    /// The outcome, where it is none that was asked for.
    pub(super) error_type: Option<&'static str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ByConnector {
    pub(super) connector: String,
}

/// Requests on the proxy path of a connector, by the class of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Proxied {
    pub(super) connector: String,
    /// `1xx` to `5xx`, or `none` where the caller left before there was one.
    pub(super) status: &'static str,
    /// A closed set: see `entry::http`.
    pub(super) outcome: &'static str,
}

/// Exchanges with an upstream that came to nothing, refusals of the egress guard among them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Failed {
    pub(super) connector: String,
    /// A closed set: see `UpstreamError::reason`.
    pub(super) reason: &'static str,
}

/// Definitions of an upstream that were replaced by others under the same name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Redefined {
    pub(super) connector: String,
    /// A closed set: see `Kind::noun`.
    pub(super) kind: &'static str,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct CallBuckets;

impl MetricConstructor<Histogram> for CallBuckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new([
            0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
        ])
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct OperationBuckets;

impl MetricConstructor<Histogram> for OperationBuckets {
    fn new_metric(&self) -> Histogram {
        // Those of the convention.
        Histogram::new([0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0])
    }
}

/// The classes and outcomes of proxied requests so far, for the same reason.
pub(super) type Proxies = Arc<Mutex<BTreeSet<(&'static str, &'static str)>>>;

/// The reasons that any exchange has failed for so far: what a connector's series may be labelled with.
pub(super) type Reasons = Arc<Mutex<BTreeSet<&'static str>>>;

/// The label of an outcome in the convention, which names errors alone.
pub(super) fn error_type(outcome: &'static str) -> Option<&'static str> {
    Some(outcome).filter(|outcome| !matches!(*outcome, "ok" | "input_required"))
}

/// The label of a status.
pub(super) fn status_class(status: StatusCode) -> &'static str {
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
}
