//! A key ring in a file, read again when the file changes. What was read once stays until something better comes.

use super::ring::{KeyRing, MAX_BYTES, RingError};
use crate::bearer::file::{LOOK_EVERY, Mark};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;
use zeroize::Zeroizing;

pub(super) struct RingFile {
    path: PathBuf,
    seen: RwLock<Seen>,
}

struct Seen {
    at: Instant,
    mark: Option<Mark>,
    problem: Option<RingError>,
    ring: Option<Arc<KeyRing>>,
}

impl RingFile {
    pub(super) fn new(path: PathBuf) -> Self {
        let mut seen = Seen { at: Instant::now(), mark: None, problem: None, ring: None };
        seen.look(&path);
        Self { path, seen: RwLock::new(seen) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The ring as of 500 ms ago at most.
    pub(super) fn ring(&self) -> Option<Arc<KeyRing>> {
        let seen = self.seen.read().unwrap_or_else(PoisonError::into_inner);
        if seen.at.elapsed() < LOOK_EVERY {
            return seen.ring.clone();
        }
        drop(seen);
        let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
        if seen.at.elapsed() >= LOOK_EVERY {
            seen.at = Instant::now();
            seen.look(&self.path);
        }
        seen.ring.clone()
    }
}

impl Seen {
    fn look(&mut self, path: &Path) {
        match read(path, self.mark.as_ref()) {
            Ok(None) => {}
            Ok(Some((mark, ring))) => {
                self.mark = Some(mark);
                match ring {
                    Ok(ring) => {
                        tracing::info!(path = %path.display(), ?ring, "key ring loaded");
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
            tracing::error!(path = %path.display(), reason = problem.reason(), %problem, kept, "no new key ring");
            self.problem = Some(problem);
        }
    }
}

type Read = (Mark, Result<KeyRing, RingError>);

/// `None` if the file is as it was.
fn read(path: &Path, before: Option<&Mark>) -> Result<Option<Read>, RingError> {
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
    Ok(Some((mark, KeyRing::parse(&text))))
}
