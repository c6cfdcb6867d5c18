//! The structural part of a schema: types, unknown fields, required fields, enums, patterns and limits.

use super::{Fault, pattern};
use serde_json::{Map, Value};

/// Deeper manifests are refused: no field of ours nests that far outside of free objects.
const MAX_DEPTH: usize = 64;

/// Every structural fault of the value under the schema.
pub(super) fn faults(schema: &Value, value: &Value) -> Vec<Fault> {
    let mut found = Vec::new();
    Walk { found: &mut found }.value(schema, value, "", 0);
    found
}

struct Walk<'a> {
    found: &'a mut Vec<Fault>,
}

impl Walk<'_> {
    fn fault(&mut self, field: &str, message: impl Into<String>) {
        self.found.push(Fault { field: field.trim_start_matches('.').to_owned(), message: message.into() });
    }

    fn value(&mut self, schema: &Value, value: &Value, field: &str, depth: usize) {
        if depth > MAX_DEPTH {
            return self.fault(field, "is nested too deeply");
        }
        let free = schema["x-kubernetes-preserve-unknown-fields"] == true;
        let int_or_string = schema["x-kubernetes-int-or-string"] == true;
        let Some(wanted) = schema["type"].as_str() else {
            if int_or_string && !(value.is_i64() || value.is_string()) {
                self.fault(field, "must be an integer or a string");
            }
            return;
        };
        match (wanted, value) {
            ("object", Value::Object(object)) => self.object(schema, object, field, depth, free),
            ("array", Value::Array(items)) => self.array(schema, items, field, depth),
            ("string", Value::String(text)) => self.text(schema, text, field),
            ("integer", Value::Number(number)) if number.is_i64() => self.number(schema, number.as_f64(), field),
            ("number", Value::Number(number)) => self.number(schema, number.as_f64(), field),
            ("boolean", Value::Bool(_)) => {}
            _ => self.fault(field, format!("must be of type {wanted}, not {}", kind(value))),
        }
    }

    fn object(&mut self, schema: &Value, object: &Map<String, Value>, field: &str, depth: usize, free: bool) {
        for required in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !object.contains_key(required) {
                self.fault(&format!("{field}.{required}"), "is required");
            }
        }
        if schema["maxProperties"].as_u64().is_some_and(|max| object.len() as u64 > max) {
            self.fault(field, format!("must have at most {} entries", schema["maxProperties"]));
        }
        let properties = schema["properties"].as_object();
        for (name, value) in object {
            let field = format!("{field}.{name}");
            match properties.and_then(|properties| properties.get(name)) {
                Some(property) => self.value(property, value, &field, depth + 1),
                None if schema["additionalProperties"].is_object() => {
                    self.value(&schema["additionalProperties"], value, &field, depth + 1);
                }
                // The root's metadata and type are the API server's own.
                None if free || depth == 0 && matches!(name.as_str(), "apiVersion" | "kind" | "metadata") => {}
                None if properties.is_none() => {}
                None => self.fault(&field, "unknown field"),
            }
        }
    }

    fn array(&mut self, schema: &Value, items: &[Value], field: &str, depth: usize) {
        let length = items.len() as u64;
        if schema["minItems"].as_u64().is_some_and(|min| length < min) {
            self.fault(field, format!("must have at least {} items", schema["minItems"]));
        }
        if schema["maxItems"].as_u64().is_some_and(|max| length > max) {
            return self.fault(field, format!("must have at most {} items", schema["maxItems"]));
        }
        if schema["x-kubernetes-list-type"] == "set" {
            for (index, item) in items.iter().enumerate() {
                if items[..index].contains(item) {
                    self.fault(&format!("{field}[{index}]"), "is a duplicate");
                }
            }
        }
        for (index, item) in items.iter().enumerate() {
            self.value(&schema["items"], item, &format!("{field}[{index}]"), depth + 1);
        }
    }

    fn text(&mut self, schema: &Value, text: &str, field: &str) {
        let length = text.chars().count() as u64;
        if schema["minLength"].as_u64().is_some_and(|min| length < min) {
            self.fault(field, format!("must have at least {} characters", schema["minLength"]));
        }
        if schema["maxLength"].as_u64().is_some_and(|max| length > max) {
            self.fault(field, format!("must have at most {} characters", schema["maxLength"]));
        }
        if let Some(values) = schema["enum"].as_array()
            && !values.iter().any(|value| value.as_str() == Some(text))
        {
            let values: Vec<_> = values.iter().filter_map(Value::as_str).map(|v| format!("'{v}'")).collect();
            self.fault(field, format!("must be one of {}", values.join(", ")));
        }
        if let Some(wanted) = schema["pattern"].as_str()
            && !pattern(wanted).is_some_and(|pattern| pattern.is_match(text))
        {
            self.fault(field, format!("must match {wanted}"));
        }
    }

    fn number(&mut self, schema: &Value, number: Option<f64>, field: &str) {
        let Some(number) = number else { return self.fault(field, "is out of range") };
        if schema["minimum"].as_f64().is_some_and(|min| number < min) {
            self.fault(field, format!("must be at least {}", schema["minimum"]));
        }
        if schema["maximum"].as_f64().is_some_and(|max| number > max) {
            self.fault(field, format!("must be at most {}", schema["maximum"]));
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_i64() || number.is_u64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
