//! Lists by offset: a typed filter, a limit and a cursor come in, one [`Page`] goes out.
//!
//! Prefect answers at most 200 items at a time. One more than asked for is fetched, so that a page knows whether it is
//! the last; what does not fit into one request is fetched by several.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::address::Endpoint;
use super::client::Client;
use crate::connector::{Cursor, Page, ToolError};

/// The most items of one request (`PREFECT_SERVER_API_DEFAULT_LIMIT`).
pub(super) const MAX_PER_REQUEST: u32 = 200;

/// How far a list can be paged through; beyond that a filter is the better way.
const MAX_OFFSET: u32 = 1_000_000;

/// What a cursor of ours stands for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Offset {
    pub(super) offset: u32,
}

/// The body of a list request.
#[derive(Serialize)]
struct Body<'a, F> {
    #[serde(flatten)]
    filter: &'a F,
    #[serde(skip_serializing_if = "Option::is_none")]
    sort: Option<&'static str>,
    limit: u32,
    offset: u32,
}

/// One list of Prefect's.
pub(super) struct Listing<'a, F> {
    /// Its `/filter` endpoint.
    pub(super) path: &'static str,
    /// What is listed.
    pub(super) filter: &'a F,
    /// In which order, in Prefect's words; `None` where the endpoint knows no order.
    pub(super) sort: Option<&'static str>,
}

impl<F: Serialize + Sync> Listing<'_, F> {
    /// The page at the cursor.
    pub(super) async fn page<T: DeserializeOwned + Send>(
        &self,
        client: &Client<'_>,
        limit: u32,
        cursor: Option<&Cursor>,
    ) -> Result<Page<T>, ToolError> {
        let start = start(cursor)?;
        let items = self.items(client, start, limit.saturating_add(1)).await?;
        let next = Offset { offset: start.saturating_add(limit) };
        Page::from_overfetch(items, limit as usize, |_| next)
    }

    /// Up to `wanted` items from `start` on.
    pub(super) async fn items<T: DeserializeOwned + Send>(
        &self,
        client: &Client<'_>,
        start: u32,
        wanted: u32,
    ) -> Result<Vec<T>, ToolError> {
        let endpoint = Endpoint::new(self.path);
        let mut items: Vec<T> = Vec::new();
        let mut got = 0;
        while got < wanted {
            let limit = MAX_PER_REQUEST.min(wanted - got);
            let body = Body { filter: self.filter, sort: self.sort, limit, offset: start.saturating_add(got) };
            let more: Vec<T> = client.query(&endpoint, &body).await?;
            let last = more.len() < limit as usize;
            items.extend(more.into_iter().take(limit as usize));
            if last {
                break;
            }
            got += limit;
        }
        Ok(items)
    }
}

/// Where the list goes on.
pub(super) fn start(cursor: Option<&Cursor>) -> Result<u32, ToolError> {
    let offset = match cursor {
        Some(cursor) => cursor.position::<Offset>()?.offset,
        None => 0,
    };
    if offset > MAX_OFFSET {
        return Err(ToolError::invalid(format!("a list ends after {MAX_OFFSET} items: filter it")));
    }
    Ok(offset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::ErrorCode;

    #[test]
    fn a_cursor_is_an_offset_within_the_limit() {
        assert_eq!(start(None).unwrap(), 0);
        assert_eq!(start(Some(&Cursor::at(&Offset { offset: 7 }).unwrap())).unwrap(), 7);
        let far = Cursor::at(&Offset { offset: MAX_OFFSET + 1 }).unwrap();
        assert_eq!(start(Some(&far)).unwrap_err().code, ErrorCode::InvalidArgument);
        let foreign = Cursor::at(&serde_json::json!({"page": 1})).unwrap();
        assert_eq!(start(Some(&foreign)).unwrap_err().code, ErrorCode::InvalidArgument);
    }

    #[test]
    fn a_body_holds_filter_order_and_limits_side_by_side() {
        let filter = super::super::filters::Filters::default().of_flow("etl");
        let body = Body { filter: &filter, sort: Some("NAME_ASC"), limit: 3, offset: 6 };
        let expected = serde_json::json!({
            "flows": {"name": {"any_": ["etl"]}}, "sort": "NAME_ASC", "limit": 3, "offset": 6,
        });
        assert_eq!(serde_json::to_value(&body).unwrap(), expected);
    }
}
