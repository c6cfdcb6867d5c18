//! What Prefect answers, cut down to what helps an agent.
//!
//! The same types are read from Prefect and handed out. What may hold secrets of the infrastructure (job variables, job
//! templates, pull steps) has no field here, so it is never handed out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::args::{Id, StateType};

/// The longest state message in a list, in characters.
const MAX_MESSAGE: usize = 500;

/// A flow.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(super) struct Flow {
    pub(super) id: Id,
    pub(super) name: String,
    #[serde(default)]
    pub(super) tags: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) created: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) updated: Option<String>,
}

/// A deployment as it is listed.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(super) struct DeploymentSummary {
    pub(super) id: Id,
    pub(super) name: String,
    pub(super) flow_id: Id,
    /// With `name` it makes the full name: `<flow_name>/<name>`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) flow_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<String>,
    /// Whether its schedules are paused.
    #[serde(default)]
    pub(super) paused: bool,
    /// READY when a worker or process polls for its runs, else NOT_READY.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<String>,
    #[serde(default)]
    pub(super) tags: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) work_pool_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) work_queue_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_polled: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) updated: Option<String>,
}

/// A deployment with all that is needed to run it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(super) struct Deployment {
    #[serde(flatten)]
    pub(super) summary: DeploymentSummary,
    /// The JSON schema of the parameters that `prefect_run_deployment` takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) parameter_openapi_schema: Option<Map<String, Value>>,
    /// Whether parameters that do not fit that schema are refused.
    #[serde(default)]
    pub(super) enforce_parameter_schema: bool,
    /// The parameters of a run that gives none.
    #[serde(default)]
    pub(super) parameters: Map<String, Value>,
    #[serde(default)]
    pub(super) schedules: Vec<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) entrypoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) created: Option<String>,
}

/// The state of a run.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(super) struct State {
    #[serde(rename = "type")]
    pub(super) kind: StateType,
    /// The name within the type, such as Late or AwaitingRetry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) timestamp: Option<String>,
    /// Why, such as the text of an exception; in lists cut to 500 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<String>,
}

/// A flow run as it is listed.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(super) struct FlowRunSummary {
    pub(super) id: Id,
    #[serde(default)]
    pub(super) name: String,
    pub(super) flow_id: Id,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) flow_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) deployment_id: Option<Id>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) state: Option<State>,
    #[serde(default)]
    pub(super) tags: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expected_start_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) start_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) end_time: Option<String>,
    /// Seconds spent running.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) total_run_time: Option<f64>,
    /// How often it has been started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) run_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) work_pool_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) work_queue_name: Option<String>,
}

/// A flow run with its parameters.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(super) struct FlowRun {
    #[serde(flatten)]
    pub(super) summary: FlowRunSummary,
    #[serde(default)]
    pub(super) parameters: Map<String, Value>,
    /// Seconds that it started, or has been waiting to start, after its expected start time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) estimated_start_time_delta: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_scheduled_start_time: Option<String>,
    /// Whether a schedule made it.
    #[serde(default)]
    pub(super) auto_scheduled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) deployment_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) flow_version: Option<String>,
    /// The task run that started it, for a flow called by another flow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) parent_task_run_id: Option<Id>,
    /// The id of the call that started it, when it was started by `prefect_run_deployment`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) idempotency_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) created: Option<String>,
}

/// A task run.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(super) struct TaskRun {
    pub(super) id: Id,
    #[serde(default)]
    pub(super) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) flow_run_id: Option<Id>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) state: Option<State>,
    #[serde(default)]
    pub(super) tags: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expected_start_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) start_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) end_time: Option<String>,
    /// Seconds spent running.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) total_run_time: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) run_count: Option<u64>,
}

/// A work pool.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(super) struct WorkPool {
    pub(super) id: Id,
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<String>,
    #[serde(default)]
    pub(super) is_paused: bool,
    /// READY when a worker polls it, NOT_READY when none does, PAUSED.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) concurrency_limit: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) active_slots: Option<u64>,
}

/// An automation.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(super) struct Automation {
    pub(super) id: Id,
    pub(super) name: String,
    #[serde(default)]
    pub(super) description: String,
    #[serde(default)]
    pub(super) enabled: bool,
    #[serde(default)]
    pub(super) tags: Vec<String>,
    /// When it acts.
    pub(super) trigger: Map<String, Value>,
    /// What it does each time.
    #[serde(default)]
    pub(super) actions: Vec<Map<String, Value>>,
    /// What it does when the trigger fires.
    #[serde(default)]
    pub(super) actions_on_trigger: Vec<Map<String, Value>>,
    /// What it does when the trigger resolves.
    #[serde(default)]
    pub(super) actions_on_resolve: Vec<Map<String, Value>>,
}

/// An event.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(super) struct Event {
    pub(super) id: Id,
    pub(super) occurred: String,
    /// Its name, such as `prefect.flow-run.Failed`.
    pub(super) event: String,
    /// What it is about.
    pub(super) resource: Map<String, Value>,
    /// What else takes part.
    #[serde(default)]
    pub(super) related: Vec<Map<String, Value>>,
    #[serde(default)]
    pub(super) payload: Map<String, Value>,
}

/// A line of a log.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(super) struct LogLine {
    pub(super) timestamp: String,
    /// 10 debug, 20 info, 30 warning, 40 error, 50 critical; flows may use numbers in between.
    pub(super) level: i64,
    /// The logger.
    #[serde(default)]
    pub(super) name: String,
    pub(super) message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) task_run_id: Option<Id>,
    /// True when the message was cut.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) message_cut: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn is_false(flag: &bool) -> bool {
    !*flag
}

// === impl FlowRunSummary, TaskRun ===

impl FlowRunSummary {
    /// The same, short enough for a list.
    pub(super) fn in_list(mut self) -> Self {
        self.state = self.state.map(State::in_list);
        self
    }
}

impl TaskRun {
    /// The same, short enough for a list.
    pub(super) fn in_list(mut self) -> Self {
        self.state = self.state.map(State::in_list);
        self
    }
}

// === impl State ===

impl State {
    fn in_list(mut self) -> Self {
        if let Some(message) = &mut self.message {
            cut(message, MAX_MESSAGE);
        }
        self
    }
}

/// Cuts a text to so many characters and says whether it was longer.
pub(super) fn cut(text: &mut String, characters: usize) -> bool {
    let Some((end, _)) = text.char_indices().nth(characters) else { return false };
    text.truncate(end);
    text.push('…');
    true
}
