//! A real Prefect server from the pinned packages, in a temporary folder and on a free loopback port.

use aperium_tests::binaries::repository;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use aperium_tests::postgres::Postgres;
use aperium_tests::process::{Process, Program, Signal};
use aperium_tests::{http, ports, wait};
use serde_json::Value;
use tempfile::TempDir;

/// How long the server may take to answer, on a machine that is busy with other tests.
const START_LIMIT: Duration = Duration::from_secs(120);

/// A server; it ends when dropped.
pub(crate) struct Server {
    port: u16,
    python: PathBuf,
    _process: Process,
    // Last: a folder can be removed when nobody writes into it any more.
    home: TempDir,
}

impl Server {
    /// Installs what is missing, starts a server with these settings and waits until it answers.
    pub(crate) async fn start(settings: &[(&str, &str)]) -> Self {
        let python = install();
        let home = tempfile::Builder::new().prefix("aperium-prefect").tempdir().unwrap();
        let port = ports::free();
        let mut program = Program::new("prefect-server", scripts().join("start.sh"))
            .arg(&python)
            .arg(home.path())
            .arg(port.to_string())
            // Late after one second instead of fifteen.
            .env("PREFECT_SERVER_SERVICES_LATE_RUNS_AFTER_SECONDS", "1")
            .env("PREFECT_SERVER_SERVICES_LATE_RUNS_LOOP_SECONDS", "1")
            .end_with(Signal::TERM);
        for (name, value) in settings {
            program = program.env(name, *value);
        }
        let mut process = program.spawn();
        let health = format!("http://127.0.0.1:{port}/api/health");
        wait::until("the Prefect server answers", START_LIMIT, || {
            assert!(process.running(), "the Prefect server ended:\n{}", process.last_lines());
            async { (http::get(&health, &[]).await.ok()?.status == 200).then_some(()) }
        })
        .await;
        Self { port, python, _process: process, home }
    }

    /// Its `api_url`.
    pub(crate) fn api_url(&self) -> String {
        format!("http://127.0.0.1:{}/api", self.port)
    }

    /// Checks the answers of tools against their schemas with Python's jsonschema, which comes with Prefect.
    pub(crate) fn validate(&self, answers: &Value) {
        let file = self.home.path().join("answers.json");
        std::fs::write(&file, answers.to_string()).unwrap();
        let output = Command::new(&self.python).args(["-c", VALIDATE]).arg(&file).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Serves `etl/nightly`: a process that picks up its runs and executes each in a process of its own.
    pub(crate) fn serve_flow(&self, auth: &str) -> Process {
        let folder = self.home.path().join("served");
        std::fs::create_dir(&folder).unwrap();
        std::fs::copy(scripts().join("etl.py"), folder.join("etl.py")).unwrap();
        Program::new("prefect-runner", &self.python)
            .arg("etl.py")
            .folder(&folder)
            .env("PREFECT_API_URL", self.api_url())
            .env("PREFECT_API_AUTH_STRING", auth)
            .env("PREFECT_HOME", folder.join("home"))
            .env("PREFECT_RUNNER_POLL_FREQUENCY", "1")
            .env("DO_NOT_TRACK", "1")
            // It ends the runs that it is executing before it ends itself.
            .end_with(Signal::TERM)
            .spawn()
    }
}

/// Reads tools with their schemas and answers, and fails at the first answer that does not fit.
const VALIDATE: &str = "
import json, sys
from jsonschema import Draft202012Validator as Validator
for tool in json.load(open(sys.argv[1])):
    Validator.check_schema(tool['schema'])
    for answer in tool['answers']:
        errors = [f'{e.json_path}: {e.message}' for e in Validator(tool['schema']).iter_errors(answer)]
        if errors:
            sys.exit(tool['tool'] + ': ' + '; '.join(errors[:5]))
";

/// Makes a database for a server and gives its URL.
pub(crate) fn database(postgres: &Postgres) -> String {
    postgres.create_role("prefect", "prefect");
    postgres.create_database("prefect");
    postgres.sql("postgres", "ALTER DATABASE prefect OWNER TO prefect");
    // Prefect's tables are searched by parts of names.
    postgres.sql("prefect", "CREATE EXTENSION pg_trgm");
    format!("postgresql+asyncpg://prefect:prefect@{}/prefect", postgres.address())
}

fn scripts() -> PathBuf {
    repository().join("tests/prefect")
}

/// The python of the pinned packages.
fn install() -> PathBuf {
    let output = Command::new(scripts().join("install.sh")).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "Prefect cannot be installed:\n{errors}");
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}
