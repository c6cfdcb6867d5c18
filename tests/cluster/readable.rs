//! What somebody can read in the cluster who may not read Secrets: objects, events, logs, the API server's audit log, the
//! command lines of the node, and the files of the platform's database.

use crate::story::SYSTEM;
use crate::story::database::Database;
use aperium_tests::canary::{Planted, Scanner};
use aperium_tests::cluster::Cluster;
use std::fs;
use std::path::Path;

/// Everything of these kinds, with specification and status.
const OBJECTS: &str = "connectors.aperium.dev,grants.aperium.dev,configmaps,pods,deployments,replicasets,services,\
    endpointslices,events,serviceaccounts,networkpolicies,leases,poddisruptionbudgets,horizontalpodautoscalers";

/// None of these secrets is in any of it. `visible`: what must be.
pub(crate) fn holds_none_of(cluster: &Cluster, database: &Database, planted: &Planted, visible: &str) {
    let scanner = Scanner::new(&planted.all());
    let mut read = 0;
    let mut look = |name: &str, bytes: &[u8], visible: &str| {
        let found = scanner.found(bytes);
        assert!(found.is_empty(), "{name} holds {found:?}");
        assert!(visible.is_empty() || has(bytes, visible), "{name} does not even hold {visible}");
        read += bytes.len();
    };
    look("an object", cluster.kubectl(&["get", OBJECTS, "-A", "-o", "json"]).as_bytes(), visible);
    let pods = cluster.kubectl(&["-n", SYSTEM, "get", "pods", "-o", "name"]);
    let mut logs = String::new();
    for pod in pods.lines().filter(|pod| pod.contains("aperium-")) {
        let log = cluster.kubectl(&["-n", SYSTEM, "logs", pod, "--all-containers", "--tail=-1"]);
        assert!(!log.is_empty(), "{pod} said nothing");
        look(pod, log.as_bytes(), "");
        logs.push_str(&log);
    }
    look("a log", logs.as_bytes(), visible);
    // What the test itself runs in its own pod is in the URL of that request.
    let audited = cluster.audit().text();
    let audited: Vec<&str> = audited.lines().filter(|line| !line.contains("\"subresource\":\"exec\"")).collect();
    look("the audit log of the API server", audited.join("\n").as_bytes(), visible);
    look("a command line", &command_lines(), "aperium-gateway");
    look("a row of the platform's database", database.dump_of_the_platform().as_bytes(), visible);
    files(&database.folder(), &mut |path, bytes| look(path, bytes, ""));
    assert!(read > 10_000_000, "there is more to read than {read} bytes");
}

fn has(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// Of every process on the node, pods included.
fn command_lines() -> Vec<u8> {
    let processes = fs::read_dir("/proc").expect("processes").flatten();
    processes.flat_map(|process| fs::read(process.path().join("cmdline")).unwrap_or_default()).collect()
}

fn files(folder: &Path, look: &mut dyn FnMut(&str, &[u8])) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, look);
        } else if let Ok(bytes) = fs::read(&path) {
            look(&path.display().to_string(), &bytes);
        }
    }
}
