//! The limits of calls: `spec.calls` and `spec.tools.hide` of the Connector come in, checked rules go out.

use std::time::Duration;

use serde::Deserialize;

/// Whether tools that change something exist at all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub enum Writes {
    /// Only reads are listed and callable.
    #[default]
    Disabled,
    /// Writes too.
    Enabled,
}

/// `{"timeoutSeconds":30,"maxConcurrent":64,"writes":"Disabled"}`; every field may be left out.
/// `retryableReadTools` is read over: the gateway is the only one that ever tries again.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CallRules {
    timeout_seconds: u32,
    max_concurrent: u32,
    writes: Writes,
}

/// What is wrong with the rules.
#[derive(Debug, thiserror::Error)]
pub enum CallRulesError {
    /// Not the JSON that is expected.
    #[error("APERIUM_CALLS cannot be read")]
    Parse(#[source] serde_json::Error),
    /// A limit that makes no sense.
    #[error("APERIUM_CALLS: timeoutSeconds must lie within 1 and 3600, it is {0}")]
    Timeout(u32),
    /// A limit that makes no sense.
    #[error("APERIUM_CALLS: maxConcurrent must lie within 1 and 10000, it is {0}")]
    MaxConcurrent(u32),
}

impl Default for CallRules {
    fn default() -> Self {
        Self { timeout_seconds: 30, max_concurrent: 64, writes: Writes::Disabled }
    }
}

impl CallRules {
    /// Reads the rules.
    ///
    /// # Errors
    /// When the JSON is wrong or a limit lies outside what makes sense.
    pub fn parse(json: &str) -> Result<Self, CallRulesError> {
        // A derived struct would also read an array, field by field.
        let block: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(json).map_err(CallRulesError::Parse)?;
        let rules: Self = serde_json::from_value(block.into()).map_err(CallRulesError::Parse)?;
        if !(1..=3600).contains(&rules.timeout_seconds) {
            return Err(CallRulesError::Timeout(rules.timeout_seconds));
        }
        if !(1..=10_000).contains(&rules.max_concurrent) {
            return Err(CallRulesError::MaxConcurrent(rules.max_concurrent));
        }
        Ok(rules)
    }

    /// The same rules with writes switched on or off.
    #[must_use]
    pub fn with_writes(mut self, writes: Writes) -> Self {
        self.writes = writes;
        self
    }

    /// The longest a call may take, waiting for a free place included.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        Duration::from_secs(u64::from(self.timeout_seconds))
    }

    /// How many calls may run at the same time.
    #[must_use]
    pub fn max_concurrent(&self) -> usize {
        self.max_concurrent as usize
    }

    /// Whether tools that change something exist.
    #[must_use]
    pub fn writes(&self) -> Writes {
        self.writes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_are_off_unless_asked_for() {
        assert_eq!(CallRules::parse("{}").unwrap(), CallRules::default());
        assert_eq!(CallRules::default().writes(), Writes::Disabled);
        assert_eq!(CallRules::parse(r#"{"writes":"Enabled"}"#).unwrap().writes(), Writes::Enabled);
    }

    #[test]
    fn limits_outside_what_makes_sense_are_refused() {
        for wrong in [
            r#"{"timeoutSeconds":0}"#,
            r#"{"timeoutSeconds":3601}"#,
            r#"{"maxConcurrent":0}"#,
            r#"{"maxConcurrent":10001}"#,
            r#"{"writes":"enabled"}"#,
            "[",
        ] {
            assert!(CallRules::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_whole_block_of_a_connector_is_understood() {
        let rules =
            CallRules::parse(r#"{"timeoutSeconds":5,"retryableReadTools":["a"],"maxConcurrent":2,"writes":"Enabled"}"#)
                .unwrap();
        assert_eq!(rules.timeout(), Duration::from_secs(5));
        assert_eq!(rules.max_concurrent(), 2);
    }
}
