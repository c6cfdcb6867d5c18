//! What this process may use: the limits of the request come in, the kernel enforces them from here on.

use std::fs;

use rustix::process::{Resource, Rlimit, setrlimit};

use super::super::protocol::Limits;

/// Stack of each thread that runs a query.
pub(super) const THREAD_STACK: usize = 4 * 1024 * 1024;
/// Most threads that read files.
pub(super) const BLOCKING_THREADS: usize = 4;
/// Stack of the thread that watches the parent.
pub(super) const WATCH_STACK: usize = 64 * 1024;

/// Mapped by every Rust program of this size, where the system does not tell.
const UNKNOWN_BASELINE: u64 = 1024 * MIB;
const MIB: u64 = 1024 * 1024;
/// Files open at the same time: a query reads few at once.
const OPEN_FILES: u64 = 256;
/// Processor seconds on top of what the wall-clock limit allows, so that the parent's kill comes first.
const SPARE_CPU_SECONDS: u64 = 5;

/// The kernel refused a limit, so nothing may run.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {source}")]
pub(super) struct LimitError {
    what: &'static str,
    #[source]
    source: rustix::io::Errno,
}

/// Binds this process. Hard limits: nothing in it can raise them again.
///
/// # Errors
/// When the kernel refuses one.
pub(super) fn apply(limits: &Limits) -> Result<(), LimitError> {
    let stacks = super::PLANNER_STACK + WATCH_STACK + (limits.threads + BLOCKING_THREADS) * THREAD_STACK;
    let memory = mapped_now() + stacks as u64 + limits.memory_mib * MIB;
    let cpu = limits.seconds * limits.threads as u64 + SPARE_CPU_SECONDS;
    set("the address space", Resource::As, memory)?;
    // Soft before hard: the first ends the process with a signal that the parent can tell apart.
    set_to("the processor time", Resource::Cpu, cpu, cpu + 1)?;
    set("open files", Resource::Nofile, OPEN_FILES)?;
    // It answers through a pipe: it has no file to write, and a crash must not leave data in a core dump.
    set("written files", Resource::Fsize, 0)?;
    set("core dumps", Resource::Core, 0)?;
    // The service answers probes and other calls on the same cores. Failing to be modest is no reason to stop.
    let _niceness = rustix::process::nice(5);
    Ok(())
}

fn set(what: &'static str, resource: Resource, value: u64) -> Result<(), LimitError> {
    set_to(what, resource, value, value)
}

fn set_to(what: &'static str, resource: Resource, soft: u64, hard: u64) -> Result<(), LimitError> {
    let limit = Rlimit { current: Some(soft), maximum: Some(hard) };
    setrlimit(resource, limit).map_err(|source| LimitError { what, source })
}

/// What the program itself has mapped (its text, mostly), in bytes: the limit is for the query, not for us.
fn mapped_now() -> u64 {
    fs::read_to_string("/proc/self/status").ok().and_then(|status| vm_size(&status)).unwrap_or(UNKNOWN_BASELINE)
}

fn vm_size(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmSize:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mapped_size_is_read_from_the_status_file() {
        assert_eq!(vm_size("Name:\tx\nVmPeak:\t 9 kB\nVmSize:\t   2048 kB\nVmLck:\t0 kB\n"), Some(2048 * 1024));
        assert_eq!(vm_size("VmSize: many kB"), None);
        assert_eq!(vm_size(""), None);
    }
}
