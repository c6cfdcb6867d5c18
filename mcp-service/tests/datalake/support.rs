//! One data lake per test: a folder and settings in, calls of the connector's tools out.

use aperium_tests::binaries::repository;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aperium_core::egress::{EgressRules, Reach};
use aperium_core::id::RequestId;
use aperium_mcp_service::connector::{Connector as _, Fields, ToolError, Upstream, UpstreamParts};
use aperium_mcp_service::connectors::gcs_datalake::{GcsDatalake, Settings};
use aperium_platform::egress::{EgressPolicy, ExternalClient, GuardedDialer};
use serde_json::{Value, json};

/// The program that has the SQL child.
pub(crate) const WORKER: &str = env!("CARGO_BIN_EXE_aperium-mcp");

/// A three-way cross join of 14,400 rows each: days of work for any machine.
pub(crate) const CROSS_JOIN: &str = "with t as (select quantity from orders, inventory) \
     select sum(a.quantity * b.quantity * c.quantity) from t a, t b, t c";

/// The example data that comes with the project.
pub(crate) fn example_folder() -> PathBuf {
    repository().join("deploy/examples/datalake")
}

/// The connector bound to one folder.
pub(crate) struct Lake {
    connector: GcsDatalake,
    upstream: Upstream,
}

impl Lake {
    /// A lake over `folder` with the default limits.
    pub(crate) fn over(folder: &Path) -> Self {
        Self::with(folder, json!({}))
    }

    /// A lake over `folder` with other settings.
    pub(crate) fn with(folder: &Path, settings: Value) -> Self {
        Self::build(folder, settings, true, Path::new(WORKER))
    }

    /// A lake whose children are started under another path, by which a test finds them.
    pub(crate) fn with_worker(folder: &Path, settings: Value, worker: &Path) -> Self {
        Self::build(folder, settings, true, worker)
    }

    /// A lake in a pod.
    pub(crate) fn in_a_pod(folder: &Path) -> Self {
        Self::build(folder, json!({}), false, Path::new(WORKER))
    }

    fn build(folder: &Path, mut settings: Value, local: bool, worker: &Path) -> Self {
        settings["location"] = json!(format!("file://{}", folder.display()));
        let mut settings: Settings = serde_json::from_value(settings).unwrap();
        settings.worker = Some(worker.to_owned());
        let policy = EgressPolicy::new(EgressRules::default()).unwrap();
        let parts = UpstreamParts {
            fields: Fields::default(),
            settings: Arc::new(settings),
            http: ExternalClient::new(policy.clone(), Reach::Admin).unwrap(),
            dialer: GuardedDialer::new(policy, Reach::Admin),
            local,
        };
        let upstream = Upstream::new(parts, RequestId::accept(None), Instant::now());
        Self { connector: GcsDatalake::new(), upstream }
    }

    /// Calls a tool with a minute of time.
    pub(crate) async fn call(&self, tool: &str, arguments: Value) -> Result<Value, ToolError> {
        let call = self.upstream.for_call(RequestId::accept(None), Instant::now() + Duration::from_secs(60));
        let tool = self.connector.tools().iter().find(|candidate| candidate.name() == tool).unwrap();
        tool.call(&call, arguments).await
    }

    /// Runs SQL and returns the rows.
    pub(crate) async fn query(&self, sql: &str) -> Result<Value, ToolError> {
        self.call("gcs_query_data", json!({"sql": sql})).await.map(|mut result| result["rows"].take())
    }

    /// Runs SQL that must fail; the error as `code: message`.
    pub(crate) async fn refused(&self, sql: &str) -> String {
        self.query(sql).await.unwrap_err().to_string()
    }

    /// Asks whether the lake can be served.
    pub(crate) async fn probe(&self) -> Result<(), ToolError> {
        self.connector.probe(&self.upstream).await
    }
}
