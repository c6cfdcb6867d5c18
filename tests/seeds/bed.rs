//! A gateway over one document, and what a person at a terminal does with it.

use aperium_tests::process::{Process, Program, Signal};
use aperium_tests::{binaries, ports};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// How the seeds write the host.
const HOST: &str = "<aperture-hostname>";

/// A running `aperium up --config`.
pub(crate) struct Bed {
    folder: tempfile::TempDir,
    port: u16,
    _process: Process,
}

/// What an admin's own document holds beside an example: the person at the machine administers the gateway, and
/// everyone may use everything (the grants example of the seeds, word for word).
pub(crate) fn grants() -> Value {
    json!([
        { "src": ["(loopback)"], "app": { "tailscale.com/cap/aperture": [{ "role": "admin" }] } },
        {
            "src": ["*"],
            "app": {
                "tailscale.com/cap/aperture": [
                    { "connectors": ["aperture/**"] },
                    { "connectors": ["**"] },
                ]
            }
        }
    ])
}

/// An example together with those grants.
pub(crate) fn document(example: &str) -> Value {
    let mut document: Value = serde_json::from_str(example).expect("the example is JSON");
    if document.get("grants").is_none() {
        document["grants"] = grants();
    }
    document
}

impl Bed {
    /// Starts it over an example.
    pub(crate) fn start(example: &str) -> Self {
        Self::with_settings(example, "")
    }

    /// The same with settings.
    pub(crate) fn with_settings(example: &str, settings: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (config, settings_file) = (folder.path().join("config.json"), folder.path().join("settings.yaml"));
        std::fs::write(&config, document(example).to_string()).expect("a document");
        std::fs::write(&settings_file, settings).expect("settings");
        let port = ports::free();
        let mut process = Program::new("aperium-up", binaries::aperium())
            .args(["up", "--listen", &format!("127.0.0.1:{port}"), "--config"])
            .arg(&config)
            .arg("--settings")
            .arg(&settings_file)
            .end_with(Signal::INT)
            .spawn();
        process.wait_for_line("Ctrl-C stops", Duration::from_secs(30));
        Self { folder, port, _process: process }
    }

    /// The document's file.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("config.json")
    }

    /// A line of the seeds for this gateway.
    pub(crate) fn line(&self, line: &str) -> String {
        line.replace(HOST, &format!("127.0.0.1:{}", self.port))
    }

    /// Runs a line of the seeds as a shell does; what it prints.
    pub(crate) fn run(&self, line: &str) -> String {
        let output = bash(&self.line(line));
        assert!(output.status.success(), "{line}\n{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The same for JSON.
    pub(crate) fn json(&self, line: &str) -> Value {
        let text = self.run(line);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {line}\n{text}"))
    }

    /// The names that the curl of the seeds lists.
    pub(crate) fn tools(&self) -> Vec<String> {
        let list = self.json(LIST);
        let tools = list["result"]["tools"].as_array().unwrap_or_else(|| panic!("no tools array: {list}"));
        tools.iter().filter_map(|tool| tool["name"].as_str().map(str::to_owned)).collect()
    }

    /// Waits until the list is as it should be; the list.
    pub(crate) fn until_tools(&self, good: impl Fn(&[String]) -> bool) -> Vec<String> {
        let end = Instant::now() + Duration::from_secs(15);
        loop {
            let tools = self.tools();
            if good(&tools) {
                return tools;
            }
            assert!(Instant::now() < end, "the list stays {tools:?}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Calls a tool.
    pub(crate) fn call(&self, name: &str) -> Value {
        let body =
            json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": name, "arguments": {} } });
        self.json(&format!("curl -sS http://{HOST}/v1/mcp -H 'Content-Type: application/json' -d '{body}'"))
    }

    /// What the settings page shows: text and hash.
    pub(crate) fn shown(&self) -> (String, String) {
        let shown = self.json(&format!("curl -sS http://{HOST}/api/config"));
        let text = |field: &str| shown[field].as_str().unwrap_or_else(|| panic!("{shown}")).to_owned();
        (text("config"), text("hash"))
    }

    /// Saves a document as the settings page does: status and answer.
    pub(crate) fn save(&self, config: &Value) -> (u16, Value) {
        let (_, hash) = self.shown();
        let body = self.folder.path().join("body.json");
        std::fs::write(&body, json!({ "config": config.to_string(), "hash": hash }).to_string()).expect("a body");
        let line = format!(
            "curl -sS -X PUT http://{HOST}/api/config -H 'Content-Type: application/json' -d @{} -w '\\n%{{http_code}}'",
            body.display()
        );
        let text = self.run(&line);
        let (answer, status) = text.rsplit_once('\n').expect("a status");
        (status.parse().expect("a status"), serde_json::from_str(answer).expect("JSON"))
    }
}

/// The curl of the seeds.
pub(crate) const LIST: &str = "curl http://<aperture-hostname>/v1/mcp \\
  -H \"Content-Type: application/json\" \\
  -d '{\"jsonrpc\": \"2.0\", \"method\": \"tools/list\", \"id\": 1}'";

/// Runs a line.
pub(crate) fn bash(line: &str) -> Output {
    Command::new("bash").args(["-c", line]).output().expect("bash runs")
}
