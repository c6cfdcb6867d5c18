//! The child process that runs SQL: limits and one request come in on stdin, one answer goes out on stdout.
//!
//! ```text
//! line 1 ─► limits::apply ─► line 2 ─► guard (SQL only) ─► session ─► query | explain | describe | preview ─► rows ─► answer
//! ```
//! The query engine cannot be stopped or bounded from within: constant folding ignores cancellation, functions allocate
//! past the memory pool, deep expressions overflow the stack. So every query gets a process of its own that the
//! kernel bounds and the parent kills, and nothing of the engine ever runs inside the service.

use std::io::{BufRead, BufReader, Read, StdinLock, Write};
use std::process::ExitCode;
use std::thread;

use serde::de::DeserializeOwned;

use super::protocol::{Answer, Failure, FailureKind, Limits, MAX_LIMITS_LINE, MAX_REQUEST_LINE, Request};

mod failure;
mod guard;
mod jobs;
mod limits;
mod rows;
mod session;
mod store;

/// Stack of the thread that parses and plans. The longest SQL that the guard admits as text needs far less, even in a
/// build without optimisation; what it does not use costs address space only.
const PLANNER_STACK: usize = 64 * 1024 * 1024;

/// Runs one request and ends. Exit code 0 when an answer was written, whatever it says; 2 when it was called by
/// something that does not speak the protocol.
pub fn main() -> ExitCode {
    let Ok(answer) = serve() else { return ExitCode::from(2) };
    match write(&answer) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(2),
    }
}

/// The parent did not speak the protocol, or a limit could not be set. The parent sees the exit code and the text.
#[derive(Debug, thiserror::Error)]
enum ServeError {
    #[error("reading a line failed: {0}")]
    Read(#[source] std::io::Error),
    #[error("a line is not of the expected form: {0}")]
    Parse(#[source] serde_json::Error),
    #[error("setting a limit failed: {0}")]
    Limit(#[source] limits::LimitError),
    #[error("starting a thread failed: {0}")]
    Thread(#[source] std::io::Error),
}

fn serve() -> Result<Answer, ServeError> {
    let mut input = BufReader::with_capacity(8 * 1024, std::io::stdin().lock());
    let limits: Limits = line(&mut input, MAX_LIMITS_LINE)?;
    limits::apply(&limits).map_err(ServeError::Limit)?;
    let request: Request = line(&mut input, MAX_REQUEST_LINE)?;
    drop(input);
    end_with_the_parent()?;
    let planner = thread::Builder::new()
        .name("planner".to_owned())
        .stack_size(PLANNER_STACK)
        .spawn(move || run(request, &limits))
        .map_err(ServeError::Thread)?;
    // A panic is written to stderr by the default hook; the parent keeps its last lines for the log.
    Ok(planner.join().unwrap_or_else(|_| {
        Answer::Failed(Failure::new(FailureKind::Internal, "the query engine failed on this query"))
    }))
}

fn run(request: Request, limits: &Limits) -> Answer {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(limits.threads)
        .max_blocking_threads(limits::BLOCKING_THREADS)
        .thread_stack_size(limits::THREAD_STACK)
        .enable_time()
        .build();
    let Ok(runtime) = runtime else {
        return Answer::Failed(Failure::new(FailureKind::MemoryLimit, "no memory for the threads of the query"));
    };
    let answer = runtime.block_on(jobs::run(request, limits));
    // The process ends right after: waiting for what still runs would only delay the answer.
    runtime.shutdown_background();
    answer.unwrap_or_else(Answer::Failed)
}

fn line<T: DeserializeOwned>(input: &mut BufReader<StdinLock<'_>>, max: u64) -> Result<T, ServeError> {
    let mut line = Vec::new();
    input.take(max).read_until(b'\n', &mut line).map_err(ServeError::Read)?;
    serde_json::from_slice(&line).map_err(ServeError::Parse)
}

/// Ends this process at once when the parent closes its end of stdin, which it does by dying, too.
///
/// This and not the kernel's parent-death signal: that one fires when the *thread* that started the child ends.
fn end_with_the_parent() -> Result<(), ServeError> {
    let watch = || {
        let mut byte = [0];
        // Nothing more is ever sent: end of file, an error and an unexpected byte all mean the same.
        let _ended = std::io::stdin().read(&mut byte);
        let _sent = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    };
    thread::Builder::new()
        .name("parent-watch".to_owned())
        .stack_size(limits::WATCH_STACK)
        .spawn(watch)
        .map(drop)
        .map_err(ServeError::Thread)
}

fn write(answer: &Answer) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    let mut out = std::io::stdout().lock();
    out.write_all(&line)?;
    out.flush()
}
