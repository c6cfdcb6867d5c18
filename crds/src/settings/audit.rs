//! What stays on record: the part `audit` of the settings.

use serde::{Deserialize, Serialize};

/// A hundred years.
pub(super) const MAX_RETENTION_DAYS: u32 = 36_500;

/// The audit log. It is in the platform database; without one there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Audit {
    /// Whether decisions and calls are put on record. Read when the gateway starts. Default true.
    pub enabled: bool,
    /// What is kept of the arguments of calls. Default `Digest`.
    pub arguments: Arguments,
    /// Days that records are kept; 0: for good. Default 365.
    pub retention_days: u32,
}

impl Default for Audit {
    fn default() -> Self {
        Self { enabled: true, arguments: Arguments::Digest, retention_days: 365 }
    }
}

/// What is kept of the arguments of calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Arguments {
    /// A salted digest: whoever knows what was sent can show that it was; nobody can read it back.
    #[default]
    Digest,
    /// Nothing.
    Omit,
    /// The arguments themselves, cut at 4 KiB, for auditors to read.
    Full,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;
    use crate::settings::SettingsError;

    #[test]
    fn arguments_are_kept_as_digests_unless_somebody_says_otherwise() {
        assert_eq!(Settings::parse("").unwrap().audit, Audit::default());
        assert_eq!(Settings::parse("audit: {arguments: Full}\n").unwrap().audit.arguments, Arguments::Full);
        assert!(Settings::parse("audit: {arguments: Plain}\n").is_err());
    }

    #[test]
    fn retention_has_a_limit() {
        assert_eq!(Settings::parse("audit: {retentionDays: 0}\n").unwrap().audit.retention_days, 0);
        assert!(matches!(Settings::parse("audit: {retentionDays: 36501}\n"), Err(SettingsError::Retention)));
    }
}
