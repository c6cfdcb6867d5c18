//! At a fixed rate: 1,000 requests a second over 16 connections. What a caller waits for when nothing is busy.

use crate::asked::Kind;
use crate::load::Load;
use crate::measured::Rounds;
use crate::plan::Plan;
use crate::report::Report;
use crate::target::Target;

const PER_SECOND: u32 = 1000;
const CONNECTIONS: u32 = 16;

pub(crate) async fn run(plan: &Plan, targets: &[&Target], report: &mut Report) {
    let mut lines = Vec::new();
    for kind in [Kind::Call, Kind::List, Kind::Proxy] {
        let targets = targets.iter().filter(|target| kind != Kind::Proxy || target.http.is_some());
        let mut rows: Vec<(&Target, Rounds)> = targets.map(|target| (*target, Rounds::default())).collect();
        for _ in 0..plan.rounds {
            for (target, rounds) in &mut rows {
                let load = Load::new(target, kind, CONNECTIONS, plan.window()).paced(PER_SECOND);
                let measured = load.run().await;
                assert!(measured.per_second > 0.98 * f64::from(PER_SECOND), "{} holds the rate", target.name);
                rounds.add(measured);
            }
            rows.reverse();
        }
        if plan.rounds % 2 == 1 {
            rows.reverse();
        }
        let find = |name: &str| rows.iter().find(|(target, _)| target.name == name).map(|(_, rounds)| rounds);
        if let Some((own, nginx)) = find(crate::target::gateway::NAME).zip(find("nginx")) {
            let what = format!("{}, {PER_SECOND} requests/s", kind.name());
            report.at_most(&format!("{what}: p50, of nginx"), 1.35, own.p50() / nginx.p50());
            report.at_most(&format!("{what}: p99, of nginx"), 2.0, own.p99() / nginx.p99());
        }
        lines.extend(rows.iter().map(|(target, rounds)| {
            vec![
                format!("{}, {}", kind.name(), target.name),
                format!("{:.0}", rounds.p50()),
                format!("{:.0}", rounds.p99()),
            ]
        }));
    }
    let title = format!("{PER_SECOND} requests a second over {CONNECTIONS} connections");
    report.table(&title, &["what", "p50 µs", "p99 µs"], lines);
}
