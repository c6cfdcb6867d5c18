//! The platform database: a PostgreSQL beside the load, on CPU 0. It has a machine of its own where a gateway is under
//! load, so here it takes what the load leaves.

use aperium_tests::postgres::Postgres;
use rustix::process::{Pid, setpriority_process};
use std::io::ErrorKind;

/// The least that a program can ask for.
const NICE: i32 = 19;
/// As URLs have it: nothing in it is escaped.
const PASSWORD: &str = "benchmark";

/// A server with the database `aperium`, which an ordinary role owns.
pub(crate) struct Database(Postgres);

impl Database {
    pub(crate) fn start() -> Self {
        let server = Postgres::start();
        server.create_role("aperium", PASSWORD);
        server.sql("postgres", "CREATE DATABASE aperium OWNER aperium");
        Self(server)
    }

    /// Its URL, for a program.
    pub(crate) fn url(&self) -> String {
        format!("postgres://aperium:{PASSWORD}@{}/aperium", self.0.address())
    }

    /// Lets the load go first, as far as the connections are open.
    pub(crate) fn stand_back(&self) {
        for pid in self.0.sql("postgres", "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()").lines() {
            let process = Pid::from_raw(pid.parse().expect("a number")).expect("a process");
            // One that has just ended needs nothing; and every process has the group of its session, if there are any.
            setpriority_process(Some(process), NICE).or_else(gone).expect("a priority can be lowered");
            let group = std::fs::write(format!("/proc/{pid}/autogroup"), NICE.to_string());
            assert!(
                group.is_ok() || group.is_err_and(|error| error.kind() == ErrorKind::NotFound),
                "autogroup of {pid}"
            );
        }
    }

    /// Records of the audit log.
    pub(crate) fn records(&self) -> u64 {
        self.0.sql("aperium", "SELECT count(*) FROM audit_entries").parse().expect("a number")
    }
}

fn gone(error: rustix::io::Errno) -> Result<(), rustix::io::Errno> {
    if error == rustix::io::Errno::SRCH { Ok(()) } else { Err(error) }
}
