//! A text and what should stand elsewhere in it → the new text; everything else, comments too, stays as it is.

use super::hujson::{Member, Node};
use std::ops::Range;

/// Exchanges places of a text. They must not overlap.
pub(crate) fn splice(text: &str, mut changes: Vec<(Range<usize>, String)>) -> String {
    changes.sort_by_key(|(place, _)| place.start);
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for (place, with) in changes {
        out.push_str(text.get(at..place.start).unwrap_or_default());
        out.push_str(&with);
        at = place.end;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    out
}

/// The change that gives the value behind `path` this JSON text; objects on the way are made. `None` when something
/// on the way is no object.
pub(crate) fn set(text: &str, tree: &Node, path: &[&str], json: &str) -> Option<(Range<usize>, String)> {
    let (key, rest) = path.split_first()?;
    let members = tree.members()?;
    let Some(member) = members.iter().rev().find(|member| member.key == *key) else {
        let value = rest.iter().rev().fold(json.to_owned(), |inner, key| format!("{{{}: {inner}}}", quoted(key)));
        return Some(insert(text, tree, members, &format!("{}: {value}", quoted(key))));
    };
    if rest.is_empty() {
        Some((member.value.span.clone(), json.to_owned()))
    } else {
        set(text, &member.value, rest, json)
    }
}

/// The changes that take the key at the end of `path` away; none when it is not there.
pub(crate) fn remove(tree: &Node, path: &[&str]) -> Vec<(Range<usize>, String)> {
    let Some((key, parents)) = path.split_last() else { return Vec::new() };
    let Some(object) = parents.iter().try_fold(tree, |node, key| node.get(key)) else { return Vec::new() };
    let members = object.members().unwrap_or_default();
    let mut changes = Vec::new();
    let mut kept: Option<&Member> = None;
    for member in members {
        if member.key != *key {
            kept = Some(member);
            continue;
        }
        let end = member.comma.map_or(member.value.span.end, |comma| comma + 1);
        changes.push((member.key_span.start..end, String::new()));
    }
    // Without a follower the comma of the last one that stays would dangle.
    if let (Some(last), Some(comma)) = (members.last(), kept.and_then(|member| member.comma))
        && last.key == *key
        && last.comma.is_none()
    {
        changes.push((comma..comma + 1, String::new()));
    }
    changes
}

/// The change that adds an item behind the last one of an array.
pub(crate) fn append(text: &str, array: &Node, json: &str) -> (Range<usize>, String) {
    behind(text, array, array.items().last().map(|item| item.span.clone()), json)
}

/// The change that takes an item out of an array, with the comma that belongs to it.
pub(crate) fn remove_item(array: &Node, index: usize) -> Option<(Range<usize>, String)> {
    let items = array.items();
    let item = items.get(index)?;
    let place = match (items.get(index + 1), index.checked_sub(1).and_then(|before| items.get(before))) {
        (Some(next), _) => item.span.start..next.span.start,
        (None, Some(before)) => before.span.end..item.span.end,
        (None, None) => array.span.start + 1..array.span.end - 1,
    };
    Some((place, String::new()))
}

/// Adds a member behind the last one.
fn insert(text: &str, object: &Node, members: &[Member], member: &str) -> (Range<usize>, String) {
    behind(text, object, members.last().map(|last| last.key_span.start..last.value.span.end), member)
}

/// Adds something behind the last entry of an object or array, indented like it.
fn behind(text: &str, parent: &Node, last: Option<Range<usize>>, added: &str) -> (Range<usize>, String) {
    let Some(last) = last else {
        let at = parent.span.start + 1;
        return (at..at, added.to_owned());
    };
    let line = text.get(..last.start).and_then(|before| before.rsplit_once('\n')).map(|(_, line)| line);
    let indent = line.filter(|line| line.trim().is_empty());
    let between = indent.map_or_else(|| " ".to_owned(), |indent| format!("\n{indent}"));
    (last.end..last.end, format!(",{between}{added}"))
}

fn quoted(key: &str) -> String {
    serde_json::Value::from(key).to_string()
}

#[cfg(test)]
mod tests {
    use super::super::hujson::parse;
    use super::*;

    fn with(text: &str, path: &[&str], json: &str) -> String {
        splice(text, vec![set(text, &parse(text).unwrap(), path, json).unwrap()])
    }

    fn without(text: &str, path: &[&str]) -> String {
        splice(text, remove(&parse(text).unwrap(), path))
    }

    #[test]
    fn a_value_is_exchanged_and_comments_stay() {
        let text = "{ // top\n  \"a\": {\"b\": 1 /* one */, \"c\": 2},\n}";
        assert_eq!(with(text, &["a", "b"], "[3]"), "{ // top\n  \"a\": {\"b\": [3] /* one */, \"c\": 2},\n}");
    }

    #[test]
    fn a_new_key_comes_last_with_the_objects_that_lead_to_it() {
        assert_eq!(with("{}", &["a", "b"], "1"), "{\"a\": {\"b\": 1}}");
        assert_eq!(with("{\n  \"x\": 1 // one\n}", &["a"], "2"), "{\n  \"x\": 1,\n  \"a\": 2 // one\n}");
        assert_eq!(with("{\"x\": 1,}", &["a"], "2"), "{\"x\": 1, \"a\": 2,}");
        let text = "{\"x\": 1}";
        assert!(set(text, &parse(text).unwrap(), &["x", "y"], "2").is_none(), "a number has no keys");
    }

    #[test]
    fn items_come_last_and_go_with_their_comma() {
        let added = |text: &str, json: &str| splice(text, vec![append(text, &parse(text).unwrap(), json)]);
        assert_eq!(added("[]", "1"), "[1]");
        assert_eq!(added("[\n  1, // one\n]", "2"), "[\n  1,\n  2, // one\n]");
        let gone = |text: &str, at| splice(text, remove_item(&parse(text).unwrap(), at).into_iter().collect());
        assert_eq!(gone("[1, 2, 3]", 1), "[1, 3]");
        assert_eq!(gone("[1, 2]", 1), "[1]");
        assert_eq!(gone("[1 ,]", 0), "[]");
        assert_eq!(gone("[1]", 1), "[1]");
    }

    #[test]
    fn a_key_goes_with_its_comma() {
        assert_eq!(without("{\"a\": 1, \"b\": 2, \"c\": 3}", &["b"]), "{\"a\": 1,  \"c\": 3}");
        assert_eq!(without("{\"a\": 1, \"b\": 2}", &["b"]), "{\"a\": 1 }");
        assert_eq!(without("{\"a\": 1, \"b\": 2,}", &["b"]), "{\"a\": 1, }");
        assert_eq!(without("{\"b\": 2, \"a\": 1, \"b\": 3}", &["b"]), "{ \"a\": 1 }");
        assert_eq!(without("{\"b\": 2}", &["b"]), "{}");
        assert_eq!(without("{\"o\": {\"b\": 2}}", &["o", "b"]), "{\"o\": {}}");
        assert_eq!(without("{\"o\": {\"b\": 2}}", &["x", "b"]), "{\"o\": {\"b\": 2}}");
    }
}
