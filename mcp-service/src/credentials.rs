//! Where the credentials come from: a mounted Secret or a value in memory comes in, [`Fields`] go out.
//!
//! A mounted Secret is one file per field. Kubernetes swaps the whole directory at once through a symbolic link, so
//! the files are read again every two seconds; that is cheap, and an editor on a laptop is seen as well.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;
use tokio::sync::watch;

use crate::broker::Platform;
use crate::connector::{CredentialField, Fields};

/// The largest field, in bytes: certificates and service account keys are a few KiB.
const MAX_FIELD: u64 = 64 * 1024;

/// How often mounted files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Where the credentials of this service come from.
#[derive(Debug, Clone)]
pub enum CredentialsSource {
    /// A directory with one file per field; it may appear, change or vanish at any time.
    Dir(PathBuf),
    /// A value in memory, changed by whoever holds the sender (`aperium up`).
    Memory(watch::Receiver<Fields>),
    /// The platform: a lease for each call, redeemed at the broker.
    Platform(Platform),
}

/// Why credentials could not be read. Holds names only, never a value.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CredentialsError {
    #[error("the credential file {field:?} cannot be read ({})", source.kind())]
    Read {
        field: &'static str,
        #[source]
        source: std::io::Error,
    },
    #[error("the credential file {field:?} is larger than {MAX_FIELD} bytes")]
    TooLarge { field: &'static str },
    #[error("the credential file {field:?} is not UTF-8 text")]
    NotText { field: &'static str },
}

impl CredentialsSource {
    /// Credentials that never change.
    #[must_use]
    pub fn fixed(fields: Fields) -> Self {
        Self::Memory(watch::channel(fields).1)
    }

    /// What is there now.
    pub(crate) fn load(&self, wanted: &'static [CredentialField]) -> Result<Fields, CredentialsError> {
        match self {
            Self::Memory(current) => Ok(current.borrow().clone()),
            // Nothing is there before a call brings a lease.
            Self::Platform(_) => Ok(Fields::default()),
            Self::Dir(dir) => {
                let mut fields = Vec::with_capacity(wanted.len());
                for field in wanted {
                    if let Some(value) = read_field(dir, field.name)? {
                        fields.push((field.name.to_owned(), value));
                    }
                }
                Ok(fields.into_iter().collect())
            }
        }
    }

    /// Waits until it is worth looking again.
    pub(crate) async fn maybe_changed(&mut self) {
        match self {
            Self::Dir(_) => tokio::time::sleep(LOOK_EVERY).await,
            Self::Platform(_) => std::future::pending().await,
            Self::Memory(current) => {
                if current.changed().await.is_err() {
                    // Nobody holds the sender any more: these values are final.
                    std::future::pending::<()>().await;
                }
            }
        }
    }
}

/// One file; `None` when it is not there. One line break at the end belongs to the editor, not to the value.
fn read_field(dir: &Path, field: &'static str) -> Result<Option<SecretString>, CredentialsError> {
    let file = match std::fs::File::open(dir.join(field)) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(CredentialsError::Read { field, source }),
    };
    // Room for all of it from the start: a growing buffer would leave copies of the secret behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_FIELD as usize + 1));
    file.take(MAX_FIELD + 1).read_to_end(&mut bytes).map_err(|source| CredentialsError::Read { field, source })?;
    if bytes.len() as u64 > MAX_FIELD {
        return Err(CredentialsError::TooLarge { field });
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| CredentialsError::NotText { field })?;
    let text = text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text));
    Ok(Some(SecretString::from(text)))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    const WANTED: &[CredentialField] =
        &[CredentialField::text("host", "Host", ""), CredentialField::secret("password", "Password", "")];

    #[test]
    fn only_wanted_files_are_read_and_one_line_break_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("host"), "db.example.com\n").unwrap();
        std::fs::write(dir.path().join("password"), "two\n\n").unwrap();
        std::fs::write(dir.path().join("other"), "x").unwrap();
        let fields = CredentialsSource::Dir(dir.path().to_owned()).load(WANTED).unwrap();
        assert_eq!(fields.get("host").unwrap().expose_secret(), "db.example.com");
        assert_eq!(fields.get("password").unwrap().expose_secret(), "two\n");
        assert!(fields.get("other").is_none());
        assert!(!format!("{fields:?}").contains("two"));
    }

    #[test]
    fn a_missing_directory_is_no_credentials_and_an_oversized_file_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let fields = CredentialsSource::Dir(dir.path().join("none")).load(WANTED).unwrap();
        assert!(fields.get("host").is_none());
        std::fs::write(dir.path().join("host"), vec![b'a'; 70_000]).unwrap();
        let error = CredentialsSource::Dir(dir.path().to_owned()).load(WANTED).unwrap_err();
        assert!(matches!(error, CredentialsError::TooLarge { field: "host" }));
    }

    #[test]
    fn an_empty_file_counts_as_missing() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("host"), "\n").unwrap();
        let fields = CredentialsSource::Dir(dir.path().to_owned()).load(WANTED).unwrap();
        assert!(fields.get("host").is_none());
    }
}
