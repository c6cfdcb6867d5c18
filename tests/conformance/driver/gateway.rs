//! `aperium up` over a folder with one Connector.

use anyhow::Context as _;
use aperium_tests::{binaries, ports};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// How long the start may take, the first poll of the upstream included.
const PATIENCE: Duration = Duration::from_secs(20);

/// Ends with its value.
pub(crate) struct Gateway {
    port: u16,
    _process: Child,
    _folder: tempfile::TempDir,
}

impl Gateway {
    /// Starts it and waits until the upstream was asked for its lists.
    pub(crate) async fn before(upstream: &str) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        // All rights for whoever is on this machine.
        let manifests = format!(
            "apiVersion: aperium.dev/v1alpha1\nkind: Connector\nmetadata: {{name: upstream}}\nspec: {{protocol: mcp, url: '{upstream}'}}\n---\n\
             apiVersion: aperium.dev/v1alpha1\nkind: Grant\nmetadata: {{name: all}}\nspec: {{subjects: ['(loopback)'], connectors: ['**']}}\n"
        );
        std::fs::write(folder.path().join("upstream.yaml"), manifests)?;
        let port = ports::free();
        let mut process = Command::new(binaries::aperium())
            .args(["up", "--listen", &format!("127.0.0.1:{port}")])
            .arg(folder.path())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut lines = BufReader::new(process.stdout.take().context("its output")?).lines();
        let ready = async {
            let mut said = String::new();
            while let Some(line) = lines.next_line().await? {
                if line.contains("Ctrl-C stops") {
                    return Ok(());
                }
                said.push_str(&line);
            }
            anyhow::bail!("the gateway has ended: {said}")
        };
        tokio::time::timeout(PATIENCE, ready).await.context("the gateway is not ready in time")??;
        Ok(Self { port, _process: process, _folder: folder })
    }

    /// The endpoint of the one connector.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/v1/mcp/upstream", self.port)
    }
}
