//! Where a secret could have come out: all that is read once everything has happened.

use aperium_tests::process::Process;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// A kind of place. In each of them the control must be found, or the scan would prove nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// What a program prints.
    Output,
    /// Status, headers and body of an answer.
    Answer,
    /// What a collector of traces gets.
    Trace,
    /// `/metrics`.
    Metrics,
    /// What everybody on the machine sees of a program.
    CommandLine,
    /// The variables that a program was started with.
    Environment,
    /// A file that a program has written.
    File,
    /// The files of a database, as they lie on the disk.
    Pages,
    /// What a database holds, as text.
    Rows,
    /// Requests that upstreams get. Their own credentials belong there, and nobody else's.
    Upstream,
}

/// Bytes, and where they are from.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
}

/// All that was seen so far.
#[derive(Clone, Default)]
pub(crate) struct Places(Arc<Mutex<Vec<Place>>>);

impl Places {
    pub(crate) fn add(&self, kind: Kind, name: impl Into<String>, bytes: impl Into<Vec<u8>>) {
        let place = Place { kind, name: name.into(), bytes: bytes.into() };
        self.0.lock().expect("a lock").push(place);
    }

    /// All of a program that is running.
    pub(crate) fn add_program(&self, name: &str, process: &Process) {
        let of = |file: &str| fs::read(format!("/proc/{}/{file}", process.id())).expect("the program runs");
        self.add(Kind::CommandLine, name, of("cmdline"));
        self.add(Kind::Environment, name, of("environ"));
        self.add_output(name, process);
    }

    /// What it printed so far.
    pub(crate) fn add_output(&self, name: &str, process: &Process) {
        self.add(Kind::Output, name, process.log());
    }

    /// Every file in a folder and below it.
    pub(crate) fn add_files(&self, kind: Kind, folder: &Path) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                self.add_files(kind, &path);
            } else if let Ok(bytes) = fs::read(&path) {
                // A file that a database has just removed is none.
                self.add(kind, path.display().to_string(), bytes);
            }
        }
    }

    pub(crate) fn take(&self) -> Vec<Place> {
        std::mem::take(&mut self.0.lock().expect("a lock"))
    }
}
