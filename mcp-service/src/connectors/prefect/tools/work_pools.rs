//! Work pools: where runs are executed, and whether anybody does.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::connector::{Args, Count, Cursor, Page, ToolError, Upstream};
use crate::connectors::prefect::client::Client;
use crate::connectors::prefect::filters::Filters;
use crate::connectors::prefect::listing::Listing;
use crate::connectors::prefect::types::WorkPool;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct ListWorkPools {
    /// How many at most.
    #[serde(default)]
    limit: Count<50, 200>,
    /// `next_cursor` of the page before.
    #[serde(default)]
    cursor: Option<Cursor>,
}

impl Args for ListWorkPools {}

/// All work pools.
pub(in super::super) async fn list_work_pools(up: &Upstream, args: ListWorkPools) -> Result<Page<WorkPool>, ToolError> {
    page(&Client::of(up).await?, args.limit.get(), args.cursor.as_ref()).await
}

pub(super) async fn page(
    client: &Client<'_>,
    limit: u32,
    cursor: Option<&Cursor>,
) -> Result<Page<WorkPool>, ToolError> {
    let listing = Listing { path: "/work_pools/filter", filter: &Filters::default(), sort: None };
    listing.page(client, limit, cursor).await
}
