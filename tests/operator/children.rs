//! Children: made, kept, put right, removed.

use crate::bed::{Bed, LIMIT, connector};
use aperium_tests::wait;
use serde_json::{Value, json};

const CHILD: &str = "aperium-mcp-pg";

#[test]
fn a_connector_has_its_children_and_takes_them_with_it() {
    let bed = Bed::new("children");
    // Things of others, of the same kinds and with names that are almost those of children.
    bed.apply("{apiVersion: v1, kind: ConfigMap, metadata: {name: aperium-mcp-other}, data: {a: b}}");
    bed.apply("{apiVersion: v1, kind: ServiceAccount, metadata: {name: aperium-mcp}}");
    let _operator = bed.operator();
    bed.apply(&connector("pg", "autoscaling: {minReplicas: 1, maxReplicas: 3}"));
    for kind in
        ["deployment", "service", "serviceaccount", "networkpolicy", "poddisruptionbudget", "horizontalpodautoscaler"]
    {
        let child = bed.eventually(kind, CHILD, "is made", |_| true);
        assert_eq!(child["metadata"]["ownerReferences"][0]["name"], "pg", "{kind}");
        assert_eq!(child["metadata"]["labels"]["app.kubernetes.io/managed-by"], "aperium-operator", "{kind}");
        assert_eq!(child["metadata"]["labels"]["aperium.dev/connector"], "pg", "{kind}");
    }
    let secret = bed.eventually("secret", "aperium-mcp-pg-token", "is made", |_| true);
    assert_eq!(secret["metadata"]["ownerReferences"][0]["name"], "pg");
    assert_eq!(secret["metadata"]["labels"]["connector.aperium.dev/pg"], "true");
    assert_eq!(secret["data"]["mcp_auth_token"].as_str().unwrap().len(), 60, "43 characters of base64url, in base64");
    // Pod Security admission of the namespace is `restricted`: pods exist, so they conform.
    let made = || {
        let pods: Value = serde_json::from_str(&bed.kubectl(&["get", "pods", "-o", "json"])).unwrap();
        pods["items"].as_array().is_some_and(|pods| !pods.is_empty()).then_some(())
    };
    wait::until_blocking("the pod", LIMIT, made);
    let deployment = bed.get("deployment", CHILD).unwrap();
    assert_eq!(deployment["metadata"]["generation"], 1, "nothing is changed once it is made");
    let routing = bed.eventually("configmap", "aperium-mcp-routing", "has the entry", |map| {
        map["data"].as_object().is_some_and(|data| data.len() == 4)
    });
    assert_eq!(routing["data"]["MCP_SERVER_TRANSPORT_PG"], "http");
    let connector = bed.condition("pg", "Accepted", "True", "Accepted");
    assert_eq!(connector["observedGeneration"], 1);
    let status = &bed.get("connector", "pg").unwrap()["status"];
    assert_eq!(status["id"], "pg");
    assert_eq!(status["url"], format!("http://aperium-mcp-pg.{}.svc.cluster.local:8088/mcp", bed.name()));

    let bystanders = |bed: &Bed| {
        [bed.get("configmap", "aperium-mcp-other"), bed.get("serviceaccount", "aperium-mcp")]
            .map(|found| found.unwrap()["metadata"]["resourceVersion"].clone())
    };
    let before = bystanders(&bed);
    bed.kubectl(&["delete", "connector", "pg"]);
    for kind in
        ["deployment", "service", "serviceaccount", "networkpolicy", "poddisruptionbudget", "horizontalpodautoscaler"]
    {
        bed.gone(kind, CHILD);
    }
    bed.gone("secret", "aperium-mcp-pg-token");
    bed.eventually("configmap", "aperium-mcp-routing", "is empty and stays", |map| {
        map["data"].as_object().is_none_or(|data| data.is_empty())
    });
    assert_eq!(bystanders(&bed), before);
}

