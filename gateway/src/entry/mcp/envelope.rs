//! Bytes of a POST → one JSON-RPC message, its parameters still raw.

use crate::raw::{RawObject, as_text};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Why a body is no JSON-RPC message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EnvelopeError {
    /// Not JSON, or JSON that two readers could read differently.
    #[error("Parse error: {0}")]
    Json(String),
    /// JSON, but no message.
    #[error("Invalid Request: {0}")]
    Message(&'static str),
}

/// A JSON-RPC id as it was sent: a string or an integer.
pub(crate) type Id<'a> = &'a RawValue;

/// One message of a client.
#[derive(Debug)]
pub(crate) enum Message<'a> {
    /// Wants an answer.
    Request {
        /// The client's id.
        id: Id<'a>,
        /// What it wants.
        method: Cow<'a, str>,
        /// Its parameters, an object.
        params: Option<&'a RawValue>,
    },
    /// Wants none.
    Notification {
        /// What has happened.
        method: Cow<'a, str>,
        /// Its parameters, an object.
        params: Option<&'a RawValue>,
    },
    /// Answers a request that the gateway has sent.
    Response {
        /// The gateway's id.
        id: Id<'a>,
        /// Result or error.
        answer: Result<&'a RawValue, &'a RawValue>,
    },
}

/// Reads a body.
///
/// # Errors
/// [`EnvelopeError::Json`] for what is not JSON, nests too deep or names a key twice anywhere;
/// [`EnvelopeError::Message`] for batches and anything else that is not one message.
pub(crate) fn parse(body: &[u8]) -> Result<Message<'_>, EnvelopeError> {
    aperium_platform::json::check_strict(body).map_err(|error| EnvelopeError::Json(error.to_string()))?;
    let text = std::str::from_utf8(body).map_err(|_| EnvelopeError::Json("not UTF-8".to_owned()))?;
    match text.trim_start().as_bytes().first() {
        Some(b'{') => {}
        Some(b'[') => return Err(EnvelopeError::Message("batches are not part of this protocol")),
        _ => return Err(EnvelopeError::Message("a message is an object")),
    }
    let object = RawObject::parse(text).map_err(|error| EnvelopeError::Json(error.to_string()))?;
    message(&object)
}

fn message<'a>(object: &RawObject<'a>) -> Result<Message<'a>, EnvelopeError> {
    if object.text("jsonrpc").as_deref() != Some("2.0") {
        return Err(EnvelopeError::Message("`jsonrpc` must be \"2.0\""));
    }
    let id = object.get("id");
    if id.is_some_and(|id| !is_id(id)) {
        return Err(EnvelopeError::Message("`id` must be a string or an integer"));
    }
    let Some(method) = object.get("method") else {
        return match (id, object.get("result"), object.get("error")) {
            (Some(id), Some(result), None) => Ok(Message::Response { id, answer: Ok(result) }),
            (Some(id), None, Some(error)) => Ok(Message::Response { id, answer: Err(error) }),
            _ => Err(EnvelopeError::Message("`method` is missing")),
        };
    };
    let method = as_text(method).ok_or(EnvelopeError::Message("`method` must be a string"))?;
    let params = object.get("params");
    if params.is_some_and(|params| !params.get().starts_with('{')) {
        return Err(EnvelopeError::Message("`params` must be an object"));
    }
    Ok(match id {
        Some(id) => Message::Request { id, method, params },
        None => Message::Notification { method, params },
    })
}

/// The id of a message whose body is no good otherwise, so that the answer can name it.
pub(crate) fn id_of(body: &[u8]) -> Option<Box<RawValue>> {
    let object = RawObject::parse(std::str::from_utf8(body).ok()?).ok()?;
    object.get("id").filter(|id| is_id(id)).map(ToOwned::to_owned)
}

fn is_id(value: &RawValue) -> bool {
    let text = value.get();
    text.starts_with('"')
        || (!text.is_empty() && text.strip_prefix('-').unwrap_or(text).bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(body: &str) -> String {
        parse(body.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn a_request_keeps_its_parameters_raw() {
        let body =
            br#" {"params":{"b":1,"a":123456789012345678901234567890},"method":"tools/call","id":"x","jsonrpc":"2.0"}"#;
        let Message::Request { id, method, params } = parse(body).unwrap() else { panic!("no request") };
        assert_eq!((id.get(), &*method), ("\"x\"", "tools/call"));
        assert_eq!(params.unwrap().get(), r#"{"b":1,"a":123456789012345678901234567890}"#);
    }

    #[test]
    fn notifications_and_responses_are_told_apart() {
        assert!(matches!(
            parse(br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#),
            Ok(Message::Notification { .. })
        ));
        assert!(matches!(
            parse(br#"{"jsonrpc":"2.0","id":1,"result":{}}"#),
            Ok(Message::Response { answer: Ok(result), .. }) if result.get() == "{}"
        ));
        assert!(matches!(
            parse(br#"{"jsonrpc":"2.0","id":1,"error":{}}"#),
            Ok(Message::Response { answer: Err(_), .. })
        ));
    }

    #[test]
    fn what_is_not_json_is_a_parse_error() {
        for body in
            ["", "{", "nope", "{\"a\":NaN}", "{\"a\":1}x", "\u{feff}{}", "{\"a\":\"\\ud800\"}", "{'a':1}", "{\"a\":1,}"]
        {
            assert!(error(body).starts_with("Parse error"), "{body:?}: {}", error(body));
        }
        assert!(matches!(parse(b"\xff\xfe"), Err(EnvelopeError::Json(_))));
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(error(&deep).starts_with("Parse error"));
    }

    #[test]
    fn a_key_named_twice_is_refused_at_any_depth() {
        for body in [
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","method":"tools/call"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","name":"b"}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"a","arguments":{"x":[{"y":1,"\u0079":2}]}}}"#,
        ] {
            assert!(matches!(parse(body.as_bytes()), Err(EnvelopeError::Json(_))), "{body}");
        }
    }

    #[test]
    fn what_is_no_message_is_an_invalid_request() {
        for body in [
            "[]",
            r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#,
            "1",
            "{}",
            r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":1.5,"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":1}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":7}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[1]}"#,
        ] {
            assert!(error(body).starts_with("Invalid Request"), "{body}: {}", error(body));
        }
    }

    #[test]
    fn the_id_of_a_bad_message_is_found_where_there_is_one() {
        assert_eq!(id_of(br#"{"id":"a","jsonrpc":"1.0"}"#).unwrap().get(), "\"a\"");
        assert!(id_of(br#"{"id":null}"#).is_none());
        assert!(id_of(b"{").is_none());
    }
}
