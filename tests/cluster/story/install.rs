//! The two ways to install, as the README says.

use super::SYSTEM;
use aperium_tests::binaries;
use aperium_tests::cluster::Cluster;

/// `kubectl apply`.
pub(crate) fn from_manifests(cluster: &Cluster) {
    let file = |name: &str| binaries::repository().join(name).display().to_string();
    cluster.kubectl(&["apply", "-f", &file("crds/")]);
    cluster.kubectl(&[
        "wait",
        "--for=condition=Established",
        "--timeout=30s",
        "crd/connectors.aperium.dev",
        "crd/grants.aperium.dev",
    ]);
    cluster.kubectl(&["apply", "-f", &file("deploy/install.yaml")]);
    is_rolled_out(cluster);
}

/// `helm install` of both charts, with these values (`key=json`).
pub(crate) fn with_helm(cluster: &Cluster, values: &[&str]) {
    let chart = |name: &str| binaries::repository().join("charts").join(name).display().to_string();
    cluster.helm(&["install", "aperium-crds", &chart("aperium-crds")]);
    let aperium = chart("aperium");
    let mut install = vec!["install", "aperium", &aperium, "--namespace", SYSTEM, "--create-namespace"];
    install.extend(values.iter().flat_map(|value| ["--set-json", *value]));
    cluster.helm(&install);
    is_rolled_out(cluster);
}

fn is_rolled_out(cluster: &Cluster) {
    for deployment in ["aperium-operator", "aperium-gateway"] {
        let deployment = format!("deployment/{deployment}");
        let rolled_out = cluster.try_kubectl(&["-n", SYSTEM, "rollout", "status", &deployment, "--timeout=120s"]);
        if !rolled_out.ok {
            cluster.dump(SYSTEM);
            panic!("{deployment} did not become available: {}", rolled_out.stderr);
        }
    }
}
