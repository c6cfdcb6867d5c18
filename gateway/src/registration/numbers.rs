//! The numbers of `auto<N>`: each is given once. Where there is a data folder, the last one is written down before it
//! is given, so that a restart does not give it again; without one they begin anew with each start.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Gives numbers.
#[derive(Debug)]
pub(crate) struct Numbers {
    file: Option<PathBuf>,
    last: Mutex<u64>,
}

const FILE: &str = "registrations";

impl Numbers {
    /// Numbers that begin anew with each start.
    pub(crate) fn in_memory() -> Self {
        Self { file: None, last: Mutex::new(0) }
    }

    /// Numbers that go on where the last start ended.
    ///
    /// # Errors
    /// The file cannot be read, or holds something else than a number: then nobody knows which were given.
    pub(crate) fn in_folder(folder: &Path) -> io::Result<Self> {
        let file = folder.join(FILE);
        let last = match fs::read_to_string(&file) {
            Ok(text) => text
                .trim()
                .parse()
                .map_err(|_| io::Error::new(ErrorKind::InvalidData, format!("{}: holds no number", file.display())))?,
            Err(error) if error.kind() == ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        Ok(Self { file: Some(file), last: Mutex::new(last) })
    }

    /// The last number that was given.
    pub(crate) fn last(&self) -> u64 {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next number.
    ///
    /// # Errors
    /// It cannot be written down; it is not given then.
    pub(crate) fn next(&self) -> io::Result<u64> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let next = last.checked_add(1).ok_or_else(|| io::Error::other("there are no more numbers"))?;
        if let Some(file) = &self.file {
            write(file, next)?;
        }
        *last = next;
        Ok(next)
    }
}

/// Beside it first, then in its place: a crash leaves the old number or the new one. It is a few bytes, a few times a
/// day: not worth a thread of its own.
fn write(file: &Path, number: u64) -> io::Result<()> {
    let beside = file.with_extension("new");
    let mut written = File::create(&beside)?;
    writeln!(written, "{number}")?;
    written.sync_all()?;
    fs::rename(&beside, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_given_once_also_across_restarts() {
        let folder = tempfile::tempdir().unwrap();
        let first = Numbers::in_folder(folder.path()).unwrap();
        assert_eq!((first.next().unwrap(), first.next().unwrap()), (1, 2));
        assert_eq!(Numbers::in_folder(folder.path()).unwrap().next().unwrap(), 3);
        std::fs::write(folder.path().join(FILE), "many").unwrap();
        assert!(Numbers::in_folder(folder.path()).is_err(), "whoever cannot know which were given gives none");
    }

    #[test]
    fn what_cannot_be_written_down_is_not_given() {
        let folder = tempfile::tempdir().unwrap();
        let numbers = Numbers::in_folder(folder.path()).unwrap();
        drop(folder);
        assert!(numbers.next().is_err());
        assert!(numbers.next().is_err());
    }
}
