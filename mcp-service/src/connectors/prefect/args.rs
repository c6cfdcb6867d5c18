//! Types of arguments that several tools share: text comes in, and what it stands for, or an error, goes out.

use std::borrow::Cow;
use std::fmt;

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

/// The longest name of a flow or deployment, in characters.
const MAX_NAME: usize = 255;

/// The id of anything in Prefect: a UUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Id(Uuid);

/// A deployment as people name it: its id, or `<flow name>/<deployment name>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum DeploymentRef {
    /// By id.
    Id(Id),
    /// By the two names.
    Name { flow: String, deployment: String },
}

/// A point in time: RFC 3339 with an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Moment(Timestamp);

/// The kinds of states (Prefect documentation, "States").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum StateType {
    Scheduled,
    Pending,
    Running,
    Completed,
    Failed,
    Cancelled,
    Crashed,
    Paused,
    Cancelling,
}

/// In which order a list comes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Order {
    /// The newest first.
    #[default]
    NewestFirst,
    /// The oldest first.
    OldestFirst,
}

// === impl Id ===

impl Id {
    /// Reads a UUID.
    pub(super) fn parse(text: &str) -> Option<Self> {
        Uuid::try_parse(text).ok().map(Self)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl JsonSchema for Id {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Id".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "uuid"})
    }
}

// === impl DeploymentRef ===

impl DeploymentRef {
    /// Reads an id or two names; neither name of a deployment can hold a slash.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if let Some(id) = Id::parse(text) {
            return Some(Self::Id(id));
        }
        let (flow, deployment) = text.split_once('/')?;
        let fits = |name: &str| {
            !name.is_empty() && name.chars().count() <= MAX_NAME && !name.contains(|c: char| c == '/' || c.is_control())
        };
        (fits(flow) && fits(deployment))
            .then(|| Self::Name { flow: flow.to_owned(), deployment: deployment.to_owned() })
    }
}

impl<'de> Deserialize<'de> for DeploymentRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text)
            .ok_or_else(|| D::Error::custom("a deployment is its id or \"<flow name>/<deployment name>\""))
    }
}

impl JsonSchema for DeploymentRef {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "DeploymentRef".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "minLength": 3,
            "maxLength": 2 * MAX_NAME + 1,
            "description": "The deployment's id, or \"<flow name>/<deployment name>\".",
        })
    }
}

// === impl Moment ===

impl Moment {
    /// So many hours before now.
    pub(super) fn hours_ago(hours: u32) -> Self {
        let ago = jiff::SignedDuration::from_hours(i64::from(hours));
        // Out of range only for a clock that is thousands of years wrong.
        Self(Timestamp::now().checked_sub(ago).unwrap_or(Timestamp::UNIX_EPOCH))
    }
}

impl JsonSchema for Moment {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Moment".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "date-time"})
    }
}

// === impl StateType ===

impl StateType {
    /// All of them.
    pub(super) const ALL: [Self; 9] = [
        Self::Scheduled,
        Self::Pending,
        Self::Running,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
        Self::Crashed,
        Self::Paused,
        Self::Cancelling,
    ];

    /// As Prefect writes it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "SCHEDULED",
            Self::Pending => "PENDING",
            Self::Running => "RUNNING",
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
            Self::Crashed => "CRASHED",
            Self::Paused => "PAUSED",
            Self::Cancelling => "CANCELLING",
        }
    }

    /// Whether a run in such a state is over.
    pub(super) fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled | Self::Crashed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deployment_is_an_id_or_two_names() {
        let id = "360ed2bb-1fb6-4aad-b32c-c7e92f76443a";
        assert!(matches!(DeploymentRef::parse(id), Some(DeploymentRef::Id(_))));
        let named = DeploymentRef::parse("etl night/näch tly").unwrap();
        assert_eq!(named, DeploymentRef::Name { flow: "etl night".to_owned(), deployment: "näch tly".to_owned() });
        for wrong in ["", "etl", "/", "a/", "/b", "a/b/c", "a/b\n", &format!("a/{}", "b".repeat(256))] {
            assert!(DeploymentRef::parse(wrong).is_none(), "{wrong:?}");
        }
    }

    #[test]
    fn a_moment_needs_an_offset_and_goes_out_in_utc() {
        let moment: Moment = serde_json::from_str("\"2026-11-21T12:00:00.123456+02:00\"").unwrap();
        assert_eq!(serde_json::to_string(&moment).unwrap(), "\"2026-11-21T10:00:00.123456Z\"");
        for wrong in ["\"2026-11-21\"", "\"2026-11-21T12:00:00\"", "\"yesterday\"", "0"] {
            assert!(serde_json::from_str::<Moment>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn states_are_written_as_prefect_writes_them() {
        for state in StateType::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
        assert_eq!(StateType::ALL.iter().filter(|s| s.is_terminal()).count(), 4);
    }
}
