//! The data folder → the key rings in it, made at the first start and readable by its owner alone.

use anyhow::Context;
use aperium_platform::lease::LeaseSigner;
use aperium_platform::seal::{KeyRing, Sealer};
use secrecy::ExposeSecret as _;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

pub(crate) const FILE: &str = "encryption-keys.json";
const LEASES: &str = "lease-signing-keys.json";

/// The keys that seal sessions: of the last start where there was one, so that clients need not begin anew.
pub(crate) fn sealer(data: &Path) -> anyhow::Result<Sealer> {
    ring(data, FILE).map(Sealer::file)
}

/// The keys that sign leases.
pub(crate) fn leases(data: &Path) -> anyhow::Result<LeaseSigner> {
    ring(data, LEASES).map(LeaseSigner::file)
}

/// A key ring, made where there is none.
fn ring(data: &Path, file: &str) -> anyhow::Result<PathBuf> {
    let path = data.join(file);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data)
        .with_context(|| format!("{}: the data folder cannot be made; choose another with --data", data.display()))?;
    if !path.exists() {
        make(&path).with_context(|| path.display().to_string())?;
    }
    let text = std::fs::read(&path).with_context(|| path.display().to_string())?;
    KeyRing::parse(&text).with_context(|| path.display().to_string())?;
    Ok(path)
}

/// Makes the file whole or not at all: a start that is broken off, or another one at the same time, must not leave half
/// a ring that no later start can read.
fn make(path: &Path) -> anyhow::Result<()> {
    let ring = KeyRing::generate().context("the encryption keys cannot be made")?;
    let beside = path.with_extension(format!("{}.new", std::process::id()));
    // What a start of the same number has left behind.
    let _ = std::fs::remove_file(&beside);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    file.write_all(ring.to_text().expose_secret().as_bytes())?;
    file.sync_all()?;
    let linked = std::fs::hard_link(&beside, path);
    std::fs::remove_file(&beside)?;
    match linked {
        // Another start was first, and its keys count.
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error.into()),
        _ => Ok(()),
    }
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
        assert!(leases(&data).unwrap().loaded());
        assert_eq!(mode(&data.join(LEASES)), 0o600);
        std::fs::write(data.join(FILE), "{}").unwrap();
        assert!(format!("{:#}", sealer(&data).unwrap_err()).contains("encryption-keys.json"));
    }

    #[test]
    fn a_start_that_is_broken_off_or_comes_second_leaves_nothing_that_the_next_cannot_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        // One has died in the middle of its writing.
        std::fs::write(path.with_extension(format!("{}.new", std::process::id())), "{").unwrap();
        let purpose = Purpose::new("test");
        let sealed = sealer(folder.path()).unwrap().seal(purpose, b"", b"x").unwrap();
        make(&path).unwrap();
        assert_eq!(*sealer(folder.path()).unwrap().open(purpose, b"", &sealed).unwrap(), b"x", "the first keys count");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
