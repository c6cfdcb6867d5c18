//! A company, a database server, and one program of ours over a folder; all that they are told is unique.

use crate::client::Client;
use crate::company::{Company, SIGN_IN};
use crate::manifests::{self, Manifests, ROLE};
use crate::places::{Kind, Places};
use aperium_tests::canary::{Planted, random};
use aperium_tests::postgres::Postgres;
use aperium_tests::process::{Process, Program, Signal};
use aperium_tests::{binaries, http, ports, wait};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

const READY: Duration = Duration::from_secs(30);
/// All that any library has to tell.
const EVERYTHING: &str = "trace";

/// What every bed has.
pub(crate) struct Bed {
    pub(crate) planted: Planted,
    pub(crate) places: Places,
    /// The id of a connector, and a part of every path: what the scan must find everywhere.
    pub(crate) control: String,
    pub(crate) company: Company,
    pub(crate) database: Postgres,
    pub(crate) passwords: Vec<String>,
    pub(crate) tokens: Tokens,
    folder: tempfile::TempDir,
}

/// Tokens of clients.
pub(crate) struct Tokens {
    pub(crate) acme: String,
    pub(crate) globex: String,
    pub(crate) boss: String,
    /// One that nobody has been given.
    pub(crate) wrong: String,
}

/// A program of ours that runs.
pub(crate) struct Running {
    pub(crate) process: Process,
    pub(crate) client: Client,
    /// Probes and metrics, where their address is known.
    pub(crate) admin: Option<Client>,
}

