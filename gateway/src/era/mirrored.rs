//! Arguments that a tool wants repeated in headers (specification 2026-07-28, "Streamable HTTP", "Custom Headers from
//! Tool Parameters"): a definition in, the annotated parameters out; then headers from a call's arguments, or a call's
//! headers held against its arguments. Pure.

use super::{decode, encode, mismatch, single};
use crate::error::Failure;
use crate::raw::{RawObject, as_text};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// What the name of every such header starts with.
pub(crate) const PREFIX: &str = "mcp-param-";
const ANNOTATION: &str = "x-mcp-header";
/// More than these no request could carry.
const MAX_HEADERS: usize = 64;

/// The parameters of one tool that are repeated in headers. Most tools have none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Mirrored(Box<[Parameter]>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Parameter {
    header: HeaderName,
    /// The names of the properties that lead to it.
    path: Box<[Box<str>]>,
}

impl Mirrored {
    /// Reads the annotations of a tool's definition.
    ///
    /// # Errors
    /// What is wrong with them. Such a tool must not be listed: clients would have to leave it out too.
    pub(crate) fn read(definition: &RawValue) -> Result<Self, &'static str> {
        // A cheap look first: nearly every definition says nothing of headers. A key may be spelled with escapes.
        if !definition.get().contains(ANNOTATION) && !definition.get().contains("\\u") {
            return Ok(Self::default());
        }
        let Ok(definition) = serde_json::from_str::<Value>(definition.get()) else { return Ok(Self::default()) };
        let mut found = Vec::new();
        if let Some(schema) = definition.get("inputSchema") {
            walk(schema, Some(&mut Vec::new()), &mut found)?;
        }
        Ok(Self(found.into()))
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the header repeats one of the parameters.
    pub(crate) fn knows(&self, header: &HeaderName) -> bool {
        self.0.iter().any(|parameter| parameter.header == header)
    }

    /// The headers that a call with these arguments must carry.
    pub(crate) fn headers(&self, arguments: Option<&RawValue>) -> Vec<(HeaderName, HeaderValue)> {
        let header = |parameter: &Parameter| {
            let text = text_of(value_at(arguments?, &parameter.path)?)?;
            Some((parameter.header.clone(), HeaderValue::from_str(&encode(&text)).ok()?))
        };
        self.0.iter().filter_map(header).collect()
    }

    /// Holds a call's headers against its arguments.
    ///
    /// # Errors
    /// [`Failure::HeaderMismatch`] where one is missing, given twice, malformed, or says something else.
    pub(crate) fn check(&self, headers: &HeaderMap, arguments: Option<&RawValue>) -> Result<(), Failure> {
        for parameter in &self.0 {
            let name = &parameter.header;
            let value = arguments.and_then(|arguments| value_at(arguments, &parameter.path)).and_then(text_of);
            let header = match single(headers, name.as_str())? {
                Some(header) => Some(decode(header).ok_or_else(|| mismatch(format_args!("{name} is malformed")))?),
                None => None,
            };
            match (value, header) {
                (None, None) => {}
                (Some(_), None) => return Err(mismatch(format_args!("{name} is missing"))),
                (Some(value), Some(header)) if same(&value, &header) => {}
                _ => return Err(mismatch(format_args!("{name} does not match the body"))),
            }
        }
        Ok(())
    }
}

