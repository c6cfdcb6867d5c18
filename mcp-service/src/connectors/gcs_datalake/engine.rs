//! Runs one job in one child process: a request comes in, an answer within all limits goes out.
//!
//! ```text
//! slot ─► start child ─► limits, request ─► wait (answer | clock) ─► reap ─► outcome
//! ```
//! A child never outlives its call: it is killed when the time is up and when the call is dropped, and it ends by
//! itself when this process dies.

use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};

use super::protocol::{Answer, Failure, Limits, Request};
use super::settings::Settings;
use crate::worker::SUBCOMMAND;

mod outcome;

/// The kernel's own link to the program that runs.
const THIS_PROGRAM: &str = "/proc/self/exe";
/// How long a call waits for a free slot.
const MAX_WAIT: Duration = Duration::from_secs(5);
/// What the answer line may hold on top of the rows: columns, plans, escapes.
const ANSWER_SPARE: u64 = 4 * 1024 * 1024;
/// Bytes of the child's stderr that are kept, from its start.
const STDERR_KEPT: u64 = 4 * 1024;
/// Threads of one query. More would let a few queries take every core from the service.
const MAX_THREADS: usize = 2;
/// The part of a call's time that is kept for writing the answer.
const CALL_SPARE: Duration = Duration::from_millis(250);

