//! What it costs to know people and to keep on record what they do: tokens of an OIDC issuer, verified and remembered, and
//! the audit log, beside static tokens without a log. All of it reads, from an upstream that needs no lease. Of many short
//! rounds the best of each figure counts: what is compared differs by less than a machine does from one second to the next.

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
/// What the gateway without all this must reach of the rate of a direct call.
const OF_DIRECT: [(Kind, f64); 3] = [(Kind::Call, 0.4), (Kind::List, 0.4), (Kind::Proxy, 0.36)];
/// Each round is so many shorter ones.
const PARTS: u32 = 4;
/// Until the last records of a load are written, at most.
const WRITTEN: Duration = Duration::from_secs(20);
/// Nothing was written for so long: then nothing more comes.
const QUIET: Duration = Duration::from_millis(400);

/// One of the targets.
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
    let direct = Target::direct(upstream.port());
    let plain = gateway::start(upstream.port(), 21).await;
    let issued = gateway::start_for(upstream.port(), 21, Callers::Issued(upstream.issuer(), &url)).await;
    let mut lines = Vec::new();
    for (kind, of_direct) in OF_DIRECT {
        let row =
            |callers, target| Row { callers, target, fast: Rounds::default(), paced: Rounds::default(), on_record: 0 };
        let names = ["direct", "static tokens, no log", "JWT, audit log"];
        let mut rows = [row(names[0], &direct), row(names[1], &plain), row(names[2], &issued)];
        for _ in 0..plan.rounds * PARTS as usize {
            for row in &mut rows {
                measure(row, kind, plan.window() / PARTS, &database).await;
            }
            rows.reverse();
        }
        rows.sort_by_key(|row| names.iter().position(|name| *name == row.callers));
        let [direct, plain, issued] = &rows;
        goals(kind, of_direct, [direct, plain, issued], report);
        lines.extend(rows.iter().map(|row| line(kind, row, (direct, plain))));
    }
    let paced = format!("p50 µs at {}/s", PACE.0);
    let head = ["what", "requests/s", "of direct", "of static", "CPU µs", "p50 µs", "p99 µs", &paced, "on record"];
    report.table(
        "JWT and audit log on, reads: the best of many rounds, the database takes what the load leaves",
        &head,
        lines,
    );
}

async fn measure(row: &mut Row<'_>, kind: Kind, window: Duration, database: &Database) {
    let before = database.records();
    database.stand_back();
    let fast = Load::new(row.target, kind, CONNECTIONS, window).run().await;
    let paced = Load::new(row.target, kind, PACE.1, window).paced(PACE.0).run().await;
    row.on_record += written(database, before, fast.all + paced.all).await;
    row.fast.add(fast);
    row.paced.add(paced);
}

/// The records of a load, once no more come.
async fn written(database: &Database, before: u64, asked: u64) -> u64 {
    let began = std::time::Instant::now();
    let mut last = database.records();
    loop {
        tokio::time::sleep(QUIET).await;
        let now = database.records();
        if now == last || now - before >= asked || began.elapsed() > WRITTEN {
            return now - before;
        }
        last = now;
    }
}

fn goals(kind: Kind, of_direct: f64, rows: [&Row<'_>; 3], report: &mut Report) {
    let what = format!("{} with JWT and audit log", kind.name());
    let [direct, plain, own] = rows.map(|row| row.fast.undisturbed());
    report.at_least(&format!("{what}: rate, of direct"), of_direct * LEFT, own.per_second / direct.per_second);
    report.at_least(&format!("{what}: rate, of without"), LEFT, own.per_second / plain.per_second);
    let cpu = own.cpu.zip(plain.cpu).map_or(f64::INFINITY, |(own, plain)| own / plain);
    report.at_most(&format!("{what}: CPU, of without"), MORE, cpu);
    let at = format!("at {} requests/s", PACE.0);
    let [_, plain, own] = rows.map(|row| row.paced.undisturbed().p50);
    report.at_most(&format!("{what}, {at}: p50, of without"), MORE, own / plain);
}

fn line(kind: Kind, row: &Row<'_>, (direct, plain): (&Row<'_>, &Row<'_>)) -> Vec<String> {
    let asked = row.fast.requests() + row.paced.requests();
    let best = row.fast.undisturbed();
    let times = |other: &Row<'_>| digits(best.per_second / other.fast.undisturbed().per_second);
    vec![
        format!("{}, {}", kind.name(), row.callers),
        format!("{:.0}", best.per_second),
        times(direct),
        times(plain),
        best.cpu.map_or_else(|| "-".to_owned(), digits),
        format!("{:.0}", best.p50),
        format!("{:.0}", best.p99),
        format!("{:.0}", row.paced.undisturbed().p50),
        format!("{:.0} %", 100.0 * row.on_record as f64 / asked as f64),
    ]
}