impl Bed {
    pub(crate) async fn new() -> Self {
        let (planted, places) = (Planted::default(), Places::default());
        let company = Company::open(&places, &planted).await;
        let database = Postgres::start();
        let passwords: Vec<_> = (0..2).map(|_| planted.plant("stored password")).collect();
        database.create_role(ROLE, &passwords[0]);
        let tokens = Tokens {
            acme: planted.plant("token of a client"),
            globex: planted.plant("token of a client"),
            boss: planted.plant("token of an admin"),
            wrong: planted.plant("token that is wrong"),
        };
        let control = random()[..32].to_owned();
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join(&control)).expect("a folder");
        Self { planted, places, control, company, database, passwords, tokens, folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(&self.control).join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).expect("a folder");
        std::fs::write(&path, text).expect("a file");
        path
    }

    /// The manifests, in this folder.
    pub(crate) fn write_manifests(&self, folder: &str) {
        let Manifests { open, secret } =
            manifests::manifests(&self.control, self.company.address, &self.database, &self.planted);
        self.write(&format!("{folder}/manifests.yaml"), &open);
        self.write(&format!("{folder}/secrets.yaml"), &secret);
    }

    /// What is common to all settings: clients with tokens, and a collector of traces.
    pub(crate) fn settings(&self) -> Value {
        let client = |name: &str, token: &str, tenant: &str| {
            let hash: String = Sha256::digest(token).iter().map(|byte| format!("{byte:02x}")).collect();
            json!({"name": name, "sha256": [format!("sha256:{hash}")], "tenant": tenant})
        };
        let clients = [
            client("acme", &self.tokens.acme, "acme"),
            client("globex", &self.tokens.globex, "globex"),
            client("boss", &self.tokens.boss, "acme"),
        ];
        json!({
            "authentication": {"staticTokens": clients},
            "telemetry": {"otlpEndpoint": format!("{}/v1/traces", self.company.url())},
        })
    }

    /// `aperium up` over these arguments, with these variables and its data in a folder of its own.
    pub(crate) fn up(&self, args: &[PathBuf], variables: &[(&str, &str)]) -> Running {
        let port = ports::free();
        let mut program = Program::new("canary-up", binaries::aperium())
            .args(["up", "--listen", &format!("127.0.0.1:{port}")])
            .args(args)
            .env("APERIUM_DATA", self.path("data"))
            .env("RUST_LOG", EVERYTHING)
            .end_with(Signal::INT);
        for (name, value) in variables {
            program = program.env(name, *value);
        }
        let mut process = program.spawn();
        process.wait_for_line("Ctrl-C stops", READY);
        self.running(process, port)
    }

    /// `aperium-gateway` over the manifests and a PostgreSQL, with people who sign in at the company or with a password;
    /// and that password, which is root's.
    pub(crate) async fn gateway(&self) -> (String, Running) {
        let password = self.planted.plant("password of a person");
        self.write("login/local.root", &self.hash(&password));
        self.write("login/oidc.corp", &self.planted.plant("secret of the sign-in"));
        let key = STANDARD.encode(&self.planted.plant("key that seals").as_bytes()[..32]);
        self.write("keys.json", &json!({"current": "k1", "keys": {"k1": key}}).to_string());
        let platform = self.planted.plant("password of the platform");
        self.database.create_role("aperium", &platform);
        self.database.sql("postgres", "CREATE DATABASE aperium OWNER aperium");
        let url = format!("postgres://aperium:{platform}@{}/aperium", self.database.address());
        self.write("database-url", &url);
        let [public, in_cluster, admin] = ports::free_many();
        let (issuer, own) = (self.company.url(), format!("http://127.0.0.1:{public}"));
        let mut settings = self.settings();
        let at = |port: u16| format!("127.0.0.1:{port}");
        settings["listeners"] = json!({"public": at(public), "inCluster": at(in_cluster), "admin": at(admin)});
        settings["hosts"] = json!({"publicUrl": own});
        settings["egress"] = json!({"allowHosts": [self.company.address.to_string()]});
        let claims = json!({"tenant": "org"});
        settings["authentication"]["oidc"] = json!([{"issuer": issuer, "audiences": ["aperium"], "claims": claims}]);
        settings["authentication"]["login"] = json!({
            "oidc": [{"name": "corp", "issuer": issuer, "clientId": SIGN_IN}],
            "local": [{"name": "root", "tenant": "acme"}],
        });
        self.write("settings.yaml", &settings.to_string());
        let mut program = Program::new("canary-gateway", binaries::gateway())
            .env("RUST_LOG", EVERYTHING)
            .env("POD_NAME", &self.control)
            .end_with(Signal::TERM);
        for (name, file) in [
            ("--settings", "settings.yaml"),
            ("--folder", "folder"),
            ("--encryption-keys", "keys.json"),
            ("--login-dir", "login"),
            ("--database-url-file", "database-url"),
        ] {
            program = program.arg(name).arg(self.path(file));
        }
        let mut process = program.spawn();
        let probe = format!("http://127.0.0.1:{admin}/readyz");
        wait::until("the gateway is ready", READY, async || {
            http::get(&probe, &[]).await.ok().filter(|reply| reply.status == 200)
        })
        .await;
        assert!(process.running(), "{}", process.last_lines());
        (password, Running { admin: Some(self.client(admin)), ..self.running(process, public) })
    }

    /// What `aperium password` prints for a password that it reads.
    fn hash(&self, password: &str) -> String {
        let mut process = Program::new("canary-password", binaries::aperium()).arg("password").with_stdin().spawn();
        process.stdin().expect("its input").write_all(password.as_bytes()).expect("it reads");
        assert!(process.wait(READY).is_some_and(|status| status.success()), "{}", process.last_lines());
        self.places.add_output("canary-password", &process);
        let hash = process.log().trim().to_owned();
        self.planted.notice("hash of a password", hash.rsplit('$').next().expect("a hash"));
        hash
    }

    /// The platform's database: its files, and its rows as text.
    pub(crate) fn add_database(&self) {
        self.database.sql("postgres", "CHECKPOINT");
        self.places.add_files(Kind::Pages, &self.database.data_folder());
        self.places.add(Kind::Rows, "pg_dump", self.database.dump("aperium"));
    }

    pub(crate) fn running(&self, process: Process, port: u16) -> Running {
        Running { process, client: self.client(port), admin: None }
    }

    fn client(&self, port: u16) -> Client {
        Client::new(&format!("http://127.0.0.1:{port}"), &self.places, &self.planted)
    }

    /// A program that does its work and ends: what it prints is a place.
    pub(crate) fn run(&self, name: &str, program: PathBuf, args: &[&str], variables: &[(&str, &str)]) -> Ended {
        let mut program = Program::new(name, program).args(args.iter().copied()).env("RUST_LOG", EVERYTHING);
        for (name, value) in variables {
            program = program.env(name, *value);
        }
        let mut process = program.spawn();
        let status = process.wait(READY).unwrap_or_else(|| panic!("{name} goes on:\n{}", process.last_lines()));
        self.places.add_output(name, &process);
        Ended { good: status.success(), said: process.log() }
    }
}

impl Running {
    /// Ends it; all that it printed is a place.
    pub(crate) fn end(&mut self, bed: &Bed, name: &str, signal: Signal) {
        self.process.signal(signal);
        let status = self.process.wait(READY);
        assert!(status.is_some_and(|status| status.success()), "{name}: {status:?} {}", self.process.last_lines());
        bed.places.add_output(name, &self.process);
    }
}

/// A program that has ended.
pub(crate) struct Ended {
    pub(crate) good: bool,
    pub(crate) said: String,
}
