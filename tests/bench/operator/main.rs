//! The operator beside a bare client that applies the same objects at the same concurrency, in one run.
//!
//! Both begin with the creation of the Connectors, 16 at a time, and end when the last Deployment is there, the last
//! child of each. Each size has a control plane of its own (API server and etcd, nobody else) and is run in both orders;
//! medians are printed. Read the ratio: absolute times belong to this machine at this hour.
//!
//! Goals: ratio ≤ 1.25, operator ≤ 40 MiB resident at 1,000 Connectors.

#![expect(clippy::print_stdout, reason = "the report is this program's output")]
#![expect(clippy::expect_used, reason = "a benchmark that cannot run says why and ends")]

mod bare;
mod run;

use aperium_tests::cluster::{Cluster, Options};
use run::{Contender, Measured, Stage};

/// Connectors, and rounds of each size.
const SIZES: [(usize, usize); 3] = [(1, 5), (100, 3), (1000, 2)];

fn main() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    println!(
        "| Connectors | bare client s | operator s | ratio | operator CPU s | resident MiB | after a restart MiB |"
    );
    println!("|---|---|---|---|---|---|---|");
    for (connectors, rounds) in SIZES {
        let cluster = Cluster::start(&Options::control_plane());
        let stage = runtime.block_on(Stage::new(&cluster));
        // Unmeasured: the first requests of a kind make the API server start what serves them.
        stage.run(&runtime, Contender::Operator, 3);
        stage.run(&runtime, Contender::Bare, 3);
        let (mut bare, mut operator): (Vec<Measured>, Vec<Measured>) = (Vec::new(), Vec::new());
        for round in 0..rounds {
            let mut order = [Contender::Bare, Contender::Operator];
            if round % 2 == 1 {
                order.reverse();
            }
            for contender in order {
                let measured = stage.run(&runtime, contender, connectors);
                match contender {
                    Contender::Bare => bare.push(measured),
                    Contender::Operator => operator.push(measured),
                }
            }
        }
        let (bare, time) = (median(bare.iter().map(|m| m.seconds)), median(operator.iter().map(|m| m.seconds)));
        let most = |of: fn(&Measured) -> f64| operator.iter().map(of).fold(0.0, f64::max);
        println!(
            "| {connectors} | {bare:.3} | {time:.3} | {:.2} | {:.2} | {:.1} | {:.1} |",
            time / bare,
            most(|m| m.cpu_seconds),
            most(|m| m.resident_mib),
            most(|m| m.restarted_mib),
        );
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
