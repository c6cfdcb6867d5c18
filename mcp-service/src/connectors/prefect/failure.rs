//! What Prefect says when it refuses: an error answer comes in, a [`ToolError`] with a short reason goes out.
//!
//! Of the body only the fields that hold a reason are shown; `request_body`, which echoes what was sent, never is.

use std::collections::BTreeMap;

use http::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::connector::{ErrorCode, Reply, ToolError, Upstream};

/// The longest reason that is shown, in characters.
const MAX_REASON: usize = 300;
/// How many problems of one refused body are shown.
const MAX_PROBLEMS: usize = 5;
/// Shorter secrets would make any text look like one that holds them.
const MIN_SECRET: usize = 4;

/// The two forms of error bodies: FastAPI's own, and that of Prefect's handlers.
#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    detail: Detail,
    exception_message: Option<String>,
    #[serde(default)]
    exception_detail: Detail,
}

#[derive(Deserialize, Default)]
#[serde(untagged)]
enum Detail {
    Text(String),
    Problems(Vec<Problem>),
    Other(IgnoredAny),
    #[default]
    None,
}

#[derive(Deserialize)]
struct Problem {
    #[serde(default)]
    loc: Vec<Value>,
    msg: String,
}

/// The answer itself when its status is 2xx, else why not.
pub(super) fn success(reply: Reply, up: &Upstream) -> Result<Reply, ToolError> {
    if reply.status.is_success() {
        return Ok(reply);
    }
    if reply.status.is_redirection() {
        return Err(reply.error("a redirect, and none is ever followed: check the credential field \"api_url\""));
    }
    let reason = reason(&reply.body).filter(|reason| !holds_secret(reason, up)).unwrap_or_default();
    let mut error = reply.error(&reason);
    if reply.status == StatusCode::CONFLICT && reason.starts_with("Error creating flow run") {
        // Prefect's word for parameters that do not fit the deployment's schema: the caller must change them.
        error.code = ErrorCode::InvalidArgument;
    }
    Err(error)
}

/// The reason in an error body, if it has one.
fn reason(body: &[u8]) -> Option<String> {
    let body: Body = serde_json::from_slice(body).ok()?;
    let words = body.detail.words().or_else(|| body.exception_detail.words()).or(body.exception_message)?;
    Some(shorten(&words))
}

fn shorten(words: &str) -> String {
    match words.char_indices().nth(MAX_REASON) {
        Some((end, _)) => format!("{}…", &words[..end]),
        None => words.to_owned(),
    }
}

/// Whether a proxy in between echoes what must not be shown.
fn holds_secret(text: &str, up: &Upstream) -> bool {
    let field = |name| up.optional_secret(name).map(ExposeSecret::expose_secret);
    let shows = |secret: &str| secret.len() >= MIN_SECRET && text.contains(secret);
    let auth = field("auth_string").map(str::trim);
    let headers: BTreeMap<String, SecretString> =
        field("custom_headers").and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
    let plain = [field("api_key").map(str::trim), auth, auth.and_then(|auth| Some(auth.split_once(':')?.1))];
    plain.into_iter().flatten().any(shows) || headers.values().any(|value| shows(value.expose_secret()))
}

// === impl Detail ===

impl Detail {
    fn words(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text),
            Self::Problems(problems) if !problems.is_empty() => {
                Some(problems.iter().take(MAX_PROBLEMS).map(Problem::words).collect::<Vec<_>>().join("; "))
            }
            Self::Problems(_) | Self::Other(_) | Self::None => None,
        }
    }
}

// === impl Problem ===

impl Problem {
    /// `state.type: Field required`, with the place in the body first.
    fn words(&self) -> String {
        let place: Vec<String> = self
            .loc
            .iter()
            .filter(|part| part.as_str() != Some("body"))
            .map(|part| part.as_str().map_or_else(|| part.to_string(), str::to_owned))
            .collect();
        if place.is_empty() { self.msg.clone() } else { format!("{}: {}", place.join("."), self.msg) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_found_in_every_form_that_prefect_uses() {
        for (body, expected) in [
            (r#"{"detail":"Flow run not found"}"#, "Flow run not found"),
            (r#"{"exception_message":"Unauthorized"}"#, "Unauthorized"),
            (
                r#"{"exception_message":"Invalid request received.","exception_detail":[{"type":"extra_forbidden",
                "loc":["body","flow_runs","bogus"],"msg":"Extra inputs are not permitted","input":1}],
                "request_body":{"secret":"geheim"}}"#,
                "flow_runs.bogus: Extra inputs are not permitted",
            ),
            (r#"{"detail":[{"loc":["body",0],"msg":"no"},{"loc":[],"msg":"never"}]}"#, "0: no; never"),
            (r#"{"exception_message":"Internal","exception_detail":"Traceback"}"#, "Traceback"),
        ] {
            assert_eq!(reason(body.as_bytes()).as_deref(), Some(expected), "{body}");
        }
    }

    #[test]
    fn a_body_without_a_reason_gives_none() {
        for body in ["", "<html>", "[]", "null", "{}", r#"{"detail":{"a":1}}"#, r#"{"detail":null}"#, "\u{0}"] {
            assert_eq!(reason(body.as_bytes()), None, "{body}");
        }
    }

    #[test]
    fn a_long_reason_is_cut_at_a_character() {
        let body = format!(r#"{{"detail":"{}"}}"#, "ä".repeat(1000));
        let reason = reason(body.as_bytes()).unwrap();
        assert_eq!(reason.chars().count(), MAX_REASON + 1);
        assert!(reason.ends_with('…'));
    }
}
