//! Two gateways over the same manifests and keys, and a forwarder in front that gives each the next connection.

use crate::upstream::{self, TOOLS, Upstream, Written};
use aperium_tests::http::{self, Reply};
use aperium_tests::process::{Process, Program};
use aperium_tests::{binaries, ports, wait};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::path::Path;
use std::time::Duration;
use tokio::net::TcpListener;

const TOKEN: &str = "replica-token";
const STATELESS: &str = "2026-07-28";
const LEGACY: &str = "2025-11-25";
/// 32 bytes, as base64.
const KEYS: &str = r#"{"current":"k1","keys":{"k1":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}}"#;

/// One gateway.
pub(crate) struct Replica {
    pub(crate) url: String,
    pub(crate) process: Process,
}

/// All of it; ends with its value.
pub(crate) struct Bed {
    /// The way to whichever replica comes next.
    pub(crate) url: String,
    pub(crate) one: Replica,
    pub(crate) other: Replica,
    pub(crate) written: Written,
    _folder: tempfile::TempDir,
}

impl Bed {
    pub(crate) async fn start() -> Self {
        let Upstream { port: upstream, written, .. } = upstream::start().await;
        let folder = tempfile::tempdir().expect("a folder");
        let manifests = format!(
            "apiVersion: aperium.dev/v1alpha1\nkind: Connector\nmetadata: {{name: counter}}\n\
             spec: {{protocol: mcp, url: 'http://127.0.0.1:{upstream}/mcp'}}\n---\n\
             apiVersion: aperium.dev/v1alpha1\nkind: Grant\nmetadata: {{name: all}}\n\
             spec: {{subjects: ['client:agent'], connectors: ['**']}}\n"
        );
        prepare(folder.path(), &[&manifests]);
        let (one, other) = tokio::join!(
            Replica::start("one", folder.path(), upstream, 1),
            Replica::start("other", folder.path(), upstream, 1)
        );
        let url = forwarder([one.address(), other.address()]).await;
        Self { url, one, other, written, _folder: folder }
    }

    /// How often this was written.
    pub(crate) fn written(&self, what: &str) -> u32 {
        self.written.lock().expect("a lock").get(what).copied().unwrap_or_default()
    }
}

/// Writes what all replicas share: a file for each of these texts, and the keys.
pub(crate) fn prepare(folder: &Path, manifests: &[&str]) {
    std::fs::create_dir(folder.join("manifests")).expect("a folder");
    for (at, text) in manifests.iter().enumerate() {
        std::fs::write(folder.join(format!("manifests/{at}.yaml")), text).expect("the manifests");
    }
    std::fs::write(folder.join("keys.json"), KEYS).expect("the keys");
}

impl Replica {
    /// Starts one over a prepared folder and waits until it has discovered so many connectors.
    pub(crate) async fn start(name: &str, folder: &Path, upstream: u16, connectors: usize) -> Self {
        let [public, in_cluster, admin] = ports::free_many();
        let hash: String = Sha256::digest(TOKEN).iter().map(|byte| format!("{byte:02x}")).collect();
        let text = format!(
            "listeners: {{public: '127.0.0.1:{public}', inCluster: '127.0.0.1:{in_cluster}', admin: '127.0.0.1:{admin}'}}\n\
             egress: {{allowHosts: ['127.0.0.1:{upstream}']}}\n\
             authentication:\n  staticTokens:\n    - name: agent\n      sha256: [\"sha256:{hash}\"]\n"
        );
        let settings = folder.join(format!("{name}.yaml"));
        std::fs::write(&settings, text).expect("the settings");
        let mut process = Program::new(name, binaries::gateway())
            .arg("--settings")
            .arg(settings)
            .arg("--folder")
            .arg(folder.join("manifests"))
            .arg("--encryption-keys")
            .arg(folder.join("keys.json"))
            .spawn();
        let each = format!("\"tools\":{}", TOOLS.len());
        let probe = format!("http://127.0.0.1:{admin}/readyz");
        wait::until("the gateway has discovered the upstream", Duration::from_secs(30), async || {
            let reply = http::get(&probe, &[]).await.ok()?;
            (reply.text().matches(&each).count() == connectors).then_some(())
        })
        .await;
        assert!(process.running(), "{}", process.last_lines());
        Self { url: format!("http://127.0.0.1:{public}/v1/mcp"), process }
    }

    fn address(&self) -> String {
        self.url.trim_start_matches("http://").trim_end_matches("/v1/mcp").to_owned()
    }
}

/// Gives each connection to the next replica, or to the one after when that one takes none. Nothing is sent twice: what a
/// replica has accepted is its own.
async fn forwarder(replicas: [String; 2]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/v1/mcp", listener.local_addr().expect("an address"));
    let addresses = replicas.map(|address| address.parse().expect("an address"));
    tokio::spawn(async move {
        let mut turn = 0;
        while let Ok((mut near, _)) = listener.accept().await {
            let order = [addresses[turn % 2], addresses[(turn + 1) % 2]];
            turn += 1;
            tokio::spawn(async move {
                for address in order {
                    if let Ok(mut far) = http::connect(address).await {
                        return tokio::io::copy_bidirectional(&mut near, &mut far).await.map(drop);
                    }
                }
                Ok(())
            });
        }
    });
    url
}

/// A client: in a session, or without one in the newest revision.
#[derive(Clone, Default)]
pub(crate) struct Caller {
    session: Option<String>,
}

impl Caller {
    /// Begins a session.
    pub(crate) async fn initialized(url: &str) -> Self {
        let params =
            json!({"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "c", "version": "1"}});
        let body = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params});
        let token = format!("Bearer {TOKEN}");
        let reply = http::post_json(url, &[("authorization", &token)], &body).await.expect("an answer");
        let session = reply.header("mcp-session-id").unwrap_or_else(|| panic!("no session: {}", reply.text()));
        Self { session: Some(session.to_owned()) }
    }

    /// Sends one request over a connection of its own.
    pub(crate) async fn send(&self, url: &str, method: &str, mut params: Value) -> std::io::Result<Reply> {
        let token = format!("Bearer {TOKEN}");
        let name = params["name"].as_str().map(str::to_owned);
        let mut headers = vec![("authorization", token.as_str())];
        if let Some(session) = &self.session {
            headers.extend([("mcp-session-id", session.as_str()), ("mcp-protocol-version", LEGACY)]);
        } else {
            params["_meta"] = json!({
                "io.modelcontextprotocol/protocolVersion": STATELESS,
                "io.modelcontextprotocol/clientInfo": {"name": "c", "version": "1"},
                "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}},
            });
            headers.extend([("mcp-protocol-version", STATELESS), ("mcp-method", method)]);
            headers.extend(name.as_deref().map(|name| ("mcp-name", name)));
        }
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        http::post_json(url, &headers, &body).await
    }

    /// Calls the tool that writes.
    pub(crate) async fn write(&self, url: &str, what: &str) -> std::io::Result<Value> {
        let params = json!({"name": "counter_write", "arguments": {"what": what}});
        self.send(url, "tools/call", params).await.map(|reply| message(&reply))
    }
}

/// The message of an answer, be it alone or the last of a stream.
pub(crate) fn message(reply: &Reply) -> Value {
    if !reply.header("content-type").unwrap_or_default().starts_with("text/event-stream") {
        return reply.json();
    }
    let data = reply.text().lines().filter_map(|line| line.strip_prefix("data:")).next_back();
    serde_json::from_str(data.unwrap_or_default()).unwrap_or_default()
}
