//! Where the programs under test and the tools lie.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// The built `aperium`.
///
/// # Panics
/// Like every function here: with the command to run, when the program has not been built.
#[must_use]
pub fn aperium() -> PathBuf {
    built("aperium")
}

/// The built `aperium-gateway`.
#[must_use]
pub fn gateway() -> PathBuf {
    built("aperium-gateway")
}

/// The built `aperium-operator`.
#[must_use]
pub fn operator() -> PathBuf {
    built("aperium-operator")
}

/// The built `aperium-mcp`.
#[must_use]
pub fn mcp() -> PathBuf {
    built("aperium-mcp")
}

/// A program of this workspace, of the same profile as the running test.
#[must_use]
pub fn built(name: &str) -> PathBuf {
    let path = profile_folder().join(name);
    assert!(
        path.is_file(),
        "{} is missing: run `cargo build --workspace --bins` first (`make test` does)",
        path.display()
    );
    path
}

/// `debug` or `release` inside the target folder: programs lie in it, test executables in its `deps`.
#[must_use]
pub fn profile_folder() -> PathBuf {
    let running = std::env::current_exe().expect("the running program has a path");
    let folder = running.parent().expect("a program lies in a folder");
    if folder.ends_with("deps") { folder.parent().unwrap_or(folder).to_owned() } else { folder.to_owned() }
}

/// The root of the repository that the program runs in. Not of the one that it was compiled in: checkouts share a target
/// folder, and what was not changed is not compiled again.
#[must_use]
pub fn repository() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let here = std::env::current_dir().expect("there is a working directory");
        let root = here.ancestors().find(|folder| folder.join("Cargo.lock").is_file());
        root.expect("tests and benchmarks run within the repository").to_owned()
    })
}

/// The folder of the pinned tools (`kubectl`, `helm`, `kube-apiserver`, …); builds them when they are not there, which
/// takes about ten minutes once.
pub fn tools() -> &'static Path {
    static TOOLS: OnceLock<PathBuf> = OnceLock::new();
    TOOLS.get_or_init(|| {
        let output = Command::new(repository().join("tests/cluster/tools/build.sh"))
            .stderr(std::process::Stdio::inherit())
            .output()
            .expect("tests/cluster/tools/build.sh starts");
        assert!(output.status.success(), "tests/cluster/tools/build.sh failed");
        PathBuf::from(String::from_utf8(output.stdout).expect("a path").trim())
    })
}

/// The pinned `kubectl`.
#[must_use]
pub fn kubectl() -> PathBuf {
    tools().join("kubectl")
}

/// The pinned `helm`.
#[must_use]
pub fn helm() -> PathBuf {
    tools().join("helm")
}
