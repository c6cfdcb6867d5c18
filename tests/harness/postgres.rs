//! A real PostgreSQL: a fresh cluster of its own in a temporary folder, passwords by SCRAM, no waiting for the disk.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::{
    process::{Process, Program},
    wait,
};

const START_LIMIT: Duration = Duration::from_secs(60);
/// The user that owns the server: PostgreSQL refuses to run as root.
const OWNER: &str = "postgres";

/// A PostgreSQL server; it stops when dropped.
pub struct Postgres {
    programs: PathBuf,
    folder: TempDir,
    address: SocketAddr,
    settings: Vec<(String, String)>,
    process: Option<Process>,
}

impl Postgres {
    /// Makes and starts a server on 127.0.0.1 and a free port.
    ///
    /// # Panics
    /// Like every function here: when PostgreSQL is not installed or does not do what it is asked.
    #[must_use]
    pub fn start() -> Self {
        Self::start_on(Ipv4Addr::LOCALHOST.into(), &[])
    }

    /// Makes and starts a server on this address (for pods: [`crate::cluster::Cluster::host_ip`]) and a free port, with these
    /// lines of `postgresql.conf`.
    #[must_use]
    pub fn start_on(address: IpAddr, settings: &[(&str, &str)]) -> Self {
        let listener = TcpListener::bind((address, 0)).expect("a free port of the address");
        let address = listener.local_addr().expect("a bound listener has an address");
        drop(listener);
        let mut server = Self {
            programs: programs(),
            folder: tempfile::Builder::new().prefix("aperium-pg").tempdir().expect("a temporary folder"),
            address,
            settings: settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            process: None,
        };
        server.make();
        server.start_again();
        server
    }

    /// Address and port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Address as text.
    #[must_use]
    pub fn host(&self) -> String {
        self.address.ip().to_string()
    }

    /// Port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Its data folder, for certificates (`ssl_cert_file`) and the like; changes need a restart.
    #[must_use]
    pub fn data_folder(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Runs SQL as superuser in a database and gives the rows, columns separated by `|`.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        let output = self.psql(database, sql);
        assert!(output.0, "{sql}: {}", output.1);
        output.1.trim_end().to_owned()
    }

    /// Creates a database.
    pub fn create_database(&self, name: &str) {
        self.sql("postgres", &format!("CREATE DATABASE {}", identifier(name)));
    }

    /// Creates a role that may log in with this password, and nothing more.
    pub fn create_role(&self, name: &str, password: &str) {
        self.sql("postgres", &format!("CREATE ROLE {} LOGIN PASSWORD {}", identifier(name), literal(password)));
    }

    /// Gives a role another password. Connections that are open stay open.
    pub fn set_password(&self, name: &str, password: &str) {
        self.sql("postgres", &format!("ALTER ROLE {} PASSWORD {}", identifier(name), literal(password)));
    }

