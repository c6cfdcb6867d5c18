//! Connectors as an admin sees them: applied, ready, with children, gone.

use super::SYSTEM;
use super::database::Database;
use aperium_tests::binaries;
use aperium_tests::cluster::Cluster;
use aperium_tests::wait;
use serde_json::{Value, json};
use std::time::Duration;

/// What a Connector with a module has, besides pods.
const KINDS: [&str; 5] = ["serviceaccount", "deployment", "service", "networkpolicy", "secret"];

/// `kubectl apply -f deploy/examples/postgres.yaml`, then the real address and password into its Secret.
pub(crate) fn apply_the_example(cluster: &Cluster, database: &Database) {
    let example = binaries::repository().join("deploy/examples/postgres.yaml");
    cluster.kubectl(&["apply", "-f", &example.display().to_string()]);
    set_credentials(cluster, "postgres-credentials", database, super::database::PASSWORD);
    has_children(cluster, "postgres");
}

/// The objects exist, the condition holds, and the columns say so.
pub(crate) fn becomes_ready(cluster: &Cluster, name: &str, tools: usize) {
    let connector = format!("connectors.aperium.dev/{name}");
    let ready = cluster.try_kubectl(&["-n", SYSTEM, "wait", "--for=condition=Ready", &connector, "--timeout=120s"]);
    if !ready.ok {
        cluster.dump(SYSTEM);
        panic!("{name} did not become ready: {}", ready.stderr);
    }
    let columns = cluster.kubectl(&["-n", SYSTEM, "get", "apcon", name]);
    let row: Vec<&str> = columns.lines().nth(1).unwrap_or_default().split_whitespace().collect();
    assert_eq!(row[..4], [name, "mcp", "True", &tools.to_string()], "{columns}");
    let image = cluster.kubectl(&[
        "-n",
        SYSTEM,
        "get",
        "pods",
        "-l",
        &format!("aperium.dev/connector={name}"),
        "-o",
        "jsonpath={.items[0].spec.containers[0].image}",
    ]);
    assert!(image.starts_with("images.aperium.dev/mcp:"), "{image}");
}

/// A Connector whose token Secret lacks its key and whose credentials Secret is empty: everything is to be repaired.
pub(crate) fn apply_for_repairs(cluster: &Cluster, name: &str) {
    let label = format!("connector.aperium.dev/{name}");
    let secret = |suffix: &str| {
        json!({"apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": format!("{name}-{suffix}"), "labels": {label.as_str(): "true"}}})
    };
    let connector = json!({
        "apiVersion": "aperium.dev/v1alpha1", "kind": "Connector", "metadata": {"name": name},
        "spec": {"protocol": "mcp", "service": {
            "module": "postgres", "port": 8088,
            "auth": {"existingSecret": format!("{name}-token")},
            "credentials": {"source": "secret", "secretRef": {"name": format!("{name}-credentials")}},
        }},
    });
    for object in [secret("token"), secret("credentials"), connector] {
        cluster.apply_in(SYSTEM, &object.to_string());
    }
}

/// A Connector whose tenants have credentials of their own in the platform's database.
pub(crate) fn apply_for_tenants(cluster: &Cluster, name: &str) {
    let connector = json!({
        "apiVersion": "aperium.dev/v1alpha1", "kind": "Connector", "metadata": {"name": name},
        "spec": {"protocol": "mcp", "service": {"module": "postgres", "port": 8088}},
    });
    cluster.apply_in(SYSTEM, &connector.to_string());
}

/// Puts one key into a Secret.
pub(crate) fn set_key(cluster: &Cluster, secret: &str, key: &str, value: &str) {
    patch(cluster, secret, &json!({"stringData": {key: value}}));
}

/// Puts the credentials into a Secret.
pub(crate) fn set_credentials(cluster: &Cluster, secret: &str, database: &Database, password: &str) {
    patch(cluster, secret, &json!({"stringData": database.fields(password)}));
}

fn patch(cluster: &Cluster, secret: &str, patch: &Value) {
    cluster.kubectl(&["-n", SYSTEM, "patch", "secret", secret, "--type=merge", "-p", &patch.to_string()]);
}

/// The token that the operator made.
pub(crate) fn token(cluster: &Cluster, name: &str) -> String {
    let secret = format!("aperium-mcp-{name}-token");
    let template = "go-template={{.data.mcp_auth_token | base64decode}}";
    cluster.kubectl(&["-n", SYSTEM, "get", "secret", &secret, "-o", template])
}

/// A condition gets this status and reason.
pub(crate) fn says(cluster: &Cluster, name: &str, condition: &str, status: &str, reason: &str) {
    let path = format!(
        "jsonpath={{.status.conditions[?(@.type==\"{condition}\")].status}}/{{.status.conditions[?(@.type==\"{condition}\")].reason}}"
    );
    let wanted = format!("{status}/{reason}");
    wait::until_blocking(&format!("{name} has {condition}={wanted}"), Duration::from_secs(60), || {
        let said = cluster.kubectl(&["-n", SYSTEM, "get", "connectors.aperium.dev", name, "-o", &path]);
        (said == wanted).then_some(())
    });
}

/// Name, uid and resourceVersion of every child, in order. Deployments change by themselves: only their generation.
pub(crate) fn children(cluster: &Cluster, name: &str) -> Vec<String> {
    let mut found = Vec::new();
    for kind in KINDS {
        let version = if kind == "deployment" { "generation" } else { "resourceVersion" };
        let listed = cluster.kubectl(&[
            "-n", SYSTEM, "get", kind, "-l", &format!("aperium.dev/connector={name}"), "-o",
            &format!("jsonpath={{range .items[*]}}{{.kind}} {{.metadata.name}} {{.metadata.uid}} {{.metadata.{version}}}{{\"\\n\"}}{{end}}"),
        ]);
        found.extend(listed.lines().map(str::to_owned));
    }
    found.sort();
    found
}

/// Its children appear (its token Secret too, unless it has one of its own).
pub(crate) fn has_children(cluster: &Cluster, name: &str) {
    wait::until_blocking(&format!("{name} has its children"), Duration::from_secs(60), || {
        let found = children(cluster, name);
        KINDS[..4].iter().all(|kind| found.iter().any(|child| child.to_lowercase().starts_with(kind))).then_some(())
    });
}

/// Its children are gone, pods included.
pub(crate) fn has_no_children(cluster: &Cluster, name: &str) {
    let selector = format!("aperium.dev/connector={name}");
    wait::until_blocking(&format!("the children of {name} are gone"), Duration::from_secs(90), || {
        let pods = cluster.kubectl(&["-n", SYSTEM, "get", "pods", "-l", &selector, "-o", "name"]);
        (children(cluster, name).is_empty() && pods.is_empty()).then_some(())
    });
}
