//! Many connectors, many grants.

use crate::asked::Kind;
use crate::load::{self, Load};
use crate::measured::Rounds;
use crate::plan::Plan;
use crate::rates::CONNECTIONS;
use crate::report::{Report, digits};
use crate::target::gateway;

const CONNECTORS: usize = 200;
/// Lists of one round.
const LISTS: u32 = 300;
const FEW: usize = 21;
const MANY: usize = 1000;

pub(crate) async fn run(plan: &Plan, upstream: u16, report: &mut Report) {
    lists(plan, upstream, report).await;
    grants(plan, upstream, report).await;
}

/// The whole list, one after the other.
async fn lists(plan: &Plan, upstream: u16, report: &mut Report) {
    let target = gateway::start_with_many(upstream, CONNECTORS).await;
    let mut rounds = Rounds::default();
    for _ in 0..plan.rounds {
        rounds.add(load::in_turn(&target, Kind::List, LISTS).await);
    }
    let line = vec![
        format!("list of {} tools", target.tools),
        format!("{:.0}", rounds.p50()),
        format!("{:.0}", rounds.p99()),
        target.resident_kib().map_or_else(|| "-".to_owned(), |kib| digits(kib / 1024.0)),
    ];
    let title = format!("{CONNECTORS} connectors of ten tools, {} grants, one list after the other", CONNECTORS * 5);
    report.table(&title, &["what", "p50 µs", "p99 µs", "MiB"], [line]);
    report.at_most(&format!("list of {} tools: p99 ms", target.tools), 10.0, rounds.p99() / 1e3);
}

/// The same calls under few and many grants that all count for the caller.
async fn grants(plan: &Plan, upstream: u16, report: &mut Report) {
    let (few, many) = (gateway::start(upstream, FEW).await, gateway::start(upstream, MANY).await);
    let mut rows = [(FEW, &few, Rounds::default()), (MANY, &many, Rounds::default())];
    // Twice as many rounds: a difference of some per cent is to be seen.
    for _ in 0..plan.rounds * 2 {
        for (_, target, rounds) in &mut rows {
            rounds.add(Load::new(target, Kind::Call, CONNECTIONS, plan.window()).run().await);
        }
        rows.reverse();
    }
    rows.sort_by_key(|(grants, ..)| *grants);
    let rate = rows[0].2.per_second();
    let lines: Vec<Vec<String>> = rows
        .iter()
        .map(|(grants, _, rounds)| {
            let per_second = rounds.per_second();
            let cpu = rounds.cpu().map_or_else(|| "-".to_owned(), digits);
            vec![format!("{grants} grants"), format!("{per_second:.0}"), digits(per_second / rate), cpu]
        })
        .collect();
    report.table("Cost of grants: tools/call", &["grants", "calls/s", "of few", "CPU µs"], lines);
    let cost = (1.0 - rows[1].2.per_second() / rate) * 100.0;
    report.at_most(&format!("{MANY} grants instead of {FEW}: % of the rate"), 10.0, cost.max(0.0));
}
