//! Programs that a test starts: a log file each, their own process group, and an end that cannot be forgotten.

mod spawner;

use std::{
    ffi::OsString,
    fs::{self, File},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use rustix::process::{Pid, kill_process, kill_process_group};

pub use rustix::process::Signal;

use crate::{binaries, environment};

/// How many of the last log lines a failure shows.
const LAST_LINES: usize = 40;

/// A program to be started.
pub struct Program {
    name: String,
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    folder: Option<PathBuf>,
    user: Option<String>,
    end_signal: Signal,
    stdin: bool,
}

impl Program {
    /// `name` is for the log file and for messages. The program inherits `PATH` and `HOME` and no other variable.
    #[must_use]
    pub fn new(name: &str, program: impl Into<OsString>) -> Self {
        Self {
            name: name.to_owned(),
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            folder: None,
            user: None,
            end_signal: Signal::KILL,
            stdin: false,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Starts it in this folder.
    #[must_use]
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Runs it as this user; needs root.
    #[must_use]
    pub fn user(mut self, user: &str) -> Self {
        self.user = Some(user.to_owned());
        self
    }

    /// The signal that ends it on drop and when the test process dies: SIGKILL unless told otherwise;
    /// one of KILL, TERM, INT and QUIT.
    #[must_use]
    pub fn end_with(mut self, signal: Signal) -> Self {
        self.end_signal = signal;
        self
    }

    /// Gives it a standard input, see [`Process::stdin`]; otherwise it reads nothing.
    #[must_use]
    pub fn with_stdin(mut self) -> Self {
        self.stdin = true;
        self
    }

    /// Starts it. Output and errors go to one log file.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn spawn(self) -> Process {
        let log = log_path(&self.name);
        let output = File::create(&log).expect("the log file can be made");
        // setpriv sets "a signal when my parent dies" and replaces itself with the program: the pid is the program's.
        let mut command = Command::new("setpriv");
        if let Some(user) = &self.user {
            command.args(["--reuid", user, "--regid", user, "--init-groups"]);
        }
        command.arg("--pdeathsig").arg(signal_name(self.end_signal)).arg("--").arg(&self.program).args(&self.args);
        command.env_clear().envs(environment::inherited()).envs(self.env);
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        command.stdin(if self.stdin { Stdio::piped() } else { Stdio::null() });
        command.stdout(output.try_clone().expect("a second handle of the log file")).stderr(output);
        command.process_group(0);
        let child = spawner::spawn(command).unwrap_or_else(|error| panic!("{} does not start: {error}", self.name));
        Process { child, name: self.name, log, end_signal: self.end_signal }
    }
}

/// A running program. Dropping it ends its whole process group; when the test is failing, its last log lines are printed.
pub struct Process {
    child: Child,
    name: String,
    log: PathBuf,
    end_signal: Signal,
}

impl Process {
    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its standard input, once, when [`Program::with_stdin`] asked for one.
    pub fn stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// The file that holds what it printed.
    #[must_use]
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// All that it printed so far.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// The last lines of [`Process::log`].
    #[must_use]
    pub fn last_lines(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
    }

    /// Whether it has not ended yet.
    pub fn running(&mut self) -> bool {
        self.status().is_none()
    }

    /// Its exit status, once it has ended.
    pub fn status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be asked for its status")
    }

    /// Waits for its end.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let end = Instant::now() + limit;
        loop {
            let status = self.status();
            if status.is_some() || Instant::now() >= end {
                return status;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sends a signal to the program alone.
    pub fn signal(&self, signal: Signal) {
        // An error means that it has ended already.
        let _gone = kill_process(self.pid(), signal);
    }

    /// Asks it to stop as Kubernetes does (SIGTERM) and gives the status it ended with.
    ///
    /// # Panics
    /// When it has not ended after `limit`.
    pub fn terminate(&mut self, limit: Duration) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait(limit)
            .unwrap_or_else(|| panic!("{} did not stop within {limit:?}:\n{}", self.name, self.last_lines()))
    }

    /// Ends it and everything in its process group, at once, as a power cut does.
    pub fn kill(&mut self) {
        let _gone = kill_process_group(self.pid(), Signal::KILL);
        let _status = self.child.wait();
    }

    /// Ends the program alone, and leaves whatever it started to end by itself.
    pub fn kill_alone(mut self) {
        self.signal(Signal::KILL);
        let _status = self.child.wait();
        // Dropping would end the process group too.
        std::mem::forget(self);
    }

    /// Waits until the log has a line that contains `text` and gives that line.
    ///
    /// # Panics
    /// When the program ends first, or after `limit`.
    pub fn wait_for_line(&mut self, text: &str, limit: Duration) -> String {
        let end = Instant::now() + limit;
        loop {
            let ended = self.status();
            // Read after the status: a program that ended has written all it ever will.
            if let Some(line) = self.log().lines().find(|line| line.contains(text)) {
                return line.to_owned();
            }
            if let Some(status) = ended {
                panic!("{} ended ({status}) without printing `{text}`:\n{}", self.name, self.last_lines());
            }
            assert!(
                Instant::now() < end,
                "{} did not print `{text}` within {limit:?}:\n{}",
                self.name,
                self.last_lines()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Its resident memory, in bytes.
    ///
    /// # Panics
    /// When it has ended.
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// What of it belongs to this process alone: the rest are pages of files, the program's above all, which others that
    /// run it share and which the kernel takes back when it needs them.
    #[must_use]
    pub fn own_bytes(&self) -> u64 {
        self.memory("RssAnon:")
    }

    fn memory(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).expect("the program is running");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a running program has memory");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number of kB") * 1024
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- {}: last lines of {}\n{}\n---", self.name, self.log.display(), self.last_lines());
        }
        if self.running() && self.end_signal != Signal::KILL {
            self.signal(self.end_signal);
            let _status = self.wait(Duration::from_secs(10));
        }
        self.kill();
    }
}

/// The folder of this test program's logs: `test-logs/<test>` beside the built programs.
pub(crate) fn log_folder() -> PathBuf {
    let test = std::env::current_exe().expect("the running test has a path");
    let stem = test.file_stem().expect("a file name").to_string_lossy();
    let name = stem.rsplit_once('-').map_or(&*stem, |(name, _hash)| name);
    let folder = binaries::profile_folder().join("test-logs").join(name);
    fs::create_dir_all(&folder).expect("the log folder can be made");
    folder
}

fn log_path(name: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    log_folder().join(format!("{name}-{}.log", COUNT.fetch_add(1, Ordering::Relaxed)))
}

/// setpriv takes names only.
fn signal_name(signal: Signal) -> &'static str {
    [(Signal::KILL, "KILL"), (Signal::TERM, "TERM"), (Signal::INT, "INT"), (Signal::QUIT, "QUIT")]
        .into_iter()
        .find_map(|(known, name)| (known == signal).then_some(name))
        .expect("a program is ended with KILL, TERM, INT or QUIT")
}
