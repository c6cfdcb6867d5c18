//! Argument types that carry their own limits: a value outside them does not deserialise, and the schema says so.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

/// A number of things, 1 to `MAX`; `DEFAULT` when the field is left out (with `#[serde(default)]`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Count<const DEFAULT: u32, const MAX: u32>(u32);

impl<const DEFAULT: u32, const MAX: u32> Count<DEFAULT, MAX> {
    /// The number.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0
    }
}

impl<const DEFAULT: u32, const MAX: u32> Default for Count<DEFAULT, MAX> {
    fn default() -> Self {
        const { assert!(DEFAULT >= 1 && DEFAULT <= MAX, "the default lies within the limits") };
        Self(DEFAULT)
    }
}

impl<'de, const DEFAULT: u32, const MAX: u32> Deserialize<'de> for Count<DEFAULT, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = i64::deserialize(deserializer)?;
        match u32::try_from(number) {
            Ok(n) if (1..=MAX).contains(&n) => Ok(Self(n)),
            _ => Err(D::Error::custom(format_args!("{number} is not within 1 and {MAX}"))),
        }
    }
}

impl<const DEFAULT: u32, const MAX: u32> JsonSchema for Count<DEFAULT, MAX> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        format!("Count_{DEFAULT}_{MAX}").into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "integer", "minimum": 1, "maximum": MAX})
    }
}

/// A text of 1 to `MAX` characters without NUL.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Text<const MAX: usize>(String);

impl<const MAX: usize> Text<MAX> {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> std::ops::Deref for Text<MAX> {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> std::fmt::Display for Text<MAX> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for Text<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() {
            return Err(D::Error::custom("the text is empty"));
        }
        if text.chars().count() > MAX {
            return Err(D::Error::custom(format_args!("the text is longer than {MAX} characters")));
        }
        if text.contains('\0') {
            return Err(D::Error::custom("the text holds a NUL character"));
        }
        Ok(Self(text))
    }
}

impl<const MAX: usize> JsonSchema for Text<MAX> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        format!("Text_{MAX}").into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "minLength": 1, "maxLength": MAX})
    }
}

/// A list of 1 to `MAX` items.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Items<T, const MAX: usize>(Vec<T>);

impl<T, const MAX: usize> std::ops::Deref for Items<T, MAX> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T, const MAX: usize> Items<T, MAX> {
    /// The items themselves.
    #[must_use]
    pub fn into_inner(self) -> Vec<T> {
        self.0
    }
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for Items<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let items = Vec::<T>::deserialize(deserializer)?;
        match items.len() {
            0 => Err(D::Error::custom("the list is empty")),
            n if n > MAX => Err(D::Error::custom(format_args!("{n} items are more than {MAX}"))),
            _ => Ok(Self(items)),
        }
    }
}

impl<T: JsonSchema, const MAX: usize> JsonSchema for Items<T, MAX> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        format!("Items_{}_{MAX}", T::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "array",
            "minItems": 1,
            "maxItems": MAX,
            "items": generator.subschema_for::<T>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_outside_its_limits_does_not_deserialise() {
        for wrong in ["0", "-1", "101", "99999999999", "1.5", "\"7\"", "null"] {
            assert!(serde_json::from_str::<Count<10, 100>>(wrong).is_err(), "{wrong}");
        }
        assert_eq!(serde_json::from_str::<Count<10, 100>>("100").unwrap().get(), 100);
        assert_eq!(Count::<10, 100>::default().get(), 10);
    }

    #[test]
    fn a_text_counts_characters_and_refuses_nul() {
        assert!(serde_json::from_str::<Text<3>>("\"äöü\"").is_ok());
        for wrong in ["\"\"", "\"abcd\"", "\"a\\u0000\"", "5"] {
            assert!(serde_json::from_str::<Text<3>>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_list_is_neither_empty_nor_too_long() {
        assert!(serde_json::from_str::<Items<u8, 2>>("[1,2]").is_ok());
        for wrong in ["[]", "[1,2,3]"] {
            assert!(serde_json::from_str::<Items<u8, 2>>(wrong).is_err(), "{wrong}");
        }
    }
}
