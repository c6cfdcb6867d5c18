//! Children: bound before they read, gone when their call is gone.

use aperium_tests::binaries::repository;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{CROSS_JOIN, Lake, WORKER, example_folder};

/// The process that was started under this path, once there is one.
async fn pid_of(worker: &Path) -> u32 {
    let wanted = worker.to_str().unwrap();
    wait_for("a child", || {
        fs::read_dir("/proc").unwrap().flatten().find_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let command = fs::read(entry.path().join("cmdline")).ok()?;
            (command.split(|byte| *byte == 0).next()? == wanted.as_bytes()).then_some(pid)
        })
    })
    .await
}

/// Waits until a process and its zombie are gone.
async fn gone(pid: u32) {
    wait_for("the end of the child", || (!Path::new(&format!("/proc/{pid}")).exists()).then_some(())).await;
}

async fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "no {what} within 20 s");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A name of its own for the worker, so that a test finds its own children.
fn own_worker(folder: &tempfile::TempDir) -> std::path::PathBuf {
    let path = folder.path().join("worker");
    std::os::unix::fs::symlink(WORKER, &path).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_call_takes_its_child_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let worker = own_worker(&folder);
    let lake = Lake::with_worker(&example_folder(), json!({"queryTimeoutSeconds": 60}), &worker);
    let call = tokio::spawn(async move { lake.query(CROSS_JOIN).await });
    let pid = pid_of(&worker).await;
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    gone(pid).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_child_has_an_empty_environment_and_hard_limits_and_leaves_no_zombie() {
    let folder = tempfile::tempdir().unwrap();
    let worker = own_worker(&folder);
    let lake = Lake::with_worker(&example_folder(), json!({"queryTimeoutSeconds": 5}), &worker);
    let call = tokio::spawn(async move { lake.refused(CROSS_JOIN).await });
    let pid = pid_of(&worker).await;
    let limits = wait_for("limits", || {
        let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        (!soft_and_hard(&limits, "Max address space").0.contains("unlimited")).then_some(limits)
    })
    .await;
    assert_eq!(fs::read(format!("/proc/{pid}/environ")).unwrap(), b"MALLOC_ARENA_MAX=1\0");
    let (soft, hard) = soft_and_hard(&limits, "Max address space");
    assert_eq!(soft, hard);
    let gib: u64 = 1024 * 1024 * 1024;
    assert!(soft.parse::<u64>().unwrap() < 2 * gib, "{soft}");
    // Set in this order, so the last ones may come a moment later.
    wait_for("the other limits", || {
        let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        (soft_and_hard(&limits, "Max core file size") == ("0".to_owned(), "0".to_owned())).then_some(())
    })
    .await;
    assert!(call.await.unwrap().starts_with("timeout: "));
    gone(pid).await;
}

fn soft_and_hard(limits: &str, name: &str) -> (String, String) {
    let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    let mut words = line.split_whitespace().map(str::to_owned);
    (words.next().unwrap(), words.next().unwrap())
}

#[tokio::test]
async fn a_child_ends_with_its_parent() {
    let mut child =
        Command::new(WORKER).arg("sql-worker").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "{}", json!({"memory_mib": 512, "seconds": 60, "threads": 1})).unwrap();
    let sql = "select count(*) from generate_series(1, 1000000) a, generate_series(1, 1000000) b";
    let job = json!({"query": {"sql": sql, "caps": {"rows": 1, "bytes": 1000}}});
    writeln!(stdin, "{}", json!({"root": example_folder(), "tables": [], "job": job})).unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(child.try_wait().unwrap().is_none(), "it must be busy");
    // What the kernel does when the parent dies.
    drop(stdin);
    let ended = wait_for("end", || child.try_wait().unwrap()).await;
    assert!(!ended.success());
}

#[test]
fn a_worker_that_is_called_by_something_else_refuses_to_work() {
    for input in ["", "\n", "{}\n", "{\"memory_mib\":512,\"seconds\":1,\"threads\":1}\nselect 1\n"] {
        let mut child = Command::new(WORKER)
            .arg("sql-worker")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{input:?}");
    }
}

#[tokio::test]
async fn a_program_that_is_no_worker_is_an_error_of_ours_and_not_of_the_caller() {
    let lake = Lake::with_worker(&example_folder(), json!({}), Path::new("/nonexistent/worker"));
    assert_eq!(lake.refused("select 1").await, "upstream: the query could not be run");
    let lake = Lake::with_worker(&example_folder(), json!({}), Path::new("/bin/true"));
    assert_eq!(lake.refused("select 1").await, "upstream: the query could not be run");
    let lake = Lake::with_worker(&example_folder(), json!({}), Path::new("/bin/echo"));
    assert_eq!(lake.refused("select 1").await, "upstream: the query could not be run");
}

#[test]
fn the_query_engine_is_used_below_the_worker_and_nowhere_else() {
    fn sources(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            match entry.file_type().unwrap().is_dir() {
                true => sources(&entry.path(), found),
                false => found.push(entry.path()),
            }
        }
    }
    let root = repository().join("mcp-service/src");
    let (mut files, mut inside) = (Vec::new(), 0);
    sources(&root, &mut files);
    for file in files {
        let uses = fs::read_to_string(&file).unwrap().contains("datafusion::");
        let worker = file.starts_with(root.join("connectors/gcs_datalake/worker"));
        assert!(!uses || worker, "{} uses the query engine in the serving process", file.display());
        inside += usize::from(uses);
    }
    assert!(inside > 3, "the search itself must find something");
}
