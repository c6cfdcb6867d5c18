//! Many at once: 256 connections beside 32, and a thousand calls in the same moment.

use crate::asked::Kind;
use crate::load::{self, Load};
use crate::measured::Rounds;
use crate::plan::Plan;
use crate::rates::CONNECTIONS;
use crate::report::{Report, digits};
use crate::target::Target;

const MANY: u32 = 256;
const BURST: u32 = 1000;

pub(crate) async fn run(plan: &Plan, gateway: &Target, report: &mut Report) {
    let mut rows = [(CONNECTIONS, Rounds::default()), (MANY, Rounds::default())];
    for _ in 0..plan.rounds {
        for (connections, rounds) in &mut rows {
            rounds.add(Load::new(gateway, Kind::Call, *connections, plan.window()).run().await);
        }
        rows.reverse();
    }
    rows.sort_by_key(|(connections, _)| *connections);
    let rate = rows[0].1.per_second();
    let mut lines: Vec<Vec<String>> = rows
        .iter()
        .map(|(connections, rounds)| {
            vec![
                format!("{connections} connections"),
                format!("{:.0}", rounds.per_second()),
                digits(rounds.per_second() / rate),
                format!("{:.0}", rounds.p50()),
                format!("{:.0}", rounds.p99()),
            ]
        })
        .collect();
    let mut burst = Rounds::default();
    for _ in 0..plan.rounds {
        burst.add(load::burst(gateway, Kind::Call, BURST).await);
    }
    lines.push(vec![
        format!("{BURST} calls at once"),
        format!("{:.0}", burst.per_second()),
        digits(burst.per_second() / rate),
        format!("{:.0}", burst.p50()),
        format!("{:.0}", burst.p99()),
    ]);
    report.table("Many at once: tools/call", &["load", "calls/s", "of 32", "p50 µs", "p99 µs"], lines);
    report.at_least("256 connections: rate, of 32", 0.85, rows[1].1.per_second() / rate);
    report.at_most("256 connections: p99 ms", 20.0, rows[1].1.p99() / 1e3);
    let dropped = u64::from(BURST) * plan.rounds as u64 - burst.requests();
    report.at_most(&format!("{BURST} calls at once: dropped"), 0.0, dropped as f64);
}
