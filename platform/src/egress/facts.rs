//! The file with the facts of the cluster → the rules of a policy, completed, again whenever the file changes.
//!
//! The file is a mounted ConfigMap: it may be missing at first, and is swapped as a whole. Nodes come and go, so a
//! change must not cost a restart.

use super::{ClusterFacts, EgressPolicy, EgressRules};
use std::path::PathBuf;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often the file is looked at.
const PERIOD: Duration = Duration::from_secs(5);
/// The most bytes: ranges of some ten thousand nodes.
const MAX_BYTES: u64 = 1024 * 1024;

/// The file, and what was last read from it.
pub struct FactsFile {
    path: PathBuf,
    rules: EgressRules,
    text: String,
}

impl FactsFile {
    /// A file that completes these rules.
    #[must_use]
    pub fn new(path: PathBuf, rules: EgressRules) -> Self {
        Self { path, rules, text: String::new() }
    }

    /// Keeps the policy as the file says until `stop`.
    pub async fn follow(mut self, policy: EgressPolicy, stop: CancellationToken) {
        loop {
            self.look(&policy);
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(PERIOD) => {}
            }
        }
    }

    /// Reads the file once. What cannot be read or used changes nothing.
    pub fn look(&mut self, policy: &EgressPolicy) {
        let Some(text) = self.read() else { return };
        if text == self.text {
            return;
        }
        let updated = serde_json::from_str::<ClusterFacts>(&text)
            .map_err(|error| error.to_string())
            .and_then(|facts| policy.update(facts.complete(&self.rules)).map_err(|error| error.to_string()));
        match updated {
            Ok(()) => tracing::info!("the ranges of the cluster are known"),
            Err(error) => tracing::warn!(error, "the facts of the cluster cannot be used; those of before hold"),
        }
        self.text = text;
    }

    fn read(&self) -> Option<String> {
        use std::io::Read as _;
        let mut text = String::new();
        std::fs::File::open(&self.path).ok()?.take(MAX_BYTES).read_to_string(&mut text).ok()?;
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::egress::{HostPort, Reach};

    #[test]
    fn private_ranges_open_once_the_cluster_is_known_and_its_own_stay_closed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("facts.json");
        let policy = EgressPolicy::new(EgressRules::default()).unwrap();
        let mut file = FactsFile::new(path.clone(), EgressRules::default());
        let database: HostPort = "10.1.2.3:5432".parse().unwrap();
        file.look(&policy);
        assert!(policy.check(Reach::Admin, &database).is_err(), "unknown ranges are closed");

        std::fs::write(&path, r#"{"clusterRanges": ["10.96.0.0/16"], "blockedAddresses": ["10.1.2.4"]}"#).unwrap();
        file.look(&policy);
        assert!(policy.check(Reach::Admin, &database).is_ok());
        for closed in ["10.96.0.1:443", "10.1.2.4:443"] {
            assert!(policy.check(Reach::Admin, &closed.parse().unwrap()).is_err(), "{closed}");
        }

        std::fs::write(&path, "{").unwrap();
        file.look(&policy);
        assert!(policy.check(Reach::Admin, &database).is_ok(), "a broken file changes nothing");
    }
}
