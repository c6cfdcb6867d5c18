//! The file that holds the document: read at the start, again when it changes, written whole when the API saves it.
//!
//! The text is the stored thing, so comments and order survive. What cannot be taken changes nothing.

use super::change::changes;
use super::edit::splice;
use super::finding::{Finding, Findings, Severity};
use super::macros::{Macros, strings_with_macros};
use super::mask::{mask, restore};
use super::{Reading, hujson, read, read_file, read_tree, unreadable, unsubstituted};
use crate::config::Given;
use crate::writer::{Change, Kind, WriteError};
use aperium_core::egress::EgressRules;
use aperium_crds::Connector;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

mod file;

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Why a document cannot be loaded or saved.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// The file cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The document is not taken.
    #[error("{}", lines(.0))]
    Refused(Vec<Finding>),
    /// Somebody else has changed it since.
    #[error("the configuration has changed since it was read: read it again and repeat the change")]
    Stale,
}

impl DocumentError {
    /// The reason for metrics and logs.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::File { .. } => "File",
            Self::Refused(_) => "Refused",
            Self::Stale => "Stale",
        }
    }
}

fn lines(findings: &[Finding]) -> String {
    findings.iter().filter(|f| f.severity > Severity::Note).map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// A document that was taken.
pub struct Loaded {
    text: String,
    /// What it means.
    pub reading: Reading,
}

impl Loaded {
    /// Every resource gets a version, so that a change can name what it was made from.
    fn new(text: String, mut reading: Reading) -> Self {
        let resources = &mut reading.folder.resources;
        for connector in &mut resources.connectors {
            let version = version_of(&connector.spec);
            Arc::make_mut(connector).metadata.resource_version = version;
        }
        for grant in &mut resources.grants {
            let version = version_of(&grant.spec);
            Arc::make_mut(grant).metadata.resource_version = version;
        }
        Self { text, reading }
    }

    fn connector(&self, name: &str) -> Option<Arc<Connector>> {
        let mut connectors = self.reading.folder.resources.connectors.iter();
        connectors.find(|connector| connector.metadata.name.as_deref() == Some(name)).cloned()
    }

    /// The version of what a change is about.
    fn version(&self, change: &Change) -> Option<String> {
        let (resources, name) = (&self.reading.folder.resources, Some(change.key.name.as_str()));
        let metadata = match change.kind {
            Kind::Connector => resources.connectors.iter().map(|c| &c.metadata).find(|m| m.name.as_deref() == name),
            Kind::Grant => resources.grants.iter().map(|g| &g.metadata).find(|m| m.name.as_deref() == name),
        };
        metadata?.resource_version.clone()
    }

    fn given(&self) -> Given {
        let folder = &self.reading.folder;
        Given { resources: folder.resources.clone(), secrets: folder.secrets.clone(), services: HashMap::new() }
    }
}

fn version_of(spec: &impl serde::Serialize) -> Option<String> {
    let text = serde_json::to_vec(spec).ok()?;
    hex::encode(Sha256::digest(text)).get(..16).map(str::to_owned)
}

impl std::fmt::Debug for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loaded").field("reading", &self.reading).finish_non_exhaustive()
    }
}

/// A document in a file.
#[derive(Debug)]
pub struct DocumentStore {
    path: PathBuf,
    macros: Macros,
    egress: Option<EgressRules>,
    /// So that the hash of a text with secrets says nothing about them.
    salt: [u8; 16],
    /// Held while a text is exchanged.
    writing: Mutex<Refused>,
    current: watch::Sender<Arc<Loaded>>,
    given: watch::Sender<Given>,
}

/// The last problem of the file, so that it is told once.
#[derive(Debug, Default)]
struct Refused(Option<String>);

impl DocumentStore {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// [`DocumentError::File`], [`DocumentError::Refused`] with everything that is wrong.
    pub fn open(path: &Path, macros: Macros, egress: Option<EgressRules>) -> Result<Self, DocumentError> {
        // The file behind a link is the one that is written.
        let path = path.canonicalize().map_err(|source| DocumentError::File { path: path.to_owned(), source })?;
        let text = read_text(&path)?;
        let loaded = load(text, &macros, egress.as_ref())?;
        let salt = uuid::Uuid::new_v4().into_bytes();
        let (given, _) = watch::channel(loaded.given());
        let (current, _) = watch::channel(Arc::new(loaded));
        Ok(Self { path, macros, egress, salt, writing: Mutex::default(), current, given })
    }

