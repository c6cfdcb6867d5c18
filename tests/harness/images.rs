//! Our images as OCI archives, made from the built programs.

use std::{path::PathBuf, process::Command};

use crate::binaries;

/// Makes the images of operator, gateway and service from the programs beside the running test, and gives their archives.
/// An archive whose program has not changed is left as it is.
///
/// # Panics
/// When a program has not been built, or `deploy/images/build.sh` fails.
#[must_use]
pub fn build() -> Vec<PathBuf> {
    // Said here with the command that helps, rather than by the script.
    let _built = [binaries::operator(), binaries::gateway(), binaries::mcp()];
    let folder = binaries::profile_folder();
    let output = Command::new(binaries::repository().join("deploy/images/build.sh"))
        .arg("--binaries")
        .arg(&folder)
        .arg("--out")
        .arg(folder.join("images"))
        .output()
        .expect("deploy/images/build.sh starts");
    assert!(output.status.success(), "deploy/images/build.sh: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("paths").lines().map(PathBuf::from).collect()
}
