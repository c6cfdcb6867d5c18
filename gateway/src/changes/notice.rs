//! What a server says about changes. Pure.

use crate::raw::RawObject;
use std::sync::Arc;

/// The lists that change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum List {
    /// Tools.
    Tools,
    /// Prompts.
    Prompts,
    /// Resources and their templates.
    Resources,
}

impl List {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Tools, Self::Prompts, Self::Resources];

    /// The method that tells of a change.
    pub(crate) fn method(self) -> &'static str {
        match self {
            Self::Tools => "notifications/tools/list_changed",
            Self::Prompts => "notifications/prompts/list_changed",
            Self::Resources => "notifications/resources/list_changed",
        }
    }
}

/// One notification about a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Notice {
    /// A list is not what it was.
    ListChanged(List),
    /// A resource, by the server's own URI, is not what it was.
    Updated(Arc<str>),
}

/// The method that tells that a resource was updated.
pub(crate) const UPDATED: &str = "notifications/resources/updated";

impl Notice {
    /// Reads a notification; `None` for any other message.
    pub(crate) fn read(message: &RawObject<'_>) -> Option<Self> {
        let method = message.text("method")?;
        if message.get("id").is_some() {
            return None;
        }
        if &*method == UPDATED {
            let params = RawObject::parse(message.get("params")?.get()).ok()?;
            return Some(Self::Updated(params.text("uri")?.as_ref().into()));
        }
        List::ALL.into_iter().find(|list| list.method() == &*method).map(Self::ListChanged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_are_told_from_other_messages() {
        let read = |text: &str| Notice::read(&RawObject::parse(text).unwrap());
        assert_eq!(
            read(r#"{"method":"notifications/prompts/list_changed"}"#),
            Some(Notice::ListChanged(List::Prompts))
        );
        assert_eq!(
            read(r#"{"method":"notifications/resources/updated","params":{"uri":"a:\/\/b"}}"#),
            Some(Notice::Updated("a://b".into()))
        );
        for other in [
            r#"{"method":"notifications/resources/updated"}"#,
            r#"{"method":"notifications/resources/updated","params":{"uri":7}}"#,
            r#"{"method":"notifications/tools/list_changed","id":1}"#,
            r#"{"method":"notifications/progress","params":{}}"#,
            r#"{"id":1,"result":{}}"#,
        ] {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
