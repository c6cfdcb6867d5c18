//! One decision or call → one line of JSON.

use super::text::{number, text};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::cell::RefCell;

/// The form of a line. Another form gets another number.
pub const VERSION: u8 = 1;
/// The longest text of a field that somebody else chose, in characters.
const MAX_TEXT: usize = 256;

thread_local! {
    /// Where texts are written before it is known how long they are: a few KiB, as every field is bounded.
    static SCRATCH: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Whether a record was written before the call or after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Before a credential is used for something that may write.
    Intent,
    /// When the last byte of the answer has gone.
    Done,
}

impl Phase {
    /// As it is spelled in a line.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Intent => "intent",
            Self::Done => "done",
        }
    }
}

/// What a call may do upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Known to change nothing.
    Read,
    /// Anything else.
    Write,
}

impl Access {
    /// As it is spelled in a line.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

/// What was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// The caller may.
    Allowed,
    /// The caller may not, or what it asks for is not there: the same for the caller.
    Denied,
    /// Nobody knows who calls.
    Unauthenticated,
}

impl Decision {
    /// As it is spelled in a line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Unauthenticated => "unauthenticated",
        }
    }
}

/// What is on record of one request. No argument, header, token or path of an upstream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record<'r> {
    /// When the line was made, in milliseconds since 1970.
    pub time_ms: i64,
    /// Before the call or after it.
    pub phase: Phase,
    /// The id that the logs and the upstream know the request by.
    pub request_id: Cow<'r, str>,
    /// On whose behalf: a person, a client or a ServiceAccount. None where nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<Cow<'r, str>>,
    /// Who acts for that person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegate: Option<Cow<'r, str>>,
    /// The program that calls, by what it says of itself (`User-Agent`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<Cow<'r, str>>,
    /// The way in: `mcp`, `proxy`, `api`, `register`, `oauth`, `broker`; `audit` for the log's own.
    pub endpoint: Cow<'r, str>,
    /// The method of MCP, or that of HTTP.
    pub method: Cow<'r, str>,
    /// The connector's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connector: Option<Cow<'r, str>>,
    /// The tool, prompt or resource, by the upstream's name; of a denied call by the caller's. Of the API the path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool: Option<Cow<'r, str>>,
    /// Whether it may write.
    pub access: Access,
    /// What was decided.
    pub decision: Decision,
    /// The Grant that allows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<Cow<'r, str>>,
    /// What came of it; `pending` before the call.
    pub outcome: Cow<'r, str>,
    /// The HTTP status of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// From the first byte to the last, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
    /// How many records of reads were lost before this one because there was no room for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<u64>,
    /// The arguments, as the policy wants them kept: `hmac-sha256:<hex>`, or the arguments themselves. Last,
    /// because whoever writes them knows them last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments: Option<Cow<'r, str>>,
}

/// A record as text, without its place in a chain: what is known where it is made. To be written by
/// [`Batch::append`](super::Batch::append).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// As in the record.
    pub(super) time_ms: i64,
    /// The fields of a [`Line`] from `time_ms` on, without a brace at either end.
    pub(super) fields: Box<str>,
}

impl Record<'_> {
    /// Its text.
    #[must_use]
    pub fn body(&self) -> Body {
        SCRATCH.with_borrow_mut(|out| {
            out.clear();
            self.write(out);
            Body { time_ms: self.time_ms, fields: out.as_str().into() }
        })
    }

    fn write(&self, out: &mut String) {
        // Whole: a field that is new must be written too.
        let Self {
            time_ms,
            phase,
            request_id,
            principal,
            delegate,
            agent,
            endpoint,
            method,
            connector,
            tool,
            access,
            decision,
            grant,
            outcome,
            status,
            took_ms,
            lost,
            arguments,
        } = self;
        out.push_str("\"time_ms\":");
        number(out, *time_ms);
        given(out, "phase", phase.as_str());
        given(out, "request_id", request_id);
        maybe(out, "principal", principal.as_ref());
        maybe(out, "delegate", delegate.as_ref());
        maybe(out, "agent", agent.as_ref());
        given(out, "endpoint", endpoint);
        given(out, "method", method);
        maybe(out, "connector", connector.as_ref());
        maybe(out, "tool", tool.as_ref());
        given(out, "access", access.as_str());
        given(out, "decision", decision.as_str());
        maybe(out, "grant", grant.as_ref());
        given(out, "outcome", outcome);
        counted(out, "status", status.map(u64::from));
        counted(out, "took_ms", *took_ms);
        counted(out, "lost", *lost);
        maybe(out, "arguments", arguments.as_ref());
    }
}

/// Names a field that is not the first one.
fn key(out: &mut String, name: &str) {
    out.push_str(",\"");
    out.push_str(name);
    out.push_str("\":");
}

fn given(out: &mut String, name: &str, value: &str) {
    key(out, name);
    text(out, value);
}

fn maybe(out: &mut String, name: &str, value: Option<&Cow<'_, str>>) {
    if let Some(value) = value {
        given(out, name, value);
    }
}

fn counted(out: &mut String, name: &str, value: Option<u64>) {
    if let Some(value) = value {
        key(out, name);
        number(out, value);
    }
}

/// A line: the record and its place. The order of the fields is the order of the text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// [`VERSION`].
    pub v: u8,
    /// The writer of the chain.
    pub replica: String,
    /// Whose chain; empty for what belongs to no tenant.
    pub tenant: String,
    /// The place in the chain, from 1.
    pub seq: u64,
    /// What is on record.
    #[serde(flatten)]
    pub record: Record<'static>,
}

impl Line {
    /// Reads a text. `None` for anything that is no line of this version.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok().filter(|line: &Self| line.v == VERSION)
    }
}

/// A text of somebody else, cut to what a record holds.
#[must_use]
pub fn bounded<'t>(text: impl Into<Cow<'t, str>>) -> Cow<'t, str> {
    let text = text.into();
    // There are never more characters than bytes.
    if text.len() <= MAX_TEXT {
        return text;
    }
    let Some((end, _)) = text.char_indices().nth(MAX_TEXT) else { return text };
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.get(..end).unwrap_or_default()),
        Cow::Owned(mut text) => {
            text.truncate(end);
            Cow::Owned(text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(bounded("short"), "short");
        let long = "ü".repeat(300);
        assert_eq!(bounded(&long).chars().count(), MAX_TEXT);
        assert_eq!(bounded(&long), bounded(long.clone()));
        assert_eq!(bounded("ü".repeat(MAX_TEXT)).chars().count(), MAX_TEXT);
    }
}
