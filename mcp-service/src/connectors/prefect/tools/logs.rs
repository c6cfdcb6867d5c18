//! The log of one flow run, its tasks' lines included.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::flow_runs;
use crate::connector::{Args, Count, Cursor, Page, ToolError, Upstream};
use crate::connectors::prefect::args::{Id, Order};
use crate::connectors::prefect::client::Client;
use crate::connectors::prefect::filters::{Any, AtLeast, LogFilters, Logs};
use crate::connectors::prefect::listing::{Listing, MAX_PER_REQUEST, Offset, start};
use crate::connectors::prefect::types::{LogLine, cut};

/// The longest message of one line, in characters.
const MAX_MESSAGE: usize = 8_000;
/// When so many bytes of messages are together, the page ends.
const MAX_BYTES: usize = 2 * 1024 * 1024;

#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Level {
    Debug,
    Info,
    Warning,
    Error,
    Critical,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct GetFlowRunLogs {
    /// The id of the flow run.
    flow_run: Id,
    /// Only lines of this level or above.
    #[serde(default)]
    min_level: Option<Level>,
    /// `oldest_first`, or `newest_first` to see how it ended.
    #[serde(default = "oldest_first")]
    order: Order,
    /// How many lines at most.
    #[serde(default)]
    limit: Count<200, 1000>,
    /// `next_cursor` of the page before.
    #[serde(default)]
    cursor: Option<Cursor>,
}

impl Args for GetFlowRunLogs {}

fn oldest_first() -> Order {
    Order::OldestFirst
}

/// Lines of the log, fetched by 200 up to the limit.
pub(in super::super) async fn get_flow_run_logs(
    up: &Upstream,
    args: GetFlowRunLogs,
) -> Result<Page<LogLine>, ToolError> {
    let client = Client::of(up).await?;
    let level = args.min_level.map(|level| AtLeast { ge_: level.number() });
    let filter = LogFilters { logs: Logs { flow_run_id: Any { any_: vec![args.flow_run] }, level } };
    let sort = match args.order {
        Order::NewestFirst => "TIMESTAMP_DESC",
        Order::OldestFirst => "TIMESTAMP_ASC",
    };
    let listing = Listing { path: "/logs/filter", filter: &filter, sort: Some(sort) };
    let first = start(args.cursor.as_ref())?;
    let limit = args.limit.get() as usize;
    let mut lines = Lines::default();
    // One line more than asked for tells whether the page is the last.
    while lines.items.len() <= limit && !lines.full {
        let have = u32::try_from(lines.items.len()).unwrap_or(u32::MAX);
        let wanted = MAX_PER_REQUEST.min(args.limit.get().saturating_add(1).saturating_sub(have));
        let more: Vec<LogLine> = listing.items(&client, first.saturating_add(have), wanted).await?;
        let last = more.len() < wanted as usize;
        lines.take(more);
        if last {
            break;
        }
    }
    if lines.items.is_empty() {
        // Prefect lists nothing for a run that does not exist; "no log" would be a wrong answer.
        flow_runs::read(&client, &args.flow_run).await?;
    }
    lines.into_page(first, limit)
}

/// Lines, as many as fit.
#[derive(Default)]
struct Lines {
    items: Vec<LogLine>,
    bytes: usize,
    full: bool,
}

// === impl Lines ===

impl Lines {
    fn take(&mut self, more: Vec<LogLine>) {
        for mut line in more {
            line.message_cut = cut(&mut line.message, MAX_MESSAGE);
            self.bytes += line.message.len();
            // A page of one line fits whatever it holds, or nobody would ever get past it.
            if self.bytes > MAX_BYTES && !self.items.is_empty() {
                self.full = true;
                return;
            }
            self.items.push(line);
        }
    }

    fn into_page(mut self, first: u32, limit: usize) -> Result<Page<LogLine>, ToolError> {
        let truncated = self.full || self.items.len() > limit;
        self.items.truncate(limit);
        let shown = u32::try_from(self.items.len()).unwrap_or(u32::MAX);
        let next = Offset { offset: first.saturating_add(shown) };
        let next_cursor = if truncated { Some(Cursor::at(&next)?.as_str().to_owned()) } else { None };
        Ok(Page { items: self.items, truncated, next_cursor })
    }
}

// === impl Level ===

impl Level {
    /// The number that Python's logging gives it.
    fn number(self) -> u32 {
        match self {
            Self::Debug => 10,
            Self::Info => 20,
            Self::Warning => 30,
            Self::Error => 40,
            Self::Critical => 50,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(message: String) -> LogLine {
        let timestamp = "2026-11-21T00:00:00Z".to_owned();
        LogLine { timestamp, level: 20, name: String::new(), message, task_run_id: None, message_cut: false }
    }

    #[test]
    fn a_page_ends_where_the_bytes_do_and_says_so() {
        let mut lines = Lines::default();
        lines.take((0..400).map(|_| line("x".repeat(20_000))).collect());
        assert!(lines.full);
        let page = lines.into_page(100, 1000).unwrap();
        assert!(page.truncated && page.items.iter().all(|line| line.message_cut));
        let shown = u32::try_from(page.items.len()).unwrap();
        assert!((200..400).contains(&shown), "{shown}");
        let cursor: Cursor = serde_json::from_value(page.next_cursor.unwrap().into()).unwrap();
        assert_eq!(start(Some(&cursor)).unwrap(), 100 + shown);
    }

    #[test]
    fn a_page_within_its_limits_is_the_last() {
        let mut lines = Lines::default();
        lines.take(vec![line("a".to_owned()), line("b".to_owned())]);
        let page = lines.into_page(0, 2).unwrap();
        assert!(!page.truncated && page.next_cursor.is_none() && page.items.len() == 2);
    }
}
