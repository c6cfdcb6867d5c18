//! MCP around the gateway: the fixture as its upstream, the gateway itself, and a small client.

mod client;

pub use client::{Answer, Client};

use crate::{binaries, process::Process, process::Program, wait};
use std::{process::Stdio, time::Duration};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// How long a gateway may take to start, the first poll of its upstreams included.
const PATIENCE: Duration = Duration::from_secs(30);

/// The server with all that the official conformance suite asks for.
pub struct Fixture {
    url: String,
    _process: Process,
}

impl Fixture {
    /// Starts it.
    pub async fn start() -> Self {
        let process = Program::new("mcp-fixture", binaries::built("mcp-fixture")).spawn();
        let url = wait::until("the fixture prints its URL", Duration::from_secs(10), async || {
            process.log().lines().next().filter(|line| line.starts_with("http://")).map(str::to_owned)
        })
        .await;
        Self { url, _process: process }
    }

    /// Its endpoint.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// `aperium up` over remote connectors, with all rights for whoever is on this machine. Ends with its value.
pub struct Gateway {
    port: u16,
    _process: Child,
    _folder: tempfile::TempDir,
}

impl Gateway {
    /// Starts it before these (name, URL) and waits until each was asked for its lists.
    ///
    /// # Panics
    /// When it does not start in time.
    pub async fn before(upstreams: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut manifests = "apiVersion: aperium.dev/v1alpha1\nkind: Grant\nmetadata: {name: all}\n\
             spec: {subjects: ['(loopback)'], connectors: ['**']}\n"
            .to_owned();
        for (name, url) in upstreams {
            manifests.push_str(&format!(
                "---\napiVersion: aperium.dev/v1alpha1\nkind: Connector\nmetadata: {{name: {name}}}\n\
                 spec: {{protocol: mcp, url: '{url}'}}\n"
            ));
        }
        std::fs::write(folder.path().join("upstreams.yaml"), manifests).expect("the manifests are written");
        let mut process = Command::new(binaries::aperium())
            .args(["up", "--listen", "127.0.0.1:0"])
            .arg(folder.path())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("aperium starts");
        let mut lines = BufReader::new(process.stdout.take().expect("its output")).lines();
        let ready = async {
            let mut said = String::new();
            while let Ok(Some(line)) = lines.next_line().await {
                if line.contains("Ctrl-C stops") {
                    return port_in(&said).expect("it says where it listens");
                }
                said.push_str(&line);
                said.push('\n');
            }
            panic!("the gateway has ended: {said}")
        };
        let port = tokio::time::timeout(PATIENCE, ready).await.expect("the gateway is ready in time");
        Self { port, _process: process, _folder: folder }
    }

    /// The endpoint of all connectors.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/v1/mcp", self.port)
    }

    /// The endpoint of one.
    #[must_use]
    pub fn connector(&self, name: &str) -> String {
        format!("{}/{name}", self.url())
    }
}

/// The port in the line that names the gateway's endpoint.
fn port_in(said: &str) -> Option<u16> {
    let endpoint = said.lines().find_map(|line| line.trim().strip_prefix("gateway")?.trim().strip_suffix("/v1/mcp"))?;
    endpoint.rsplit_once(':')?.1.parse().ok()
}
