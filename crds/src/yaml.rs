//! The one module that reads and writes YAML.
//!
//! The parser's defaults would turn `yes` into true, follow merge keys and keep the last of two equal keys; a file
//! that holds grants must not mean something else than it shows, so all three are refused or off. Its errors would
//! quote the source, which may be a secret: snippets are off.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The most bytes of one YAML file.
pub const MAX_BYTES: usize = 4 * 1024 * 1024;

/// Why a text could not be read or written as YAML.
#[derive(Debug, thiserror::Error)]
pub enum YamlError {
    /// Larger than [`MAX_BYTES`].
    #[error("the file holds more than 4 MiB")]
    TooLarge,
    /// Not YAML, or not of the wanted shape.
    #[error("{0}")]
    Parse(String),
    /// The value cannot be written.
    #[error("cannot be written as YAML: {0}")]
    Write(String),
}

fn options() -> serde_saphyr::Options {
    serde_saphyr::options! {
        strict_booleans: true,
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::Error,
        merge_keys: serde_saphyr::MergeKeyPolicy::AsOrdinary,
        with_snippet: false,
    }
}

/// Reads every document of a text as JSON values; empty documents are left out.
///
/// # Errors
/// [`YamlError::TooLarge`], [`YamlError::Parse`].
pub fn documents(text: &str) -> Result<Vec<Value>, YamlError> {
    if text.len() > MAX_BYTES {
        return Err(YamlError::TooLarge);
    }
    let documents: Vec<Value> =
        serde_saphyr::from_multiple_with_options(text, options()).map_err(|error| parse_error(&error))?;
    Ok(documents.into_iter().filter(|document| !document.is_null()).collect())
}

/// Reads one document of a typed shape.
///
/// # Errors
/// [`YamlError::TooLarge`], [`YamlError::Parse`].
pub fn from_document<T: DeserializeOwned>(text: &str) -> Result<T, YamlError> {
    if text.len() > MAX_BYTES {
        return Err(YamlError::TooLarge);
    }
    serde_saphyr::from_str_with_options(text, options()).map_err(|error| parse_error(&error))
}

/// Writes one document.
///
/// # Errors
/// [`YamlError::Write`].
pub fn to_document<T: Serialize>(value: &T) -> Result<String, YamlError> {
    serde_saphyr::to_string(value).map_err(|error| YamlError::Write(error.to_string()))
}

fn parse_error(error: &serde_saphyr::Error) -> YamlError {
    YamlError::Parse(error.to_string().lines().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn several_documents_are_read_and_empty_ones_left_out() {
        assert_eq!(documents("---\n---\na: 1\n---\nb: [x]\n").unwrap(), [json!({"a": 1}), json!({"b": ["x"]})]);
        assert!(documents("").unwrap().is_empty());
    }

    #[test]
    fn words_that_yaml_1_1_takes_for_booleans_stay_words() {
        assert_eq!(documents("a: yes\nb: on\nc: true").unwrap(), [json!({"a": "yes", "b": "on", "c": true})]);
    }

    #[test]
    fn duplicate_keys_are_refused() {
        assert!(documents("a: 1\na: 2").is_err());
    }

    #[test]
    fn an_error_says_where_and_never_quotes_the_source() {
        let error = documents("password: hunter2\n  bad: [").unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
        assert!(error.contains("line"), "{error}");
    }

    #[test]
    fn hazardous_strings_survive_a_round_trip() {
        let value = json!({"a": "yes", "b": "017", "c": "1_000", "d": "2026-11-21", "e": "null", "f": "", "g": " x ", "h": "a: b"});
        assert_eq!(documents(&to_document(&value).unwrap()).unwrap(), [value]);
    }
}
