//! What is measured: the upstream itself, nginx, the gateway.

use crate::load::Body;
use aperium_tests::process::{Process, Program};
use aperium_tests::{binaries, ports, wait};
use http::{Method, Request, header};
use sha2::{Digest, Sha256};
use std::time::Duration;

const TOKEN: &str = "benchmark-token";
/// Kernel clock ticks a second, as /proc counts CPU time on Linux.
const TICKS: u32 = 100;

/// One target of the load.
pub(crate) struct Target {
    pub(crate) name: &'static str,
    pub(crate) port: u16,
    pub(crate) tool: &'static str,
    path: &'static str,
    process: Option<Process>,
    _folder: Option<tempfile::TempDir>,
}

impl Target {
    /// The upstream, without anything in front.
    pub(crate) fn direct(port: u16) -> Self {
        Self { name: "direct", port, tool: "echo", path: "/mcp", process: None, _folder: None }
    }

    /// A proxy in front of the upstream.
    pub(crate) fn proxy(name: &'static str, port: u16, process: Process, folder: tempfile::TempDir) -> Self {
        Self { name, port, tool: "echo", path: "/mcp", process: Some(process), _folder: Some(folder) }
    }

    /// The gateway with all functions on: token, 21 grants, request id, metrics, limits, egress guard.
    pub(crate) async fn gateway(upstream: u16) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let [port, in_cluster, admin] = ports::free_many();
        let settings = settings(upstream, [port, in_cluster, admin]);
        std::fs::write(folder.path().join("settings.yaml"), settings).expect("the settings");
        std::fs::write(folder.path().join("manifests.yaml"), manifests(upstream)).expect("the manifests");
        let mut process = Program::new("gateway", "taskset")
            .args(["-c", "1"])
            .arg(binaries::gateway())
            .args(["--settings", &folder.path().join("settings.yaml").display().to_string()])
            .args(["--folder", &folder.path().display().to_string()])
            .env("RUST_LOG", "warn")
            .spawn();
        let probes = format!("http://127.0.0.1:{admin}/readyz");
        wait::until("the gateway has discovered the upstream", Duration::from_secs(20), async || {
            let reply = http_get(&probes).await?;
            reply.text().contains("\"tools\":20").then_some(())
        })
        .await;
        assert!(process.running(), "{}", process.last_lines());
        let (name, tool, path) = ("aperium gateway", "bench_echo", "/v1/mcp");
        Self { name, port, tool, path, process: Some(process), _folder: Some(folder) }
    }

    pub(crate) fn request(&self, body: String) -> Request<Body> {
        Request::builder()
            .method(Method::POST)
            .uri(self.path)
            .header(header::HOST, format!("127.0.0.1:{}", self.port))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json, text/event-stream")
            .header(header::AUTHORIZATION, format!("Bearer {TOKEN}"))
            .body(Body::from(body))
            .expect("a request")
    }

    /// CPU time of the process and its children so far.
    pub(crate) fn cpu(&self) -> Option<Duration> {
        let own = self.process.as_ref()?.id();
        let ticks = std::fs::read_dir("/proc").ok()?.flatten().filter_map(|entry| {
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            // Fields after the command, which is in parentheses: state, parent, group, …, 11: user, 12: system.
            let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
            let group: u32 = fields.get(2)?.parse().ok()?;
            let (user, system): (u32, u32) = (fields.get(11)?.parse().ok()?, fields.get(12)?.parse().ok()?);
            (group == own).then_some(user + system)
        });
        Some(Duration::from_secs(ticks.map(u64::from).sum()) / TICKS)
    }

    pub(crate) fn resident_mib(&self) -> Option<u64> {
        self.process.as_ref().map(|process| process.resident_bytes() >> 20)
    }
}

async fn http_get(url: &str) -> Option<aperium_tests::http::Reply> {
    aperium_tests::http::get(url, &[]).await.ok()
}

/// One client with a static token; the upstream is the one loopback address that may be reached.
fn settings(upstream: u16, [public, in_cluster, admin]: [u16; 3]) -> String {
    let hash: String = Sha256::digest(TOKEN).iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "listeners: {{public: '127.0.0.1:{public}', inCluster: '127.0.0.1:{in_cluster}', admin: '127.0.0.1:{admin}'}}\n\
         egress: {{allowHosts: ['127.0.0.1:{upstream}']}}\n\
         authentication:\n  staticTokens:\n    - name: bench\n      sha256: [\"sha256:{hash}\"]\n"
    )
}

/// A connector over the upstream, and 21 grants of which the last opens it.
fn manifests(upstream: u16) -> String {
    let head = |kind: &str, name: &str| {
        format!("---\napiVersion: aperium.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\n")
    };
    let mut text =
        head("Connector", "bench") + &format!("spec: {{protocol: mcp, url: 'http://127.0.0.1:{upstream}/mcp'}}\n");
    for other in 0..20 {
        text += &head("Grant", &format!("other-{other}"));
        text += &format!("spec: {{subjects: ['client:bench'], connectors: ['other{other}/tools/read_*']}}\n");
    }
    text + &head("Grant", "bench") + "spec: {subjects: ['client:bench'], connectors: ['bench/tools/*']}\n"
}
