//! The tools of the system connector: answered here, from the Snapshot, without any upstream. Pure.

use super::authz::Permit;
use crate::error::tool_error;
use crate::snapshot::{LIST_CONNECTORS, Snapshot, View};
use aperium_crds::connector::Protocol;
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;

/// What a built-in tool gives.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The result, as JSON.
    pub(crate) result: Vec<u8>,
    /// `ok` or `tool_error`.
    pub(crate) outcome: &'static str,
}

/// Answers a permitted call; `None` when the tool is an upstream's.
pub(crate) fn answer(
    snapshot: &Snapshot,
    view: &View,
    permit: &Permit,
    arguments: Option<&RawValue>,
    request_id: &str,
) -> Option<Answer> {
    if !permit.connector().is_system() {
        return None;
    }
    let empty =
        arguments.is_none_or(|arguments| arguments.get().trim_matches(['{', '}', ' ', '\t', '\r', '\n']).is_empty());
    let failed =
        |message: &str| Answer { result: tool_error("invalid_argument", message, request_id), outcome: "tool_error" };
    Some(match permit.name() {
        LIST_CONNECTORS if empty => Answer { result: list_connectors(snapshot, view), outcome: "ok" },
        LIST_CONNECTORS => failed("list_connectors takes no arguments"),
        _ => failed("there is no such built-in tool"),
    })
}

/// One HTTP connector.
#[derive(Debug, Serialize)]
struct Reachable<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    display_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<&'a serde_json::Value>,
    base_path: String,
}

/// The HTTP connectors that the caller may proxy to, in the order of their ids.
fn list_connectors(snapshot: &Snapshot, view: &View) -> Vec<u8> {
    let http = snapshot.connectors().iter().enumerate().filter(|(_, entry)| entry.config.protocol == Protocol::Http);
    let granted = http.filter(|(position, entry)| view.allowing_proxy(*position, entry).is_some());
    let connectors: Vec<Reachable<'_>> = granted
        .map(|(_, entry)| Reachable {
            id: entry.config.id.as_str(),
            display_name: entry.config.display_name.as_deref(),
            description: entry.config.description.as_deref(),
            context: entry.config.context.as_ref(),
            base_path: format!("/v1/connectors/{}/", entry.config.id),
        })
        .collect();
    let structured = json!({ "connectors": connectors });
    let result = json!({
        "resultType": "complete",
        "content": [{ "type": "text", "text": structured.to_string() }],
        "structuredContent": structured,
    });
    result.to_string().into_bytes()
}
