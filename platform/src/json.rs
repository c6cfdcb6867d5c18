//! Bytes from outside in, "this is one strict JSON value" or the reason why not out.
//!
//! What passes has exactly one reading: no object has a key twice at any depth, nothing follows the value, nothing nests
//! deeper than 127. It walks the text with the parser that reads it later (`serde_json`), so that both agree on what
//! the text says; nothing is built, keys are borrowed from the text.

use std::{borrow::Cow, collections::HashSet, fmt};

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// Why a text is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Not JSON (or not UTF-8), or cut off.
    #[error("malformed JSON at line {line} column {column}")]
    Syntax {
        /// Line of the first error, counted from 1.
        line: usize,
        /// Column of the first error.
        column: usize,
    },
    /// An object holds the same key twice.
    #[error("duplicate key at line {line} column {column}")]
    DuplicateKey {
        /// Line just behind the second key.
        line: usize,
        /// Column just behind the second key.
        column: usize,
    },
    /// Arrays and objects nest deeper than 127.
    #[error("JSON nests deeper than 127")]
    TooDeep,
    /// Something follows the value.
    #[error("something follows the JSON value")]
    Trailing,
}

impl JsonError {
    /// `PascalCase` reason.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Syntax { .. } => "MalformedJson",
            Self::DuplicateKey { .. } => "DuplicateKey",
            Self::TooDeep => "JsonTooDeep",
            Self::Trailing => "TrailingBytes",
        }
    }
}

/// Arrays and objects may nest this deep (what `serde_json` reads at most).
const MAX_DEPTH: u8 = 127;
/// Objects with more keys than this are searched by hash, so that the check stays linear.
const LINEAR_KEYS: usize = 24;
/// Marks our own error in the text of a `serde_json` error; no input can produce it.
const DUPLICATE: &str = "duplicate key";

/// Checks that the bytes are one JSON value with unique keys, no deeper than 127 levels, with nothing behind it.
///
/// # Errors
/// [`JsonError`] with the first flaw. It never quotes the text.
pub fn check_strict(text: &[u8]) -> Result<(), JsonError> {
    let mut state = State { keys: Vec::new(), depth: 0, flaw: None };
    let mut parser = serde_json::Deserializer::from_slice(text);
    match (Value { state: &mut state }).deserialize(&mut parser) {
        Ok(()) => parser.end().map_err(|_| JsonError::Trailing),
        Err(error) => Err(match state.flaw {
            Some(Flaw::Duplicate) => JsonError::DuplicateKey { line: error.line(), column: error.column() },
            Some(Flaw::Depth) => JsonError::TooDeep,
            // The parser has the same limit and may be the first to notice; it has no code for it.
            None if error.to_string().starts_with("recursion limit") => JsonError::TooDeep,
            None => JsonError::Syntax { line: error.line(), column: error.column() },
        }),
    }
}

#[derive(Clone, Copy)]
enum Flaw {
    Duplicate,
    Depth,
}

struct State<'de> {
    /// Keys of all open objects, innermost last: one allocation for the whole text.
    keys: Vec<Cow<'de, str>>,
    depth: u8,
    flaw: Option<Flaw>,
}

impl State<'_> {
    fn fail<E: serde::de::Error>(&mut self, flaw: Flaw) -> E {
        self.flaw = Some(flaw);
        E::custom(DUPLICATE)
    }

    fn enter<E: serde::de::Error>(&mut self) -> Result<(), E> {
        if self.depth == MAX_DEPTH {
            return Err(self.fail(Flaw::Depth));
        }
        self.depth += 1;
        Ok(())
    }
}

struct Value<'a, 'de> {
    state: &'a mut State<'de>,
}

impl<'de> DeserializeSeed<'de> for Value<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        self.state.enter()?;
        while seq.next_element_seed(Value { state: &mut *self.state })?.is_some() {}
        self.state.depth -= 1;
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        self.state.enter()?;
        let first = self.state.keys.len();
        let mut many: HashSet<Cow<'de, str>> = HashSet::new();
        while let Some(key) = map.next_key_seed(Key)? {
            let own = self.state.keys.get(first..).unwrap_or_default();
            let fresh = if many.is_empty() { !own.contains(&key) } else { !many.contains(&key) };
            if !fresh {
                return Err(self.state.fail(Flaw::Duplicate));
            }
            if !many.is_empty() {
                many.insert(key);
            } else if own.len() < LINEAR_KEYS {
                self.state.keys.push(key);
            } else {
                many.extend(self.state.keys.drain(first..));
                many.insert(key);
            }
            map.next_value_seed(Value { state: &mut *self.state })?;
        }
        self.state.keys.truncate(first);
        self.state.depth -= 1;
        Ok(())
    }
}

struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(key))
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(key.to_owned()))
    }
}

#[cfg(test)]
mod tests;
