//! The audit log as real gateways write it and the command line reads it: whoever has the whole database changes it, and
//! `aperium audit verify` says what.

use crate::databases::{Database, ring_text};
use aperium_tests::process::{Process, Program, Signal};
use aperium_tests::{binaries, http, ports, wait};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const TOKEN: &str = "agent-token";
const CALLS: usize = 6;
const GRANT: &str = "apiVersion: aperium.dev/v1alpha1\nkind: Grant\nmetadata: {name: all}\n\
    spec: {subjects: ['client:agent', '(loopback)'], connectors: ['**']}\n";

/// A database that gateways have written to and left, and where to find it.
struct Written {
    database: Database,
    folder: tempfile::TempDir,
    /// What the command line needs to find it.
    place: Vec<String>,
    gateways: usize,
}

impl Written {
    /// By two gateways at the same time.
    async fn postgres() -> Self {
        let (database, folder) = (Database::postgres(), tempfile::tempdir().unwrap());
        let (manifests, keys, url) =
            (folder.path().join("manifests"), folder.path().join("keys.json"), folder.path().join("url"));
        std::fs::create_dir(&manifests).unwrap();
        std::fs::write(manifests.join("grant.yaml"), GRANT).unwrap();
        std::fs::write(&keys, ring_text(&[1])).unwrap();
        std::fs::write(&url, database.url()).unwrap();
        let (one, other) = tokio::join!(gateway("one", folder.path()), gateway("other", folder.path()));
        for (mut process, address) in [one, other] {
            call(&address, Some(TOKEN)).await;
            assert!(process.terminate(Duration::from_secs(20)).success(), "{}", process.last_lines());
        }
        let place = ["--ring", text(&keys), "--database-url-file", text(&url)].map(str::to_owned).to_vec();
        Self { database, folder, place, gateways: 2 }
    }

    /// By `aperium up`, into its own database.
    async fn sqlite() -> Self {
        let (database, folder) = (Database::sqlite(), tempfile::tempdir().unwrap());
        let Database::Sqlite(data) = &database else { panic!("it is one") };
        let (data, port) = (data.path().to_owned(), ports::free());
        std::fs::write(folder.path().join("grant.yaml"), GRANT).unwrap();
        let mut process = Program::new("aperium-up", binaries::aperium())
            .args(["up", "--listen", &format!("127.0.0.1:{port}"), "--data", text(&data)])
            .arg(folder.path())
            .end_with(Signal::INT)
            .spawn();
        process.wait_for_line("Ctrl-C stops", Duration::from_secs(30));
        call(&format!("127.0.0.1:{port}"), None).await;
        process.signal(Signal::INT);
        assert!(process.wait(Duration::from_secs(20)).unwrap().success(), "{}", process.last_lines());
        Self { database, folder, place: vec!["--data".to_owned(), text(&data).to_owned()], gateways: 1 }
    }

    /// `aperium audit …`: whether it was content, and what it said.
    fn audit(&self, verb: &str, more: &[&str]) -> (bool, String) {
        let done =
            Command::new(binaries::aperium()).args(["audit", verb]).args(&self.place).args(more).output().unwrap();
        let said = [done.stdout, done.stderr].concat();
        (done.status.success(), String::from_utf8(said).unwrap())
    }

