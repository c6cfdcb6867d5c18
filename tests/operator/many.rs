//! Many Connectors at once, on a bare control plane: API server and etcd, nobody else writes.

use crate::bed::{Bed, LIMIT, RECONCILES, connector, install_crds};
use aperium_tests::cluster::{Cluster, Options};
use aperium_tests::wait;
use std::collections::BTreeMap;

/// ServiceAccount, NetworkPolicy, Service, Deployment, token Secret.
const CHILDREN: usize = 5;
const MANY: usize = 100;

#[test]
fn a_hundred_connectors_cost_their_children_and_one_status_each_and_nothing_on_a_second_look() {
    // Leaked: the bed wants one that outlives it. The harness ends the cluster with the test program.
    let cluster: &'static Cluster = Box::leak(Box::new(Cluster::start(&Options::control_plane().with_audit())));
    install_crds(cluster);
    let bed = Bed::on(cluster, "many");
    let operator = bed.operator();
    let all: String = (0..MANY).map(|number| connector(&format!("c{number}"), "")).collect();
    let mark = bed.mark();
    bed.apply(&all);
    wait::until_blocking("all statuses", LIMIT, || {
        let statuses = bed.writes(mark).iter().filter(|write| write.contains("connectors/status")).count();
        (statuses >= MANY).then_some(())
    });
    bed.settled();
    let mut per_connector: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for write in bed.writes(mark).into_iter().filter(|write| !write.contains("aperium-mcp-routing")) {
        let object = write.split('/').next_back().unwrap().split(' ').next().unwrap();
        let name = object.trim_start_matches("aperium-mcp-").trim_end_matches("-token").to_owned();
        per_connector.entry(name).or_default().push(write);
    }
    assert_eq!(per_connector.len(), MANY);
    for (name, writes) in &per_connector {
        assert!(writes.len() <= CHILDREN + 1, "{name}: {writes:#?}");
    }
    let tables = bed.writes(mark).iter().filter(|write| write.contains("aperium-mcp-routing")).count();
    assert!((1..=60).contains(&tables), "{tables} writes of the routing table");

    let mark = bed.mark();
    let before = operator.metric(RECONCILES);
    bed.kubectl(&["annotate", "connectors", "--all", "example.com/look=1"]);
    wait::until_blocking("a second pass", LIMIT, || (operator.metric(RECONCILES) >= before + 100).then_some(()));
    bed.settled();
    assert_eq!(bed.writes(mark), Vec::<String>::new());
    let resident = operator.process.resident_bytes() / 1024;
    println!("operator at {MANY} Connectors: {resident} KiB resident");
}
