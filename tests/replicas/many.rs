//! 200 connectors under 1,000 grants, one of whose upstreams falls silent.

use crate::bed::{Caller, Replica, message, prepare};
use crate::upstream::{self, TOOLS};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

const CONNECTORS: usize = 200;
/// The connector whose upstream falls silent.
const SILENT: &str = "c100";
/// What no list and no call of the others may take, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(5);
/// By how much the process may grow meanwhile: buffers and pooled connections.
const GROWTH: u64 = 32 << 20;
const MORE_FILES: usize = 64;

/// A connector for each number, and five grants of two tools each; two files, as one may hold 1,024 documents.
fn manifests(port: u16) -> [String; 2] {
    let head = |kind: &str, name: &str| {
        format!("---\napiVersion: aperium.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\n")
    };
    let (mut connectors, mut grants) = (String::new(), String::new());
    for name in (0..CONNECTORS).map(|at| format!("c{at:03}")) {
        let path = if name == SILENT { "stalled" } else { "mcp" };
        connectors += &head("Connector", &name);
        connectors += &format!("spec: {{protocol: mcp, url: 'http://127.0.0.1:{port}/{path}'}}\n");
        for (at, two) in TOOLS.chunks(2).enumerate() {
            let patterns: Vec<String> = two.iter().map(|tool| format!("'{name}/tools/{tool}'")).collect();
            grants += &head("Grant", &format!("{name}-{at}"));
            grants += &format!("spec: {{subjects: ['client:agent'], connectors: [{}]}}\n", patterns.join(", "));
        }
    }
    [connectors, grants]
}

/// The names in order, without those of the silent one when told so.
async fn names(caller: &Caller, url: &str, all: bool) -> Vec<String> {
    let reply = caller.send(url, "tools/list", json!({})).await.expect("a list");
    let list: Value = message(&reply);
    let tools = list["result"]["tools"].as_array().expect("tools").iter();
    let names = tools.map(|tool| tool["name"].as_str().expect("a name").to_owned());
    names.filter(|name| all || !name.starts_with(SILENT)).collect()
}

fn open_files(replica: &Replica) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", replica.process.id())).expect("a running process").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_200_connectors_one_that_falls_silent_changes_nothing_for_the_rest() {
    let upstream = upstream::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let manifests = manifests(upstream.port);
    prepare(folder.path(), &[&manifests[0], &manifests[1]]);
    let replica = Replica::start("many", folder.path(), upstream.port, CONNECTORS).await;
    let caller = Caller::default();
    let expected = |all: bool| -> Vec<String> {
        let connectors = (0..CONNECTORS).map(|at| format!("c{at:03}")).filter(|name| all || name != SILENT);
        connectors.flat_map(|name| TOOLS.map(|tool| format!("{name}_{tool}"))).collect()
    };
    assert_eq!(names(&caller, &replica.url, true).await, expected(true));

    upstream.stalled.store(true, Ordering::Relaxed);
    let (memory, files) = (replica.process.resident_bytes(), open_files(&replica));
    let (waits, url) = (caller.clone(), replica.url.clone());
    let stuck = tokio::spawn(async move {
        waits.send(&url, "tools/call", json!({"name": format!("{SILENT}_write"), "arguments": {"what": "x"}})).await
    });
    let (began, mut round) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(if crate::soaking() { 30 } else { 4 }) {
        let started = Instant::now();
        assert_eq!(names(&caller, &replica.url, false).await, expected(false));
        let (what, name) = (format!("round-{round}"), format!("c{:03}_write", (round * 7) % 100));
        let call = caller.send(&replica.url, "tools/call", json!({"name": name, "arguments": {"what": what}}));
        let answer = message(&call.await.expect("an answer"));
        assert_eq!(answer["result"]["content"][0]["text"], what.as_str(), "{answer}");
        assert!(started.elapsed() < PATIENCE, "round {round} took {:?}", started.elapsed());
        round += 1;
    }
    println!("{round} rounds beside a silent upstream");
    assert!(round > 0);
    let (memory_now, files_now) = (replica.process.resident_bytes(), open_files(&replica));
    assert!(memory_now <= memory + GROWTH, "{memory} bytes became {memory_now}");
    assert!(files_now <= files + MORE_FILES, "{files} open files became {files_now}");
    stuck.abort();
}
