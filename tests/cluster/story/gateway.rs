//! The gateway as a pod in the cluster reaches it.

use super::SYSTEM;
use aperium_tests::cluster::Cluster;
use aperium_tests::{http, wait};
use serde_json::{Value, json};
use std::time::Duration;

/// A busybox pod that calls the gateway's Service by name.
pub(crate) struct Gateway<'a> {
    cluster: &'a Cluster,
    pod: &'static str,
}

/// What came back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

/// A ServiceAccount for callers.
pub(crate) fn account(name: &str) -> String {
    json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}).to_string()
}

/// A Grant for such an account.
pub(crate) fn grant(account: &str, pattern: &str) -> String {
    json!({
        "apiVersion": "aperium.dev/v1alpha1", "kind": "Grant", "metadata": {"name": account},
        "spec": {"subjects": [format!("serviceaccount:{SYSTEM}:{account}")], "connectors": [pattern]},
    })
    .to_string()
}

impl<'a> Gateway<'a> {
    pub(crate) fn from_a_pod(cluster: &'a Cluster, pod: &'static str) -> Self {
        cluster.client_pod(SYSTEM, pod, &[("aperium.dev/mcp-client", "true")]);
        Self { cluster, pod }
    }

    /// A ServiceAccount's token for the audience of the gateway.
    pub(crate) fn token(&self, account: &str) -> String {
        let made = self.cluster.kubectl(&["-n", SYSTEM, "create", "token", account, "--audience", "aperium"]);
        made.trim().to_owned()
    }

    /// One JSON-RPC request to `/v1/mcp`.
    pub(crate) fn rpc(&self, token: &str, method: &str, params: &Value) -> Answer {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
        self.post("aperium-gateway", 8080, "/v1/mcp", token, &body)
    }

    /// The same until the answer is as wanted: a new Grant needs a moment to arrive.
    pub(crate) fn eventually(&self, token: &str, method: &str, params: &Value, wanted: fn(&Answer) -> bool) -> Answer {
        wait::until_blocking(&format!("{method} is answered as wanted"), Duration::from_secs(20), || {
            Some(self.rpc(token, method, params)).filter(wanted)
        })
    }

    /// `tools/list` at a service itself.
    pub(crate) fn service(&self, connector: &str, port: u16, token: &str) -> Answer {
        let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
        self.post(&format!("aperium-mcp-{connector}"), port, "/mcp", token, body)
    }

    /// Spoken by hand through `nc`: busybox's wget keeps the body of a refusal to itself.
    fn post(&self, host: &str, port: u16, path: &str, token: &str, body: &str) -> Answer {
        let authorization =
            if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\\r\\n") };
        let request = format!(
            "POST {path} HTTP/1.1\\r\\nHost: {host}:{port}\\r\\nContent-Type: application/json\\r\\nAccept: */*\\r\\n{authorization}\
             Content-Length: {}\\r\\nConnection: close\\r\\n\\r\\n%s",
            body.len()
        );
        // The pipe stays open until the answer is there: a server may end with a client that has stopped sending.
        let line = format!(
            "rm -f /tmp/ask; mkfifo /tmp/ask; nc -w 10 {host} {port} < /tmp/ask & exec 3> /tmp/ask; \
             printf '{request}' '{}' >&3; wait $!; exec 3>&-",
            body.replace('\'', "'\\''")
        );
        let said = self.cluster.exec(SYSTEM, self.pod, &line);
        let (head, body) = said.stdout.split_once("\r\n\r\n").unwrap_or((&said.stdout, ""));
        let status = head.split_whitespace().nth(1).and_then(|code| code.parse().ok());
        Answer { status: status.unwrap_or_else(|| panic!("no answer from {host}: {said:?}")), body: body.to_owned() }
    }
}

/// The address of its pod.
pub(crate) fn address(cluster: &Cluster) -> String {
    let path = "jsonpath={.items[0].status.podIP}";
    cluster.kubectl(&["-n", SYSTEM, "get", "pods", "-l", "app.kubernetes.io/name=aperium-gateway", "-o", path])
}

/// The gateway's probes, asked at its pod.
async fn readyz(cluster: &Cluster) -> http::Reply {
    let ip = address(cluster);
    http::get(&format!("http://{ip}:9090/readyz"), &[]).await.expect("the gateway's probes answer")
}

/// It is ready.
pub(crate) async fn is_ready(cluster: &Cluster) {
    let reply = readyz(cluster).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}

/// It is ready all the same, and says that a connector is unavailable.
pub(crate) async fn says_unavailable(cluster: &Cluster, connector: &str) {
    wait::until("the gateway names the connector", Duration::from_secs(30), async || {
        let reply = readyz(cluster).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.text().contains(connector).then_some(())
    })
    .await;
}

/// How often the gateway's containers were restarted.
pub(crate) fn restarts(cluster: &Cluster) -> String {
    cluster.kubectl(&[
        "-n",
        SYSTEM,
        "get",
        "pods",
        "-l",
        "app.kubernetes.io/name=aperium-gateway",
        "-o",
        "jsonpath={.items[*].metadata.uid} {.items[*].status.containerStatuses[*].restartCount}",
    ])
}
