//! The envelope of one JSON-RPC message: bytes come in; its id and the tool that it calls go out, or what is wrong.
//!
//! That the bytes have exactly one reading (no key twice, nothing behind the value) is checked by the platform.

use aperium_platform::json::{JsonError, check_strict};
use serde::de::{Deserialize, Deserializer};
use serde_json::Value;

/// Why a body is no request of ours.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BodyError {
    /// No JSON at all.
    #[error("the body is not valid JSON")]
    Malformed,
    /// JSON that two parsers may read differently.
    #[error("the body holds a duplicate key")]
    DuplicateKey,
    /// JSON, but no single JSON-RPC 2.0 message.
    #[error("{0}")]
    NotAMessage(&'static str),
}

impl BodyError {
    /// The JSON-RPC error code.
    pub(super) fn code(&self) -> i64 {
        match self {
            Self::Malformed => -32700,
            Self::DuplicateKey | Self::NotAMessage(_) => -32600,
        }
    }
}

/// What of a message is looked at before rmcp reads it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// Its id; null when it has none.
    pub(super) id: Value,
    /// The name that a `tools/call` gives, empty when it gives none.
    pub(super) tool: Option<String>,
}

/// The message, when it is one JSON-RPC 2.0 message without duplicate keys.
pub(super) fn message(body: &[u8]) -> Result<Message, BodyError> {
    check_strict(body).map_err(|error| match error {
        JsonError::DuplicateKey { .. } => BodyError::DuplicateKey,
        _ => BodyError::Malformed,
    })?;
    let envelope = match body.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{') => serde_json::from_slice::<Envelope>(body)
            .map_err(|_| BodyError::NotAMessage("the message is no JSON-RPC 2.0 request"))?,
        Some(b'[') => return Err(BodyError::NotAMessage("batches are not supported: send one message per request")),
        _ => return Err(BodyError::NotAMessage("the body is not a JSON object")),
    };
    if envelope.jsonrpc != "2.0" {
        return Err(BodyError::NotAMessage("jsonrpc must be \"2.0\""));
    }
    let id = match envelope.id {
        Id::Absent => Value::Null,
        Id::Given(id) if id.is_string() || id.is_i64() || id.is_u64() => id,
        Id::Given(_) => return Err(BodyError::NotAMessage("id must be a string or an integer")),
    };
    let tool = (envelope.method.as_str() == Some("tools/call"))
        .then(|| envelope.params.get("name").and_then(Value::as_str).unwrap_or_default().to_owned());
    Ok(Message { id, tool })
}

#[derive(serde::Deserialize)]
struct Envelope {
    jsonrpc: String,
    #[serde(default)]
    id: Id,
    #[serde(default)]
    method: Value,
    #[serde(default)]
    params: Value,
}

/// `"id": null` is not the same as no id.
#[derive(Default)]
enum Id {
    #[default]
    Absent,
    Given(Value),
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(Self::Given)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_request_gives_its_id() {
        for (body, id) in [
            (r#"{"jsonrpc":"2.0","id":7,"method":"ping"}"#, serde_json::json!(7)),
            (r#" {"jsonrpc":"2.0","id":"a","method":"ping"} "#, serde_json::json!("a")),
            (r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#, Value::Null),
        ] {
            assert_eq!(message(body.as_bytes()).map(|message| message.id), Ok(id), "{body}");
        }
    }

    #[test]
    fn a_call_names_its_tool_and_nothing_else_does() {
        let tool = |body: &str| message(body.as_bytes()).unwrap().tool;
        assert_eq!(tool(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a"}}"#).unwrap(), "a");
        assert_eq!(tool(r#"{"jsonrpc":"2.0","id":1,"method":"tools\u002fcall","params":[]}"#).unwrap(), "");
        assert_eq!(tool(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"name":"a"}}"#), None);
    }

    #[test]
    fn a_key_that_appears_twice_is_refused_at_any_depth_and_in_any_spelling() {
        for body in [
            r#"{"jsonrpc":"2.0","id":1,"method":"a","method":"b"}"#,
            r#"{"jsonrpc":"2.0","id":1,"params":{"arguments":{"a":[{"x":1,"x":2}]}}}"#,
            r#"{"jsonrpc":"2.0","id":1,"params":{"name":1,"n\u0061me":2}}"#,
        ] {
            assert_eq!(message(body.as_bytes()), Err(BodyError::DuplicateKey), "{body}");
        }
    }

    #[test]
    fn what_is_not_json_is_a_parse_error() {
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        for body in [
            "",
            "{",
            "{\"a\":1}x",
            "\u{feff}{}",
            "{'a':1}",
            "{\"a\":NaN}",
            "{\"a\":1e999}",
            "{\"a\":\"\\ud800\"}",
            &deep,
        ] {
            assert_eq!(message(body.as_bytes()), Err(BodyError::Malformed), "{body}");
        }
        assert_eq!(message(&[0xff, 0xfe]), Err(BodyError::Malformed));
    }

    #[test]
    fn json_that_is_no_single_message_is_an_invalid_request() {
        for body in [
            "[]",
            "5",
            "{}",
            r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#,
            r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#,
        ] {
            assert!(matches!(message(body.as_bytes()), Err(BodyError::NotAMessage(_))), "{body}");
        }
    }
}