    /// Whoever owns the database takes the triggers away first.
    async fn without_triggers(&self) {
        let statements: &[&'static str] = match &self.database {
            Database::Postgres(_) => {
                &["ALTER TABLE audit_entries DISABLE TRIGGER ALL", "ALTER TABLE audit_checkpoints DISABLE TRIGGER ALL"]
            }
            Database::Sqlite(_) => &[
                "DROP TRIGGER audit_entries_update",
                "DROP TRIGGER audit_entries_delete",
                "DROP TRIGGER audit_checkpoints_delete",
            ],
        };
        for sql in statements {
            self.database.attack(sql).await;
        }
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A gateway over the folder and the database; it is ready.
async fn gateway(name: &str, folder: &Path) -> (Process, String) {
    let [public, in_cluster, admin] = ports::free_many();
    let hash: String = Sha256::digest(TOKEN).iter().map(|byte| format!("{byte:02x}")).collect();
    let settings: PathBuf = folder.join(format!("{name}.yaml"));
    let written = format!(
        "listeners: {{public: '127.0.0.1:{public}', inCluster: '127.0.0.1:{in_cluster}', admin: '127.0.0.1:{admin}'}}\n\
         authentication:\n  staticTokens:\n    - {{name: agent, tenant: acme, sha256: [\"sha256:{hash}\"]}}\n"
    );
    std::fs::write(&settings, written).unwrap();
    let process = Program::new(name, binaries::gateway())
        .args(["--settings", text(&settings), "--folder", text(&folder.join("manifests"))])
        .args(["--encryption-keys", text(&folder.join("keys.json"))])
        .env("APERIUM_DATABASE_URL_FILE", text(&folder.join("url")))
        .spawn();
    let probe = format!("http://127.0.0.1:{admin}/readyz");
    wait::until("the gateway is ready", Duration::from_secs(30), async || {
        http::get(&probe, &[]).await.ok().filter(|reply| reply.status == 200).map(|_| ())
    })
    .await;
    (process, format!("127.0.0.1:{public}"))
}

/// Asks for what is not there, some times.
async fn call(address: &str, token: Option<&str>) {
    let bearer = format!("Bearer {}", token.unwrap_or_default());
    let headers: &[(&str, &str)] = if token.is_some() { &[("authorization", &bearer)] } else { &[] };
    for at in 0..CALLS {
        let params = json!({ "name": format!("odoo_tool{at}"), "arguments": {} });
        let message = json!({ "jsonrpc": "2.0", "id": at, "method": "tools/call", "params": params });
        let reply = http::post_json(&format!("http://{address}/v1/mcp"), headers, &message).await.unwrap();
        assert!(reply.text().contains("Unknown tool"), "{}", reply.text());
    }
}

/// What is done to the log, how it is undone, and what must be found.
const ATTACKS: [(&[&str], &[&str], &str); 4] = [
    (
        &["CREATE TABLE kept AS SELECT * FROM audit_entries WHERE seq = 3", "DELETE FROM audit_entries WHERE seq = 3"],
        &["INSERT INTO audit_entries SELECT * FROM kept", "DROP TABLE kept"],
        "records 3 to 3 were removed",
    ),
    (
        &["UPDATE audit_entries SET line = replace(line, 'odoo_tool1', 'odoo_tool9') WHERE seq = 2"],
        &["UPDATE audit_entries SET line = replace(line, 'odoo_tool9', 'odoo_tool1') WHERE seq = 2"],
        "record 2 was altered",
    ),
    (
        &[
            "UPDATE audit_entries SET seq = -seq WHERE seq IN (3, 4)",
            "UPDATE audit_entries SET seq = 7 + seq WHERE seq < 0",
        ],
        &[
            "UPDATE audit_entries SET seq = -seq WHERE seq IN (3, 4)",
            "UPDATE audit_entries SET seq = 7 + seq WHERE seq < 0",
        ],
        "record 3 was moved here: it is record 4 of",
    ),
    (
        &["CREATE TABLE kept AS SELECT * FROM audit_entries WHERE seq = 6", "DELETE FROM audit_entries WHERE seq = 6"],
        &["INSERT INTO audit_entries SELECT * FROM kept", "DROP TABLE kept"],
        "records 6 to 6 were removed from the end",
    ),
];

#[tokio::test]
async fn a_removed_an_altered_and_a_reordered_record_are_found_in_what_real_gateways_have_written() {
    for written in [Written::postgres().await, Written::sqlite().await] {
        let (intact, said) = written.audit("verify", &[]);
        let count = written.gateways * CALLS;
        let counted = format!("{count} records in {} chains, 0 of them not covered", written.gateways);
        assert!(intact && said.contains(&counted), "{said}");
        let line = |name: &str| {
            let found = said.lines().find_map(|line| line.strip_prefix(name));
            found.unwrap_or_else(|| panic!("no {name} in {said}")).to_owned()
        };
        let (noted, key) = (line("last checkpoint: "), line("key: "));
        written.without_triggers().await;
        for (done, undone, found) in ATTACKS {
            for sql in done {
                written.database.attack(sql).await;
            }
            let (intact, said) = written.audit("verify", &[]);
            assert!(!intact && said.contains(found) && said.contains("not intact"), "{done:?}: {said}");
            for sql in undone {
                written.database.attack(sql).await;
            }
            assert!(written.audit("verify", &["--noted", &noted, "--key", &key]).0, "{undone:?}");
        }

        // All of it gone: nothing is left to be wrong, and whoever has noted the last checkpoint sees it.
        written.database.attack("CREATE TABLE kept AS SELECT * FROM audit_checkpoints").await;
        written.database.attack("DELETE FROM audit_checkpoints").await;
        let (intact, said) = written.audit("verify", &["--noted", &noted]);
        assert!(!intact && said.contains("is not the one that was noted"), "{said}");
        written.database.attack("INSERT INTO audit_checkpoints SELECT * FROM kept").await;

        let file = written.folder.path().join("records.jsonl");
        assert!(written.audit("export", &["--out", text(&file)]).0);
        assert!(!written.audit("export", &["--out", text(&file)]).0, "nothing is written over");
        let exported = std::fs::read_to_string(&file).unwrap();
        assert_eq!(exported, written.audit("export", &[]).1);
        let records: Vec<Value> = exported.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(records.len(), count);
        assert!(records.iter().all(|record| record["decision"] == "denied" && record["outcome"] == "unknown_tool"));
        let acme = written.audit("export", &["--tenant", "acme"]).1.lines().count();
        assert_eq!(acme, if written.gateways == 2 { count } else { 0 });
    }
}

#[tokio::test]
async fn what_retention_has_removed_is_not_missed() {
    for written in [Written::postgres().await, Written::sqlite().await] {
        let keys = match &written.database {
            Database::Postgres(_) => written.folder.path().join("keys.json"),
            Database::Sqlite(data) => data.path().join("encryption-keys.json"),
        };
        let store = written.database.store(&aperium_platform::seal::Sealer::file(keys)).await;
        let later = aperium_store::now_ms() + 3 * 24 * 60 * 60 * 1000;
        let retained = store.audit_retain(later).await.unwrap();
        assert_eq!((retained.removed, retained.altered.len()), ((written.gateways * CALLS) as u64, 0));
        let (intact, said) = written.audit("verify", &[]);
        assert!(intact && said.contains("0 records in"), "{said}");
        // Without the key nobody can do the same.
        store.close().await;
    }
}
