//! The operator's own behaviour, counted by the API server.

use super::SYSTEM;
use aperium_tests::audit;
use aperium_tests::cluster::Cluster;
use std::time::Duration;

/// Deletes the operator's pod, waits for the next one, and counts what it writes in a while, Lease renewals aside.
pub(crate) fn writes_nothing_while_it_restarts(cluster: &Cluster, watched: Duration) {
    // Whatever is still settling settles first.
    std::thread::sleep(Duration::from_secs(10));
    let log = cluster.audit();
    let mark = log.mark();
    cluster.kubectl(&["-n", SYSTEM, "delete", "pods", "-l", "app.kubernetes.io/name=aperium-operator", "--wait=true"]);
    cluster.kubectl(&["-n", SYSTEM, "rollout", "status", "deployment/aperium-operator", "--timeout=120s"]);
    std::thread::sleep(watched);
    let user = format!("system:serviceaccount:{SYSTEM}:aperium-operator");
    let writes = log.writes_since(mark, &user);
    let renewals =
        log.since(mark).iter().filter(|entry| entry.user == user && entry.resource.ends_with("leases")).count();
    assert!(renewals > 0, "the audit log shows the operator at work, or this test could not see it write");
    assert!(writes.is_empty(), "a restarted operator wrote:\n{}", audit::count(&writes));
}
