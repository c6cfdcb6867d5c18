//! JSON of a manifest → the same manifest with defaults, or every way in which the API server would refuse it.
//!
//! One schema serves both: the generated CustomResourceDefinition is walked here for the folder source, which has no
//! API server in front of it. Unlike the API server, which prunes unknown fields, an unknown field is an error.

use crate::{crd, yaml};
use kube::core::cel;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::HashMap;
use std::fmt;
use std::sync::{LazyLock, Mutex, PoisonError};

mod walk;

/// Where and why a manifest is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The field, as in `spec.service.port`.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() { f.write_str(&self.message) } else { write!(f, "{}: {}", self.field, self.message) }
    }
}

/// All faults of one manifest, in the order of its fields; never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct Faults(pub Vec<Fault>);

/// A schema, ready to check manifests with.
struct Definition {
    schema: Value,
}

static CONNECTOR: LazyLock<Definition> = LazyLock::new(|| Definition { schema: crd::schema(&crd::connector()) });
static GRANT: LazyLock<Definition> = LazyLock::new(|| Definition { schema: crd::schema(&crd::grant()) });

/// Checks a Connector manifest and gives it its defaults.
///
/// # Errors
/// Every fault found.
pub fn connector(manifest: &Value) -> Result<crate::Connector, Faults> {
    let connector: crate::Connector = CONNECTOR.check(manifest)?;
    check_context(connector.spec.context.as_ref()).map_err(|fault| Faults(vec![fault]))?;
    Ok(connector)
}

/// Checks a Grant manifest and gives it its defaults.
///
/// # Errors
/// Every fault found.
pub fn grant(manifest: &Value) -> Result<crate::Grant, Faults> {
    GRANT.check(manifest)
}

/// Checks what the API server cannot: `context` is a string or an object of at most 16 KiB.
///
/// # Errors
/// The fault.
pub fn check_context(context: Option<&Value>) -> Result<(), Fault> {
    const MAX_BYTES: usize = 16 * 1024;
    let fault = |message: &str| Err(Fault { field: "spec.context".to_owned(), message: message.to_owned() });
    match context {
        None => Ok(()),
        Some(value @ (Value::String(_) | Value::Object(_))) => {
            if value.to_string().len() > MAX_BYTES {
                fault("must hold at most 16 KiB")
            } else {
                Ok(())
            }
        }
        Some(_) => fault("must be a string or an object"),
    }
}

impl Definition {
    fn check<T: DeserializeOwned>(&self, manifest: &Value) -> Result<T, Faults> {
        let faults = walk::faults(&self.schema, manifest);
        if !faults.is_empty() {
            return Err(Faults(faults));
        }
        let full = cel::apply_defaults(&self.schema, manifest);
        if let Err(errors) = cel::Validator::new().validate(&self.schema, &full, None) {
            let faults =
                errors.as_slice().iter().map(|e| Fault { field: e.field_path.clone(), message: e.message.clone() });
            return Err(Faults(faults.collect()));
        }
        serde_json::from_value(full)
            .map_err(|error| Faults(vec![Fault { field: String::new(), message: error.to_string() }]))
    }
}

/// Reads one YAML document of a manifest, for tests and small tools.
///
/// # Errors
/// The text is no single YAML document.
pub fn parse(text: &str) -> Result<Value, yaml::YamlError> {
    yaml::from_document(text)
}

/// A compiled pattern of the schema. The patterns are our own, so the number of entries is fixed.
fn pattern(text: &str) -> Option<regex::Regex> {
    static COMPILED: LazyLock<Mutex<HashMap<String, Option<regex::Regex>>>> = LazyLock::new(Mutex::default);
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    compiled.entry(text.to_owned()).or_insert_with(|| regex::Regex::new(text).ok()).clone()
}

#[cfg(test)]
mod tests;
