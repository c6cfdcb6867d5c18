//! The broker as somebody reaches it who holds what a pod holds.

use super::SYSTEM;
use super::gateway::address;
use aperium_core::id::{ConnectorId, ConnectorName, RequestId, TenantId};
use aperium_platform::lease::{Audience, BROKER_CA, LEASE_HEADER, LeaseSigner, Scope};
use aperium_platform::seal::KeyRing;
use aperium_tests::cluster::Cluster;
use std::io::Write as _;
use std::process::{Command, Stdio};

/// The name that the broker's certificate is for.
const HOST: &str = "aperium-gateway.aperium-system.svc";

/// The token that the kubelet gives the pod of a Connector, for this audience and bound to that pod.
pub(crate) fn token_of_the_pod(cluster: &Cluster, connector: &str, audience: &str) -> String {
    let selector = format!("aperium.dev/connector={connector}");
    let name = "jsonpath={.items[0].metadata.name}";
    let pod = cluster.kubectl(&["-n", SYSTEM, "get", "pods", "-l", &selector, "-o", name]);
    let account = format!("aperium-mcp-{connector}");
    let bound = ["--bound-object-kind", "Pod", "--bound-object-name", &pod];
    let made = ["-n", SYSTEM, "create", "token", &account, "--audience", audience];
    cluster.kubectl(&[&made[..], &bound[..]].concat()).trim().to_owned()
}

/// A lease as the gateway signs it for a call of `postgres_run_query` by this tenant.
pub(crate) fn lease(cluster: &Cluster, connector: &str, tenant: &str) -> String {
    let template = "go-template={{range .data}}{{. | base64decode}}{{end}}";
    let ring = cluster.kubectl(&["-n", SYSTEM, "get", "secret", "aperium-lease-signing", "-o", template]);
    let ring = KeyRing::parse(ring.as_bytes()).expect("the operator's keys");
    let scope = Scope {
        audience: Audience::of(SYSTEM, &ConnectorName::parse(connector).expect("a name")),
        connector: ConnectorId::parse(connector).expect("an id"),
        tool: "postgres_run_query".to_owned(),
        tenant: TenantId::parse(tenant).expect("a tenant"),
        user: "serviceaccount:aperium-system:somebody".to_owned(),
        delegate: None,
        request: RequestId::accept(None),
        version: 1,
    };
    LeaseSigner::fixed(ring).sign(&scope).expect("a lease")
}

/// Status and body of `POST /broker/v1/redeem` with this token and lease.
pub(crate) fn redeem(cluster: &Cluster, token: &str, lease: Option<&str>) -> (u16, String) {
    let template = format!("go-template={{{{index .data \"{BROKER_CA}\"}}}}");
    let ca = cluster.kubectl(&["-n", SYSTEM, "get", "configmap", "aperium-lease-keys", "-o", &template]);
    let file = cluster.folder().join(BROKER_CA);
    std::fs::write(&file, ca).expect("the folder is there");
    let mut curl = Command::new("curl")
        .args(["--silent", "--max-time", "20", "--write-out", "\\n%{http_code}", "--request", "POST"])
        .args(["--resolve", &format!("{HOST}:9443:{}", address(cluster)), "--cacert"])
        .arg(&file)
        // Secrets on standard input: a command line is for everybody to see.
        .args(["--header", "@-", &format!("https://{HOST}:9443/broker/v1/redeem")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("curl starts");
    let lease = lease.map_or_else(String::new, |lease| format!("{LEASE_HEADER}: {lease}\n"));
    let headers = format!("Authorization: Bearer {token}\n{lease}");
    curl.stdin.take().expect("a pipe").write_all(headers.as_bytes()).expect("curl reads");
    let answer = curl.wait_with_output().expect("curl ends");
    let text = String::from_utf8(answer.stdout).expect("text");
    let (body, status) = text.rsplit_once('\n').expect("a status");
    (status.parse().expect("a status"), body.to_owned())
}
