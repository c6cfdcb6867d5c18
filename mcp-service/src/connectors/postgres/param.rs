//! JSON values as parameters: the server says which type a parameter has, the value goes there in that type's text form.
//!
//! Nothing is pasted into SQL. PostgreSQL's own input functions read the text, so every type that can be written as
//! text can be a parameter, and a value that does not fit is the server's error (22P02), not a guess of ours.

use bytes::BytesMut;
use postgres_types::{Format, IsNull, Kind, ToSql, Type, to_sql_checked};
use serde_json::Value;

/// One parameter.
#[derive(Debug)]
pub(super) struct Param<'a>(pub(super) &'a Value);

impl ToSql for Param<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match text_of(self.0, ty) {
            None => Ok(IsNull::Yes),
            Some(text) => {
                out.extend_from_slice(text.as_bytes());
                Ok(IsNull::No)
            }
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    to_sql_checked!();
}

/// The text form of a value for a type; `None` is SQL's null.
fn text_of(value: &Value, ty: &Type) -> Option<String> {
    if *ty == Type::JSON || *ty == Type::JSONB {
        // A JSON null is a value of these types; SQL's null is what callers mean by null.
        return if value.is_null() { None } else { Some(value.to_string()) };
    }
    match (value, ty.kind()) {
        (Value::Null, _) => None,
        (Value::String(text), _) => Some(text.clone()),
        (Value::Array(items), Kind::Array(element)) => Some(array_of(items, element)),
        (other, _) => Some(other.to_string()),
    }
}

/// An array literal (PostgreSQL manual, 8.15.2): every element is quoted, so none can end the literal.
fn array_of(items: &[Value], element: &Type) -> String {
    let mut literal = String::from("{");
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            literal.push(',');
        }
        match item {
            Value::Array(inner) => literal.push_str(&array_of(inner, element)),
            item => match text_of(item, element) {
                None => literal.push_str("NULL"),
                Some(text) => {
                    literal.push('"');
                    literal.push_str(&text.replace('\\', "\\\\").replace('"', "\\\""));
                    literal.push('"');
                }
            },
        }
    }
    literal.push('}');
    literal
}

/// Parameters as the driver takes them.
pub(super) fn refs<'a>(params: &'a [Param<'a>]) -> Vec<&'a (dyn ToSql + Sync)> {
    params.iter().map(|param| param as &(dyn ToSql + Sync)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_become_the_text_of_their_type() {
        for (value, ty, text) in [
            (json!(null), Type::INT4, None),
            (json!(null), Type::JSONB, None),
            (json!(5), Type::INT4, Some("5")),
            (json!("5"), Type::INT4, Some("5")),
            (json!(true), Type::BOOL, Some("true")),
            (json!("a"), Type::TEXT, Some("a")),
            (json!("a"), Type::JSONB, Some("\"a\"")),
            (json!({"a": 1}), Type::JSONB, Some("{\"a\":1}")),
            (json!({"a": 1}), Type::TEXT, Some("{\"a\":1}")),
            (json!([1, null, 3]), Type::INT4_ARRAY, Some("{\"1\",NULL,\"3\"}")),
            (json!([["a", "b"], ["c", "d"]]), Type::TEXT_ARRAY, Some("{{\"a\",\"b\"},{\"c\",\"d\"}}")),
        ] {
            assert_eq!(text_of(&value, &ty).as_deref(), text, "{value} {ty}");
        }
    }

    #[test]
    fn an_element_cannot_end_the_array_literal() {
        let hostile = json!(["a\",\"b", "c\\", "}"]);
        assert_eq!(text_of(&hostile, &Type::TEXT_ARRAY).unwrap(), r#"{"a\",\"b","c\\","}"}"#);
    }
}
