//! A token file that is read again when it changed.

use std::{
    fs::{File, Metadata},
    io::{self, Read},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use zeroize::Zeroizing;

use super::tokens::{MAX_BYTES, TokenProblem, Tokens};

/// The file is looked at once in this time at most.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(500);

type Loaded = Arc<Result<Tokens, TokenProblem>>;

pub(super) struct TokenFile {
    path: PathBuf,
    seen: RwLock<Seen>,
}

struct Seen {
    at: Instant,
    mark: Option<Mark>,
    tokens: Loaded,
}

/// What tells one content from the next without reading it.
#[derive(PartialEq, Eq)]
pub(crate) struct Mark {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
    modified: (i64, i64),
}

impl TokenFile {
    pub(super) fn new(path: PathBuf) -> Self {
        let (mark, tokens) = look(&path, None).unwrap_or_else(|| (None, Err(TokenProblem::Missing)));
        let seen = Seen { at: Instant::now(), mark, tokens: Arc::new(tokens) };
        Self { path, seen: RwLock::new(seen) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What the file holds now, as of 500 ms ago at most.
    pub(super) fn tokens(&self) -> Loaded {
        let seen = self.seen.read().unwrap_or_else(PoisonError::into_inner);
        if seen.at.elapsed() < LOOK_EVERY {
            return Arc::clone(&seen.tokens);
        }
        drop(seen);
        self.look_again()
    }

    /// One caller looks, the others wait for it: a stat of a mounted volume, seldom a read of less than 4 KiB.
    fn look_again(&self) -> Loaded {
        let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
        if seen.at.elapsed() >= LOOK_EVERY {
            seen.at = Instant::now();
            if let Some((mark, tokens)) = look(&self.path, seen.mark.as_ref()) {
                report(&self.path, seen.tokens.as_ref().as_ref().err(), tokens.as_ref().err());
                seen.mark = mark;
                seen.tokens = Arc::new(tokens);
            }
        }
        Arc::clone(&seen.tokens)
    }
}

/// `None` if the file is as it was.
fn look(path: &Path, before: Option<&Mark>) -> Option<(Option<Mark>, Result<Tokens, TokenProblem>)> {
    // The handle is opened first, so that mark and content are of the same file even while the link is swapped.
    let opened = File::open(path).and_then(|file| file.metadata().map(|metadata| (file, metadata)));
    let (mut file, metadata) = match opened {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Some((None, Err(TokenProblem::Missing))),
        Err(_) => return Some((None, Err(TokenProblem::Unreadable))),
    };
    let mark = Mark::of(&metadata);
    if before == Some(&mark) {
        return None;
    }
    if !metadata.is_file() {
        return Some((Some(mark), Err(TokenProblem::Unreadable)));
    }
    let mut text = Zeroizing::new(Vec::with_capacity(MAX_BYTES + 1));
    let tokens = match Read::by_ref(&mut file).take(MAX_BYTES as u64 + 1).read_to_end(&mut text) {
        Ok(_) => Tokens::parse(&text),
        Err(_) => return Some((None, Err(TokenProblem::Unreadable))),
    };
    Some((Some(mark), tokens))
}

fn report(path: &Path, before: Option<&TokenProblem>, now: Option<&TokenProblem>) {
    let path = path.display();
    match (before, now) {
        (_, None) => tracing::info!(%path, "service token loaded"),
        (before, Some(problem)) if before != Some(problem) => {
            tracing::warn!(%path, reason = problem.reason(), "no service token");
        }
        _ => {}
    }
}

impl Mark {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}
