//! What others wrote: nginx as a plain reverse proxy that understands nothing of MCP, Envoy with its MCP router, mcp-proxy.
//! One worker each, no access log.

use super::{Target, alone};
use crate::asked::TOOLS;
use aperium_tests::binaries::repository;
use aperium_tests::process::Process;
use aperium_tests::{http, ports, wait};
use std::path::PathBuf;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(20);

/// The installed peers.
pub(crate) struct Peers(PathBuf);

impl Peers {
    /// Installs them, once.
    pub(crate) fn install() -> Self {
        let script = repository().join("tests/bench/gateway/peers/install.sh");
        let output = std::process::Command::new(script)
            .stderr(std::process::Stdio::inherit())
            .output()
            .expect("the install script starts");
        assert!(output.status.success(), "tests/bench/gateway/peers/install.sh failed");
        Self(String::from_utf8(output.stdout).expect("a path").trim().into())
    }

    fn program(&self, name: &str) -> PathBuf {
        self.0.join("bin").join(name)
    }

    /// Envoy before two MCP servers of ten tools. A session is the client's to carry; servers that have none get none.
    pub(crate) async fn envoy(&self, upstream: u16) -> Target {
        let port = ports::free();
        let config = include_str!("../peers/envoy.yaml");
        let (folder, path) = written("envoy.yaml", config, port, upstream);
        let process = alone("envoy", self.program("envoy"))
            .arg("-c")
            .arg(path)
            .args(["--concurrency", "1", "--use-dynamic-base-id", "--log-level", "error"])
            .spawn();
        started(port).await;
        peer("Envoy mcp_router", port, "/mcp", "one__echo", process, folder).without_http()
    }

    /// mcp-proxy before the same two. Its list has five tools of its own besides theirs.
    pub(crate) async fn mcp_proxy(&self, upstream: u16) -> Target {
        let port = ports::free();
        let config = include_str!("../peers/mcp-proxy.toml");
        let (folder, path) = written("mcp-proxy.toml", config, port, upstream);
        let process = alone("mcp-proxy", self.program("mcp-proxy")).arg("--config").arg(path).spawn();
        started(port).await;
        peer("mcp-proxy", port, "/", "one/echo", process, folder).without_http().with_tools(TOOLS + 5)
    }
}

/// nginx before the upstream.
pub(crate) async fn nginx(upstream: u16) -> Target {
    let port = ports::free();
    let config = include_str!("../peers/nginx.conf");
    let (folder, path) = written("nginx.conf", config, port, upstream);
    let process = alone("nginx", "nginx").arg("-p").arg(folder.path()).arg("-c").arg(path).spawn();
    started(port).await;
    peer("nginx", port, "/mcp", "echo", process, folder)
}

fn written(name: &str, config: &str, port: u16, upstream: u16) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(name);
    let config = config.replace("{port}", &port.to_string()).replace("{upstream}", &upstream.to_string());
    std::fs::write(&path, config).expect("the configuration");
    (folder, path)
}

async fn started(port: u16) {
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    wait::until("a peer listens", LIMIT, async || http::connect(address).await.ok().map(drop)).await;
}

fn peer(
    name: &'static str,
    port: u16,
    mcp: &'static str,
    tool: &'static str,
    process: Process,
    folder: tempfile::TempDir,
) -> Target {
    Target {
        name,
        port,
        mcp,
        http: Some("/item/"),
        tool,
        tools: TOOLS,
        tokens: Target::tokens(),
        process: Some(process),
        _folder: Some(folder),
    }
}