/// Collects the annotations of a schema and everything below it. `path`: the properties that led here; `None` where
/// something else did, and an annotation has no meaning.
fn walk(schema: &Value, mut path: Option<&mut Vec<Box<str>>>, found: &mut Vec<Parameter>) -> Result<(), &'static str> {
    let Some(fields) = schema.as_object() else { return Ok(()) };
    if let Some(annotation) = fields.get(ANNOTATION) {
        let path = path.as_deref().ok_or("x-mcp-header stands where no property of the arguments leads")?;
        found.push(parameter(annotation, fields.get("type"), path, found)?);
    }
    for (keyword, below) in fields {
        match keyword.as_str() {
            "properties" => {
                for (name, schema) in below.as_object().into_iter().flatten() {
                    match &mut path {
                        Some(path) => {
                            path.push(name.as_str().into());
                            walk(schema, Some(path), found)?;
                            path.pop();
                        }
                        None => walk(schema, None, found)?,
                    }
                }
            }
            "$defs" | "definitions" | "patternProperties" | "dependentSchemas" | "dependencies" => {
                for schema in below.as_object().into_iter().flat_map(serde_json::Map::values) {
                    walk(schema, None, found)?;
                }
            }
            "items"
            | "prefixItems"
            | "additionalItems"
            | "unevaluatedItems"
            | "contains"
            | "oneOf"
            | "anyOf"
            | "allOf"
            | "not"
            | "if"
            | "then"
            | "else"
            | "additionalProperties"
            | "unevaluatedProperties"
            | "propertyNames"
            | "contentSchema" => match below {
                Value::Array(schemas) => schemas.iter().try_for_each(|schema| walk(schema, None, found))?,
                schema => walk(schema, None, found)?,
            },
            // Everything else holds data, not schemas.
            _ => {}
        }
    }
    Ok(())
}

fn parameter(
    annotation: &Value,
    kind: Option<&Value>,
    path: &[Box<str>],
    known: &[Parameter],
) -> Result<Parameter, &'static str> {
    let name = annotation.as_str().ok_or("x-mcp-header is no text")?;
    if path.is_empty() || !is_primitive(kind) {
        return Err("x-mcp-header stands at something that is no string, integer or boolean");
    }
    // A header's name is a token (RFC 9110 §5.1), which is never empty.
    let header = HeaderName::from_bytes(format!("{PREFIX}{name}").as_bytes()).ok().filter(|_| !name.is_empty());
    let header = header.ok_or("x-mcp-header is no name of a header")?;
    if known.iter().any(|other| other.header == header) {
        return Err("x-mcp-header names a header twice");
    }
    if known.len() == MAX_HEADERS {
        return Err("x-mcp-header stands at more than 64 parameters");
    }
    Ok(Parameter { header, path: path.into() })
}

/// String, integer or boolean; they may be nullable.
fn is_primitive(kind: Option<&Value>) -> bool {
    let primitive = |kind: &Value| matches!(kind.as_str(), Some("string" | "integer" | "boolean"));
    match kind {
        Some(Value::Array(kinds)) => {
            kinds.iter().any(primitive) && kinds.iter().all(|kind| primitive(kind) || kind == "null")
        }
        Some(kind) => primitive(kind),
        None => false,
    }
}

/// The value at a path; `None` where there is none.
fn value_at<'a>(arguments: &'a RawValue, path: &[Box<str>]) -> Option<&'a RawValue> {
    path.iter().try_fold(arguments, |value, name| RawObject::parse(value.get()).ok()?.get(name))
}

/// A value as a header says it; `None` for null, and for what no header can say.
fn text_of(value: &RawValue) -> Option<Cow<'_, str>> {
    match value.get().as_bytes().first()? {
        b'"' => as_text(value),
        b't' | b'f' => Some(Cow::Borrowed(value.get())),
        b'-' | b'0'..=b'9' => Some(integer(value.get()).map_or(Cow::Borrowed(value.get()), Cow::Owned)),
        _ => None,
    }
}

/// A number that is an integer however it is written (`42.0`, `4.2e1`), in decimal digits.
fn integer(text: &str) -> Option<String> {
    const SAFE: f64 = 9_007_199_254_740_991.0;
    let plain = text.strip_prefix('-').unwrap_or(text).bytes().all(|b| b.is_ascii_digit());
    if plain {
        return None;
    }
    let value: f64 = text.parse().ok()?;
    (value.fract() == 0.0 && value.abs() <= SAFE).then(|| format!("{value:.0}"))
}

/// Numbers are compared as numbers ("Server Validation", note), everything else as text.
fn same(value: &str, header: &str) -> bool {
    let number = |text: &str| -> Option<String> {
        let starts = text.starts_with(|c: char| c.is_ascii_digit() || c == '-');
        starts.then(|| integer(text)).flatten()
    };
    value == header || number(header).is_some_and(|header| header == value)
}

#[cfg(test)]
mod tests;
