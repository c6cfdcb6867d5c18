//! The data folder → the key ring in it, made at the first start and readable by its owner alone.

use anyhow::Context;
use aperium_platform::seal::{KeyRing, Sealer};
use secrecy::ExposeSecret as _;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

const FILE: &str = "encryption-keys.json";

/// The keys that seal sessions: of the last start where there was one, so that clients need not begin anew.
pub(crate) fn sealer(data: &Path) -> anyhow::Result<Sealer> {
    let path = data.join(FILE);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data)
        .with_context(|| format!("{}: the data folder cannot be made; choose another with --data", data.display()))?;
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
        Ok(mut file) => {
            let ring = KeyRing::generate().context("the encryption keys cannot be made")?;
            file.write_all(ring.to_text().expose_secret().as_bytes()).with_context(|| path.display().to_string())?;
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error).with_context(|| path.display().to_string()),
    }
    let text = std::fs::read(&path).with_context(|| path.display().to_string())?;
    KeyRing::parse(&text).with_context(|| path.display().to_string())?;
    Ok(Sealer::file(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aperium_platform::seal::Purpose;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn the_keys_are_made_once_and_are_readable_by_their_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("a/b");
        let purpose = Purpose::new("test");
        let sealed = sealer(&data).unwrap().seal(purpose, b"", b"x").unwrap();
        assert_eq!(*sealer(&data).unwrap().open(purpose, b"", &sealed).unwrap(), b"x", "the second start has the same");
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&data.join(FILE)), mode(&data)), (0o600, 0o700));
        std::fs::write(data.join(FILE), "{}").unwrap();
        assert!(format!("{:#}", sealer(&data).unwrap_err()).contains("encryption-keys.json"));
    }
}