/// Starts the children of one data lake.
#[derive(Debug)]
pub(super) struct Engine {
    worker: PathBuf,
    slots: Semaphore,
    slot_count: u32,
    memory_mib: u64,
    time: Duration,
    answer_bytes: u64,
    threads: usize,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum EngineError {
    #[error("the program to run queries with cannot be found: {0}")]
    FindWorker(#[source] io::Error),
    #[error("all {0} query slots are busy")]
    Busy(u32),
    #[error("starting the query process failed: {0}")]
    Start(#[source] io::Error),
    #[error("talking to the query process failed: {0}")]
    Talk(#[source] io::Error),
    #[error("query exceeded the time limit of {} s", .0.as_secs_f32().ceil())]
    TimeLimit(Duration),
    #[error("query exceeded the memory limit of {0} MiB")]
    MemoryLimit(u64),
    #[error("the query is nested too deeply")]
    TooDeep,
    #[error("the query process ended without an answer ({0})")]
    Died(ExitStatus),
    #[error("the query process answered with something unreadable")]
    Unreadable(#[source] serde_json::Error),
    #[error("{}", .0.message)]
    Failed(Failure),
}

impl EngineError {
    /// One word for logs and metrics.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::FindWorker(_) => "WorkerNotFound",
            Self::Busy(_) => "Busy",
            Self::Start(_) => "WorkerNotStarted",
            Self::Talk(_) => "WorkerBroken",
            Self::TimeLimit(_) => "TimeLimit",
            Self::MemoryLimit(_) => "MemoryLimit",
            Self::TooDeep => "TooDeep",
            Self::Died(_) => "WorkerDied",
            Self::Unreadable(_) => "AnswerUnreadable",
            Self::Failed(_) => "QueryFailed",
        }
    }
}

impl Engine {
    /// An engine with the limits of the settings. Starts nothing yet.
    ///
    /// # Errors
    /// When the system does not say where this program lies.
    pub(super) fn new(settings: &Settings) -> Result<Self, EngineError> {
        let worker = match &settings.worker {
            Some(worker) => worker.clone(),
            None => this_program().map_err(EngineError::FindWorker)?,
        };
        let slot_count = settings.query_max_concurrent.get();
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            worker,
            slots: Semaphore::new(slot_count as usize),
            slot_count,
            memory_mib: settings.query_memory_mib.get(),
            time: Duration::from_secs(u64::from(settings.query_timeout_seconds.get())),
            // A character may be written as six (`\u001f`).
            answer_bytes: u64::from(settings.query_max_kib.get()) * 1024 * 6 + ANSWER_SPARE,
            threads: cores.min(MAX_THREADS),
        })
    }

    /// Runs one job. `time_left` is what the call still has; the settings may allow less.
    ///
    /// # Errors
    /// See [`EngineError`]; whatever the error, the child is gone when this returns.
    pub(super) async fn run(&self, request: &Request, time_left: Duration) -> Result<Answer, EngineError> {
        let call_ends = Instant::now() + time_left.saturating_sub(CALL_SPARE);
        let slot = timeout(MAX_WAIT.min(time_left), self.slots.acquire()).await;
        let Ok(Ok(_slot)) = slot else { return Err(EngineError::Busy(self.slot_count)) };
        let started = Instant::now();
        let ends = call_ends.min(started + self.time);
        let mut child = self.start()?;
        let talk = timeout_at(ends, self.talk(&mut child, request)).await;
        let Ok(talk) = talk else {
            // An error means that it has ended already; dropping the handle would kill it in any case.
            let _killed = child.kill().await;
            return Err(EngineError::TimeLimit(ends - started));
        };
        let (answer, stderr, status) = talk.map_err(EngineError::Talk)?;
        outcome::judge(&answer, &stderr, status, self.memory_mib, self.time)
    }

    /// A child with an empty environment, in no folder of ours, with three pipes and nothing else.
    fn start(&self) -> Result<Child, EngineError> {
        Command::new(&self.worker)
            // What `ps` shows; the link to this program would show as nothing useful.
            .arg0(if self.worker == Path::new(THIS_PROGRAM) { Path::new("aperium") } else { &self.worker })
            .arg(SUBCOMMAND)
            .env_clear()
            // One arena per thread would reserve 64 MiB of the limited address space each.
            .env("MALLOC_ARENA_MAX", "1")
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(EngineError::Start)
    }

    async fn talk(&self, child: &mut Child, request: &Request) -> io::Result<(Vec<u8>, String, ExitStatus)> {
        let (mut stdin, stdout, stderr) = pipes(child)?;
        let limits = Limits { memory_mib: self.memory_mib, seconds: self.time.as_secs().max(1), threads: self.threads };
        let mut lines = serde_json::to_vec(&limits)?;
        lines.push(b'\n');
        lines.extend(serde_json::to_vec(request)?);
        lines.push(b'\n');
        // A child that ended early has closed the pipe; its status says more than the failed write.
        let send = async {
            let _sent = stdin.write_all(&lines).await;
            let _flushed = stdin.flush().await;
            stdin
        };
        let (stdin, answer, stderr) = tokio::join!(send, head(stdout, self.answer_bytes), first_words(stderr));
        let answer = answer?;
        // Open until the answer is here: the child takes a closed stdin for our death.
        drop(stdin);
        let status = child.wait().await?;
        Ok((answer, stderr, status))
    }
}

/// The program that runs now. Through the kernel's own link where there is one: it still means this very program after
/// an upgrade has put another in its place, which might speak another protocol.
fn this_program() -> io::Result<PathBuf> {
    let link = PathBuf::from(THIS_PROGRAM);
    if link.exists() { Ok(link) } else { std::env::current_exe() }
}

fn pipes(child: &mut Child) -> io::Result<(ChildStdin, ChildStdout, ChildStderr)> {
    match (child.stdin.take(), child.stdout.take(), child.stderr.take()) {
        (Some(stdin), Some(stdout), Some(stderr)) => Ok((stdin, stdout, stderr)),
        _ => Err(io::ErrorKind::BrokenPipe.into()),
    }
}

/// At most `max` bytes; the pipe is closed then, which ends a child that writes on.
async fn head(from: impl AsyncRead + Unpin, max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(max).read_to_end(&mut bytes).await?;
    Ok(bytes)
}

/// The first bytes as text; the rest is read and dropped, so that the child never waits for us. What it says first is
/// why it failed, what follows is where.
async fn first_words(mut from: impl AsyncRead + Unpin) -> String {
    let mut kept = Vec::new();
    let _read = (&mut from).take(STDERR_KEPT).read_to_end(&mut kept).await;
    let _dropped = tokio::io::copy(&mut from, &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&kept).into_owned()
}
