//! One message of the stream → whose it is. Pure.

use crate::changes::notice::Notice;
use crate::raw::{RawObject, RawWriter};
use serde_json::value::RawValue;

/// Whose a message is.
#[derive(Debug)]
pub(super) enum Route<'a> {
    /// Answers our request.
    Answer(u64),
    /// Tells of the progress of our request; its token is the id.
    Progress(u64),
    /// About changes.
    Notice(Notice),
    /// Belongs to a request under way, but does not say to which: a log message, or a request of the server's own.
    Current {
        /// The id, where the server wants an answer.
        request: Option<&'a RawValue>,
    },
    /// Nobody's.
    Nobody,
}

/// Sorts a message.
pub(super) fn of<'a>(message: &RawObject<'a>) -> Route<'a> {
    let id = message.get("id");
    let Some(method) = message.text("method") else {
        let answered = id.and_then(|id| id.get().parse().ok());
        return answered.map_or(Route::Nobody, Route::Answer);
    };
    match (&*method, id) {
        (_, Some(id)) => Route::Current { request: Some(id) },
        ("notifications/progress", None) => progress(message).map_or(Route::Nobody, Route::Progress),
        ("notifications/message" | "notifications/cancelled", None) => Route::Current { request: None },
        _ => Notice::read(message).map_or(Route::Nobody, Route::Notice),
    }
}

fn progress(message: &RawObject<'_>) -> Option<u64> {
    let params = RawObject::parse(message.get("params")?.get()).ok()?;
    params.get("progressToken")?.get().parse().ok()
}

/// The answer to a request of the server that nobody can be asked: a ping is answered, everything else is unknown.
pub(crate) fn refusal(message: &RawObject<'_>, id: &RawValue) -> String {
    let mut out = RawWriter::object(128);
    out.raw("jsonrpc", "\"2.0\"").raw("id", id.get());
    if message.text("method").as_deref() == Some("ping") {
        out.raw("result", "{}");
    } else {
        out.raw("error", r#"{"code":-32601,"message":"Method not found"}"#);
    }
    String::from_utf8(out.finish()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(text: &str) -> String {
        format!("{:?}", of(&RawObject::parse(text).unwrap()))
    }

    #[test]
    fn each_message_goes_to_the_request_that_it_names() {
        assert_eq!(sorted(r#"{"id":7,"result":{}}"#), "Answer(7)");
        assert_eq!(sorted(r#"{"id":"7","result":{}}"#), "Nobody");
        assert_eq!(sorted(r#"{"id":null,"error":{}}"#), "Nobody");
        assert_eq!(sorted(r#"{"method":"notifications/progress","params":{"progressToken":7}}"#), "Progress(7)");
        assert_eq!(sorted(r#"{"method":"notifications/progress","params":{"progressToken":"x"}}"#), "Nobody");
        assert!(sorted(r#"{"method":"notifications/tools/list_changed"}"#).starts_with("Notice"));
        assert_eq!(sorted(r#"{"method":"notifications/message","params":{}}"#), "Current { request: None }");
        assert!(sorted(r#"{"id":7,"method":"sampling/createMessage"}"#).starts_with("Current { request: Some"));
        assert_eq!(sorted(r#"{"method":"notifications/made/up"}"#), "Nobody");
    }

    #[test]
    fn a_ping_is_answered_and_everything_else_is_unknown() {
        let reply = |text: &str| {
            let message = RawObject::parse(text).unwrap();
            refusal(&message, message.get("id").unwrap())
        };
        assert_eq!(reply(r#"{"id":"p","method":"ping"}"#), r#"{"jsonrpc":"2.0","id":"p","result":{}}"#);
        assert!(reply(r#"{"id":3,"method":"roots/list"}"#).contains(r#""id":3,"error":{"code":-32601"#));
    }
}
