//! Resident memory of a gateway of its own: idle, with sessions, and under load that goes on.

use crate::asked::Kind;
use crate::load::{self, Load};
use crate::plan::Plan;
use crate::rates::CONNECTIONS;
use crate::report::{Report, digits};
use crate::target::gateway;
use std::time::Duration;

const SESSIONS: u32 = 4000;
/// Parts of the steady load; its memory is read after each.
const PARTS: u32 = 4;
/// What may come and go with buffers, in KiB.
const WAVERING: f64 = 1024.0;

pub(crate) async fn run(plan: &Plan, upstream: u16, report: &mut Report) {
    let target = gateway::start(upstream, 21).await;
    let resident = || target.resident_kib().unwrap_or(f64::INFINITY);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let idle = resident();
    let own = target.own_kib().unwrap_or(f64::INFINITY);
    // Buffers and pooled connections are no part of a session.
    Load::new(&target, Kind::Call, CONNECTIONS, plan.window()).run().await;
    let before = resident();
    load::sessions(&target, SESSIONS).await;
    let peak = resident();
    // The same load as before: what the opening of sessions left behind is given back with the next requests.
    Load::new(&target, Kind::Call, CONNECTIONS, plan.window()).run().await;
    let after = resident();
    let each = (after - before) / f64::from(SESSIONS);

    let mut steady = Vec::new();
    for _ in 0..PARTS {
        Load::new(&target, Kind::Call, CONNECTIONS, plan.steady() / PARTS).run().await;
        steady.push(resident());
    }
    let grown = steady[PARTS as usize - 1] - steady[0];
    let mib = |kib: f64| digits(kib / 1024.0);
    let seconds = plan.steady().as_secs();
    let mut lines = vec![
        vec!["idle".to_owned(), mib(idle)],
        vec!["of this, no pages of the program's and other files".to_owned(), mib(own)],
        vec![format!("after {CONNECTIONS} connections"), mib(before)],
        vec![format!("just after {SESSIONS} sessions were opened and used"), mib(peak)],
        vec![format!("after {CONNECTIONS} connections, with these sessions"), mib(after)],
    ];
    lines.extend((1..).zip(&steady).map(|(part, kib)| {
        vec![format!("after {} s of {seconds} s of load", seconds * part / u64::from(PARTS)), mib(*kib)]
    }));
    report.table("Memory of the gateway", &["when", "MiB"], lines);
    report.at_most("memory: MiB idle", 20.0, idle / 1024.0);
    report.at_most(&format!("memory: MiB with {SESSIONS} sessions"), 40.0, peak.max(after) / 1024.0);
    report.at_most("memory: KiB a session", 1.0, each.max(0.0));
    report.at_most(
        &format!("memory: KiB grown from a quarter to the end of {seconds} s of load"),
        WAVERING,
        grown.max(0.0),
    );
}