#[test]
fn what_somebody_else_edits_is_put_right() {
    let bed = Bed::new("edits");
    let _operator = bed.operator();
    bed.apply(&connector("pg", "replicas: 2"));
    bed.condition("pg", "Accepted", "True", "Accepted");
    bed.settled();
    let token = bed.get("secret", "aperium-mcp-pg-token").unwrap()["data"].clone();

    bed.kubectl(&["scale", "deployment", CHILD, "--replicas=5"]);
    bed.eventually("deployment", CHILD, "has 2 replicas again", |found| found["spec"]["replicas"] == 2);
    bed.kubectl(&["set", "image", &format!("deployment/{CHILD}"), "mcp=evil.example/x:1"]);
    bed.eventually("deployment", CHILD, "runs the image of the settings", |found| {
        found["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap().starts_with("images.aperium.dev/")
    });
    patch(&bed, "service", &json!({"spec": {"selector": {"app.kubernetes.io/instance": "other"}}}));
    bed.eventually("service", CHILD, "selects its own pods", |found| {
        found["spec"]["selector"]["app.kubernetes.io/instance"] == "pg"
    });
    patch(&bed, "networkpolicy", &json!({"spec": {"ingress": [{}]}}));
    bed.eventually("networkpolicy", CHILD, "admits its callers only", |found| {
        found["spec"]["ingress"][0]["from"].is_array()
    });
    patch(
        &bed,
        "service",
        &json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": null}, "ownerReferences": null}}),
    );
    bed.eventually("service", CHILD, "is owned and labelled", |found| {
        found["metadata"]["ownerReferences"][0]["name"] == "pg"
            && found["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "aperium-operator"
    });
    let before = bed.get("serviceaccount", CHILD).unwrap()["metadata"]["uid"].clone();
    bed.kubectl(&["delete", "serviceaccount", CHILD]);
    bed.eventually("serviceaccount", CHILD, "is made again", |found| found["metadata"]["uid"] != before);
    bed.kubectl(&[
        "patch",
        "configmap",
        "aperium-mcp-routing",
        "--type=merge",
        "-p",
        r#"{"data":{"MCP_SERVER_URL_PG":"http://evil","MCP_SERVER_URL_EVIL":"http://evil","MINE":"kept"}}"#,
    ]);
    let routing = bed.eventually("configmap", "aperium-mcp-routing", "leads to the service", |found| {
        found["data"]["MCP_SERVER_URL_PG"].as_str().unwrap_or_default().contains("aperium-mcp-pg")
            && found["data"]["MCP_SERVER_URL_EVIL"].is_null()
    });
    assert_eq!(routing["data"]["MINE"], "kept");
    // What an administrator adds and the operator does not own stays.
    bed.kubectl(&["annotate", "deployment", CHILD, "example.com/note=kept"]);
    bed.settled();
    assert_eq!(bed.get("deployment", CHILD).unwrap()["metadata"]["annotations"]["example.com/note"], "kept");
    assert_eq!(bed.get("secret", "aperium-mcp-pg-token").unwrap()["data"], token, "the token is kept");
    let mark = bed.mark();
    bed.settled();
    assert_eq!(bed.writes(mark), Vec::<String>::new());
}

fn patch(bed: &Bed, kind: &str, change: &Value) {
    bed.kubectl(&["patch", kind, CHILD, "--type=merge", "-p", &change.to_string()]);
}

#[test]
fn what_is_no_longer_planned_is_removed_and_suspending_keeps_the_rest() {
    let bed = Bed::new("prune");
    let _operator = bed.operator();
    bed.apply(&connector("pg", "replicas: 3"));
    bed.eventually("poddisruptionbudget", CHILD, "is made", |_| true);
    let unaware = bed.get("networkpolicy", CHILD);
    assert!(unaware.is_some());
    bed.apply(&connector("pg", "replicas: 1, networkPolicy: {enabled: false}"));
    bed.gone("poddisruptionbudget", CHILD);
    bed.gone("networkpolicy", CHILD);
    bed.eventually("deployment", CHILD, "has one replica", |found| found["spec"]["replicas"] == 1);

    bed.kubectl(&["patch", "connector", "pg", "--type=merge", "-p", r#"{"spec":{"suspend":true}}"#]);
    bed.eventually("deployment", CHILD, "has none", |found| found["spec"]["replicas"] == 0);
    bed.condition("pg", "Ready", "False", "Suspended");
    bed.kubectl(&["patch", "connector", "pg", "--type=merge", "-p", r#"{"spec":{"suspend":false}}"#]);
    bed.eventually("deployment", CHILD, "has one again", |found| found["spec"]["replicas"] == 1);

    // A service that becomes a remote server loses its pods, and its status is the gateway's from then on.
    bed.kubectl(&[
        "patch",
        "connector",
        "pg",
        "--type=merge",
        "-p",
        r#"{"spec":{"service":null,"url":"https://mcp.example.com/mcp"}}"#,
    ]);
    for kind in ["deployment", "service", "serviceaccount"] {
        bed.gone(kind, CHILD);
    }
    bed.eventually("connector", "pg", "has no status of the operator", |found| found["status"]["conditions"].is_null());
}

#[test]
fn an_object_of_that_name_that_others_made_is_left_alone() {
    let bed = Bed::new("foreign");
    bed.apply("{apiVersion: v1, kind: Service, metadata: {name: aperium-mcp-pg}, spec: {selector: {app: theirs}, ports: [{name: http, port: 80}]}}");
    let before = bed.get("service", CHILD).unwrap();
    let _operator = bed.operator();
    bed.apply(&connector("pg", ""));
    let said = bed.condition("pg", "Available", "False", "NameTaken");
    assert!(said["message"].as_str().unwrap().contains("Service aperium-mcp-pg"), "{said}");
    bed.kubectl(&["delete", "connector", "pg"]);
    bed.gone("serviceaccount", CHILD);
    assert_eq!(bed.get("service", CHILD).unwrap(), before);
}
