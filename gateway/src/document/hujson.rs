//! HuJSON text (JSON with comments and trailing commas) → a tree whose values know where they stand in the text.
//!
//! The text itself is what is stored, so that comments survive: the tree says where a value can be exchanged. A key
//! that comes twice is kept twice; whoever reads the tree decides. Errors give a place and never quote the text, which
//! holds secrets; for the same reason the tree has no `Debug`.

use std::ops::Range;

/// Arrays and objects may nest this deep, as in all other JSON that is read here.
const MAX_DEPTH: usize = 127;

/// The most bytes of one document; the same as of a YAML file.
const MAX_BYTES: usize = aperium_crds::yaml::MAX_BYTES;

/// One value and its place in the text.
pub(crate) struct Node {
    /// From its first to behind its last byte.
    pub(crate) span: Range<usize>,
    /// What it is.
    pub(crate) value: Value,
}

/// What a value is.
pub(crate) enum Value {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// As it is spelled.
    Number(Box<str>),
    /// Without quotes and escapes.
    Text(String),
    /// In order.
    Array(Vec<Node>),
    /// In order.
    Object(Vec<Member>),
}

/// One key of an object with its value.
pub(crate) struct Member {
    /// The key without quotes and escapes.
    pub(crate) key: String,
    /// Where the quoted key stands.
    pub(crate) key_span: Range<usize>,
    /// The value.
    pub(crate) value: Node,
    /// Where the comma behind the value stands, if there is one.
    pub(crate) comma: Option<usize>,
}

/// Why a text is no HuJSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid JSON at line {line} column {column}: {problem}")]
pub(crate) struct HujsonError {
    /// Counted from 1.
    pub(crate) line: usize,
    /// In bytes, counted from 1.
    pub(crate) column: usize,
    /// What is wrong there.
    pub(crate) problem: &'static str,
}

impl Node {
    /// What the value is called in messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::Text(_) => "a string",
            Value::Array(_) => "an array",
            Value::Object(_) => "an object",
        }
    }

    /// The members of an object.
    pub(crate) fn members(&self) -> Option<&[Member]> {
        if let Value::Object(members) = &self.value { Some(members) } else { None }
    }

    /// The items of an array; none of anything else.
    pub(crate) fn items(&self) -> &[Self] {
        if let Value::Array(items) = &self.value { items } else { &[] }
    }

    /// The value of a key; of two the last, as every JSON decoder has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        self.members()?.iter().rev().find(|member| member.key == key).map(|member| &member.value)
    }

    /// A string.
    pub(crate) fn text(&self) -> Option<&str> {
        if let Value::Text(text) = &self.value { Some(text) } else { None }
    }

    /// The value as plain JSON. Numbers that JSON libraries cannot hold exactly come as the nearest one.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.value {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Number(spelled) => serde_json::from_str(spelled).unwrap_or(Json::Null),
            Value::Text(text) => Json::String(text.clone()),
            Value::Array(items) => items.iter().map(Self::to_json).collect(),
            Value::Object(members) => {
                members.iter().map(|member| (member.key.clone(), member.value.to_json())).collect()
            }
        }
    }
}

/// Reads one value; nothing but blanks and comments may stand around it.
///
/// # Errors
/// [`HujsonError`] for the first thing that is wrong.
pub(crate) fn parse(text: &str) -> Result<Node, HujsonError> {
    let mut parser = Parser { text, at: if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 } };
    if text.len() > MAX_BYTES {
        return Err(parser.error("the document holds more than 4 MiB"));
    }
    parser.blanks()?;
    let node = parser.value(0)?;
    parser.blanks()?;
    if parser.at < text.len() { Err(parser.error("something follows the value")) } else { Ok(node) }
}

/// Line (from 1) of a byte of the text.
pub(crate) fn line_of(text: &str, at: usize) -> usize {
    1 + text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count()
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
}

