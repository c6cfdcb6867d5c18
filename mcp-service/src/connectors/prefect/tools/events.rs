//! Events: what happened, to what, and when.
//!
//! Prefect's own next page is a URL, made from the `Host` header that some proxy sent. It is not followed; the cursor is
//! the time of the last event shown and how many events of that same instant have been shown.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::connector::{Args, Count, Cursor, Items, Page, Text, ToolError, Upstream};
use crate::connectors::prefect::address::Endpoint;
use crate::connectors::prefect::args::{Moment, Order};
use crate::connectors::prefect::client::Client;
use crate::connectors::prefect::filters::{AnyResource, EventFilters, EventName, Events, Occurred};
use crate::connectors::prefect::types::Event;

/// The most events of one request.
const MAX_PER_REQUEST: u32 = 50;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct ListEvents {
    /// Only events whose name starts with one of these, such as `prefect.flow-run.` or `prefect.deployment.not-ready`.
    #[serde(default)]
    events: Option<Items<Text<255>, 10>>,
    /// Only events that are about, or related to, one of these, such as `prefect.flow-run.<id>` or
    /// `prefect.deployment.<id>`.
    #[serde(default)]
    resources: Option<Items<Text<255>, 10>>,
    /// Only events of this time or later.
    #[serde(default)]
    since: Option<Moment>,
    /// Only events of this time or earlier.
    #[serde(default)]
    until: Option<Moment>,
    /// In which order they come.
    #[serde(default)]
    order: Order,
    /// How many at most.
    #[serde(default)]
    limit: Count<20, 50>,
    /// `next_cursor` of the page before.
    #[serde(default)]
    cursor: Option<Cursor>,
}

/// What a cursor stands for: the next page begins at this instant, after so many events of it.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Position {
    at: Moment,
    skip: u32,
}

#[derive(Deserialize)]
struct Answer {
    events: Vec<Event>,
    next_page: Option<String>,
}

impl Args for ListEvents {}

/// Events by name, resource and time.
pub(in super::super) async fn list_events(up: &Upstream, args: ListEvents) -> Result<Page<Event>, ToolError> {
    let client = Client::of(up).await?;
    let limit = args.limit.get();
    let from = args.cursor.as_ref().map(Cursor::position::<Position>).transpose()?;
    let skip = from.map_or(0, |position| position.skip);
    if skip >= MAX_PER_REQUEST {
        return Err(ToolError::invalid("more events than Prefect lists happened at one instant: filter them"));
    }
    let request = EventFilters { filter: filter(args, from), limit: MAX_PER_REQUEST.min(limit + skip) };
    let mut answer: Answer = client.query(&Endpoint::new("/events/filter"), &request).await?;
    answer.events.truncate(request.limit as usize);
    let more = answer.next_page.is_some() && answer.events.len() > skip as usize;
    let next_cursor = if more { next(&answer.events)? } else { None };
    let items: Vec<Event> = answer.events.into_iter().skip(skip as usize).collect();
    Ok(Page { items, truncated: more, next_cursor })
}

fn filter(args: ListEvents, from: Option<Position>) -> Events {
    let texts = |items: Items<Text<255>, 10>| items.iter().map(ToString::to_string).collect();
    let mut occurred = Occurred { since: args.since, until: args.until };
    let from = from.map(|position| position.at);
    let order = match args.order {
        Order::NewestFirst => {
            occurred.until = from.or(occurred.until);
            "DESC"
        }
        Order::OldestFirst => {
            occurred.since = from.or(occurred.since);
            "ASC"
        }
    };
    Events {
        occurred,
        event: args.events.map(|events| EventName { prefix: texts(events) }),
        any_resource: args.resources.map(|resources| AnyResource { id: texts(resources) }),
        order,
    }
}

/// Where the page after these events begins. They include those that were skipped.
fn next(events: &[Event]) -> Result<Option<String>, ToolError> {
    let Some(last) = events.last() else { return Ok(None) };
    let at: Moment = serde_json::from_value(last.occurred.clone().into())
        .map_err(|_| ToolError::upstream("the upstream answered with an event that has no time"))?;
    let same = events.iter().rev().take_while(|event| event.occurred == last.occurred).count();
    let skip = u32::try_from(same).unwrap_or(u32::MAX);
    Ok(Some(Cursor::at(&Position { at, skip })?.as_str().to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn args(value: serde_json::Value) -> ListEvents {
        serde_json::from_value(value).unwrap()
    }

    fn event(occurred: &str) -> Event {
        let id = uuid::Uuid::new_v4().to_string();
        let event = json!({"id": id, "occurred": occurred, "event": "a", "resource": {}});
        serde_json::from_value(event).unwrap()
    }

    fn position(events: &[Event]) -> serde_json::Value {
        let cursor: Cursor = serde_json::from_value(next(events).unwrap().unwrap().into()).unwrap();
        cursor.position().unwrap()
    }

    #[test]
    fn the_cursor_narrows_the_end_that_the_order_moves() {
        let from: Position = serde_json::from_value(json!({"at": "2026-11-21T10:00:00Z", "skip": 1})).unwrap();
        let window = json!({"since": "2026-11-20T00:00:00Z", "until": "2026-11-22T00:00:00Z"});
        let newest = serde_json::to_value(filter(args(window.clone()), Some(from))).unwrap();
        let expected = json!({"since": "2026-11-20T00:00:00Z", "until": "2026-11-21T10:00:00Z"});
        assert_eq!((&newest["occurred"], &newest["order"]), (&expected, &json!("DESC")));
        let mut oldest = window;
        oldest["order"] = json!("oldest_first");
        let oldest = serde_json::to_value(filter(args(oldest), Some(from))).unwrap();
        let expected = json!({"since": "2026-11-21T10:00:00Z", "until": "2026-11-22T00:00:00Z"});
        assert_eq!((&oldest["occurred"], &oldest["order"]), (&expected, &json!("ASC")));
    }

    #[test]
    fn events_of_one_instant_are_neither_lost_nor_shown_twice() {
        let (early, late) = ("2026-11-21T10:00:00.000001Z", "2026-11-21T10:00:00.000002Z");
        let events = [event(late), event(early), event(early)];
        assert_eq!(position(&events), json!({"at": early, "skip": 2}));
        // The second page began with the two that were shown and ends within the same instant.
        let events = [event(early), event(early), event(early)];
        assert_eq!(position(&events), json!({"at": early, "skip": 3}));
    }

    #[test]
    fn names_and_resources_become_filters() {
        let given = args(json!({"events": ["prefect.flow-run."], "resources": ["prefect.flow.x"]}));
        let expected = json!({
            "occurred": {}, "order": "DESC",
            "event": {"prefix": ["prefect.flow-run."]}, "any_resource": {"id": ["prefect.flow.x"]},
        });
        assert_eq!(serde_json::to_value(filter(given, None)).unwrap(), expected);
    }
}
