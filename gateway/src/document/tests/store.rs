//! The document in its file: loaded, shown without secrets, saved with what it had.

use crate::document::{DocumentError, DocumentStore, Finding, Macros, Severity};
use secrecy::ExposeSecret as _;
use std::path::PathBuf;

const TEXT: &str = r#"{
  // who may do what
  "grants": [{"src": ["ann@example.com"], "app": {"tailscale.com/cap/aperture": [{"role": "admin", "connectors": ["**"]}]}}],
  "flags": {"connectors": {"value": true}},
  "connectors": {"servers": {
    "github": {"protocol": "http", "url": "https://api.github.com", "auth": {"type": "bearer_token", "secret": "${APERIUM_CONFIG_TOKEN}"}},
  }},
}"#;

pub(super) struct Bed {
    _folder: tempfile::TempDir,
    pub(super) path: PathBuf,
    pub(super) store: DocumentStore,
}

pub(super) fn bed(text: &str) -> Bed {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.hujson");
    std::fs::write(&path, text).unwrap();
    let macros = Macros::from_variables([("APERIUM_CONFIG_TOKEN".to_owned(), "hunter2".to_owned())]);
    let store = DocumentStore::open(&path, macros, None).unwrap();
    Bed { _folder: folder, path, store }
}

impl Bed {
    fn save(&self, text: &str) -> Result<String, DocumentError> {
        let (_, hash) = self.store.shown();
        self.store.replace(text, &hash, |_| Ok(()))
    }

    fn refusal(&self, text: &str) -> Vec<String> {
        let before = self.store.shown();
        let Err(DocumentError::Refused(findings)) = self.save(text) else { panic!("{text} was saved") };
        assert_eq!(self.store.shown(), before, "nothing has changed");
        let bad = |finding: &Finding| finding.severity == Severity::Error;
        assert!(findings.iter().all(|finding| finding.severity != Severity::Warning), "{findings:?}");
        findings.into_iter().filter(bad).map(|finding| finding.message).collect()
    }

    fn token(&self) -> String {
        self.store.current().reading.folder.secrets["github-auth"].data["secret"].expose_secret().to_owned()
    }
}

#[test]
fn what_is_shown_can_be_saved_and_changes_nothing() {
    let bed = bed(TEXT);
    let (shown, hash) = bed.store.shown();
    assert!(shown.contains("\"***\"") && shown.contains("// who may do what") && !shown.contains("APERIUM_CONFIG"));
    assert_eq!(bed.token(), "hunter2");
    assert_eq!(bed.save(&shown).unwrap(), hash);
    assert_eq!(std::fs::read_to_string(&bed.path).unwrap(), TEXT);
    assert_eq!(bed.token(), "hunter2");
}

#[cfg(unix)]
#[test]
fn only_its_owner_may_read_what_was_saved_and_nothing_else_is_left_behind() {
    use std::os::unix::fs::PermissionsExt as _;
    let bed = bed(TEXT);
    bed.save(&bed.store.shown().0.replace("who may", "who else may")).unwrap();
    assert_eq!(std::fs::metadata(&bed.path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(std::fs::read_to_string(&bed.path).unwrap().contains("who else may"));
    assert_eq!(bed.path.parent().unwrap().read_dir().unwrap().count(), 1);
}

#[test]
fn a_change_to_something_older_is_refused() {
    let bed = bed(TEXT);
    let (shown, hash) = bed.store.shown();
    bed.save(&shown.replace("who", "WHO")).unwrap();
    assert!(matches!(bed.store.replace::<DocumentError>(&shown, &hash, |_| Ok(())), Err(DocumentError::Stale)));
    // So is one that somebody made in the file itself, which nobody has looked at since.
    let (shown, hash) = bed.store.shown();
    std::fs::write(&bed.path, TEXT.replace("api.github.com", "github.example")).unwrap();
    assert!(matches!(bed.store.replace::<DocumentError>(&shown, &hash, |_| Ok(())), Err(DocumentError::Stale)));
    assert!(bed.store.shown().0.contains("github.example"));
}

#[test]
fn a_warning_is_an_error_when_saved() {
    let bed = bed(TEXT);
    let shown = bed.store.shown().0;
    assert_eq!(bed.refusal(&shown.replace("\"flags\"", "\"basurl\": 1, \"flags\"")), ["unknown config key \"basurl\""]);
    assert_eq!(bed.refusal(""), ["config must not be empty"]);
    assert_eq!(bed.refusal(" { /* nothing */ } "), ["config must not be empty"]);
    assert_eq!(bed.refusal("{"), ["invalid JSON at line 1 column 2: a key in double quotes or '}' is expected"]);
    let demoted = shown.replace("\"role\": \"admin\", ", "");
    assert_eq!(
        bed.refusal(&demoted),
        ["no grant in grants or temp_grants assigns role:admin; nobody will be able to manage this instance"]
    );
}

#[test]
fn variables_cannot_be_named_through_the_api() {
    let bed = bed(TEXT);
    let shown = bed.store.shown().0;
    let asking = shown
        .replace("\"protocol\": \"http\",", "\"protocol\": \"http\", \"description\": \"${APERIUM_CONFIG_TOKEN}\",");
    assert_eq!(bed.refusal(&asking), ["unsubstituted macros: [APERIUM_CONFIG_TOKEN]"]);
    // Where the file has it, it may stay, also when it is spelled out.
    assert!(bed.save(TEXT).is_ok());
}

#[test]
fn without_the_flag_no_connector_is_added_and_those_that_are_there_stay() {
    let bed = bed(&TEXT.replace("true", "false"));
    let shown = bed.store.shown().0;
    assert!(bed.save(&shown.replace("who", "WHO")).is_ok());
    let more = shown
        .replace("\"github\": {", "\"more\": {\"protocol\": \"mcp\", \"url\": \"https://a.example\"}, \"github\": {");
    assert_eq!(
        bed.refusal(&more),
        ["connector more cannot be added: connectors require the feature flag flags.connectors.value: true"]
    );
    assert!(bed.save(&more.replace("\"value\": false", "\"value\": true")).is_ok());
}

#[test]
fn the_last_word_can_refuse() {
    let bed = bed(TEXT);
    let (shown, hash) = bed.store.shown();
    let refused = bed.store.replace(&shown.replace("who", "WHO"), &hash, |_| Err(DocumentError::Stale));
    assert!(refused.is_err());
    assert_eq!(std::fs::read_to_string(&bed.path).unwrap(), TEXT);
}

#[test]
fn a_file_with_errors_is_refused_and_one_with_warnings_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.json");
    let open = |text: &str| {
        std::fs::write(&path, text).unwrap();
        DocumentStore::open(&path, Macros::default(), None)
    };
    let error = open(TEXT).err().unwrap().to_string();
    assert!(error.contains("unsubstituted macros: [APERIUM_CONFIG_TOKEN]"), "{error}");
    assert!(open(r#"{"basurl": 1}"#).is_ok());
    assert!(DocumentStore::open(&folder.path().join("none"), Macros::default(), None).is_err());
}
