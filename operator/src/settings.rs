//! The settings file → [`Names`], again whenever its text changes. A file that cannot be used changes nothing.

use crate::context::Context;
use crate::names::Names;
use aperium_crds::Settings;
use aperium_crds::settings::SettingsError;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often the file is looked at. A mounted ConfigMap is a link that is swapped, which no watch of the file sees.
const PERIOD: Duration = Duration::from_secs(5);

/// The settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Its text is not that of settings.
    #[error("{path}: {source}")]
    Parse {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: SettingsError,
    },
}

/// What the settings are completed with.
#[derive(Debug, Clone)]
pub struct Fixed {
    /// Where the gateway and the operator run.
    pub system_namespace: String,
    /// The DNS domain of the cluster.
    pub cluster_domain: String,
    /// Addresses of the API server: no connector may reach them.
    pub api_server: Vec<IpAddr>,
    /// Whether the cluster told its ranges.
    pub discovered: Arc<AtomicBool>,
}

impl Fixed {
    /// Notes whether the cluster told its ranges.
    pub fn ranges_known(&self, known: bool) {
        self.discovered.store(known, Ordering::Release);
    }

    /// The pure half of the context.
    #[must_use]
    pub fn names(&self, settings: Settings) -> Names {
        let mut egress = settings.egress.clone();
        for address in &self.api_server {
            if !egress.blocked_addresses.contains(address) {
                egress.blocked_addresses.push(*address);
            }
        }
        Names {
            system_namespace: self.system_namespace.clone(),
            cluster_domain: self.cluster_domain.clone(),
            ranges_known: egress.cluster_ranges.is_some() || self.discovered.load(Ordering::Acquire),
            settings,
            egress,
        }
    }
}

/// Reads the file; without one the defaults hold.
///
/// # Errors
/// [`ReadError`].
pub async fn read(path: Option<&Path>) -> Result<Settings, ReadError> {
    let Some(path) = path else { return Ok(Settings::default()) };
    let text =
        tokio::fs::read_to_string(path).await.map_err(|source| ReadError::Read { path: path.to_owned(), source })?;
    Settings::parse(&text).map_err(|source| ReadError::Parse { path: path.to_owned(), source })
}

/// Follows the file until the token is cancelled. A change reconciles every Connector.
pub async fn follow(context: Arc<Context>, path: PathBuf, fixed: Fixed, stop: CancellationToken) {
    let mut complaint = String::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PERIOD) => {}
        }
        match read(Some(&path)).await {
            Ok(settings) => {
                complaint.clear();
                context.metrics.settings(true);
                let names = fixed.names(settings);
                if **context.names.load() != names {
                    tracing::info!("the settings have changed");
                    context.names.store(Arc::new(names));
                    for key in context.stores.connectors.keys() {
                        context.queue.add(key);
                    }
                    context.grants.notify_one();
                }
            }
            Err(error) => {
                context.metrics.settings(false);
                // Once, not every five seconds.
                if complaint != error.to_string() {
                    complaint = error.to_string();
                    tracing::error!(%error, "the changed settings cannot be used; those of before hold");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_that_cannot_be_used_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("settings.yaml");
        assert!(matches!(read(Some(&path)).await, Err(ReadError::Read { .. })));
        std::fs::write(&path, "services:\n  imagee: x\n").unwrap();
        assert!(read(Some(&path)).await.unwrap_err().to_string().contains("imagee"));
        std::fs::write(&path, "services:\n  image: x\n").unwrap();
        assert_eq!(read(Some(&path)).await.unwrap().services.image, "x");
    }

    #[test]
    fn the_api_server_is_closed_to_connectors() {
        let fixed = Fixed {
            system_namespace: "s".to_owned(),
            cluster_domain: "d".to_owned(),
            api_server: vec!["10.96.0.1".parse().unwrap()],
            discovered: Arc::default(),
        };
        assert_eq!(fixed.names(Settings::default()).egress.blocked_addresses, fixed.api_server);
    }
}
