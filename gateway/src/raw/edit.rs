//! Values inside a JSON text replaced where they stand: everything around them keeps its bytes.

use super::push_text;
use serde_json::value::RawValue;
use std::ops::Range;

/// Replacements in one text, collected and carried out together.
#[derive(Debug)]
pub(crate) struct Edits<'t> {
    text: &'t str,
    edits: Vec<(Range<usize>, Vec<u8>)>,
}

impl<'t> Edits<'t> {
    /// No replacement yet.
    pub(crate) fn of(text: &'t str) -> Self {
        Self { text, edits: Vec::new() }
    }

    /// Replaces a value that was read out of this very text by a string; a value from elsewhere is left alone.
    pub(crate) fn text(&mut self, value: &RawValue, with: &str) {
        let mut quoted = Vec::with_capacity(with.len() + 2);
        push_text(&mut quoted, with);
        self.replace(value, quoted);
    }

    /// Replaces a value that was read out of this very text by JSON text.
    pub(crate) fn raw(&mut self, value: &RawValue, with: &str) {
        self.replace(value, with.into());
    }

    fn replace(&mut self, value: &RawValue, with: Vec<u8>) {
        if let Some(range) = self.range(value.get()) {
            self.edits.push((range, with));
        }
    }

    /// Puts fields (`"name":value`, joined by commas) in front of those of an object that is part of this text.
    pub(crate) fn prepend(&mut self, object: &str, fields: &str) {
        let Some(range) = self.range(object).filter(|_| object.starts_with('{')) else { return };
        let empty = object.get(1..).is_some_and(|rest| rest.trim_start().starts_with('}'));
        let separator = if empty { "" } else { "," };
        self.edits.push((range.start + 1..range.start + 1, format!("{fields}{separator}").into_bytes()));
    }

    /// The edited text; `None` when nothing was to be edited.
    pub(crate) fn finish(mut self) -> Option<String> {
        if self.edits.is_empty() {
            return None;
        }
        self.edits.sort_by_key(|(range, _)| range.start);
        let text = self.text.as_bytes();
        let mut out = Vec::with_capacity(text.len() + self.edits.iter().map(|(_, with)| with.len()).sum::<usize>());
        let mut at = 0;
        for (range, with) in &self.edits {
            out.extend_from_slice(text.get(at..range.start).unwrap_or_default());
            out.extend_from_slice(with);
            at = range.end;
        }
        out.extend_from_slice(text.get(at..).unwrap_or_default());
        // Whole values were replaced by whole values.
        String::from_utf8(out).ok()
    }

    /// Where a part of the text stands.
    fn range(&self, part: &str) -> Option<Range<usize>> {
        let start = part.as_ptr().addr().checked_sub(self.text.as_ptr().addr())?;
        let range = start..start + part.len();
        (range.end <= self.text.len()).then_some(range)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raw::RawObject;

    #[test]
    fn only_the_value_changes_and_every_other_byte_stays() {
        let text = "{ \"z\" : 123456789012345678901234567890,\n \"uri\" :\"a\\u002fb\" , \"é\":[1,  2] }";
        let object = RawObject::parse(text).unwrap();
        let mut edits = Edits::of(text);
        edits.text(object.get("uri").unwrap(), "x-\"y\"");
        let edited = edits.finish().unwrap();
        assert_eq!(edited, text.replace("\"a\\u002fb\"", "\"x-\\\"y\\\"\""));
    }

    #[test]
    fn edits_are_carried_out_in_the_order_of_the_text() {
        let text = r#"{"a":"1","b":"2","c":{}}"#;
        let object = RawObject::parse(text).unwrap();
        let mut edits = Edits::of(text);
        edits.prepend(object.get("c").unwrap().get(), "\"n\":1");
        edits.text(object.get("b").unwrap(), "two");
        edits.text(object.get("a").unwrap(), "one");
        edits.prepend(text, "\"first\":0");
        assert_eq!(edits.finish().unwrap(), r#"{"first":0,"a":"one","b":"two","c":{"n":1}}"#);
    }

    #[test]
    fn what_is_not_of_the_text_is_left_alone() {
        let other: Box<RawValue> = serde_json::from_str("\"x\"").unwrap();
        let mut edits = Edits::of("{}");
        edits.text(&other, "y");
        assert!(edits.finish().is_none());
    }
}
