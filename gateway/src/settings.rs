//! The settings file and the token files, read again when they change. A bad new file changes nothing.

use crate::config::SettingsSource;
use crate::discovery::{Event, Events};
use crate::metrics::Metrics;
use crate::pipeline::authn::static_tokens::TokenFiles;
use aperium_core::egress::ClusterFacts;
use aperium_crds::Settings;
use aperium_crds::settings::SettingsError;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Why a settings file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsFileError {
    /// It cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// It is malformed.
    #[error("{}: {source}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: SettingsError,
    },
}

/// How often the files are looked at. A Kubernetes volume takes up to a minute to change at all.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The settings at the start.
///
/// # Errors
/// [`SettingsFileError`].
pub(crate) fn first(
    source: &SettingsSource,
    tokens: Option<&Path>,
) -> Result<(Settings, TokenFiles), SettingsFileError> {
    let settings = match source {
        SettingsSource::Fixed(settings) => (**settings).clone(),
        SettingsSource::File { settings, facts } => Texts::read(settings, facts.as_deref())?.parse(settings)?,
    };
    let tokens = TokenFiles::read(tokens, &settings.authentication.static_tokens);
    Ok((settings, tokens))
}

/// Both files as they are.
#[derive(Debug, PartialEq, Eq)]
struct Texts {
    settings: String,
    facts: Option<String>,
}

impl Texts {
    fn read(settings: &Path, facts: Option<&Path>) -> Result<Self, SettingsFileError> {
        let text = std::fs::read_to_string(settings)
            .map_err(|source| SettingsFileError::Read { path: settings.to_owned(), source })?;
        Ok(Self { settings: text, facts: facts.and_then(|path| std::fs::read_to_string(path).ok()) })
    }

    /// The settings, their egress rules completed with the facts. Facts that cannot be read mean unknown ones.
    fn parse(&self, path: &Path) -> Result<Settings, SettingsFileError> {
        let mut settings = Settings::parse(&self.settings)
            .map_err(|source| SettingsFileError::Malformed { path: path.to_owned(), source })?;
        if let Some(text) = &self.facts {
            match serde_json::from_str::<ClusterFacts>(text) {
                Ok(facts) => settings.egress = facts.complete(&settings.egress),
                Err(error) => tracing::warn!(%error, "the facts of the cluster cannot be used"),
            }
        }
        Ok(settings)
    }
}

/// Looks at the files again and again.
#[derive(Debug)]
pub(crate) struct Watcher {
    source: SettingsSource,
    tokens_dir: Option<PathBuf>,
    settings: Arc<Settings>,
    tokens: TokenFiles,
    last_texts: Option<Texts>,
    last_problem: Option<String>,
}

impl Watcher {
    /// Starts from what was read first.
    pub(crate) fn new(
        source: SettingsSource,
        tokens_dir: Option<PathBuf>,
        settings: Settings,
        tokens: TokenFiles,
    ) -> Self {
        Self { source, tokens_dir, settings: Arc::new(settings), tokens, last_texts: None, last_problem: None }
    }

    /// Tells what has changed until the token is cancelled.
    pub(crate) async fn run(mut self, events: Events, metrics: Arc<Metrics>, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let (changed, problem) = self.look();
            if let Some(problem) = problem {
                self.report(&problem, &metrics);
            }
            if changed {
                if events.send(Event::Settings(Arc::clone(&self.settings), self.tokens.clone())).await.is_err() {
                    return;
                }
                tracing::info!("settings taken over");
            }
        }
    }

    /// A problem that lasts is reported once.
    fn report(&mut self, error: &SettingsFileError, metrics: &Metrics) {
        let problem = error.to_string();
        if self.last_problem.as_ref() != Some(&problem) {
            metrics.reload_failed();
            tracing::error!(problem, "new settings are not taken over: the old ones stay");
            self.last_problem = Some(problem);
        }
    }

    /// Whether something has changed, and what is wrong with the settings. The same bad text is told once. A token that
    /// is taken back counts whatever the settings look like.
    fn look(&mut self) -> (bool, Option<SettingsFileError>) {
        let before = (Arc::clone(&self.settings), self.tokens.clone());
        let problem = self.look_at_settings().err();
        self.tokens = TokenFiles::read(self.tokens_dir.as_deref(), &self.settings.authentication.static_tokens);
        (before != (Arc::clone(&self.settings), self.tokens.clone()), problem)
    }

    fn look_at_settings(&mut self) -> Result<(), SettingsFileError> {
        let SettingsSource::File { settings, facts } = &self.source else { return Ok(()) };
        let texts = Texts::read(settings, facts.as_deref())?;
        self.last_problem = None;
        if self.last_texts.as_ref() == Some(&texts) {
            return Ok(());
        }
        let parsed = texts.parse(settings);
        self.last_texts = Some(texts);
        let parsed = parsed?;
        if parsed != *self.settings {
            self.settings = Arc::new(parsed);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watcher(folder: &Path, text: &str) -> Watcher {
        let path = folder.join("settings.yaml");
        std::fs::write(&path, text).unwrap();
        let source = SettingsSource::File { settings: path, facts: Some(folder.join("facts.json")) };
        let (settings, tokens) = first(&source, Some(folder)).unwrap();
        Watcher::new(source, Some(folder.to_owned()), settings, tokens)
    }

    fn changed(watcher: &mut Watcher) -> bool {
        let (changed, problem) = watcher.look();
        assert!(problem.is_none(), "{problem:?}");
        changed
    }

    #[test]
    fn a_bad_new_file_keeps_the_old_settings_and_is_reported_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut watcher = watcher(folder.path(), "limits: {maxTools: 7}\n");
        assert!(!changed(&mut watcher), "nothing has changed");
        std::fs::write(folder.path().join("settings.yaml"), "limits: {maxTool: 9}\n").unwrap();
        assert!(watcher.look().1.unwrap().to_string().contains("maxTool"));
        assert!(!changed(&mut watcher));
        assert_eq!(watcher.settings.limits.max_tools, 7);
        std::fs::write(folder.path().join("settings.yaml"), "limits: {maxTools: 9}\n").unwrap();
        assert!(changed(&mut watcher));
        assert_eq!(watcher.settings.limits.max_tools, 9);
    }

    #[test]
    fn the_facts_of_the_cluster_complete_the_egress_rules_when_they_come() {
        let folder = tempfile::tempdir().unwrap();
        let mut watcher = watcher(folder.path(), "limits: {maxTools: 7}\n");
        assert!(watcher.settings.egress.cluster_ranges.is_none());
        std::fs::write(folder.path().join("facts.json"), r#"{"clusterRanges": ["10.96.0.0/16"]}"#).unwrap();
        assert!(changed(&mut watcher));
        assert_eq!(watcher.settings.egress.cluster_ranges, Some(vec!["10.96.0.0/16".parse().unwrap()]));
    }

    #[test]
    fn a_rotated_token_file_is_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let mut watcher = watcher(folder.path(), "authentication: {staticTokens: [{name: ci}]}\n");
        std::fs::write(folder.path().join("ci"), format!("sha256:{}\n", "a".repeat(64))).unwrap();
        assert!(changed(&mut watcher));
        assert!(!changed(&mut watcher));
        std::fs::remove_file(folder.path().join("settings.yaml")).unwrap();
        std::fs::remove_file(folder.path().join("ci")).unwrap();
        let (changed, problem) = watcher.look();
        assert!(changed && problem.is_some(), "a token is taken back while the settings cannot be read");
    }
}
