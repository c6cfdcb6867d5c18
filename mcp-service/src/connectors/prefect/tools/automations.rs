//! Automations: what Prefect does by itself, and when.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::connector::{Args, Count, Cursor, Page, Text, ToolError, Upstream};
use crate::connectors::prefect::client::Client;
use crate::connectors::prefect::filters::{Any, AutomationFilters, Automations};
use crate::connectors::prefect::listing::Listing;
use crate::connectors::prefect::types::Automation;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct ListAutomations {
    /// Only the automation of exactly this name.
    #[serde(default)]
    name: Option<Text<255>>,
    /// How many at most.
    #[serde(default)]
    limit: Count<50, 200>,
    /// `next_cursor` of the page before.
    #[serde(default)]
    cursor: Option<Cursor>,
}

impl Args for ListAutomations {}

/// Automations with their triggers and actions, by name.
pub(in super::super) async fn list_automations(
    up: &Upstream,
    args: ListAutomations,
) -> Result<Page<Automation>, ToolError> {
    let client = Client::of(up).await?;
    let automations = args.name.map(|name| Automations { name: Any { any_: vec![name.to_string()] } });
    let filter = AutomationFilters { automations };
    let listing = Listing { path: "/automations/filter", filter: &filter, sort: Some("NAME_ASC") };
    listing.page(&client, args.limit.get(), args.cursor.as_ref()).await
}
