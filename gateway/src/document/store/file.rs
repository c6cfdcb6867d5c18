//! One file that holds secrets, exchanged whole or not at all.

use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Puts a new file in the old one's place at once; only its owner may read it.
pub(super) fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let folder = path.parent().ok_or(std::io::ErrorKind::InvalidInput)?;
    let mut file = Temporary(folder.join(format!(".aperium-{}", uuid::Uuid::new_v4())));
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut handle = options.open(&file.0)?;
    handle.write_all(text.as_bytes())?;
    handle.sync_all()?;
    std::fs::rename(&file.0, path)?;
    file.0 = PathBuf::new();
    std::fs::File::open(folder)?.sync_all()
}

/// A file that goes away unless it was renamed.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.0.as_os_str().is_empty() {
            let _gone = std::fs::remove_file(&self.0);
        }
    }
}
