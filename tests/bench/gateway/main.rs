//! The gateway beside a direct call and its peers, in one run; writes `bench/results/<date>.md`.
//!
//! Run it with `make bench`, which keeps load generator and upstream on CPU 0; the target under test has CPU 1 alone, so
//! its figure is what one core of it does.

#![expect(clippy::expect_used, reason = "a benchmark that cannot run says why and ends")]

mod asked;
mod connection;
mod crowd;
mod database;
mod identity;
mod leased;
mod load;
mod machine;
mod many;
mod measured;
mod memory;
mod pace;
mod plan;
mod rates;
mod report;
mod target;
mod upstream;

use aperium_tests::binaries;
use clap::Parser as _;
use plan::Plan;
use report::Report;
use target::{Target, gateway, peers};

fn main() {
    let plan = Plan::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    tokio::task::LocalSet::new().block_on(&runtime, run(&plan));
}

#[expect(clippy::print_stdout, reason = "the report is this program's output")]
async fn run(plan: &Plan) {
    let (upstream, mut report) = (upstream::start().await, Report::default());
    let port = upstream.port();
    if plan.wants("rates") || plan.wants("pace") || plan.wants("crowd") {
        let peers = peers::Peers::install();
        let own = gateway::start(port, 21).await;
        let others =
            [Target::direct(port), peers::nginx(port).await, peers.envoy(port).await, peers.mcp_proxy(port).await];
        let targets: Vec<&Target> = others.iter().chain([&own]).collect();
        if plan.wants("rates") {
            rates::run(plan, &upstream, &targets, &mut report).await;
        }
        if plan.wants("pace") {
            pace::run(plan, &targets, &mut report).await;
        }
        if plan.wants("crowd") {
            crowd::run(plan, &own, &mut report).await;
        }
    }
    if plan.wants("identity") {
        identity::run(plan, &upstream, &mut report).await;
    }
    if plan.wants("leased") {
        leased::run(&mut report);
    }
    if plan.wants("memory") {
        memory::run(plan, port, &mut report).await;
    }
    if plan.wants("many") {
        many::run(plan, port, &mut report).await;
    }
    println!("{}", report.goals());
    if plan.whole() {
        let folder = binaries::repository().join("bench/results");
        std::fs::create_dir_all(&folder).expect("the folder of results");
        let path = folder.join(format!("{}.md", machine::today()));
        std::fs::write(&path, report.whole(&machine::heading(plan))).expect("the report");
        println!("written: {}", path.display());
    }
}
