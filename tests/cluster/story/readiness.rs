//! A service's pod, asked directly at its address.

use super::SYSTEM;
use aperium_tests::cluster::Cluster;
use aperium_tests::{http, wait};
use serde_json::{Value, json};
use std::time::Duration;

/// One row of the truth table.
pub(crate) struct Checks {
    failing: Option<(&'static str, &'static str)>,
}

impl Checks {
    /// 503, and this check has this reason.
    pub(crate) fn failing(check: &'static str, reason: &'static str) -> Self {
        Self { failing: Some((check, reason)) }
    }

    /// 200.
    pub(crate) fn ready() -> Self {
        Self { failing: None }
    }

    fn holds(&self, status: u16, body: &Value) -> bool {
        match self.failing {
            None => status == 200 && body["ready"] == true,
            Some((check, reason)) => {
                status == 503
                    && body["ready"] == false
                    && body["checks"][check]["ok"] == false
                    && body["checks"][check]["reason"] == reason
            }
        }
    }
}

/// The one pod of a Connector.
pub(crate) struct Pod<'a> {
    cluster: &'a Cluster,
    connector: &'static str,
    address: String,
}

impl<'a> Pod<'a> {
    pub(crate) async fn of(cluster: &'a Cluster, connector: &'static str) -> Self {
        let address = wait::until("the pod has an address and answers", Duration::from_secs(60), async || {
            let ip = field(cluster, connector, "{.items[0].status.podIP}");
            let address = format!("http://{ip}:8088");
            http::get(&format!("{address}/healthz"), &[])
                .await
                .ok()
                .filter(|reply| reply.status == 200)
                .map(|_| address)
        })
        .await;
        Self { cluster, connector, address }
    }

    /// `/readyz` comes to say this.
    pub(crate) async fn reports(&self, wanted: &Checks) {
        let last = std::cell::RefCell::new(String::new());
        let seen = async {
            loop {
                if let Ok(reply) = http::get(&format!("{}/readyz", self.address), &[]).await {
                    if wanted.holds(reply.status, &reply.json()) {
                        return;
                    }
                    last.replace(format!("{} {}", reply.status, reply.text()));
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        let in_time = tokio::time::timeout(Duration::from_secs(60), seen).await;
        assert!(in_time.is_ok(), "/readyz never said {:?}; last: {}", wanted.failing, last.borrow());
    }

    /// The status of a `tools/list` with this token.
    pub(crate) async fn status_with(&self, token: &str) -> u16 {
        let bearer = format!("Bearer {token}");
        // The pod answers to the names of its Service only.
        let host = format!("aperium-mcp-{}", self.connector);
        let headers = [("host", host.as_str()), ("authorization", bearer.as_str()), ("accept", "*/*")];
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"});
        http::post_json(&format!("{}/mcp", self.address), &headers, &body).await.expect("the pod answers").status
    }

    /// The token comes to be accepted.
    pub(crate) async fn accepts(&self, token: &str) {
        wait::until("the new token is accepted", Duration::from_secs(60), async || {
            (self.status_with(token).await == 200).then_some(())
        })
        .await;
    }

    /// The token comes to be refused.
    pub(crate) async fn refuses(&self, token: &str) {
        wait::until("the old token is refused", Duration::from_secs(60), async || {
            (self.status_with(token).await == 401).then_some(())
        })
        .await;
    }

    /// Restarts of its containers.
    pub(crate) fn restarts(&self) -> u32 {
        field(self.cluster, self.connector, "{.items[0].status.containerStatuses[0].restartCount}")
            .parse()
            .expect("a number")
    }
}

fn field(cluster: &Cluster, connector: &str, path: &str) -> String {
    let selector = format!("aperium.dev/connector={connector}");
    cluster.try_kubectl(&["-n", SYSTEM, "get", "pods", "-l", &selector, "-o", &format!("jsonpath={path}")]).stdout
}
