//! The task runs of one flow run.

use schemars::JsonSchema;
use serde::Deserialize;

use super::flow_runs;
use crate::connector::{Args, Count, Cursor, Items, Page, ToolError, Upstream};
use crate::connectors::prefect::args::{Id, StateType};
use crate::connectors::prefect::client::Client;
use crate::connectors::prefect::filters::{Any, Filters, FlowRuns, State, TaskRuns};
use crate::connectors::prefect::listing::Listing;
use crate::connectors::prefect::types::TaskRun;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct ListTaskRuns {
    /// The id of the flow run.
    flow_run: Id,
    /// Only task runs in one of these states.
    #[serde(default)]
    states: Option<Items<StateType, 9>>,
    /// How many at most.
    #[serde(default)]
    limit: Count<50, 200>,
    /// `next_cursor` of the page before.
    #[serde(default)]
    cursor: Option<Cursor>,
}

impl Args for ListTaskRuns {}

/// Task runs of a flow run, in the order of their expected start.
pub(in super::super) async fn list_task_runs(up: &Upstream, args: ListTaskRuns) -> Result<Page<TaskRun>, ToolError> {
    let client = Client::of(up).await?;
    let state = args.states.map(|states| State { kind: Some(Any { any_: states.into_inner() }), name: None });
    let filter = Filters {
        flow_runs: Some(FlowRuns { id: Some(Any { any_: vec![args.flow_run] }), ..FlowRuns::default() }),
        task_runs: Some(TaskRuns { state }),
        ..Filters::default()
    };
    let listing = Listing { path: "/task_runs/filter", filter: &filter, sort: Some("EXPECTED_START_TIME_ASC") };
    let mut page: Page<TaskRun> = listing.page(&client, args.limit.get(), args.cursor.as_ref()).await?;
    if page.items.is_empty() {
        // Prefect lists nothing for a run that does not exist; "no tasks" would be a wrong answer.
        flow_runs::read(&client, &args.flow_run).await?;
    }
    page.items = page.items.into_iter().map(TaskRun::in_list).collect();
    Ok(page)
}
