//! What a connector is, as data: the dashboard, the charts, the operator and the readiness check read the same facts.

use std::any::Any;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::tool::schema_of;

/// The constant facts of one connector.
#[derive(Debug)]
pub struct Info {
    /// The module: folder, `--connector` argument, environment suffix. Snake case.
    pub module: &'static str,
    /// What people call the system.
    pub title: &'static str,
    /// One sentence for the dashboard.
    pub description: &'static str,
    /// What every tool name starts with, underscore included, such as `postgres_`.
    pub prefix: &'static str,
    /// The port that the operator gives a service of this kind by default.
    pub port: u16,
    /// The heading under which the dashboard lists it.
    pub category: &'static str,
    /// What an admin must enter; the keys of the mounted Secret.
    pub credentials: &'static [CredentialField],
    /// The shape of `spec.service.settings`.
    pub settings: SettingsSpec,
    /// Hosts that it always talks to; empty when the host itself is one of the credentials.
    pub egress_hosts: &'static [&'static str],
}

/// One field that an admin enters; one key of the mounted Secret.
#[derive(Debug, Clone, Copy)]
pub struct CredentialField {
    /// Key and file name, snake case.
    pub name: &'static str,
    /// Label in forms.
    pub title: &'static str,
    /// One sentence: what it is, its form, its default.
    pub help: &'static str,
    /// Whether the service is not ready without it.
    pub required: bool,
    /// Whether forms and exports hide it. In memory every field is kept as a secret.
    pub secret: bool,
}

impl CredentialField {
    /// A secret that must be there.
    #[must_use]
    pub const fn secret(name: &'static str, title: &'static str, help: &'static str) -> Self {
        Self { name, title, help, required: true, secret: true }
    }

    /// A value that may be shown and must be there.
    #[must_use]
    pub const fn text(name: &'static str, title: &'static str, help: &'static str) -> Self {
        Self { name, title, help, required: true, secret: false }
    }

    /// The same field, but the service runs without it.
    #[must_use]
    pub const fn optional(mut self) -> Self {
        self.required = false;
        self
    }
}

type Parsed = Arc<dyn Any + Send + Sync>;

/// The type behind `spec.service.settings`: its schema and its parser.
#[derive(Clone, Copy)]
pub struct SettingsSpec {
    schema: fn() -> serde_json::Map<String, Value>,
    parse: fn(Value) -> Result<Parsed, String>,
}

impl SettingsSpec {
    /// Settings of type `T`: derive `Deserialize, JsonSchema, Default` with `#[serde(deny_unknown_fields, default,
    /// rename_all = "camelCase")]`, and check the limits while deserialising.
    #[must_use]
    pub const fn of<T: DeserializeOwned + JsonSchema + Send + Sync + 'static>() -> Self {
        Self { schema: schema_of::<T>, parse: parse::<T> }
    }

    /// The JSON schema of the settings, with no `$ref`.
    #[must_use]
    pub fn schema(&self) -> serde_json::Map<String, Value> {
        (self.schema)()
    }

    /// Reads the settings.
    ///
    /// # Errors
    /// One sentence that names the field.
    pub fn parse(&self, settings: Value) -> Result<Arc<dyn Any + Send + Sync>, String> {
        (self.parse)(settings)
    }
}

impl std::fmt::Debug for SettingsSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SettingsSpec")
    }
}

fn parse<T: DeserializeOwned + Send + Sync + 'static>(settings: Value) -> Result<Parsed, String> {
    serde_json::from_value::<T>(settings).map(|parsed| Arc::new(parsed) as Parsed).map_err(|error| error.to_string())
}
