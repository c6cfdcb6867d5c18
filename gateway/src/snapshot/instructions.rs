//! What a caller should know before it starts: how names are built, and what the connectors that it sees say of
//! themselves. Pure; bounded, because clients put it in front of every conversation.

use super::hidden::hides_text;
use super::{Entry, Snapshot, View};
use serde_json::Value;
use std::fmt::Write as _;

/// The most bytes of one connector's part, and of all.
const MAX_PART: usize = 2 * 1024;
const MAX_ALL: usize = 16 * 1024;

const AGGREGATE: &str = "Tools, prompts and resources of the systems that you were granted. Names start with the id of \
     their connector and '_', URIs with the id and '-'.";
const SINGLE: &str = "Tools, prompts and resources of one connector, under their own names.";

/// The instructions for one caller: of one connector, or of all that it sees, in the order of their ids.
pub(super) fn compose(snapshot: &Snapshot, view: &View, only: Option<usize>) -> String {
    let positions = only.map_or_else(|| snapshot.positions().collect(), |one| vec![one]);
    let mut text = if only.is_some() { SINGLE } else { AGGREGATE }.to_owned();
    let mut left_out = 0_usize;
    for position in positions {
        let Some(entry) = snapshot.at(position).filter(|entry| view.concerns(position, entry)) else { continue };
        let Some(part) = part(entry) else { continue };
        if text.len() + part.len() > MAX_ALL {
            left_out += 1;
        } else {
            text.push_str(&part);
        }
    }
    if left_out > 0 {
        let _ = write!(text, "\n\n{left_out} more connectors are not described here.");
    }
    text
}

/// What is to be said of one connector; `None` when there is nothing.
fn part(entry: &Entry) -> Option<String> {
    let config = &entry.config;
    // What an upstream says is third-party text, held to the same rule as its definitions.
    let own_words = entry.offers.about.instructions.as_deref();
    let own_words = own_words.filter(|text| entry.registered() && !text.trim().is_empty() && !hides_text(text));
    let context = config.context.as_ref().map(|context| match context {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    });
    let said = [
        config.description.clone().filter(|text| !text.is_empty()),
        context.map(|context| format!("Context: {context}")),
        own_words.map(|text| format!("It says of itself: {text}")),
    ];
    let said: Vec<String> = said.into_iter().flatten().collect();
    if said.is_empty() {
        return None;
    }
    let title = config.display_name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
    let body = said.join("\n");
    let cut = body.get(..body.floor_char_boundary(MAX_PART)).unwrap_or_default();
    let ellipsis = if cut.len() < body.len() { "…" } else { "" };
    Some(format!("\n\n{}{title}:\n{cut}{ellipsis}", config.id))
}
