//! A data lake: folders of Parquet, CSV and NDJSON files as tables, read with SQL.
//!
//! ```text
//! tool ─► discovery (which tables) ─► engine (slot, child, clock) ═► worker (limits, guard, query engine) ═► rows
//!         └──────────── in the service ────────────┘               └────── a process of its own per call ──────┘
//! ```
//! What comes in: a folder, allowed only under `aperium up`. What goes out: tables, columns, bounded rows, plans.
//! The query engine never runs inside the service; see [`worker`] for why.

use serde_json::json;

use crate::connector::{Connector, Info, SettingsSpec, Tool, ToolError, Upstream, Way};

mod engine;
mod lake;
mod protocol;
mod settings;
mod tools;
pub mod worker;

pub use settings::{Location, MemoryMib, Settings};

static INFO: Info = Info {
    module: "gcs_datalake",
    title: "Data lake",
    description: "SQL over folders of Parquet, CSV and NDJSON files.",
    prefix: "gcs_",
    port: 8094,
    category: "Data",
    credentials: &[],
    settings: SettingsSpec::of::<Settings>(),
    egress_hosts: &[],
};

/// The connector for data lakes.
pub struct GcsDatalake {
    tools: Vec<Tool>,
}

impl GcsDatalake {
    /// The connector with its tools.
    #[must_use]
    pub fn new() -> Self {
        let tools = vec![
            Tool::read(
                "gcs_list_tables",
                "List tables",
                "Lists the tables of the data lake with format, partition columns, number of files and size.",
                tools::list_tables,
            )
            .example(json!({"limit": 50})),
            Tool::read(
                "gcs_describe_table",
                "Describe a table",
                "Shows the columns of a table with their types and how to write them in SQL, and for Parquet the \
                 number of rows.",
                tools::describe_table,
            )
            .example(json!({"table": "orders"})),
            Tool::read(
                "gcs_preview_table",
                "Preview a table",
                "Shows the first rows of a table.",
                tools::preview_table,
            )
            .example(json!({"table": "orders", "limit": 10})),
            Tool::read(
                "gcs_query_data",
                "Query data",
                "Runs one SELECT over the tables of the data lake and returns its rows. Joins, aggregates, window \
                 functions and WITH are allowed; anything that is not a SELECT is refused. Filter on partition \
                 columns and aggregate in SQL: results are limited, and `truncated` tells when there was more.",
                tools::query_data,
            )
            .example(json!({"sql": "SELECT status, count(*) AS n FROM orders GROUP BY status", "max_rows": 100})),
            Tool::read(
                "gcs_explain_query",
                "Explain a query",
                "Shows how a SELECT would be run, without running it.",
                tools::explain_query,
            )
            .example(json!({"sql": "SELECT count(*) FROM orders WHERE year = '2026'"})),
        ];
        Self { tools }
    }
}

impl Default for GcsDatalake {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait::async_trait]
impl Connector for GcsDatalake {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn tools(&self) -> &[Tool] {
        &self.tools
    }

    async fn probe(&self, up: &Upstream) -> Result<(), ToolError> {
        tools::probe(up).await
    }

    // Over local files so far.
    fn way(&self, _: &Upstream) -> Way {
        Way::Local
    }
}
