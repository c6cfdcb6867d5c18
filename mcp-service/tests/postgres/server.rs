//! A real PostgreSQL for the tests: started on loopback from a fresh directory, gone with the last test that holds it.
//!
//! The server is a child of one thread of its own and dies with it (`--pdeathsig`), so that a killed test run leaves
//! nothing behind either.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub(crate) const SUPERUSER_PASSWORD: &str = "super-canary-6c1f";
pub(crate) const ROLE: &str = "agent";
pub(crate) const ROLE_PASSWORD: &str = "role-canary-91d2";

pub(crate) struct Server {
    pub(crate) port: u16,
    pub(crate) certificates: PathBuf,
    dir: tempfile::TempDir,
    stop: mpsc::Sender<Order>,
    keeper: Option<JoinHandle<()>>,
}

enum Order {
    Stop,
    Start(mpsc::Sender<()>),
    End,
}

static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());

/// The server that all tests of this run share.
pub(crate) fn shared() -> Arc<Server> {
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(server) = shared.upgrade() {
        return server;
    }
    let server = Arc::new(Server::start());
    *shared = Arc::downgrade(&server);
    server
}

impl Server {
    /// A fresh server with the test schema.
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("permissions");
        let data = dir.path().join("data");
        fs::create_dir(&data).expect("data");
        let password_file = dir.path().join("password");
        fs::write(&password_file, SUPERUSER_PASSWORD).expect("password");
        let certificates = dir.path().join("tls");
        make_certificates(&certificates);
        run(Command::new("chown").args(["-R", "postgres"]).arg(dir.path()));
        run(as_postgres("initdb")
            .arg("-D")
            .arg(&data)
            .args(["-U", "postgres", "-A", "scram-sha-256", "--no-sync", "-E", "UTF8", "--pwfile"])
            .arg(&password_file));
        let port = free_port();
        let mut settings = fs::OpenOptions::new().append(true).open(data.join("postgresql.conf")).expect("settings");
        write!(
            settings,
            "listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = ''\nfsync = off\nmax_connections = 60\n\
             ssl = on\nssl_cert_file = '{0}/server.crt'\nssl_key_file = '{0}/server.key'\nssl_ca_file = '{0}/ca.crt'\n\
             shared_preload_libraries = 'pg_stat_statements'\nlog_min_messages = fatal\nlog_min_error_statement = panic\n",
            certificates.display()
        )
        .expect("settings");
        let (stop, orders) = mpsc::channel();
        let keeper = std::thread::spawn(move || keep(&data, &orders));
        let server = Self { port, certificates, dir, stop, keeper: Some(keeper) };
        server.up();
        server.psql("postgres", include_str!("schema.sql"));
        server
    }

    /// Starts it (again).
    pub(crate) fn up(&self) {
        let (started, wait) = mpsc::channel();
        self.stop.send(Order::Start(started)).expect("the keeper lives");
        wait.recv().expect("the server starts");
        let end = Instant::now() + Duration::from_secs(30);
        while !as_postgres("pg_isready")
            .args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string()])
            .status()
            .expect("pg_isready")
            .success()
        {
            assert!(Instant::now() < end, "the server does not answer");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Stops it; the port stays the same.
    pub(crate) fn down(&self) {
        self.stop.send(Order::Stop).expect("the keeper lives");
        let end = Instant::now() + Duration::from_secs(30);
        while self.dir.path().join("data/postmaster.pid").exists() {
            assert!(Instant::now() < end, "the server does not stop");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Runs SQL as the superuser.
    pub(crate) fn psql(&self, database: &str, sql: &str) -> String {
        let mut child = Command::new(binary("psql"))
            .args([
                "-X",
                "-q",
                "-A",
                "-t",
                "-v",
                "ON_ERROR_STOP=1",
                "-h",
                "127.0.0.1",
                "-U",
                "postgres",
                "-d",
                database,
            ])
            .args(["-p", &self.port.to_string()])
            .env("PGPASSWORD", SUPERUSER_PASSWORD)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("psql");
        child.stdin.take().expect("stdin").write_all(sql.as_bytes()).expect("psql reads");
        let output = child.wait_with_output().expect("psql");
        assert!(output.status.success(), "psql failed");
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.stop.send(Order::End);
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.join();
        }
    }
}

/// Owns the child: a process dies with the thread that started it.
fn keep(data: &Path, orders: &mpsc::Receiver<Order>) {
    let mut child: Option<Child> = None;
    for order in orders {
        match order {
            Order::Start(started) => {
                let server = as_postgres("postgres").arg("-D").arg(data).stderr(Stdio::null()).spawn();
                child = Some(server.expect("postgres starts"));
                let _ = started.send(());
            }
            Order::Stop => end(child.take()),
            Order::End => break,
        }
    }
    end(child.take());
}

fn end(child: Option<Child>) {
    let Some(mut child) = child else { return };
    // A fast shutdown: sessions are cut, the directory is left consistent.
    run(Command::new("kill").args(["-INT", &child.id().to_string()]));
    let _ = child.wait();
}

/// PostgreSQL refuses to run as root.
fn as_postgres(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--pdeathsig=QUIT", "--"]);
    command.arg(binary(program)).current_dir("/").stdout(Stdio::null());
    command
}

fn binary(name: &str) -> PathBuf {
    let mut versions: Vec<_> = fs::read_dir("/usr/lib/postgresql")
        .expect("the Debian package postgresql")
        .filter_map(|entry| Some(entry.ok()?.path().join("bin").join(name)))
        .filter(|path| path.exists())
        .collect();
    versions.sort();
    versions.pop().expect("a PostgreSQL server")
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}

/// Two CAs; certificates of the first for the server (as `localhost`, not as 127.0.0.1) and for a client.
fn make_certificates(dir: &Path) {
    fs::create_dir(dir).expect("tls");
    let openssl = |arguments: &str| {
        run(Command::new("openssl").args(arguments.split(' ')).current_dir(dir).stderr(Stdio::null()));
    };
    for name in ["ca", "other"] {
        openssl(&format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN={name} -keyout {name}.key -out {name}.crt"
        ));
    }
    for (name, subject, alternative) in [("server", "localhost", "DNS:localhost"), ("client", "agent", "DNS:agent")] {
        openssl(&format!(
            "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN={subject} -keyout {name}.key -out {name}.csr"
        ));
        fs::write(dir.join("ext"), format!("subjectAltName={alternative}\n")).expect("ext");
        openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out {name}.crt"
        ));
    }
    fs::set_permissions(dir.join("server.key"), fs::Permissions::from_mode(0o600)).expect("permissions");
}

fn run(command: &mut Command) {
    let status = command.stdout(Stdio::null()).status().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "{command:?} failed");
}
