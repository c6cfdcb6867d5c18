//! The state of everything at one glance: runs by state, late runs, deployments, work pools.

use std::collections::BTreeMap;

use futures::future::try_join_all;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::work_pools;
use crate::connector::{Args, Count, ToolError, Upstream};
use crate::connectors::prefect::address::Endpoint;
use crate::connectors::prefect::args::{Moment, StateType};
use crate::connectors::prefect::client::Client;
use crate::connectors::prefect::filters::{Any, Between, Deployments, Filters, FlowRuns, Is, State};
use crate::connectors::prefect::types::WorkPool;

/// How many work pools are shown.
const MAX_WORK_POOLS: u32 = 50;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct GetDashboard {
    /// Runs that were expected to start within so many hours before now, and all that are still to come, are counted.
    #[serde(default)]
    hours: Count<24, 8760>,
}

impl Args for GetDashboard {}

/// What there is and how it goes.
#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct Dashboard {
    /// Runs that were expected to start at this time or later are counted.
    since: Moment,
    /// How many flow runs are in each state; states without runs are left out.
    flow_runs: BTreeMap<&'static str, u64>,
    /// How many of the SCHEDULED runs are late: nobody has picked them up in time.
    late_flow_runs: u64,
    flows: u64,
    deployments: u64,
    paused_deployments: u64,
    work_pools: Vec<WorkPool>,
    /// Whether there are more work pools than these.
    work_pools_truncated: bool,
}

/// Counts and work pools, asked for at the same time.
pub(in super::super) async fn get_dashboard(up: &Upstream, args: GetDashboard) -> Result<Dashboard, ToolError> {
    let client = Client::of(up).await?;
    let since = Moment::hours_ago(args.hours.get());
    let of_state = |kind, name: Option<&str>| {
        let name = name.map(|name| Any { any_: vec![name.to_owned()] });
        let state = Some(State { kind: Some(Any { any_: vec![kind] }), name });
        let expected_start_time = Some(Between { after_: Some(since), before_: None });
        Filters { flow_runs: Some(FlowRuns { id: None, state, tags: None, expected_start_time }), ..Filters::default() }
    };
    let states: Vec<Filters> = StateType::ALL.into_iter().map(|kind| of_state(kind, None)).collect();
    let late = of_state(StateType::Scheduled, Some("Late"));
    let all = Filters::default();
    let paused = Filters {
        deployments: Some(Deployments { paused: Some(Is { eq_: true }), ..Deployments::default() }),
        ..Filters::default()
    };
    let mut by_state = Vec::with_capacity(states.len());
    for filter in &states {
        by_state.push(count(&client, "/flow_runs/count", filter));
    }
    let (counts, late_flow_runs, flows, deployments, paused_deployments, work_pools) = futures::try_join!(
        try_join_all(by_state),
        count(&client, "/flow_runs/count", &late),
        count(&client, "/flows/count", &all),
        count(&client, "/deployments/count", &all),
        count(&client, "/deployments/count", &paused),
        work_pools::page(&client, MAX_WORK_POOLS, None),
    )?;
    let flow_runs = StateType::ALL.into_iter().zip(counts).filter(|(_, count)| *count > 0);
    Ok(Dashboard {
        since,
        flow_runs: flow_runs.map(|(state, count)| (state.as_str(), count)).collect(),
        late_flow_runs,
        flows,
        deployments,
        paused_deployments,
        work_pools: work_pools.items,
        work_pools_truncated: work_pools.truncated,
    })
}

async fn count(client: &Client<'_>, path: &'static str, filter: &Filters) -> Result<u64, ToolError> {
    client.query(&Endpoint::new(path), filter).await
}
