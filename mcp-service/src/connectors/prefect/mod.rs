//! Prefect: typed tools come in; requests to the REST API of a Prefect server or of Prefect Cloud go out.
//!
//! ```text
//! tools ─► args, filters (typed) ─► client ─► address · auth · csrf ─► guarded HTTP ─► failure ─► types
//! ```

mod address;
mod args;
mod auth;
mod client;
mod csrf;
mod failure;
mod filters;
mod listing;
#[cfg(test)]
mod tests;
mod tools;
mod types;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::connector::{Connector, CredentialField, Info, SettingsSpec, Tool, ToolError, Upstream, Way};
use client::Client;
use tools::{
    automations, dashboard, deployments, events, flow_runs, flows, logs, run_states, task_runs, variables, work_pools,
};

static INFO: Info = Info {
    module: "prefect",
    title: "Prefect",
    description: "See why data pipelines are late or failed; run, cancel and retry them where writes are enabled.",
    prefix: "prefect_",
    port: 8086,
    category: "Data",
    credentials: &[
        CredentialField::text(
            "api_url",
            "API URL",
            "http://<host>:4200/api of a server, or https://api.prefect.cloud/api/accounts/<id>/workspaces/<id>.",
        ),
        CredentialField::secret("api_key", "API key", "Key of a Prefect Cloud service account.").optional(),
        CredentialField::secret("auth_string", "Auth string", "user:password of a server that asks for one.")
            .optional(),
        CredentialField::secret(
            "custom_headers",
            "Custom headers",
            "JSON object of headers that a proxy in front of Prefect wants.",
        )
        .optional(),
    ],
    settings: SettingsSpec::of::<Settings>(),
    egress_hosts: &[],
};

/// There is nothing to set.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
struct Settings {}

/// The connector.
#[derive(Debug)]
pub struct Prefect {
    tools: Vec<Tool>,
}

impl Prefect {
    /// With all its tools.
    #[must_use]
    pub fn new() -> Self {
        Self { tools: reads().into_iter().chain(writes()).collect() }
    }
}

impl Default for Prefect {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait::async_trait]
impl Connector for Prefect {
    fn info(&self) -> &'static Info {
        &INFO
    }

    fn tools(&self) -> &[Tool] {
        &self.tools
    }

    async fn probe(&self, up: &Upstream) -> Result<(), ToolError> {
        Client::of(up).await?.probe().await
    }

    fn way(&self, up: &Upstream) -> Way {
        if up.optional_text("api_url").is_some_and(|url| url.starts_with("http://")) {
            Way::Plain
        } else {
            Way::Encrypted
        }
    }
}

/// An id for the examples.
const ID: &str = "c09661f1-d8e9-4bbf-aa8f-731c82f5d445";

fn reads() -> Vec<Tool> {
    vec![
        Tool::read(
            "prefect_get_dashboard",
            "Dashboard",
            "Counts flow runs by state, late runs, flows and deployments, and lists work pools. A good first look.",
            dashboard::get_dashboard,
        )
        .example(json!({"hours": 24})),
        Tool::read("prefect_list_flows", "List flows", "Lists flows by name.", flows::list_flows)
            .example(json!({"name": "etl", "limit": 20})),
        Tool::read(
            "prefect_list_deployments",
            "List deployments",
            "Lists deployments with their status, pause and work pool, filtered by name, flow, tags, work pool or pause.",
            deployments::list_deployments,
        )
        .example(json!({"tags": ["prod"], "paused": false})),
        Tool::read(
            "prefect_get_deployment",
            "Get deployment",
            "Shows one deployment with its schedules, default parameters and the JSON schema of its parameters.",
            deployments::get_deployment,
        )
        .example(json!({"deployment": "etl/nightly"})),
        Tool::read(
            "prefect_list_flow_runs",
            "List flow runs",
            "Lists flow runs by state, deployment, flow, expected start and tags, runs still to come first (`until` now leaves \
             them out). Late runs have the state name Late.",
            flow_runs::list_flow_runs,
        )
        .example(json!({"states": ["FAILED", "CRASHED"], "since": "2026-11-20T00:00:00Z", "limit": 20})),
        Tool::read(
            "prefect_get_flow_run",
            "Get flow run",
            "Shows one flow run with its parameters, times and the message of its state.",
            flow_runs::get_flow_run,
        )
        .example(json!({"flow_run": ID})),
        Tool::read(
            "prefect_get_flow_run_logs",
            "Get flow run logs",
            "Shows the log of one flow run, its task runs included. To see why it failed, read it newest_first.",
            logs::get_flow_run_logs,
        )
        .example(json!({"flow_run": ID, "min_level": "warning", "order": "newest_first"})),
        Tool::read(
            "prefect_list_task_runs",
            "List task runs",
            "Lists the task runs of one flow run with their states and times.",
            task_runs::list_task_runs,
        )
        .example(json!({"flow_run": ID, "states": ["FAILED"]})),
        Tool::read(
            "prefect_list_work_pools",
            "List work pools",
            "Lists work pools: whether a worker polls them, whether they are paused, how full they are.",
            work_pools::list_work_pools,
        )
        .example(json!({})),
        Tool::read(
            "prefect_list_automations",
            "List automations",
            "Lists automations with their triggers and actions.",
            automations::list_automations,
        )
        .example(json!({"limit": 20})),
        Tool::read(
            "prefect_list_events",
            "List events",
            "Lists events of flow runs, deployments, work pools and the like, filtered by name, resource and time.",
            events::list_events,
        )
        .example(json!({"events": ["prefect.flow-run."], "resources": [format!("prefect.flow-run.{ID}")]})),
    ]
}

fn writes() -> Vec<Tool> {
    vec![
        Tool::write(
            "prefect_run_deployment",
            "Run deployment",
            "Starts one run of a deployment, with parameters that fit its schema, and answers at once; look at the \
             run with prefect_get_flow_run.",
            deployments::run_deployment,
        )
        .example(json!({"deployment": "etl/nightly", "parameters": {"number": 7}, "tags": ["by-agent"]})),
        Tool::destructive(
            "prefect_cancel_flow_run",
            "Cancel flow run",
            "Cancels a flow run that is not over. One that runs already is CANCELLING until its worker has stopped it.",
            run_states::cancel_flow_run,
        )
        .example(json!({"flow_run": ID})),
        Tool::write(
            "prefect_retry_flow_run",
            "Retry flow run",
            "Schedules a flow run of a deployment that is over to be run once more, under the same id.",
            run_states::retry_flow_run,
        )
        .example(json!({"flow_run": ID})),
        Tool::idempotent_write(
            "prefect_pause_deployment",
            "Pause deployment",
            "Pauses the schedules of a deployment and drops the runs that they planned. Runs that are running go on.",
            deployments::pause_deployment,
        )
        .example(json!({"deployment": "etl/nightly"})),
        Tool::idempotent_write(
            "prefect_resume_deployment",
            "Resume deployment",
            "Resumes the schedules of a deployment.",
            deployments::resume_deployment,
        )
        .example(json!({"deployment": ID})),
        Tool::destructive(
            "prefect_set_variable",
            "Set variable",
            "Gives a variable a value, replacing the one it had.",
            variables::set_variable,
        )
        .example(json!({"name": "batch_size", "value": 500})),
    ]
}
