//! As fast as it goes: 32 connections, each target alone on one core.

use crate::asked::Kind;
use crate::load::Load;
use crate::measured::Rounds;
use crate::plan::Plan;
use crate::report::{Report, digits};
use crate::target::Target;
use crate::upstream::Upstream;
use std::time::Instant;

pub(crate) const CONNECTIONS: u32 = 32;
/// The gateway asks each of its connectors for its lists every five seconds.
const POLL_SECONDS: f64 = 5.0;
/// Connectors that have lists.
const POLLED: f64 = 3.0;

/// One target over all rounds.
struct Row<'a> {
    target: &'a Target,
    rounds: Rounds,
    asked: u64,
    seconds: f64,
}

/// Runs each kind against all that understand it.
pub(crate) async fn run(plan: &Plan, upstream: &Upstream, targets: &[&Target], report: &mut Report) {
    for kind in [Kind::Call, Kind::List, Kind::Proxy] {
        // An MCP gateway that is no HTTP proxy has no row there.
        let targets = targets.iter().filter(|target| kind != Kind::Proxy || target.http.is_some());
        let mut rows: Vec<Row<'_>> =
            targets.map(|target| Row { target, rounds: Rounds::default(), asked: 0, seconds: 0.0 }).collect();
        for _ in 0..plan.rounds {
            for row in &mut rows {
                let (asked, began) = (upstream.asked(kind), Instant::now());
                row.rounds.add(Load::new(row.target, kind, CONNECTIONS, plan.window()).run().await);
                row.asked += upstream.asked(kind) - asked;
                row.seconds += began.elapsed().as_secs_f64();
            }
            rows.reverse();
        }
        if plan.rounds % 2 == 1 {
            rows.reverse();
        }
        table(kind, &rows, report);
        goals(kind, &rows, report);
    }
}

fn of<'r, 'a>(rows: &'r [Row<'a>], name: &str) -> Option<&'r Row<'a>> {
    rows.iter().find(|row| row.target.name == name)
}

fn rate(rows: &[Row<'_>], name: &str) -> f64 {
    of(rows, name).map_or(f64::NAN, |row| row.rounds.per_second())
}

fn table(kind: Kind, rows: &[Row<'_>], report: &mut Report) {
    let title = format!("{}: {CONNECTIONS} connections", kind.name());
    let head = [
        "target",
        "requests/s",
        "of direct",
        "of nginx",
        "CPU µs",
        "p50 µs",
        "p99 µs",
        "upstream requests each",
        "MiB",
    ];
    let (direct, nginx) = (rate(rows, "direct"), rate(rows, "nginx"));
    let lines = rows.iter().map(|Row { target, rounds, asked, .. }| {
        let per_second = rounds.per_second();
        vec![
            target.name.to_owned(),
            format!("{per_second:.0}"),
            digits(per_second / direct),
            digits(per_second / nginx),
            rounds.cpu().map_or_else(|| "-".to_owned(), digits),
            format!("{:.0}", rounds.p50()),
            format!("{:.0}", rounds.p99()),
            format!("{:.3}", *asked as f64 / rounds.requests() as f64),
            target.resident_mib().map_or_else(|| "-".to_owned(), digits),
        ]
    });
    report.table(&title, &head, lines.collect::<Vec<_>>());
}

/// What a request may cost, in µs of CPU time, and how many times what it costs nginx: 25 and 16 µs were set on a machine
/// where nginx took 11.2 and 10.0 µs, and the ratio is the same goal on any machine.
const CALL_CPU: (f64, f64) = (25.0, 2.23);
const PROXY_CPU: (f64, f64) = (16.0, 1.6);

fn goals(kind: Kind, rows: &[Row<'_>], report: &mut Report) {
    let Some(own) = of(rows, crate::target::gateway::NAME) else { return };
    let per_second = own.rounds.per_second();
    let times = |name: &str| per_second / rate(rows, name);
    let name = kind.name();
    let cpu = own.rounds.cpu().unwrap_or(f64::INFINITY);
    let nginx = of(rows, "nginx").and_then(|row| row.rounds.cpu()).unwrap_or_default();
    match kind {
        Kind::Call => {
            report.at_least(&format!("{name}: rate, of direct"), 0.4, times("direct"));
            report.at_most(&format!("{name}: CPU µs"), CALL_CPU.0, cpu);
            report.at_most(&format!("{name}: CPU, of nginx"), CALL_CPU.1, cpu / nginx);
            report.at_least(&format!("{name}: rate, of Envoy mcp_router"), 3.0, times("Envoy mcp_router"));
            report.at_least(&format!("{name}: rate, of mcp-proxy"), 4.5, times("mcp-proxy"));
        }
        Kind::List => {
            report.at_least(&format!("{name}: rate, of direct"), 0.4, times("direct"));
            let polls = (own.seconds / POLL_SECONDS).ceil() * POLLED * 1.2;
            report.at_most(
                &format!("{name}: upstream requests beyond the polls"),
                0.0,
                (own.asked as f64 - polls).max(0.0),
            );
        }
        Kind::Proxy => {
            report.at_least(&format!("{name}: rate, of direct"), 0.36, times("direct"));
            report.at_least(&format!("{name}: rate, of nginx"), 0.6, times("nginx"));
            report.at_most(&format!("{name}: CPU µs"), PROXY_CPU.0, cpu);
            report.at_most(&format!("{name}: CPU, of nginx"), PROXY_CPU.1, cpu / nginx);
        }
    }
}
