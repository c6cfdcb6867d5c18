//! The parameters of a request that is passed on → what it asks for, in the caller's words.

use crate::error::Failure;
use crate::pipeline::action::Action;
use crate::pipeline::authz::Wanted;
use crate::raw::{RawObject, as_text};
use crate::snapshot::Kind;
use std::borrow::Cow;

/// Reads it.
///
/// # Errors
/// [`Failure::InvalidParams`] that names the field.
pub(super) fn read<'a>(action: Action, params: Option<&RawObject<'a>>) -> Result<Wanted<'a>, Failure> {
    let invalid = |what: &str| Failure::InvalidParams(what.to_owned());
    let params = params.ok_or_else(|| Failure::InvalidParams(format!("`{}` is missing", action.field())))?;
    let (kind, name) = match action {
        Action::Call | Action::Get => {
            if params.get("arguments").is_some_and(|arguments| !arguments.get().starts_with('{')) {
                return Err(invalid("`arguments` must be an object"));
            }
            let kind = if action == Action::Call { Kind::Tools } else { Kind::Prompts };
            (kind, params.text("name").ok_or_else(|| invalid("`name` must be a string"))?)
        }
        Action::Read => (Kind::Resources, params.text("uri").ok_or_else(|| invalid("`uri` must be a string"))?),
        Action::Complete => reference(params).ok_or_else(|| {
            invalid("`ref` must be {\"type\":\"ref/prompt\",\"name\":…} or {\"type\":\"ref/resource\",\"uri\":…}")
        })?,
    };
    Ok(Wanted { action, kind, name })
}

/// What a completion is for. A `ref/resource` names a template.
fn reference<'a>(params: &RawObject<'a>) -> Option<(Kind, Cow<'a, str>)> {
    let reference = RawObject::parse(params.get("ref")?.get()).ok()?;
    let (kind, key) = match reference.text("type")?.as_ref() {
        "ref/prompt" => (Kind::Prompts, "name"),
        "ref/resource" => (Kind::Templates, "uri"),
        _ => return None,
    };
    Some((kind, as_text(reference.get(key)?)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(action: Action, params: &str) -> Result<(Kind, String), String> {
        let params = RawObject::parse(params).unwrap();
        read(action, Some(&params)).map(|w| (w.kind, w.name.into_owned())).map_err(|failure| failure.to_string())
    }

    #[test]
    fn each_method_names_its_thing_in_its_own_way() {
        let ok = |kind, name: &str| Ok((kind, name.to_owned()));
        assert_eq!(wanted(Action::Call, r#"{"name":"t","arguments":{}}"#), ok(Kind::Tools, "t"));
        assert_eq!(wanted(Action::Get, r#"{"name":"p\u0021"}"#), ok(Kind::Prompts, "p!"));
        assert_eq!(wanted(Action::Read, r#"{"uri":"a://b"}"#), ok(Kind::Resources, "a://b"));
        assert_eq!(wanted(Action::Complete, r#"{"ref":{"type":"ref/prompt","name":"p"}}"#), ok(Kind::Prompts, "p"));
        assert_eq!(wanted(Action::Complete, r#"{"ref":{"type":"ref/resource","uri":"a"}}"#), ok(Kind::Templates, "a"));
    }

    #[test]
    fn what_is_missing_or_of_the_wrong_type_is_named() {
        for (action, params, field) in [
            (Action::Call, r#"{"name":1}"#, "`name`"),
            (Action::Call, r#"{"name":"t","arguments":[]}"#, "`arguments`"),
            (Action::Get, "{}", "`name`"),
            (Action::Read, r#"{"uri":{}}"#, "`uri`"),
            (Action::Complete, r#"{"ref":"p"}"#, "`ref`"),
            (Action::Complete, r#"{"ref":{"type":"ref/tool","name":"p"}}"#, "`ref`"),
            (Action::Complete, r#"{"ref":{"type":"ref/prompt","uri":"p"}}"#, "`ref`"),
        ] {
            let error = wanted(action, params).unwrap_err();
            assert!(error.contains(field), "{params}: {error}");
        }
        assert!(read(Action::Read, None).is_err());
    }
}