    /// A database as SQL.
    #[must_use]
    pub fn dump(&self, database: &str) -> String {
        let output = self.client("pg_dump").args(["--dbname", database]).output().expect("pg_dump starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("a dump is text")
    }

    /// Runs what [`Self::dump`] gave in another database.
    pub fn restore(&self, database: &str, dump: &str) {
        let file = self.folder.path().join("dump.sql");
        fs::write(&file, dump).expect("the dump can be written");
        let output = self
            .client("psql")
            .args(["--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--dbname", database, "--file"])
            .arg(&file)
            .output()
            .expect("psql starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Ends every connection of a role.
    pub fn disconnect(&self, role: &str) {
        self.sql(
            "postgres",
            &format!("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = {}", literal(role)),
        );
    }

    /// Stops the server at once; connections are cut, data stays.
    pub fn stop(&mut self) {
        self.process.take();
    }

    /// Starts the stopped server again, on the same port with the same data.
    pub fn start_again(&mut self) {
        let mut program = as_owner("postgres", self.programs.join("postgres"))
            .args(["-D".into(), self.data_folder().into_os_string()])
            // SIGINT is the "fast" shutdown: it cuts connections and removes its shared memory.
            .end_with(Signal::INT);
        for (name, value) in self.base_settings().iter().chain(&self.settings) {
            program = program.arg("-c").arg(format!("{name}={value}"));
        }
        let mut process = program.spawn();
        wait::until_blocking("PostgreSQL answers", START_LIMIT, || {
            assert!(process.running(), "PostgreSQL ended:\n{}", process.last_lines());
            self.psql("postgres", "SELECT 1").0.then_some(())
        });
        self.process = Some(process);
    }

    /// What the server logged since it was last started.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.as_ref().map(Process::log).unwrap_or_default()
    }

    fn base_settings(&self) -> Vec<(String, String)> {
        [
            ("listen_addresses", self.host()),
            ("port", self.port().to_string()),
            ("unix_socket_directories", self.folder.path().display().to_string()),
            ("password_encryption", "scram-sha-256".to_owned()),
            ("fsync", "off".to_owned()),
            ("full_page_writes", "off".to_owned()),
            ("shared_buffers", "32MB".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }

    fn make(&self) {
        if is_root() {
            let owner = format!("{OWNER}:");
            let chown = Command::new("chown").arg(owner).arg(self.folder.path()).status().expect("chown starts");
            assert!(chown.success(), "the folder cannot be given to the user {OWNER}");
        }
        let mut initdb = as_owner("initdb", self.programs.join("initdb"))
            .arg("--pgdata")
            .arg(self.data_folder())
            .args([
                "--no-sync",
                "--auth-local=trust",
                "--auth-host=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
            ])
            .args(["--username", OWNER])
            .spawn();
        let status = initdb.wait(START_LIMIT);
        assert!(status.is_some_and(|status| status.success()), "initdb failed:\n{}", initdb.last_lines());
        // The superuser has no password, so nobody becomes it over the network; over the socket only our own user reaches it.
        let rules = "local all all trust\nhost all all all scram-sha-256\n";
        fs::write(self.data_folder().join("pg_hba.conf"), rules).expect("pg_hba.conf can be written");
    }

    /// One of PostgreSQL's own clients, as superuser.
    fn client(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command.args(["--username", OWNER, "--port", &self.port().to_string(), "--host"]).arg(self.folder.path());
        command.env_clear().stdin(Stdio::null());
        command
    }

    fn psql(&self, database: &str, sql: &str) -> (bool, String) {
        let output = self
            .client("psql")
            .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set", "ON_ERROR_STOP=1"])
            .args(["--dbname", database, "--command", sql])
            .output()
            .expect("psql starts");
        let text = if output.status.success() { output.stdout } else { output.stderr };
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }
}

fn as_owner(name: &str, program: PathBuf) -> Program {
    let program = Program::new(name, program).folder("/");
    if is_root() { program.user(OWNER) } else { program }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The newest installed version: Debian keeps each in a folder of its own.
fn programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    versions
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path().join("bin"))))
        .filter(|(_, programs)| is_complete(programs))
        .max()
        .expect("PostgreSQL is installed (Debian: postgresql)")
        .1
}

fn is_complete(programs: &Path) -> bool {
    ["initdb", "postgres", "psql"].iter().all(|name| programs.join(name).is_file())
}

fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_takes_a_changed_password_and_comes_back_with_its_data() {
        let mut server = Postgres::start();
        server.create_database("clinic");
        server.create_role("o'brien", "it's \"secret\"");
        server.sql("clinic", "CREATE TABLE wards (name text)");
        server.sql("clinic", "INSERT INTO wards VALUES ('east')");
        assert!(login(&server, "it's \"secret\""));
        server.set_password("o'brien", "another");
        assert!(!login(&server, "it's \"secret\""));
        assert!(login(&server, "another"));
        server.stop();
        assert!(!login(&server, "another"), "a stopped server answers nobody");
        server.start_again();
        assert_eq!(server.sql("clinic", "SELECT name FROM wards"), "east");
    }

    fn login(server: &Postgres, password: &str) -> bool {
        let port = server.port().to_string();
        Command::new(programs().join("psql"))
            .args([
                "--host",
                &server.host(),
                "--port",
                &port,
                "--username",
                "o'brien",
                "--dbname",
                "clinic",
                "--command",
                "SELECT 1",
            ])
            .env("PGPASSWORD", password)
            .output()
            .expect("psql starts")
            .status
            .success()
    }
}
