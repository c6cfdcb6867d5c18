//! What an upstream says of itself when a version is agreed on: the result of `initialize` or `server/discover`.

use crate::era::META_SERVER;
use crate::raw::{RawObject, as_text};
use serde_json::value::RawValue;

/// The most bytes of instructions that are kept.
const MAX_INSTRUCTIONS: usize = 8 * 1024;
/// What a server declares that tells of changes: of its lists, or of resources that somebody follows.
const CHANGES: [&str; 4] = ["tools.listChanged", "prompts.listChanged", "resources.listChanged", "resources.subscribe"];

/// What an upstream says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct About {
    /// Its capabilities, as they were sent; an object, or empty.
    capabilities: Box<str>,
    /// How it wants to be used, cut to 8 KiB.
    pub(crate) instructions: Option<Box<str>>,
    /// Its name and version, as they were sent.
    pub(crate) server: Option<Box<str>>,
}

impl About {
    /// Reads it from a result. What is missing or of another type counts as not said.
    pub(crate) fn read(result: &RawValue) -> Self {
        let Ok(result) = RawObject::parse(result.get()) else { return Self::default() };
        let meta = result.get("_meta").and_then(|meta| RawObject::parse(meta.get()).ok());
        let server = result.get("serverInfo").or_else(|| meta.and_then(|meta| meta.get(META_SERVER)));
        Self {
            capabilities: result.get("capabilities").map(RawValue::get).unwrap_or_default().into(),
            instructions: result.get("instructions").and_then(as_text).map(|text| cut(&text).into()),
            server: server.map(|server| server.get().into()),
        }
    }

    /// Whether it declares a capability: `prompts`, or `resources.subscribe` for a part of one that must be `true`.
    pub(crate) fn declares(&self, capability: &str) -> bool {
        let Ok(capabilities) = RawObject::parse(&self.capabilities) else { return false };
        match capability.split_once('.') {
            None => capabilities.get(capability).is_some_and(|value| value.get().starts_with('{')),
            Some((whole, part)) => capabilities
                .get(whole)
                .and_then(|value| RawObject::parse(value.get()).ok()?.get(part))
                .is_some_and(|value| value.get() == "true"),
        }
    }

    /// Whether it declares that it tells of any change.
    pub(crate) fn tells_changes(&self) -> bool {
        CHANGES.into_iter().any(|capability| self.declares(capability))
    }
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_INSTRUCTIONS)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(text: &str) -> About {
        About::read(&serde_json::from_str::<Box<RawValue>>(text).unwrap())
    }

    #[test]
    fn both_eras_say_the_same_in_their_own_places() {
        let legacy = about(
            r#"{"capabilities":{"prompts":{},"resources":{"subscribe":true}},"serverInfo":{"name":"f"},"instructions":"a\nb"}"#,
        );
        assert!(legacy.declares("prompts") && legacy.declares("resources") && legacy.declares("resources.subscribe"));
        assert!(!legacy.declares("tools") && !legacy.declares("resources.listChanged"));
        assert_eq!((legacy.instructions.as_deref(), legacy.server.as_deref()), (Some("a\nb"), Some(r#"{"name":"f"}"#)));
        let stateless = about(r#"{"_meta":{"io.modelcontextprotocol/serverInfo":{"name":"g"}}}"#);
        assert_eq!(stateless.server.as_deref(), Some(r#"{"name":"g"}"#));
        assert!(!stateless.declares("tools"));
    }

    #[test]
    fn a_server_tells_changes_of_whatever_it_declares() {
        for declared in [
            r#"{"tools":{"listChanged":true}}"#,
            r#"{"tools":{},"prompts":{"listChanged":true}}"#,
            r#"{"resources":{"listChanged":true}}"#,
            r#"{"resources":{"subscribe":true,"listChanged":false}}"#,
        ] {
            assert!(about(&format!(r#"{{"capabilities":{declared}}}"#)).tells_changes(), "{declared}");
        }
        for declared in [r#"{"tools":{},"prompts":{},"resources":{}}"#, r#"{"tools":{"listChanged":false}}"#, "{}"] {
            assert!(!about(&format!(r#"{{"capabilities":{declared}}}"#)).tells_changes(), "{declared}");
        }
        assert!(!About::default().tells_changes());
    }

    #[test]
    fn what_is_of_another_type_is_not_said_and_long_instructions_are_cut() {
        assert_eq!(about("[]"), About::default());
        assert!(!about(r#"{"capabilities":[1]}"#).declares("tools"));
        assert!(about(r#"{"instructions":7}"#).instructions.is_none());
        let long = about(&format!(r#"{{"instructions":"{}"}}"#, "é".repeat(9000)));
        assert_eq!(long.instructions.unwrap().len(), MAX_INSTRUCTIONS);
    }
}
