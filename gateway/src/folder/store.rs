//! A folder as a source: its files are read again when they change, and the API keeps a file of its own for each
//! resource that it makes. Files that people wrote are never touched.

use super::{Folder, FolderError, load};
use crate::config::Given;
use crate::writer::{Change, Object, WriteError, check_name};
use aperium_crds::yaml;
use serde_json::json;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The first line of a file that the API keeps.
const MARK: &str = "# Kept by the API of Aperium: what is written here by hand is replaced by its next change.\n";
/// How often the folder is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What is done to a folder's resources each time they are read, before they are served.
pub type Prepare = Box<dyn Fn(&mut Folder) -> Result<(), String> + Send + Sync>;

/// A folder that is served.
pub struct FolderStore {
    path: PathBuf,
    prepare: Prepare,
    given: watch::Sender<Given>,
    /// Held while a file is exchanged.
    writing: Mutex<()>,
}

impl std::fmt::Debug for FolderStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FolderStore").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Which files there are, how large, and since when: when it differs, the folder is read again.
type Listing = Vec<(PathBuf, u64, Option<SystemTime>)>;

impl FolderStore {
    /// A folder that was read already: `first` is what it says now.
    #[must_use]
    pub fn new(path: &Path, first: Given, prepare: Prepare) -> Self {
        Self { path: path.to_owned(), prepare, given: watch::channel(first).0, writing: Mutex::default() }
    }

    /// What the folder says, and every change.
    pub(crate) fn given(&self) -> watch::Receiver<Given> {
        self.given.subscribe()
    }

    /// Looks at the folder again and again until the token is cancelled.
    pub(crate) async fn look_again(self: Arc<Self>, shutdown: CancellationToken) {
        let mut seen = self.listing();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => self.look(&mut seen),
            }
        }
    }

    /// Takes the folder over if it has changed and is good.
    fn look(&self, seen: &mut Listing) {
        let now = self.listing();
        if now == *seen {
            return;
        }
        *seen = now;
        let _one = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        match self.take_over() {
            Ok(()) => tracing::info!("folder taken over"),
            Err(problem) => tracing::error!(problem, "the folder is not taken over: what it said before stays"),
        }
    }

    fn listing(&self) -> Listing {
        let files = super::files(&self.path).unwrap_or_default();
        let look = |file: PathBuf| {
            let metadata = fs::metadata(&file).ok();
            let (size, changed) = metadata.map_or((0, None), |found| (found.len(), found.modified().ok()));
            (file, size, changed)
        };
        files.into_iter().map(look).collect()
    }

    fn take_over(&self) -> Result<(), String> {
        let mut folder = load(&self.path).map_err(|error| error.to_string())?;
        (self.prepare)(&mut folder)?;
        self.given.send_modify(|given| {
            given.resources = folder.resources;
            given.secrets = folder.secrets;
        });
        Ok(())
    }

    /// Makes a change; the version of what was written, empty where it was deleted.
    ///
    /// # Errors
    /// [`WriteError`].
    pub(crate) fn write(&self, change: &Change) -> Result<String, WriteError> {
        check_name(&change.key.name)?;
        let _one = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let unreadable = |error: FolderError| WriteError::Unavailable(error.to_string());
        let place = load(&self.path).map_err(unreadable)?.place(change.kind.as_str(), &change.key.name).cloned();
        match (&place, &change.version, &change.object) {
            (None, Some(_), _) => return Err(WriteError::Stale),
            (None, None, None) => return Err(WriteError::Missing),
            (Some(_), None, _) => return Err(WriteError::Exists),
            (Some(place), Some(version), _) if place.version != *version => return Err(WriteError::Stale),
            _ => {}
        }
        let file = match &place {
            Some(place) => self.path.join(&place.file),
            None => self.path.join(format!("{}-{}.yaml", change.kind.as_str().to_lowercase(), change.key.name)),
        };
        let before = self.ours(&file)?;
        let after = change.object.as_ref().map(|object| text(object, &change.key.name)).transpose()?;
        let failed = |error: io::Error| WriteError::Unavailable(format!("{}: {error}", file.display()));
        exchange(&file, after.as_deref()).map_err(failed)?;
        if let Err(problem) = self.take_over() {
            exchange(&file, before.as_deref()).map_err(failed)?;
            return Err(WriteError::Invalid(problem));
        }
        let written = load(&self.path).map_err(unreadable)?;
        Ok(written.place(change.kind.as_str(), &change.key.name).map(|place| place.version.clone()).unwrap_or_default())
    }

    /// The text of a file that the API keeps; nothing where there is no file.
    fn ours(&self, file: &Path) -> Result<Option<String>, WriteError> {
        match fs::read_to_string(file) {
            Ok(text) if text.starts_with(MARK) => Ok(Some(text)),
            Ok(_) => {
                let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                Err(WriteError::ReadOnly(format!("the file {name} of the folder")))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(WriteError::Unavailable(format!("{}: {error}", file.display()))),
        }
    }
}

