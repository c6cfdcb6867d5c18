//! One decision or call → one line of JSON.

use super::chain::Chain;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// The form of a line. Another form gets another number.
pub const VERSION: u8 = 1;
/// The longest text of a field that somebody else chose, in characters.
const MAX_TEXT: usize = 256;
/// Room for most lines, in bytes.
const USUAL: usize = 768;

/// Whether a record was written before the call or after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Before a credential is used for something that may write.
    Intent,
    /// When the last byte of the answer has gone.
    Done,
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
    /// The arguments, as the policy wants them kept: `hmac-sha256:<hex>`, or the arguments themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arguments: Option<Cow<'r, str>>,
    /// How many records of reads were lost before this one because there was no room for them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<u64>,
}

impl Record<'_> {
    /// The same for whoever cannot wait.
    #[must_use]
    pub fn into_owned(self) -> Record<'static> {
        fn owned(text: Cow<'_, str>) -> Cow<'static, str> {
            Cow::Owned(text.into_owned())
        }
        Record {
            time_ms: self.time_ms,
            phase: self.phase,
            request_id: owned(self.request_id),
            principal: self.principal.map(owned),
            delegate: self.delegate.map(owned),
            agent: self.agent.map(owned),
            endpoint: owned(self.endpoint),
            method: owned(self.method),
            connector: self.connector.map(owned),
            tool: self.tool.map(owned),
            access: self.access,
            decision: self.decision,
            grant: self.grant.map(owned),
            outcome: owned(self.outcome),
            status: self.status,
            took_ms: self.took_ms,
            arguments: self.arguments.map(owned),
            lost: self.lost,
        }
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

/// The text of the [`Line`] at a place of a chain: what is hashed, stored and exported.
///
/// # Errors
/// None in practice: a line holds nothing that JSON cannot.
pub fn written(chain: &Chain, seq: u64, record: &Record<'_>) -> Result<String, serde_json::Error> {
    /// A [`Line`] whose parts belong to others.
    #[derive(Serialize)]
    struct Written<'l> {
        v: u8,
        replica: &'l str,
        tenant: &'l str,
        seq: u64,
        #[serde(flatten)]
        record: &'l Record<'l>,
    }
    let mut text = Vec::with_capacity(USUAL);
    let Chain { replica, tenant } = chain;
    serde_json::to_writer(&mut text, &Written { v: VERSION, replica, tenant, seq, record })?;
    String::from_utf8(text).map_err(serde::ser::Error::custom)
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
    fn a_line_is_one_text_and_comes_back_from_it() {
        let record = crate::audit::verify::tests::record(7);
        let line = Line { v: VERSION, replica: "gw-1".into(), tenant: "acme".into(), seq: 3, record };
        let chain = Chain { replica: line.replica.clone(), tenant: line.tenant.clone() };
        let text = written(&chain, line.seq, &line.record).unwrap();
        assert_eq!(text, serde_json::to_string(&line).unwrap());
        assert!(text.starts_with(r#"{"v":1,"replica":"gw-1","tenant":"acme","seq":3,"time_ms":7,"#), "{text}");
        assert!(!text.contains('\n'), "one line");
        assert_eq!(Line::parse(&text), Some(line));
        assert_eq!(Line::parse(&text.replacen("\"v\":1", "\"v\":2", 1)), None);
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(bounded("short"), "short");
        let long = "ü".repeat(300);
        assert_eq!(bounded(&long).chars().count(), MAX_TEXT);
        assert_eq!(bounded(&long), bounded(long.clone()));
        assert_eq!(bounded("ü".repeat(MAX_TEXT)).chars().count(), MAX_TEXT);
    }
}
