//! What it costs to know people and to keep on record what they do: tokens of an OIDC issuer, verified and remembered, and
//! the audit log, beside static tokens without a log. All of it reads, from an upstream that needs no lease.

use crate::asked::Kind;
use crate::database::Database;
use crate::load::Load;
use crate::measured::Rounds;
use crate::plan::Plan;
use crate::rates::CONNECTIONS;
use crate::report::{Report, digits};
use crate::target::Target;
use crate::target::gateway::{self, Callers};
use crate::upstream::Upstream;
use std::time::Duration;

/// A rate at which nothing is busy, over so many connections.
const PACE: (u32, u32) = (1000, 16);
/// What may be left of the rate, and how much more may be paid: 15 %.
const LEFT: f64 = 0.85;
const MORE: f64 = 1.15;
/// Until the last records of a load are written.
const WRITTEN: Duration = Duration::from_secs(1);

/// One of the two gateways.
struct Row<'a> {
    callers: &'static str,
    target: &'a Target,
    fast: Rounds,
    paced: Rounds,
    on_record: u64,
}

pub(crate) async fn run(plan: &Plan, upstream: &Upstream, report: &mut Report) {
    let database = Database::start();
    let url = database.url();
    let plain = gateway::start(upstream.port(), 21).await;
    let issued = gateway::start_for(upstream.port(), 21, Callers::Issued(upstream.issuer(), &url)).await;
    let mut lines = Vec::new();
    for kind in [Kind::Call, Kind::List, Kind::Proxy] {
        let row =
            |callers, target| Row { callers, target, fast: Rounds::default(), paced: Rounds::default(), on_record: 0 };
        let mut rows = [row("static tokens, no log", &plain), row("JWT, audit log", &issued)];
        for _ in 0..plan.rounds {
            for row in &mut rows {
                let before = database.records();
                row.fast.add(Load::new(row.target, kind, CONNECTIONS, plan.window()).run().await);
                row.paced.add(Load::new(row.target, kind, PACE.1, plan.window()).paced(PACE.0).run().await);
                tokio::time::sleep(WRITTEN).await;
                row.on_record += database.records() - before;
            }
            rows.reverse();
        }
        rows.sort_by_key(|row| row.callers != "static tokens, no log");
        let [plain, issued] = &rows;
        goals(kind, plain, issued, report);
        lines.extend(rows.iter().map(|row| line(kind, row, plain)));
    }
    let paced = format!("p50 µs at {}/s", PACE.0);
    let head = ["what", "requests/s", "of static", "CPU µs", "p50 µs", "p99 µs", &paced, "on record"];
    report.table("JWT and audit log on, reads", &head, lines);
}

fn goals(kind: Kind, plain: &Row<'_>, issued: &Row<'_>, report: &mut Report) {
    let what = format!("{} with JWT and audit log", kind.name());
    let cpu = |row: &Row<'_>| row.fast.cpu().unwrap_or(f64::INFINITY);
    report.at_least(&format!("{what}: rate, of without"), LEFT, issued.fast.per_second() / plain.fast.per_second());
    report.at_most(&format!("{what}: CPU, of without"), MORE, cpu(issued) / cpu(plain));
    let at = format!("at {} requests/s", PACE.0);
    report.at_most(&format!("{what}, {at}: p50, of without"), MORE, issued.paced.p50() / plain.paced.p50());
}

fn line(kind: Kind, row: &Row<'_>, plain: &Row<'_>) -> Vec<String> {
    let asked = row.fast.requests() + row.paced.requests();
    vec![
        format!("{}, {}", kind.name(), row.callers),
        format!("{:.0}", row.fast.per_second()),
        digits(row.fast.per_second() / plain.fast.per_second()),
        row.fast.cpu().map_or_else(|| "-".to_owned(), digits),
        format!("{:.0}", row.fast.p50()),
        format!("{:.0}", row.fast.p99()),
        format!("{:.0}", row.paced.p50()),
        format!("{:.0} %", 100.0 * row.on_record as f64 / asked as f64),
    ]
}
