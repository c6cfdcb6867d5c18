//! Both ways of installing, against a real API server: what it takes, what a second time changes, what goes and stays.

use crate::render;
use aperium_tests::{
    binaries,
    cluster::{Cluster, Options},
};
use std::fs;

/// One after the other in one cluster: the two ways make objects of the same names.
#[test]
fn both_ways_of_installing_work_twice_and_leave_what_they_promise() {
    let cluster = Cluster::start(&Options::control_plane().with_controller_manager());
    by_helm(&cluster);
    by_kubectl(&cluster);
    rights(&cluster);
    examples(&cluster);
    // The namespace with all in it first: without their kinds nobody would know what there is to remove.
    for name in ["deploy/install.yaml", "crds"] {
        cluster.kubectl(&["delete", "--filename", &path(name)]);
    }
}

fn path(name: &str) -> String {
    binaries::repository().join(name).to_str().expect("UTF-8").to_owned()
}

fn by_helm(cluster: &Cluster) {
    let (crds, chart) = (path("charts/aperium-crds"), path("charts/aperium"));
    let namespace = ["--namespace", render::NAMESPACE];
    let helm = |args: &[&str]| cluster.helm(&[args, &namespace].concat());
    helm(&["install", "aperium-crds", &crds, "--create-namespace"]);
    established(cluster);
    let said = helm(&["install", "aperium", &chart]);
    assert!(said.contains("kubectl apply -f deploy/examples/postgres.yaml"), "{said}");
    // A feature on, and off again: an upgrade leaves nothing of it behind.
    let scalers = || cluster.kubectl(&["get", "hpa,pdb", "--namespace", render::NAMESPACE, "--output=name"]);
    helm(&["upgrade", "aperium", &chart, "--values", &path("charts/aperium/ci/ha-values.yaml")]);
    assert_eq!(scalers().lines().count(), 3, "{}", scalers());
    helm(&["upgrade", "aperium", &chart, "--reset-values"]);
    assert_eq!(scalers(), "");

    helm(&["uninstall", "aperium", "--wait"]);
    let left = cluster.kubectl(&[
        "get",
        "deploy,svc,netpol,role,rolebinding",
        "--namespace",
        render::NAMESPACE,
        "--output=name",
    ]);
    assert_eq!(left, "");
    // Connectors and Grants outlive the chart of their kinds.
    helm(&["uninstall", "aperium-crds"]);
    established(cluster);
    cluster.kubectl(&["delete", "crd", "connectors.aperium.dev", "grants.aperium.dev"]);
    cluster.kubectl(&["delete", "namespace", render::NAMESPACE]);
}

fn established(cluster: &Cluster) {
    let kinds = ["crd/connectors.aperium.dev", "crd/grants.aperium.dev"];
    cluster.kubectl(&[&["wait", "--for=condition=Established", "--timeout=30s"], &kinds[..]].concat());
}

fn by_kubectl(cluster: &Cluster) {
    let apply = |name: &str| {
        let applied = cluster.try_kubectl(&["apply", "--filename", &path(name)]);
        assert!(applied.ok, "{name}: {}", applied.stderr);
        // A warning is how Pod Security, deprecated APIs and doubtful fields show.
        assert_eq!(applied.stderr, "", "{name}");
        applied.stdout
    };
    apply("crds");
    established(cluster);
    apply("deploy/install.yaml");
    for name in ["crds", "deploy/install.yaml"] {
        let again = apply(name);
        assert!(again.lines().all(|line| line.ends_with(" unchanged")), "{name}: {again}");
    }
}

fn examples(cluster: &Cluster) {
    for entry in fs::read_dir(path("deploy/examples")).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_some_and(|extension| extension == "yaml") {
            let applied = cluster.try_kubectl(&["apply", "--filename", file.to_str().unwrap()]);
            assert!(applied.ok && applied.stderr.is_empty(), "{}: {}", file.display(), applied.stderr);
        }
    }
}

/// What the API server itself says that each may do.
fn rights(cluster: &Cluster) {
    let may = |who: &str, verb: &str, what: &[&str]| {
        let who = format!("--as=system:serviceaccount:{}:{who}", render::NAMESPACE);
        let asked = [&["auth", "can-i", &who, verb], what].concat();
        cluster.try_kubectl(&asked).stdout.trim() == "yes"
    };
    let here = format!("--namespace={}", render::NAMESPACE);
    let in_namespace = |who: &str, verb: &str, what: &str| may(who, verb, &[what, &here]);
    for (who, verb, what) in [
        ("aperium-operator", "watch", "connectors.aperium.dev"),
        ("aperium-operator", "create", "deployments.apps"),
        ("aperium-operator", "delete", "networkpolicies.networking.k8s.io"),
        ("aperium-operator", "create", "secrets"),
        ("aperium-operator", "get", "secrets"),
        ("aperium-operator", "patch", "configmaps/aperium-mcp-routing"),
        ("aperium-operator", "patch", "configmaps/aperium-lease-keys"),
        ("aperium-operator", "update", "secrets/aperium-broker-tls"),
        ("aperium-operator", "update", "leases.coordination.k8s.io/aperium-operator"),
        ("aperium-gateway", "watch", "grants.aperium.dev"),
        ("aperium-gateway", "get", "secrets"),
        // Admins change Connectors and Grants through the API; who may is the gateway's own decision.
        ("aperium-gateway", "patch", "connectors.aperium.dev"),
        ("aperium-gateway", "delete", "grants.aperium.dev"),
        ("aperium-gateway", "create", "tokenreviews.authentication.k8s.io"),
        ("aperium-gateway", "update", "leases.coordination.k8s.io/aperium-gateway-status"),
    ] {
        assert!(in_namespace(who, verb, what), "{who} may not {verb} {what}");
    }
    for who in ["aperium-operator", "aperium-gateway"] {
        assert!(may(who, "patch", &["connectors.aperium.dev", "--subresource=status", &here]), "{who}: status");
        for (verb, what) in [
            ("list", "secrets"),
            ("watch", "secrets"),
            ("update", "secrets"),
            ("update", "secrets/aperium-lease-signing"),
            ("delete", "secrets"),
            ("create", "pods"),
            ("get", "configmaps/aperium-settings"),
            ("create", "rolebindings.rbac.authorization.k8s.io"),
        ] {
            assert!(!in_namespace(who, verb, what), "{who} may {verb} {what}");
        }
        for (what, part) in [("pods", "exec"), ("serviceaccounts", "token"), ("deployments.apps", "scale")] {
            assert!(
                !may(who, "create", &[what, &format!("--subresource={part}"), &here]),
                "{who} may create {what}/{part}"
            );
        }
        assert!(!may(who, "get", &["secrets", "--namespace=kube-system"]), "{who} reads Secrets elsewhere");
        assert!(!may(who, "patch", &["nodes"]), "{who} changes nodes");
    }
    assert!(may("aperium-operator", "list", &["nodes"]) && !may("aperium-gateway", "list", &["nodes"]));
    assert!(!may("aperium-operator", "get", &["services/other", "--namespace=default"]));
    assert!(!in_namespace("aperium-operator", "patch", "connectors.aperium.dev"));
    assert!(!in_namespace("aperium-operator", "create", "grants.aperium.dev"));
    assert!(!in_namespace("aperium-gateway", "create", "secrets"));
    assert!(!in_namespace("aperium-gateway", "create", "deployments.apps"));
    assert!(!in_namespace("aperium-operator", "create", "tokenreviews.authentication.k8s.io"));
}
