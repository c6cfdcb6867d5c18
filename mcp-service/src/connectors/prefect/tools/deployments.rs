//! Deployments: look at them, run them, pause and resume their schedules.

use aperium_core::effect::Effect;
use http::{Method, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::flows;
use crate::connector::{Args, Count, Cursor, Items, Page, Text, ToolError, Upstream};
use crate::connectors::prefect::address::Endpoint;
use crate::connectors::prefect::args::{DeploymentRef, Id};
use crate::connectors::prefect::client::Client;
use crate::connectors::prefect::filters::{All, Deployments, Filters, Is, Name, WorkPools};
use crate::connectors::prefect::listing::Listing;
use crate::connectors::prefect::types::{Deployment, DeploymentSummary, FlowRun};

/// The largest parameters of a run, in bytes of JSON (Prefect documentation: 512 KiB).
const MAX_PARAMETERS: usize = 512 * 1024;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct ListDeployments {
    /// Only deployments whose name holds this text.
    #[serde(default)]
    name: Option<Text<255>>,
    /// Only deployments of the flow of exactly this name.
    #[serde(default)]
    flow: Option<Text<255>>,
    /// Only deployments that have all these tags.
    #[serde(default)]
    tags: Option<Items<Text<255>, 20>>,
    /// Only deployments of the work pool of exactly this name.
    #[serde(default)]
    work_pool: Option<Text<255>>,
    /// Only deployments that are, or are not, paused.
    #[serde(default)]
    paused: Option<bool>,
    /// How many at most.
    #[serde(default)]
    limit: Count<50, 200>,
    /// `next_cursor` of the page before.
    #[serde(default)]
    cursor: Option<Cursor>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct OneDeployment {
    deployment: DeploymentRef,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct RunDeployment {
    deployment: DeploymentRef,
    /// Parameters of this run; `prefect_get_deployment` shows their schema. Those left out are the deployment's.
    #[serde(default)]
    parameters: Map<String, Value>,
    /// Tags of this run, beside the deployment's.
    #[serde(default)]
    tags: Option<Items<Text<255>, 20>>,
}

/// The run that was asked for.
#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct Started {
    /// False when this same call had already made the run.
    created: bool,
    flow_run: FlowRun,
}

/// Whether the schedules of a deployment are paused now.
#[derive(Debug, Serialize, JsonSchema)]
pub(in super::super) struct Paused {
    deployment_id: Id,
    paused: bool,
}

/// The body of `POST /deployments/{id}/create_flow_run`.
#[derive(Serialize)]
struct NewRun<'a> {
    parameters: &'a Map<String, Value>,
    tags: &'a [Text<255>],
    idempotency_key: &'a str,
}

impl Args for ListDeployments {}
impl Args for OneDeployment {}

impl Args for RunDeployment {
    fn check(&self) -> Result<(), ToolError> {
        let size = serde_json::to_vec(&self.parameters).map_or(usize::MAX, |json| json.len());
        if size > MAX_PARAMETERS {
            return Err(ToolError::invalid(format!("\"parameters\" is larger than {MAX_PARAMETERS} bytes")));
        }
        Ok(())
    }
}

/// Deployments by name, flow, tags, work pool and pause.
pub(in super::super) async fn list_deployments(
    up: &Upstream,
    args: ListDeployments,
) -> Result<Page<DeploymentSummary>, ToolError> {
    let client = Client::of(up).await?;
    let filter = Filters {
        deployments: Some(Deployments {
            id: None,
            name: args.name.as_deref().map(Name::like),
            paused: args.paused.map(|eq_| Is { eq_ }),
            tags: args.tags.map(|tags| All { all_: tags.iter().map(ToString::to_string).collect() }),
        }),
        work_pools: args.work_pool.map(|name| WorkPools { name: Name::exactly(&name) }),
        ..Filters::default()
    };
    let filter = match &args.flow {
        Some(flow) => filter.of_flow(flow),
        None => filter,
    };
    let listing = Listing { path: "/deployments/filter", filter: &filter, sort: Some("NAME_ASC") };
    let mut page: Page<DeploymentSummary> = listing.page(&client, args.limit.get(), args.cursor.as_ref()).await?;
    let names = flows::names(&client, page.items.iter().map(|deployment| deployment.flow_id)).await?;
    for deployment in &mut page.items {
        deployment.flow_name = names.get(&deployment.flow_id).cloned();
    }
    Ok(page)
}

/// One deployment with its parameter schema.
pub(in super::super) async fn get_deployment(up: &Upstream, args: OneDeployment) -> Result<Deployment, ToolError> {
    let client = Client::of(up).await?;
    let mut deployment: Deployment = client.get(&endpoint(&args.deployment)?).await?;
    deployment.summary.flow_name = match args.deployment {
        DeploymentRef::Name { flow, .. } => Some(flow),
        DeploymentRef::Id(_) => flows::names(&client, [deployment.summary.flow_id]).await?.into_values().next(),
    };
    Ok(deployment)
}

/// Makes one run of a deployment; the same call twice makes one.
pub(in super::super) async fn run_deployment(up: &Upstream, args: RunDeployment) -> Result<Started, ToolError> {
    let client = Client::of(up).await?;
    let id = resolve(&client, &args.deployment).await?;
    let body = NewRun {
        parameters: &args.parameters,
        tags: args.tags.as_deref().unwrap_or_default(),
        idempotency_key: client.idempotency_key(),
    };
    let endpoint = Endpoint::new("/deployments").id(&id).then("/create_flow_run");
    let reply = client.change(Method::POST, &endpoint, Some(&body), Effect::Write).await?;
    Ok(Started { created: reply.status == StatusCode::CREATED, flow_run: reply.json()? })
}

/// Pauses the schedules of a deployment.
pub(in super::super) async fn pause_deployment(up: &Upstream, args: OneDeployment) -> Result<Paused, ToolError> {
    set_paused(up, &args.deployment, true).await
}

/// Resumes the schedules of a deployment.
pub(in super::super) async fn resume_deployment(up: &Upstream, args: OneDeployment) -> Result<Paused, ToolError> {
    set_paused(up, &args.deployment, false).await
}

async fn set_paused(up: &Upstream, deployment: &DeploymentRef, paused: bool) -> Result<Paused, ToolError> {
    let client = Client::of(up).await?;
    let deployment_id = resolve(&client, deployment).await?;
    let verb = if paused { "/pause_deployment" } else { "/resume_deployment" };
    let endpoint = Endpoint::new("/deployments").id(&deployment_id).then(verb);
    client.change(Method::POST, &endpoint, None::<&()>, Effect::IdempotentWrite).await?;
    Ok(Paused { deployment_id, paused })
}

/// Where a deployment is read.
fn endpoint(deployment: &DeploymentRef) -> Result<Endpoint, ToolError> {
    match deployment {
        DeploymentRef::Id(id) => Ok(Endpoint::new("/deployments").id(id)),
        DeploymentRef::Name { flow, deployment } => Endpoint::new("/deployments/name").name(flow)?.name(deployment),
    }
}

/// The id of a deployment: writes go by id, so that a name that changes hands meanwhile changes nothing.
async fn resolve(client: &Client<'_>, deployment: &DeploymentRef) -> Result<Id, ToolError> {
    match deployment {
        DeploymentRef::Id(id) => Ok(*id),
        named @ DeploymentRef::Name { .. } => {
            let found: DeploymentSummary = client.get(&endpoint(named)?).await?;
            Ok(found.id)
        }
    }
}
