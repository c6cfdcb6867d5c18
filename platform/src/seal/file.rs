//! A key ring in a file, read again when the file changes. What was read once stays until something better comes.

use super::ring::{MAX_BYTES, RingError};
use crate::bearer::file::{LOOK_EVERY, Mark};
use std::fmt::Debug;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;
use zeroize::Zeroizing;

/// How the text of a ring is read.
type Parse<R> = fn(&[u8]) -> Result<R, RingError>;

/// A ring of keys, secret or public, as a file holds it now.
pub(crate) struct RingFile<R> {
    path: PathBuf,
    parse: Parse<R>,
    seen: RwLock<Seen<R>>,
}

struct Seen<R> {
    at: Instant,
    mark: Option<Mark>,
    problem: Option<RingError>,
    ring: Option<Arc<R>>,
}

impl<R: Debug> RingFile<R> {
    pub(crate) fn new(path: PathBuf, parse: Parse<R>) -> Self {
        let mut seen = Seen { at: Instant::now(), mark: None, problem: None, ring: None };
        seen.look(&path, parse);
        Self { path, parse, seen: RwLock::new(seen) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The ring as of 500 ms ago at most.
    pub(crate) fn ring(&self) -> Option<Arc<R>> {
        let seen = self.seen.read().unwrap_or_else(PoisonError::into_inner);
        if seen.at.elapsed() < LOOK_EVERY {
            return seen.ring.clone();
        }
        drop(seen);
        let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
        if seen.at.elapsed() >= LOOK_EVERY {
            seen.at = Instant::now();
            seen.look(&self.path, self.parse);
        }
        seen.ring.clone()
    }
}

impl<R: Debug> Seen<R> {
    fn look(&mut self, path: &Path, parse: Parse<R>) {
        match read(path, self.mark.as_ref(), parse) {
            Ok(None) => {}
            Ok(Some((mark, ring))) => {
                self.mark = Some(mark);
                match ring {
                    Ok(ring) => {
                        tracing::info!(path = %path.display(), ?ring, "keys loaded");
                        self.problem = None;
                        self.ring = Some(Arc::new(ring));
                    }
                    Err(problem) => self.failed(path, problem),
                }
            }
            Err(problem) => {
                self.mark = None;
                self.failed(path, problem);
            }
        }
    }

    /// The same problem is told once.
    fn failed(&mut self, path: &Path, problem: RingError) {
        if self.problem != Some(problem) {
            let kept = self.ring.is_some();
            tracing::error!(path = %path.display(), reason = problem.reason(), %problem, kept, "no new keys");
            self.problem = Some(problem);
        }
    }
}

type Read<R> = (Mark, Result<R, RingError>);

/// `None` if the file is as it was.
fn read<R>(path: &Path, before: Option<&Mark>, parse: Parse<R>) -> Result<Option<Read<R>>, RingError> {
    let unreadable = |_| RingError::Unreadable;
    // The handle is opened first, so that mark and content are of the same file even while the link is swapped.
    let mut file = File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => RingError::Missing,
        _ => RingError::Unreadable,
    })?;
    let metadata = file.metadata().map_err(unreadable)?;
    let mark = Mark::of(&metadata);
    if before == Some(&mark) {
        return Ok(None);
    }
    if !metadata.is_file() {
        return Err(RingError::Unreadable);
    }
    let mut text = Zeroizing::new(Vec::with_capacity(4096));
    io::Read::by_ref(&mut file).take(MAX_BYTES as u64 + 1).read_to_end(&mut text).map_err(unreadable)?;
    Ok(Some((mark, parse(&text))))
}
