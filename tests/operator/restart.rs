//! Restarts: they write nothing, and whenever one comes, the end is the same.

use crate::bed::{Bed, LIMIT, RECONCILES, connector};
use aperium_tests::process::Signal;
use aperium_tests::wait;
use serde_json::Value;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[test]
fn a_second_reconcile_and_a_restart_write_nothing() {
    let bed = Bed::new("quiet");
    bed.apply("{apiVersion: v1, kind: Secret, metadata: {name: creds, labels: {connector.aperium.dev/b: \"true\"}}, stringData: {host: h}}");
    // The odd shapes: what the API server completes or normalises must not look like an edit.
    let template = "podTemplate: {metadata: {annotations: {a: b}}, spec: {priorityClassName: system-cluster-critical, tolerations: [{key: x, operator: Exists}], hostAliases: [{ip: 10.9.9.9, hostnames: [a.example]}], containers: [{name: mcp, resources: {requests: {cpu: 1000m, memory: 131072Ki}}}]}}";
    let mut operator = bed.operator();
    bed.apply(&connector("a", "replicas: 2"));
    bed.apply(&connector(
        "b",
        "credentials: {source: secret, secretRef: {name: creds}}, settings: {x: [1, {y: null}]}",
    ));
    bed.apply(&connector(
        "c",
        "autoscaling: {maxReplicas: 3}, resources: {requests: {cpu: \"0.5\", memory: 1Gi}}, nodeSelector: {a: b}",
    ));
    bed.apply(&connector("d", template));
    bed.apply("{apiVersion: aperium.dev/v1alpha1, kind: Grant, metadata: {name: g}, spec: {subjects: [\"*\"], connectors: [\"**\"]}}");
    for name in ["a", "b", "c", "d"] {
        bed.condition(name, "Accepted", "True", "Accepted");
    }
    bed.settled();
    let mark = bed.mark();
    for name in ["a", "b", "c", "d"] {
        operator.looks_again(|| drop(bed.kubectl(&["annotate", "connector", name, "example.com/look=1"])));
    }
    bed.settled();
    assert_eq!(bed.writes(mark), Vec::<String>::new(), "a second reconcile");

    assert!(operator.process.terminate(LIMIT).success(), "SIGTERM ends it well");
    let mark = bed.mark();
    let operator = bed.operator_with(&["--leader-elect", "true", "--identity", "second"]);
    wait::until_blocking("all to be looked at", LIMIT, || (operator.metric(RECONCILES) >= 4).then_some(()));
    bed.settled();
    assert_eq!(bed.writes(mark), Vec::<String>::new(), "a restart");
}

#[test]
fn of_two_replicas_one_leads_and_the_other_follows_when_it_goes() {
    let bed = Bed::new("leader");
    let mut first = bed.operator_with(&["--identity", "first"]);
    let mut second = bed.started(&["--identity", "second"]);
    bed.apply(&connector("pg", ""));
    bed.condition("pg", "Accepted", "True", "Accepted");
    assert_eq!(second.metric("aperium_operator_leader"), 0);
    assert_eq!(bed.get("lease", "aperium-operator").unwrap()["spec"]["holderIdentity"], "first");
    // A released Lease is taken at once, not after its 15 seconds.
    assert!(first.process.terminate(LIMIT).success());
    let released = std::time::Instant::now();
    second.ready();
    assert!(released.elapsed() < Duration::from_secs(10), "{:?}", released.elapsed());
    assert_eq!(bed.get("lease", "aperium-operator").unwrap()["spec"]["holderIdentity"], "second");
    // A Lease that somebody else takes ends the process: two must never lead.
    bed.kubectl(&[
        "patch",
        "lease",
        "aperium-operator",
        "--type=merge",
        "-p",
        r#"{"spec":{"holderIdentity":"thief","leaseDurationSeconds":60}}"#,
    ]);
    let status = second.process.wait(LIMIT).unwrap();
    assert!(!status.success(), "{status}");
}

#[test]
fn killed_at_any_moment_it_ends_where_it_would_have_ended() {
    const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
    let apply = |bed: &Bed| {
        bed.apply("{apiVersion: v1, kind: Secret, metadata: {name: creds, labels: {connector.aperium.dev/b: \"true\"}}, stringData: {host: h}}");
        let services = [
            "replicas: 2",
            "credentials: {source: secret, secretRef: {name: creds}}",
            "autoscaling: {maxReplicas: 3}",
            "networkPolicy: {enabled: false}",
            "",
        ];
        let all: String = NAMES.iter().zip(services).map(|(name, service)| connector(name, service)).collect();
        bed.apply(&all);
    };
    let calm = Bed::new("calm");
    let operator = calm.operator();
    apply(&calm);
    calm.settled();
    let expected = snapshot(&calm);
    drop(operator);

    let seed = seed();
    println!("APERIUM_TEST_SEED={seed}");
    let mut random = seed;
    let rough = Bed::new("rough");
    apply(&rough);
    for _ in 0..8 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut operator = rough.started(&["--leader-elect", "false"]);
        std::thread::sleep(Duration::from_millis(50 + (random >> 33) % 900));
        operator.process.signal(Signal::KILL);
        assert!(operator.process.wait(LIMIT).is_some());
    }
    let _operator = rough.operator();
    for name in NAMES {
        rough.condition(name, "Accepted", "True", "Accepted");
    }
    rough.settled();
    let found = snapshot(&rough);
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected);
    }
}

/// A number that a failed run prints, so that it can be run again.
#[expect(clippy::disallowed_methods, reason = "a test has no command line of its own")]
fn seed() -> u64 {
    let given = std::env::var("APERIUM_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    given.unwrap_or_else(|| u64::from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos()))
}

/// All objects of the operator in a namespace, without what no two objects share.
fn snapshot(bed: &Bed) -> Vec<Value> {
    let kinds = "connectors,deployments,services,serviceaccounts,networkpolicies,poddisruptionbudgets,horizontalpodautoscalers,configmaps,secrets";
    let listed = bed.kubectl(&["get", kinds, "-o", "json"]).replace(bed.name(), "NAMESPACE");
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let mut objects: Vec<Value> =
        listed["items"].as_array().unwrap().iter().filter(|object| !foreign(object)).cloned().collect();
    objects.iter_mut().for_each(strip);
    objects.sort_by_key(|object| format!("{}/{}", object["kind"], object["metadata"]["name"]));
    objects
}

fn foreign(object: &Value) -> bool {
    let name = object["metadata"]["name"].as_str().unwrap();
    object["kind"] != "Connector" && !name.starts_with("aperium-mcp-")
}

fn strip(object: &mut Value) {
    let kind = object["kind"].as_str().unwrap().to_owned();
    let metadata = object["metadata"].as_object_mut().unwrap();
    for field in ["uid", "resourceVersion", "creationTimestamp", "managedFields", "generation"] {
        metadata.remove(field);
    }
    if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
        // The hash holds the owner's uid.
        annotations.remove("aperium.dev/applied-hash");
        annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
    }
    if let Some(owner) = metadata.get_mut("ownerReferences") {
        owner[0]["uid"] = Value::Null;
    }
    if kind == "Service" {
        object["spec"]["clusterIP"] = Value::Null;
        object["spec"]["clusterIPs"] = Value::Null;
    }
    if kind == "Secret" {
        object["data"] = Value::Null;
    }
    if kind == "Connector" {
        for condition in object["status"]["conditions"].as_array_mut().unwrap() {
            condition["lastTransitionTime"] = Value::Null;
        }
    } else {
        object.as_object_mut().unwrap().remove("status");
    }
}
