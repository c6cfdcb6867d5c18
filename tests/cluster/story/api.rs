//! The admin API, asked at a pod of the gateway.

use super::SYSTEM;
use super::gateway::address;
use aperium_tests::cluster::Cluster;
use aperium_tests::http;
use bytes::Bytes;
use serde_json::{Value, json};

/// An admin at the gateway.
pub(crate) struct Admin<'a> {
    cluster: &'a Cluster,
}

impl<'a> Admin<'a> {
    /// The ServiceAccount `admin`, with a Grant that makes it one.
    pub(crate) fn of(cluster: &'a Cluster) -> Self {
        cluster.apply_in(SYSTEM, &super::gateway::account("admin"));
        let grant = json!({
            "apiVersion": "aperium.dev/v1alpha1", "kind": "Grant", "metadata": {"name": "admin"},
            "spec": {"subjects": [format!("serviceaccount:{SYSTEM}:admin")], "role": "admin", "connectors": ["**"]},
        });
        cluster.apply_in(SYSTEM, &grant.to_string());
        Self { cluster }
    }

    /// Saves the credentials of a tenant once the gateway knows the admin and the connector.
    pub(crate) async fn saves(&self, tenant: &str, connector: &str, fields: &Value) -> Value {
        let path = format!("/api/tenants/{tenant}/connectors/{connector}/credentials");
        let body = json!({ "fields": fields });
        let what = format!("the credentials of {tenant} are saved");
        aperium_tests::wait::until(&what, std::time::Duration::from_secs(60), async || {
            let reply = self.send("PUT", &path, &body).await;
            assert!(matches!(reply.status, 200 | 403 | 404), "{} {}", reply.status, reply.text());
            (reply.status == 200).then(|| reply.json())
        })
        .await
    }

    /// Has the credentials of a tenant tried: whether they work, and the step that failed with what it says.
    pub(crate) async fn tries(&self, tenant: &str, connector: &str, fields: &Value) -> (bool, String) {
        let path = format!("/api/tenants/{tenant}/connectors/{connector}/credentials/test");
        let what = format!("the credentials of {tenant} are tried");
        let tested = aperium_tests::wait::until(&what, std::time::Duration::from_secs(60), async || {
            let reply = self.send("POST", &path, &json!({ "fields": fields })).await;
            assert!(matches!(reply.status, 200 | 403 | 404 | 503), "{} {}", reply.status, reply.text());
            (reply.status == 200).then(|| reply.json())
        })
        .await;
        let failed = tested["steps"].as_array().expect("steps").iter().find(|step| step["outcome"] == "failed");
        let failed = failed.map_or_else(String::new, |step| format!("{}: {}", step["step"], step["message"]));
        (tested["works"] == true, failed)
    }

    /// What is on record of a pod that came to the broker with a lease of another service, which is this connector's.
    pub(crate) async fn refused_by_the_broker(&self, connector: &str) -> Value {
        let path = format!("/api/audit?connector={connector}&decision=denied");
        aperium_tests::wait::until("the refusal is on record", std::time::Duration::from_secs(20), async || {
            let reply = self.send("GET", &path, &Value::Null).await;
            assert_eq!(reply.status, 200, "{}", reply.text());
            let records = reply.json()["records"].take();
            let mut records = records.as_array().expect("records").iter();
            records.find(|record| record["outcome"] == "LeaseForOtherService").cloned()
        })
        .await
    }

    /// One request with a JSON body.
    async fn send(&self, method: &str, path: &str, body: &Value) -> http::Reply {
        let token = self.cluster.kubectl(&["-n", SYSTEM, "create", "token", "admin", "--audience", "aperium"]);
        let bearer = format!("Bearer {}", token.trim());
        let headers = [("host", "aperium-gateway"), ("authorization", &bearer), ("content-type", "application/json")];
        let url = format!("http://{}:8080{path}", address(self.cluster));
        let request = http::request(method, &url, &headers, Bytes::from(body.to_string()));
        http::send(request).await.expect("the gateway answers")
    }
}
