//! The gateway beside a direct call and nginx, in one run: requests a second as ratios, CPU time a request.
//!
//! Run it with `make bench`, which keeps load generator and upstream on CPU 0; the proxy under test has CPU 1 alone, so a proxy's figure is what one core
//! of it does. Every answer is checked. Rounds run in both orders, medians are printed. Read the ratios: absolute
//! figures belong to this machine at this hour.

#![expect(clippy::print_stdout, reason = "the report is this program's output")]
#![expect(clippy::expect_used, reason = "a benchmark that cannot run says why and ends")]

mod load;
mod nginx;
mod report;
mod target;
mod upstream;

use load::Load;
use report::{Row, Table};
use target::Target;

/// What is asked: one row group of the report each.
const KINDS: [load::Kind; 2] = [load::Kind::Call, load::Kind::List];
const ROUNDS: usize = 3;

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    tokio::task::LocalSet::new().block_on(&runtime, run());
}

async fn run() {
    let upstream = upstream::start().await;
    let targets =
        [Target::direct(upstream.port()), nginx::start(upstream.port()), Target::gateway(upstream.port()).await];
    for kind in KINDS {
        let mut table = Table::new(kind.name());
        for round in 0..ROUNDS {
            let mut order: Vec<&Target> = targets.iter().collect();
            if round % 2 == 1 {
                order.reverse();
            }
            for target in order {
                let upstream_before = upstream.requests(kind);
                let cpu_before = target.cpu();
                let measured = Load::new(target, kind).run().await;
                table.add(Row {
                    target: target.name,
                    per_second: measured.per_second(),
                    cpu_micros: target.cpu().zip(cpu_before).map(|(after, before)| measured.share(after - before)),
                    p50_micros: measured.percentile(50),
                    p99_micros: measured.percentile(99),
                    upstream_requests: upstream.requests(kind) - upstream_before,
                    resident_mib: target.resident_mib(),
                });
            }
        }
        println!("{table}");
    }
}