fn text(object: &Object, name: &str) -> Result<String, WriteError> {
    let (kind, spec) = match object {
        Object::Connector(connector) => ("Connector", json!(connector.spec)),
        Object::Grant(grant) => ("Grant", json!(grant.spec)),
    };
    let manifest =
        json!({ "apiVersion": "aperium.dev/v1alpha1", "kind": kind, "metadata": { "name": name }, "spec": spec });
    let yaml = yaml::to_document(&manifest).map_err(|error| WriteError::Invalid(error.to_string()))?;
    Ok(format!("{MARK}{yaml}"))
}

/// Puts a text in a file's place at once, or takes the file away.
fn exchange(file: &Path, text: Option<&str>) -> io::Result<()> {
    let Some(text) = text else { return fs::remove_file(file) };
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    // The dot keeps a half-written file from being read.
    let beside = file.with_file_name(format!(".{name}.new"));
    let mut written = File::create(&beside)?;
    written.write_all(text.as_bytes())?;
    written.sync_all()?;
    fs::rename(&beside, file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::ResourceKey;
    use crate::writer::Kind;
    use aperium_crds::structural;
    use serde_json::Value;
    use std::collections::HashMap;

    const HAND_WRITTEN: &str =
        "# by hand\napiVersion: aperium.dev/v1alpha1\nkind: Grant\nmetadata: {name: ours}\nspec: {subjects: ['*']}\n";

    fn store(folder: &Path) -> FolderStore {
        let loaded = load(folder).unwrap();
        let given = Given { resources: loaded.resources, secrets: loaded.secrets, services: HashMap::new() };
        FolderStore::new(folder, given, Box::new(|_| Ok(())))
    }

    fn grant(name: &str, version: Option<&str>, spec: Option<&Value>) -> Change {
        let object = spec.map(|spec| {
            let manifest = json!({ "apiVersion": "aperium.dev/v1alpha1", "kind": "Grant", "metadata": { "name": name }, "spec": spec });
            Object::Grant(Box::new(structural::grant(&manifest).unwrap()))
        });
        let key = ResourceKey { namespace: "system".into(), name: name.into() };
        Change { kind: Kind::Grant, key, version: version.map(str::to_owned), object }
    }

    #[test]
    fn a_resource_gets_a_file_of_its_own_that_is_replaced_and_taken_away() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let spec = json!({ "subjects": ["group:a"], "connectors": ["odoo/tools/*"] });
        let first = store.write(&grant("a", None, Some(&spec))).unwrap();
        assert!(fs::read_to_string(folder.path().join("grant-a.yaml")).unwrap().starts_with(MARK));
        assert_eq!(store.given().borrow().resources.grants[0].spec.subjects, ["group:a"]);
        let other = json!({ "subjects": ["group:b"] });
        assert!(matches!(store.write(&grant("a", None, Some(&other))), Err(WriteError::Exists)));
        let second = store.write(&grant("a", Some(&first), Some(&other))).unwrap();
        assert_ne!(first, second);
        assert!(matches!(store.write(&grant("a", Some(&first), Some(&spec))), Err(WriteError::Stale)));
        store.write(&grant("a", Some(&second), None)).unwrap();
        assert!(store.given().borrow().resources.grants.is_empty());
        assert!(matches!(store.write(&grant("a", None, None)), Err(WriteError::Missing)));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
    }

    #[test]
    fn a_name_is_no_path() {
        let around = tempfile::tempdir().unwrap();
        let folder = around.path().join("folder");
        fs::create_dir_all(folder.join("grant-a")).unwrap();
        let spec = json!({ "subjects": ["*"] });
        for name in ["a/../../out", "../out", "a/b", "", ".."] {
            let refused = store(&folder).write(&grant(name, None, Some(&spec)));
            assert!(matches!(refused, Err(WriteError::Invalid(_))), "{name}: {refused:?}");
        }
        assert_eq!(fs::read_dir(around.path()).unwrap().count(), 1);
        assert_eq!(fs::read_dir(folder.join("grant-a")).unwrap().count(), 0);
    }

    #[test]
    fn a_file_that_people_wrote_is_read_only() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("grants.yaml"), HAND_WRITTEN).unwrap();
        let store = store(folder.path());
        let version = store.given().borrow().resources.grants[0].metadata.resource_version.clone().unwrap();
        let error = store.write(&grant("ours", Some(&version), None)).unwrap_err();
        assert_eq!(error.to_string(), "it is managed by the file grants.yaml of the folder: change it there");
        fs::write(folder.path().join("grant-b.yaml"), HAND_WRITTEN.replace("ours", "theirs")).unwrap();
        let spec = json!({ "subjects": ["*"] });
        assert!(matches!(store.write(&grant("b", None, Some(&spec))), Err(WriteError::ReadOnly(_))));
        assert_eq!(fs::read_to_string(folder.path().join("grants.yaml")).unwrap(), HAND_WRITTEN);
    }

    #[test]
    fn a_file_that_changes_is_read_again_and_a_bad_one_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(folder.path());
        let (mut given, mut seen) = (store.given(), store.listing());
        store.look(&mut seen);
        assert!(!given.has_changed().unwrap());
        fs::write(folder.path().join("grants.yaml"), HAND_WRITTEN).unwrap();
        store.look(&mut seen);
        assert_eq!(given.borrow_and_update().resources.grants.len(), 1);
        fs::write(folder.path().join("bad.yaml"), "kind: [").unwrap();
        store.look(&mut seen);
        assert!(!given.has_changed().unwrap());
    }
}