impl Parser<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn error(&self, problem: &'static str) -> HujsonError {
        let before = self.text.get(..self.at).unwrap_or(self.text);
        let column = before.len() - before.rfind('\n').map_or(0, |newline| newline + 1) + 1;
        HujsonError { line: line_of(self.text, self.at), column, problem }
    }

    /// Skips blanks and comments.
    fn blanks(&mut self) -> Result<(), HujsonError> {
        loop {
            let rest = self.rest();
            let blank = rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
            if blank > 0 {
                self.at += blank;
            } else if rest.starts_with("//") {
                self.at += rest.find('\n').unwrap_or(rest.len());
            } else if rest.starts_with("/*") {
                let end = rest.get(2..).and_then(|inner| inner.find("*/"));
                self.at += end.ok_or_else(|| self.error("the comment has no end"))? + 4;
            } else {
                return Ok(());
            }
        }
    }

    fn value(&mut self, depth: usize) -> Result<Node, HujsonError> {
        let start = self.at;
        let value = match self.peek() {
            Some(b'{' | b'[') if depth == MAX_DEPTH => return Err(self.error("it nests deeper than 127")),
            Some(b'{') => self.object(depth + 1)?,
            Some(b'[') => self.array(depth + 1)?,
            Some(b'"') => Value::Text(self.string()?),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(_) => self.word()?,
            None => return Err(self.error("a value is missing")),
        };
        Ok(Node { span: start..self.at, value })
    }

    fn word(&mut self) -> Result<Value, HujsonError> {
        let words = [("true", Value::Bool(true)), ("false", Value::Bool(false)), ("null", Value::Null)];
        for (word, value) in words {
            let follows = self.rest().strip_prefix(word);
            if follows.is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')) {
                self.at += word.len();
                return Ok(value);
            }
        }
        Err(self.error("a value is expected"))
    }

    fn number(&mut self) -> Result<Value, HujsonError> {
        let rest = self.rest();
        let numeric = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E');
        let spelled = rest.get(..rest.find(|c| !numeric(c)).unwrap_or(rest.len())).unwrap_or_default();
        if serde_json::from_str::<serde_json::Number>(spelled).is_err() {
            return Err(self.error("this is no number"));
        }
        let spelled: Box<str> = spelled.into();
        self.at += spelled.len();
        Ok(Value::Number(spelled))
    }

    fn string(&mut self) -> Result<String, HujsonError> {
        let bytes = self.text.as_bytes();
        let mut end = self.at + 1;
        loop {
            match bytes.get(end) {
                Some(b'"') => break,
                Some(b'\\') => end += 2,
                Some(_) => end += 1,
                None => return Err(self.error("the string has no end")),
            }
        }
        let quoted = self.text.get(self.at..=end).unwrap_or_default();
        let text = serde_json::from_str(quoted);
        let text = text.map_err(|_| self.error("the string holds a bad escape or a control character"))?;
        self.at = end + 1;
        Ok(text)
    }

    fn array(&mut self, depth: usize) -> Result<Value, HujsonError> {
        let mut items = Vec::new();
        self.at += 1;
        loop {
            self.blanks()?;
            if self.peek() == Some(b']') {
                break;
            }
            items.push(self.value(depth)?);
            self.blanks()?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => break,
                _ => return Err(self.error("',' or ']' is expected")),
            }
        }
        self.at += 1;
        Ok(Value::Array(items))
    }

    fn object(&mut self, depth: usize) -> Result<Value, HujsonError> {
        let mut members = Vec::new();
        self.at += 1;
        loop {
            self.blanks()?;
            match self.peek() {
                Some(b'}') => break,
                Some(b'"') => {}
                _ => return Err(self.error("a key in double quotes or '}' is expected")),
            }
            let start = self.at;
            let key = self.string()?;
            let key_span = start..self.at;
            self.blanks()?;
            if self.peek() != Some(b':') {
                return Err(self.error("':' is expected"));
            }
            self.at += 1;
            self.blanks()?;
            let value = self.value(depth)?;
            self.blanks()?;
            let comma = (self.peek() == Some(b',')).then_some(self.at);
            members.push(Member { key, key_span, value, comma });
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                _ => return Err(self.error("',' or '}' is expected")),
            }
        }
        self.at += 1;
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn json(text: &str) -> serde_json::Value {
        parse(text).unwrap_or_else(|error| panic!("{error}: {text}")).to_json()
    }

    #[test]
    fn comments_and_trailing_commas_are_read() {
        let text = "// first\n{ /* a */ \"a\" /*b*/ : [1, 2.5e1, /* x */ ], // c\n \"b\\n\": {\"c\": null,}, \"d\": \"//no\",}\n//end";
        assert_eq!(json(text), json!({"a": [1, 25.0], "b\n": {"c": null}, "d": "//no"}));
    }

    #[test]
    fn a_value_knows_its_place() {
        let text = "{ \"a\" : \"x\\\"y\" }";
        let node = parse(text).unwrap();
        assert_eq!(&text[node.get("a").unwrap().span.clone()], "\"x\\\"y\"");
        assert_eq!(&text[node.members().unwrap()[0].key_span.clone()], "\"a\"");
    }

    #[test]
    fn what_is_no_hujson_is_refused_with_its_place_and_without_its_text() {
        for (text, line, column, problem) in [
            ("", 1, 1, "a value is missing"),
            ("{\n  \"a\": hunter2\n}", 2, 8, "a value is expected"),
            ("{'a': 1}", 1, 2, "a key in double quotes or '}' is expected"),
            ("{\"a\" 1}", 1, 6, "':' is expected"),
            ("[1 2]", 1, 4, "',' or ']' is expected"),
            ("[,]", 1, 2, "a value is expected"),
            ("{} x", 1, 4, "something follows the value"),
            ("\"abc", 1, 1, "the string has no end"),
            ("\"a\\q\"", 1, 1, "the string holds a bad escape or a control character"),
            ("\"a\nb\"", 1, 1, "the string holds a bad escape or a control character"),
            ("/* x", 1, 1, "the comment has no end"),
            ("/* x /", 1, 1, "the comment has no end"),
            ("01", 1, 1, "this is no number"),
            ("truely", 1, 1, "a value is expected"),
            ("{\"a\": 1\n\n", 3, 1, "',' or '}' is expected"),
        ] {
            let error = parse(text).err().unwrap_or_else(|| panic!("{text:?} is taken"));
            assert_eq!((error.line, error.column, error.problem), (line, column, problem), "{text:?}");
        }
    }

    #[test]
    fn nesting_has_an_end() {
        assert!(parse(&format!("{}1{}", "[".repeat(127), "]".repeat(127))).is_ok());
        assert!(parse(&format!("{}1{}", "[".repeat(128), "]".repeat(128))).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_and_strict_json_means_what_it_means_elsewhere(text in "[\\[\\]{}\",:/* a1\\\\n-]{0,24}") {
            let read = parse(&text);
            if let Ok(strict) = serde_json::from_str::<serde_json::Value>(&text) {
                prop_assert_eq!(read.ok().map(|node| node.to_json()), Some(strict));
            }
        }
    }
}
