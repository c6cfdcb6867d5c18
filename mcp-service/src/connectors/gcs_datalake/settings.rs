//! `spec.service.settings` of a data lake: JSON comes in, checked settings go out.

use std::path::{Path, PathBuf};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use url::Url;

use crate::connector::{Count, ToolError};

/// The longest SQL text, in bytes. Half a book page of SQL is 2,000.
pub(super) const MAX_SQL_BYTES: usize = 65_536;

/// The least memory with which any query runs.
const MIN_MEMORY_MIB: u32 = 64;
const MAX_MEMORY_MIB: u32 = 65_536;

/// The settings of one data lake.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "camelCase")]
pub struct Settings {
    /// The folder with the tables, as `file:///absolute/path`. Only under `aperium up`.
    pub location: Option<Location>,
    /// Seconds after which a query is ended; 1 to 300, default 20. The time limit of the call applies as well.
    pub query_timeout_seconds: Count<20, 300>,
    /// Memory of one query in MiB; 64 to 65536, default 512.
    #[serde(rename = "queryMemoryMiB")]
    pub query_memory_mib: MemoryMib,
    /// Most rows of one result; 1 to 10000, default 1000.
    pub query_max_rows: Count<1_000, 10_000>,
    /// Most KiB of one result; 1 to 2048, default 256.
    #[serde(rename = "queryMaxKiB")]
    pub query_max_kib: Count<256, 2_048>,
    /// Queries that run at the same time, each in a process of its own; 1 to 32, default 4.
    pub query_max_concurrent: Count<4, 32>,
    /// The program to start as the SQL child instead of this one. Never read from settings; tests set it, because a
    /// test program is no SQL child.
    #[serde(skip)]
    #[schemars(skip)]
    pub worker: Option<PathBuf>,
}

impl Settings {
    /// The folder, where one is set and may be used.
    ///
    /// # Errors
    /// `auth_failed` when none is set, `forbidden` when the service does not run under `aperium up`: in a pod a path
    /// would be one of the container, where no customer data belongs.
    pub(super) fn folder(&self, local: bool) -> Result<&Path, ToolError> {
        match &self.location {
            None => Err(ToolError::auth_failed("settings.location is missing: set it to file:///absolute/path")),
            Some(_) if !local => {
                Err(ToolError::forbidden("settings.location: a file:// folder is allowed only under `aperium up`"))
            }
            Some(location) => Ok(&location.0),
        }
    }
}

/// An absolute folder written as a `file://` URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location(PathBuf);

impl Location {
    /// Reads `file:///absolute/path`.
    ///
    /// # Errors
    /// One sentence that says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if !text.starts_with("file:///") {
            return Err("must start with file:/// and an absolute path".to_owned());
        }
        if text.split(['/', '\\']).any(|part| matches!(part.to_ascii_lowercase().as_str(), ".." | "%2e%2e")) {
            return Err("must not hold \"..\"".to_owned());
        }
        let url = Url::parse(text).map_err(|error| format!("is not a URL: {error}"))?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err("must not hold ? or #".to_owned());
        }
        let path = url.to_file_path().map_err(|()| "must be a local absolute path".to_owned())?;
        if path == Path::new("/") {
            return Err("must not be the root of the file system".to_owned());
        }
        Ok(Self(path))
    }
}

impl<'de> Deserialize<'de> for Location {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(|reason| serde::de::Error::custom(format_args!("location {reason}")))
    }
}

impl JsonSchema for Location {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Location".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": "^file:///.+"})
    }
}

/// Memory of one query, in MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryMib(u32);

impl MemoryMib {
    /// The number of MiB.
    #[must_use]
    pub fn get(self) -> u64 {
        u64::from(self.0)
    }
}

impl Default for MemoryMib {
    fn default() -> Self {
        Self(512)
    }
}

impl<'de> Deserialize<'de> for MemoryMib {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mib = u32::deserialize(deserializer)?;
        if (MIN_MEMORY_MIB..=MAX_MEMORY_MIB).contains(&mib) {
            return Ok(Self(mib));
        }
        let limits = format_args!("queryMemoryMiB {mib} is not within {MIN_MEMORY_MIB} and {MAX_MEMORY_MIB}");
        Err(serde::de::Error::custom(limits))
    }
}

impl JsonSchema for MemoryMib {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "MemoryMib".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "integer", "minimum": MIN_MEMORY_MIB, "maximum": MAX_MEMORY_MIB})
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::connector::ErrorCode;

    fn parse(settings: serde_json::Value) -> Result<Settings, String> {
        serde_json::from_value(settings).map_err(|error| error.to_string())
    }

    #[test]
    fn empty_settings_have_the_documented_defaults() {
        let settings = parse(json!({})).unwrap();
        let numbers = (
            settings.query_timeout_seconds.get(),
            settings.query_memory_mib.get(),
            settings.query_max_rows.get(),
            settings.query_max_kib.get(),
            settings.query_max_concurrent.get(),
        );
        assert_eq!(numbers, (20, 512, 1_000, 256, 4));
        assert!(settings.location.is_none() && settings.worker.is_none());
    }

    #[test]
    fn unknown_fields_and_numbers_outside_their_limits_are_refused() {
        for wrong in [
            json!({"folder": "file:///tmp"}),
            json!({"worker": "/bin/sh"}),
            json!({"queryMemoryMiB": 63}),
            json!({"queryTimeoutSeconds": 0}),
            json!({"queryMaxRows": 10_001}),
        ] {
            assert!(parse(wrong.clone()).is_err(), "{wrong}");
        }
        assert!(parse(json!({"queryMemoryMiB": 63})).unwrap_err().contains("within 64 and 65536"));
    }

    #[test]
    fn a_location_is_an_absolute_file_url_without_surprises() {
        assert_eq!(Location::parse("file:///srv/a%20b").unwrap().0, Path::new("/srv/a b"));
        for wrong in [
            "/srv/lake",
            "file://srv/lake",
            "file:///",
            "file:///srv/../etc",
            "file:///srv/%2E%2e/etc",
            "file:///srv?x",
            "file:///srv#x",
            "gs://bucket/lake",
            "http://example.com/",
        ] {
            assert!(Location::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_folder_is_refused_where_the_service_is_not_local() {
        let settings = parse(json!({"location": "file:///srv/lake"})).unwrap();
        assert!(settings.folder(true).is_ok());
        let refused = settings.folder(false).unwrap_err();
        assert_eq!(refused.code, ErrorCode::Forbidden);
        assert!(refused.message.contains("aperium up"));
        assert_eq!(Settings::default().folder(true).unwrap_err().code, ErrorCode::AuthFailed);
    }
}
