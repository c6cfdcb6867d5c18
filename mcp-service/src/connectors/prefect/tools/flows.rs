//! Flows, and their names for everything that only knows their ids.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Deserialize;

use crate::connector::{Args, Count, Cursor, Page, Text, ToolError, Upstream};
use crate::connectors::prefect::args::Id;
use crate::connectors::prefect::client::Client;
use crate::connectors::prefect::filters::{Any, Filters, Flows, Name};
use crate::connectors::prefect::listing::{Listing, MAX_PER_REQUEST};
use crate::connectors::prefect::types::Flow;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct ListFlows {
    /// Only flows whose name holds this text.
    #[serde(default)]
    name: Option<Text<255>>,
    /// How many at most.
    #[serde(default)]
    limit: Count<50, 200>,
    /// `next_cursor` of the page before.
    #[serde(default)]
    cursor: Option<Cursor>,
}

impl Args for ListFlows {}

/// Flows by name.
pub(in super::super) async fn list_flows(up: &Upstream, args: ListFlows) -> Result<Page<Flow>, ToolError> {
    let client = Client::of(up).await?;
    let flows = args.name.map(|name| Flows { name: Some(Name::like(&name)), ..Flows::default() });
    let filter = Filters { flows, ..Filters::default() };
    let listing = Listing { path: "/flows/filter", filter: &filter, sort: Some("NAME_ASC") };
    listing.page(&client, args.limit.get(), args.cursor.as_ref()).await
}

/// The names of flows, of at most as many as one list holds. A flow that is gone has none.
pub(in super::super) async fn names(
    client: &Client<'_>,
    ids: impl IntoIterator<Item = Id> + Send,
) -> Result<BTreeMap<Id, String>, ToolError> {
    let ids: BTreeSet<Id> = ids.into_iter().collect();
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let any_ = ids.into_iter().take(MAX_PER_REQUEST as usize).collect();
    let filter = Filters { flows: Some(Flows { id: Some(Any { any_ }), ..Flows::default() }), ..Filters::default() };
    let listing = Listing { path: "/flows/filter", filter: &filter, sort: None };
    let flows: Vec<Flow> = listing.items(client, 0, MAX_PER_REQUEST).await?;
    Ok(flows.into_iter().map(|flow| (flow.id, flow.name)).collect())
}
