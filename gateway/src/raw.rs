//! JSON objects whose values stay exactly as they were sent: text in, (name, raw value) pairs out, and back to text.
//!
//! What the gateway does not have to understand it never parses: unknown fields, integers beyond 64 bits, the order
//! of keys and the spelling of numbers arrive as they left.

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

mod edit;
pub(crate) use edit::Edits;

/// One object, its fields in the order they were sent.
#[derive(Debug, Clone)]
pub(crate) struct RawObject<'a> {
    fields: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl<'a> RawObject<'a> {
    /// Reads an object; anything else, and an object that names a field twice, is an error.
    ///
    /// # Errors
    /// What the parser says.
    pub(crate) fn parse(text: &'a str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// The value of a field.
    pub(crate) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| *value)
    }

    /// The value of a field that holds a string.
    pub(crate) fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        self.get(name).and_then(as_text)
    }

    /// All fields in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.fields.iter().map(|(name, value)| (name.as_ref(), *value))
    }
}

/// The text of a JSON string, borrowed where it holds no escapes; `None` for any other value.
pub(crate) fn as_text(value: &RawValue) -> Option<Cow<'_, str>> {
    let raw = value.get();
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') { serde_json::from_str(raw).ok().map(Cow::Owned) } else { Some(Cow::Borrowed(inner)) }
}

impl<'de: 'a, 'a> Deserialize<'de> for RawObject<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = RawObject<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut fields: Vec<(Cow<'de, str>, &'de RawValue)> = Vec::with_capacity(4);
                while let Some(Key(name)) = map.next_key::<Key<'de>>()? {
                    if fields.len() < 64 && fields.iter().any(|(known, _)| *known == name) {
                        return Err(serde::de::Error::custom("duplicate key"));
                    }
                    fields.push((name, map.next_value()?));
                }
                Ok(RawObject { fields })
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

/// A key: borrowed where it holds no escapes.
struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Key<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }
            fn visit_borrowed_str<E: serde::de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Borrowed(text)))
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// Writes one JSON object piece by piece.
#[derive(Debug)]
pub(crate) struct RawWriter {
    out: Vec<u8>,
    first: bool,
}

impl RawWriter {
    /// Starts an object; `capacity` is a guess at its length in bytes.
    pub(crate) fn object(capacity: usize) -> Self {
        let mut out = Vec::with_capacity(capacity);
        out.push(b'{');
        Self { out, first: true }
    }

    /// Adds a field whose value is JSON text already.
    pub(crate) fn raw(&mut self, name: &str, value: &str) -> &mut Self {
        self.bytes(name, value.as_bytes())
    }

    /// Adds a field whose value is JSON bytes already.
    pub(crate) fn bytes(&mut self, name: &str, value: &[u8]) -> &mut Self {
        if !self.first {
            self.out.push(b',');
        }
        self.first = false;
        push_text(&mut self.out, name);
        self.out.push(b':');
        self.out.extend_from_slice(value);
        self
    }

    /// Adds a field that holds a string.
    pub(crate) fn text(&mut self, name: &str, value: &str) -> &mut Self {
        let mut quoted = Vec::with_capacity(value.len() + 2);
        push_text(&mut quoted, value);
        self.bytes(name, &quoted)
    }

    /// Ends the object.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.out.push(b'}');
        self.out
    }
}

/// Appends a JSON string.
pub(crate) fn push_text(out: &mut Vec<u8>, text: &str) {
    let plain = text.bytes().all(|b| b >= 0x20 && b != b'"' && b != b'\\');
    if plain {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        // A string always serialises.
        out.extend_from_slice(serde_json::Value::from(text).to_string().as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(text: &str) -> String {
        let object = RawObject::parse(text).unwrap();
        let mut writer = RawWriter::object(text.len());
        for (name, value) in object.iter() {
            writer.raw(name, value.get());
        }
        String::from_utf8(writer.finish()).unwrap()
    }

    #[test]
    fn values_and_their_order_survive_untouched() {
        let text = r#"{"z":123456789012345678901234567890,"a":1.50e+3,"n":{"y":[1,  2],"x":"A"},"é":"ü","q\"k":null}"#;
        assert_eq!(round_trip(text), text);
    }

    #[test]
    fn a_field_named_twice_is_refused_even_when_spelled_with_escapes() {
        assert!(RawObject::parse(r#"{"name":1,"name":2}"#).is_err());
        assert!(RawObject::parse(r#"{"name":1,"n\u0061me":2}"#).is_err());
    }

    #[test]
    fn only_objects_are_read() {
        for text in ["[]", "1", "\"x\"", "null", "{", "{}x"] {
            assert!(RawObject::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn strings_are_unescaped_and_other_values_are_no_strings() {
        let object = RawObject::parse(r#"{"a":"x\ny","b":"plain","c":1,"d":{}}"#).unwrap();
        assert_eq!(object.text("a").unwrap(), "x\ny");
        assert!(matches!(object.text("b").unwrap(), Cow::Borrowed("plain")));
        assert!(object.text("c").is_none() && object.text("d").is_none() && object.text("e").is_none());
    }

    #[test]
    fn written_strings_are_escaped() {
        let mut writer = RawWriter::object(8);
        writer.text("a\"", "line\nend\u{1}");
        let value: serde_json::Value = serde_json::from_slice(&writer.finish()).unwrap();
        assert_eq!(value["a\""], "line\nend\u{1}");
    }
}
