//! Flow runs: which there are, and one of them in full.

use schemars::JsonSchema;
use serde::Deserialize;

use super::flows;
use crate::connector::{Args, Count, Cursor, Items, Page, Text, ToolError, Upstream};
use crate::connectors::prefect::address::Endpoint;
use crate::connectors::prefect::args::{DeploymentRef, Id, Moment, Order, StateType};
use crate::connectors::prefect::client::Client;
use crate::connectors::prefect::filters::{All, Any, Between, Filters, FlowRuns, State};
use crate::connectors::prefect::listing::Listing;
use crate::connectors::prefect::types::{FlowRun, FlowRunSummary};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct ListFlowRuns {
    /// Only runs in one of these states.
    #[serde(default)]
    states: Option<Items<StateType, 9>>,
    /// Only runs whose state has one of these names, such as Late, AwaitingRetry or TimedOut.
    #[serde(default)]
    state_names: Option<Items<Text<100>, 10>>,
    /// Only runs of this deployment.
    #[serde(default)]
    deployment: Option<DeploymentRef>,
    /// Only runs of the flow of exactly this name.
    #[serde(default)]
    flow: Option<Text<255>>,
    /// Only runs that were expected to start at this time or later.
    #[serde(default)]
    since: Option<Moment>,
    /// Only runs that were expected to start at this time or earlier; now, to leave out runs that are still to come.
    #[serde(default)]
    until: Option<Moment>,
    /// Only runs that have all these tags.
    #[serde(default)]
    tags: Option<Items<Text<255>, 20>>,
    /// In which order of their expected start.
    #[serde(default)]
    order: Order,
    /// How many at most.
    #[serde(default)]
    limit: Count<50, 200>,
    /// `next_cursor` of the page before.
    #[serde(default)]
    cursor: Option<Cursor>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct OneFlowRun {
    /// The id of the flow run.
    pub(super) flow_run: Id,
}

impl Args for ListFlowRuns {
    fn check(&self) -> Result<(), ToolError> {
        if self.flow.is_some() && matches!(self.deployment, Some(DeploymentRef::Name { .. })) {
            return Err(ToolError::invalid("\"deployment\" names its flow already: leave \"flow\" out"));
        }
        Ok(())
    }
}

impl Args for OneFlowRun {}

/// Flow runs by state, deployment, flow, time and tags.
pub(in super::super) async fn list_flow_runs(
    up: &Upstream,
    args: ListFlowRuns,
) -> Result<Page<FlowRunSummary>, ToolError> {
    let client = Client::of(up).await?;
    let sort = match args.order {
        Order::NewestFirst => "EXPECTED_START_TIME_DESC",
        Order::OldestFirst => "EXPECTED_START_TIME_ASC",
    };
    let (limit, cursor) = (args.limit.get(), args.cursor.clone());
    let filter = filter(args);
    let listing = Listing { path: "/flow_runs/filter", filter: &filter, sort: Some(sort) };
    let mut page: Page<FlowRunSummary> = listing.page(&client, limit, cursor.as_ref()).await?;
    let names = flows::names(&client, page.items.iter().map(|run| run.flow_id)).await?;
    page.items = page.items.into_iter().map(FlowRunSummary::in_list).collect();
    for run in &mut page.items {
        run.flow_name = names.get(&run.flow_id).cloned();
    }
    Ok(page)
}

/// One flow run with its parameters and the whole message of its state.
pub(in super::super) async fn get_flow_run(up: &Upstream, args: OneFlowRun) -> Result<FlowRun, ToolError> {
    let client = Client::of(up).await?;
    let mut run = read(&client, &args.flow_run).await?;
    run.summary.flow_name = flows::names(&client, [run.summary.flow_id]).await?.into_values().next();
    Ok(run)
}

/// Reads one flow run.
pub(super) async fn read(client: &Client<'_>, id: &Id) -> Result<FlowRun, ToolError> {
    client.get(&Endpoint::new("/flow_runs").id(id)).await
}

fn filter(args: ListFlowRuns) -> Filters {
    let state = (args.states.is_some() || args.state_names.is_some()).then(|| State {
        kind: args.states.map(|states| Any { any_: states.into_inner() }),
        name: args.state_names.map(|names| Any { any_: names.iter().map(ToString::to_string).collect() }),
    });
    let expected_start_time =
        (args.since.is_some() || args.until.is_some()).then_some(Between { after_: args.since, before_: args.until });
    let tags = args.tags.map(|tags| All { all_: tags.iter().map(ToString::to_string).collect() });
    let flow_runs = Some(FlowRuns { id: None, state, tags, expected_start_time });
    let mut filter = Filters { flow_runs, ..Filters::default() };
    if let Some(flow) = &args.flow {
        filter = filter.of_flow(flow);
    }
    match &args.deployment {
        Some(deployment) => filter.of_deployment(deployment),
        None => filter,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn args(value: serde_json::Value) -> ListFlowRuns {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn every_argument_becomes_a_filter_of_its_own() {
        let id = "360ed2bb-1fb6-4aad-b32c-c7e92f76443a";
        let all = json!({
            "states": ["FAILED", "CRASHED"], "state_names": ["TimedOut"], "deployment": id, "flow": "etl",
            "since": "2026-11-20T00:00:00Z", "until": "2026-11-21T00:00:00+01:00", "tags": ["prod"],
        });
        let expected = json!({
            "flows": {"name": {"any_": ["etl"]}},
            "deployments": {"id": {"any_": [id]}},
            "flow_runs": {
                "state": {"type": {"any_": ["FAILED", "CRASHED"]}, "name": {"any_": ["TimedOut"]}},
                "tags": {"all_": ["prod"]},
                "expected_start_time": {"after_": "2026-11-20T00:00:00Z", "before_": "2026-11-20T23:00:00Z"},
            },
        });
        assert_eq!(serde_json::to_value(filter(args(all))).unwrap(), expected);
        assert_eq!(serde_json::to_value(filter(args(json!({})))).unwrap(), json!({"flow_runs": {}}));
    }

    #[test]
    fn a_flow_beside_a_named_deployment_is_refused() {
        assert!(args(json!({"flow": "a", "deployment": "b/c"})).check().is_err());
        assert!(args(json!({"deployment": "b/c"})).check().is_ok());
    }
}
