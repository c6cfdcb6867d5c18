//! What a leased call costs the gateway. Minting and redeeming have no listener of their own, so they are measured where
//! they are: `measured.rs` in the tests of the gateway, in the release build, over a PostgreSQL.

use crate::database::Database;
use crate::report::{Report, digits};
use std::process::{Command, Stdio};

/// The measurement, and what begins a line of its figures: `measured: <what> | <at most> | <result>`.
const MEASUREMENT: &str = "measure_leased_calls";
const LINE: &str = "measured: ";

pub(crate) fn run(report: &mut Report) {
    let database = Database::start();
    let build = if cfg!(debug_assertions) { "dev" } else { "release" };
    let output = Command::new("taskset")
        .args(["-c", "1", "cargo", "test", "--locked", "--package", "aperium-gateway", "--lib", "--profile", build])
        .args(["--", MEASUREMENT, "--ignored", "--nocapture"])
        .current_dir(aperium_tests::binaries::repository())
        .env("DATABASE_URL", database.url())
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    let figures: Vec<(String, f64, f64)> = text.lines().filter_map(figure).collect();
    assert!(!figures.is_empty(), "{text}");
    let lines = figures.iter().map(|(what, _, result)| vec![what.clone(), digits(*result)]);
    report.table("Leased calls", &["what", "result"], lines.collect::<Vec<_>>());
    for (what, goal, result) in &figures {
        report.at_most(&format!("leased calls: {what}"), *goal, *result);
    }
}

/// One figure: what it is, what it may be at most, and what it is.
fn figure(line: &str) -> Option<(String, f64, f64)> {
    let mut parts = line.split_once(LINE)?.1.split(" | ");
    Some((parts.next()?.to_owned(), parts.next()?.trim().parse().ok()?, parts.next()?.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_read_and_what_else_a_test_prints_is_not() {
        let line = "test tests::measured ... measured: minting, CPU µs | 40 | 31.5";
        assert_eq!(figure(line), Some(("minting, CPU µs".to_owned(), 40.0, 31.5)));
        assert_eq!(figure("running 1 test"), None);
        assert_eq!(figure("measured: minting | 40"), None);
    }
}
