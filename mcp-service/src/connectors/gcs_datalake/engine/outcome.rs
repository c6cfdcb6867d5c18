//! What became of a child: its answer, its last words and how it ended come in, an answer or an error goes out.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::Duration;

use super::super::protocol::{Answer, ERROR_KIND, FailureKind};
use super::EngineError;

/// The kernel's signal for too much processor time (`SIGXCPU` on every Linux that we build for).
const OUT_OF_CPU: i32 = 24;

/// Turns the end of a child into an answer or the one reason why there is none.
pub(super) fn judge(
    answer: &[u8],
    stderr: &str,
    status: ExitStatus,
    memory_mib: u64,
    time: Duration,
) -> Result<Answer, EngineError> {
    if !status.success() || answer.is_empty() {
        return Err(died(stderr, status, memory_mib, time));
    }
    match serde_json::from_slice(answer).map_err(EngineError::Unreadable)? {
        Answer::Failed(failure) if failure.kind == FailureKind::MemoryLimit => {
            Err(EngineError::MemoryLimit(memory_mib))
        }
        // A panic of the engine under the memory limit is a failed allocation more often than a defect.
        Answer::Failed(failure) if failure.kind == FailureKind::Internal && out_of_memory(stderr) => {
            Err(EngineError::MemoryLimit(memory_mib))
        }
        Answer::Failed(failure) => {
            if failure.kind == FailureKind::Internal {
                tracing::warn!(words = last_words(stderr), "the query engine failed");
            }
            Err(EngineError::Failed(failure))
        }
        answer => Ok(answer),
    }
}

fn died(stderr: &str, status: ExitStatus, memory_mib: u64, time: Duration) -> EngineError {
    if out_of_memory(stderr) {
        return EngineError::MemoryLimit(memory_mib);
    }
    if stderr.contains("has overflowed its stack") {
        return EngineError::TooDeep;
    }
    if status.signal() == Some(OUT_OF_CPU) {
        return EngineError::TimeLimit(time);
    }
    tracing::warn!(%status, words = last_words(stderr), "the query process died");
    EngineError::Died(status)
}

/// The lines that say where a child failed. Never the others: they may hold values of the query or of the data.
fn last_words(stderr: &str) -> String {
    let ours = |line: &&str| {
        line.starts_with("thread '") || line.starts_with("memory allocation of ") || line.starts_with(ERROR_KIND)
    };
    stderr.lines().filter(ours).map(|line| line.trim_end_matches(':')).collect::<Vec<_>>().join("; ")
}

/// What the Rust runtime and the system say when an allocation, a mapping or a thread is refused.
fn out_of_memory(stderr: &str) -> bool {
    ["memory allocation of ", "capacity overflow", "Cannot allocate memory", "Resource temporarily unavailable"]
        .iter()
        .any(|sign| stderr.contains(sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_secs(20);

    fn status(raw: i32) -> ExitStatus {
        ExitStatus::from_raw(raw)
    }

    fn reason(answer: &str, stderr: &str, raw: i32) -> &'static str {
        judge(answer.as_bytes(), stderr, status(raw), 512, TIME).unwrap_err().reason()
    }

    #[test]
    fn an_aborted_child_is_told_apart_by_its_last_words() {
        assert_eq!(reason("", "memory allocation of 2000000000 bytes failed\n", 6), "MemoryLimit");
        assert_eq!(reason("", "thread 'planner' has overflowed its stack\n", 6), "TooDeep");
        assert_eq!(reason("", "", OUT_OF_CPU), "TimeLimit");
        assert_eq!(reason("", "", 11), "WorkerDied");
        assert_eq!(reason("", "", 0), "WorkerDied");
    }

    #[test]
    fn an_answer_counts_only_when_the_child_ended_well() {
        let rows = r#"{"rows":{"columns":[],"rows":[],"cut_by":null,"shortened_cells":0}}"#;
        assert!(judge(rows.as_bytes(), "", status(0), 512, TIME).is_ok());
        assert_eq!(reason(rows, "", 9), "WorkerDied");
        assert_eq!(reason("{", "", 0), "AnswerUnreadable");
    }

    #[test]
    fn the_log_says_where_a_child_failed_and_never_a_value() {
        let stderr = "thread 'planner' (7) panicked at a.rs:1:2:\nvalue 'Jane Doe' is odd\nstack backtrace:\n 0: x\n\
                      error of the query engine: Internal\n";
        assert_eq!(
            last_words(stderr),
            "thread 'planner' (7) panicked at a.rs:1:2; error of the query engine: Internal"
        );
    }

    #[test]
    fn the_memory_limit_is_named_in_the_message() {
        let answer = r#"{"failed":{"kind":"memory_limit","message":"x"}}"#;
        let error = judge(answer.as_bytes(), "", status(0), 512, TIME).unwrap_err();
        assert_eq!(error.to_string(), "query exceeded the memory limit of 512 MiB");
        let panic = r#"{"failed":{"kind":"internal","message":"x"}}"#;
        assert_eq!(reason(panic, "panicked: capacity overflow", 0), "MemoryLimit");
        assert_eq!(reason(panic, "panicked: other", 0), "QueryFailed");
    }
}