    /// What is taken at the moment.
    #[must_use]
    pub fn current(&self) -> Arc<Loaded> {
        Arc::clone(&self.current.borrow())
    }

    /// What is taken at the moment, and every change.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Arc<Loaded>> {
        self.current.subscribe()
    }

    /// The same as a source of the Catalog.
    pub(crate) fn given(&self) -> watch::Receiver<Given> {
        self.given.subscribe()
    }

    fn take(&self, loaded: Loaded) {
        self.given.send_replace(loaded.given());
        self.current.send_replace(Arc::new(loaded));
    }

    /// The text without secrets, and the hash that a change must name.
    pub(crate) fn shown(&self) -> (String, String) {
        let loaded = self.current();
        // What was taken can be read; should it not be, nothing is shown rather than everything.
        let text = hujson::parse(&loaded.text).map(|tree| mask(&loaded.text, &tree)).unwrap_or_default();
        (text, self.hash(&loaded.text))
    }

    /// Everything that stands against saving a text.
    pub(crate) fn validate(&self, text: &str) -> Vec<Finding> {
        let loaded = self.current();
        self.prepare(text, &loaded).1.findings
    }

    /// Saves a text. `hash` is that of the text which was changed; `agree` has the last word.
    ///
    /// # Errors
    /// [`DocumentError`]; nothing has changed then.
    pub(crate) fn replace<E: From<DocumentError>>(
        &self,
        text: &str,
        hash: &str,
        agree: impl FnOnce(&Reading) -> Result<(), E>,
    ) -> Result<String, E> {
        let mut guard = self.lock();
        self.look(&mut guard);
        let loaded = self.current();
        if hash != self.hash(&loaded.text) {
            return Err(DocumentError::Stale.into());
        }
        self.save(text, &loaded, agree)
    }

    /// Makes, changes or deletes one Connector or Grant in the text; the version of what was written.
    ///
    /// # Errors
    /// [`WriteError`]; nothing has changed then.
    pub(crate) fn write(&self, change: &Change) -> Result<String, WriteError> {
        let mut guard = self.lock();
        self.look(&mut guard);
        let loaded = self.current();
        let known = loaded.version(change);
        match (&known, &change.version, &change.object) {
            (None, Some(_), _) => return Err(WriteError::Stale),
            (None, None, None) => return Err(WriteError::Missing),
            (Some(_), None, _) => return Err(WriteError::Exists),
            (Some(known), Some(version), _) if known != version => return Err(WriteError::Stale),
            _ => {}
        }
        let unreadable = |error: hujson::HujsonError| WriteError::Unavailable(error.to_string());
        let tree = hujson::parse(&loaded.text).map_err(unreadable)?;
        let sections = read::read(&tree, &mut Findings::of(&loaded.text));
        let old = match change.kind {
            Kind::Connector => loaded.connector(&change.key.name),
            Kind::Grant => None,
        };
        let places = changes(change, &loaded.text, &tree, &sections, old.as_deref())?;
        self.save(&splice(&loaded.text, places), &loaded, |_| Ok(())).map_err(|error: DocumentError| match error {
            DocumentError::File { .. } => WriteError::Unavailable(error.to_string()),
            DocumentError::Refused(_) | DocumentError::Stale => WriteError::Invalid(error.to_string()),
        })?;
        Ok(self.current().version(change).unwrap_or_default())
    }

    fn save<E: From<DocumentError>>(
        &self,
        text: &str,
        loaded: &Loaded,
        agree: impl FnOnce(&Reading) -> Result<(), E>,
    ) -> Result<String, E> {
        let (text, reading) = self.prepare(text, loaded);
        if reading.has(Severity::Warning) {
            return Err(DocumentError::Refused(reading.findings).into());
        }
        agree(&reading)?;
        let failed = |source| DocumentError::File { path: self.path.clone(), source };
        file::write(&self.path, &text).map_err(failed)?;
        let hash = self.hash(&text);
        self.take(Loaded::new(text, reading));
        Ok(hash)
    }

    fn prepare(&self, text: &str, loaded: &Loaded) -> (String, Reading) {
        let stored = Stored {
            text: &loaded.text,
            connector_ids: &loaded.reading.connector_ids,
            macros: &self.macros,
            egress: self.egress.as_ref(),
        };
        prepare(text, stored)
    }

    /// Looks at the file again and again until the token is cancelled.
    pub(crate) async fn look_again(self: Arc<Self>, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => self.look(&mut self.lock()),
            }
        }
    }

    /// Takes the file over if it has changed and is good.
    fn look(&self, refused: &mut Refused) {
        let taken = read_text(&self.path).and_then(|text| {
            let changed = text != self.current.borrow().text;
            changed.then(|| load(text, &self.macros, self.egress.as_ref())).transpose()
        });
        match taken {
            Ok(None) => refused.0 = None,
            Ok(Some(loaded)) => {
                refused.0 = None;
                self.take(loaded);
                tracing::info!("document taken over");
            }
            Err(error) => {
                let problem = error.to_string();
                if refused.0.as_ref() != Some(&problem) {
                    tracing::error!(problem, "the new document is not taken over: the old one stays");
                    refused.0 = Some(problem);
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Refused> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hash(&self, text: &str) -> String {
        hex::encode(Sha256::new().chain_update(self.salt).chain_update(text).finalize())
    }
}

/// What a text that comes through the API is held against.
#[derive(Clone, Copy)]
struct Stored<'a> {
    text: &'a str,
    connector_ids: &'a BTreeSet<String>,
    macros: &'a Macros,
    egress: Option<&'a EgressRules>,
}

/// Everything that stands against saving a text where no document is stored: `shown` is what stands in its place.
pub(crate) fn validate(text: &str, shown: &str, egress: &EgressRules) -> Vec<Finding> {
    let macros = Macros::default();
    let ids = read_file(shown, &macros, None).connector_ids;
    prepare(text, Stored { text: shown, connector_ids: &ids, macros: &macros, egress: Some(egress) }).1.findings
}

/// A text that came through the API → the text to store, and what it would mean. Every warning is an error.
fn prepare(text: &str, stored: Stored<'_>) -> (String, Reading) {
    let mut findings = Findings::of(text);
    if is_blank(text) {
        findings.whole(Severity::Error, "config must not be empty");
        return (String::new(), Reading { findings: findings.into_vec(), ..Reading::default() });
    }
    let tree = match hujson::parse(text) {
        Ok(tree) => tree,
        Err(error) => return (String::new(), unreadable(findings, &error)),
    };
    let old = hujson::parse(stored.text).ok();
    let restored = restore(text, &tree, stored.text, old.as_ref(), &mut findings);
    let mut tree = match hujson::parse(&restored) {
        Ok(tree) => tree,
        Err(error) => return (String::new(), unreadable(findings, &error)),
    };
    // A variable may stay where the file has it. What the API adds names none: it could read them out.
    let known = old.as_ref().map(strings_with_macros).unwrap_or_default();
    let added = strings_with_macros(&tree).into_iter().filter(|(place, _)| !known.contains_key(place));
    let mut names: BTreeSet<String> = added.flat_map(|(_, names)| names).collect();
    names.extend(stored.macros.substitute(&mut tree));
    if !names.is_empty() {
        findings.whole(Severity::Error, unsubstituted(&names));
    }
    let mut reading = read_tree(&tree, stored.egress, findings);
    if !reading.connectors_flag {
        for id in reading.connector_ids.difference(stored.connector_ids) {
            let message = format!(
                "connector {id} cannot be added: connectors require the feature flag flags.connectors.value: true"
            );
            let path = format!("connectors.servers.{id}");
            reading.findings.push(Finding { severity: Severity::Error, message, path, line: 0 });
        }
    }
    for finding in reading.findings.iter_mut().filter(|finding| finding.severity == Severity::Warning) {
        finding.severity = Severity::Error;
    }
    (restored, reading)
}

/// Nothing but blanks, comments, or an object without keys.
fn is_blank(text: &str) -> bool {
    match hujson::parse(text) {
        Ok(tree) => tree.members().is_some_and(<[_]>::is_empty),
        Err(_) => text.trim().is_empty(),
    }
}

fn load(text: String, macros: &Macros, egress: Option<&EgressRules>) -> Result<Loaded, DocumentError> {
    let reading = read_file(&text, macros, egress);
    if reading.has(Severity::Error) {
        return Err(DocumentError::Refused(reading.findings));
    }
    for finding in reading.findings.iter().filter(|finding| finding.severity == Severity::Warning) {
        tracing::warn!(finding = %finding, "document");
    }
    Ok(Loaded::new(text, reading))
}

fn read_text(path: &Path) -> Result<String, DocumentError> {
    std::fs::read_to_string(path).map_err(|source| DocumentError::File { path: path.to_owned(), source })
}
