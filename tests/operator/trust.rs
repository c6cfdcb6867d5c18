//! What a Connector may and may not refer to, claim and change.

use crate::bed::{Bed, connector};
use serde_json::Value;

fn secret(name: &str, label: &str) -> String {
    let labels =
        if label.is_empty() { String::new() } else { format!(", labels: {{connector.aperium.dev/{label}: \"true\"}}") };
    format!("{{apiVersion: v1, kind: Secret, metadata: {{name: {name}{labels}}}, stringData: {{key: value}}}}")
}

fn volumes(deployment: &Value) -> Vec<String> {
    let volumes = deployment["spec"]["template"]["spec"]["volumes"].as_array().unwrap();
    volumes.iter().filter_map(|volume| volume["secret"]["secretName"].as_str().map(str::to_owned)).collect()
}

#[test]
fn a_secret_is_mounted_only_once_it_is_there_and_labelled() {
    let bed = Bed::new("secrets");
    let _operator = bed.operator();
    bed.apply(&connector(
        "pg",
        "auth: {existingSecret: tok, key: t}, credentials: {source: secret, secretRef: {name: creds}}",
    ));
    bed.condition("pg", "ResolvedRefs", "False", "SecretNotFound");
    assert_eq!(volumes(&bed.eventually("deployment", "aperium-mcp-pg", "is made", |_| true)), Vec::<String>::new());
    assert!(bed.get("secret", "aperium-mcp-pg-token").is_none(), "no token is made beside an existing one");
    bed.apply(&secret("tok", "pg"));
    bed.apply(&secret("creds", ""));
    // Asked again within 30 s.
    let said = bed.condition("pg", "ResolvedRefs", "False", "RefNotPermitted");
    assert!(said["message"].as_str().unwrap().contains("Secret creds"), "{said}");
    bed.eventually("deployment", "aperium-mcp-pg", "mounts the token", |found| volumes(found) == ["tok"]);
    bed.apply(&secret("creds", "pg"));
    bed.condition("pg", "ResolvedRefs", "True", "ResolvedRefs");
    bed.eventually("deployment", "aperium-mcp-pg", "mounts both", |found| volumes(found) == ["tok", "creds"]);
    let audit = bed.cluster.audit();
    let reads = audit.since(audit.beginning());
    let user = format!("{}:aperium-operator", bed.name());
    let forbidden = reads.iter().find(|entry| {
        entry.user.ends_with(&user) && entry.resource == "secrets" && matches!(entry.verb.as_str(), "list" | "watch")
    });
    assert!(forbidden.is_none(), "{forbidden:?}");
}

#[test]
fn a_token_shared_without_a_policy_is_said_and_with_one_it_is_not() {
    let bed = Bed::new("shared");
    bed.apply("{apiVersion: v1, kind: Secret, metadata: {name: tok, labels: {connector.aperium.dev/a: \"true\", connector.aperium.dev/b: \"true\"}}, stringData: {mcp_auth_token: x}}");
    bed.apply("{apiVersion: v1, kind: Secret, metadata: {name: documented, annotations: {aperium.dev/shared-token-policy: doc-7}, labels: {connector.aperium.dev/c: \"true\", connector.aperium.dev/d: \"true\"}}, stringData: {mcp_auth_token: x}}");
    for (name, secret) in [("a", "tok"), ("b", "tok"), ("c", "documented"), ("d", "documented")] {
        bed.apply(&connector(name, &format!("auth: {{existingSecret: {secret}}}")));
    }
    let _operator = bed.operator();
    let said = bed.condition("a", "ResolvedRefs", "True", "SharedTokenWithoutPolicy");
    assert!(said["message"].as_str().unwrap().contains("shared with b"), "{said}");
    bed.condition("b", "ResolvedRefs", "True", "SharedTokenWithoutPolicy");
    bed.condition("c", "ResolvedRefs", "True", "ResolvedRefs");
    bed.condition("d", "ResolvedRefs", "True", "ResolvedRefs");
    let warned = || {
        let events: Value = serde_json::from_str(&bed.kubectl(&["get", "events.events.k8s.io", "-o", "json"])).unwrap();
        let all = events["items"].as_array().unwrap().clone();
        all.iter()
            .any(|event| event["reason"] == "SharedTokenWithoutPolicy" && event["type"] == "Warning")
            .then_some(())
    };
    aperium_tests::wait::until_blocking("the warning", crate::bed::LIMIT, warned);
}

#[test]
fn of_two_connectors_with_one_id_the_older_has_it_whatever_its_case_and_namespace() {
    let bed = Bed::new("ids");
    let other = bed.cluster.namespace("ids-other");
    bed.give_rights(other.name());
    let both = format!("{},{}", bed.name(), other.name());
    let _operator = bed.operator_with(&["--leader-elect", "false", "--namespaces", &both]);
    let with_id = |name: &str, id: &str| {
        format!(
            "{{apiVersion: aperium.dev/v1alpha1, kind: Connector, metadata: {{name: {name}}}, spec: {{id: {id}, protocol: mcp, service: {{module: postgres}}}}}}"
        )
    };
    // A Connector with a url claims its id too, although its status is not the operator's.
    bed.apply("{apiVersion: aperium.dev/v1alpha1, kind: Connector, metadata: {name: remote}, spec: {protocol: mcp, url: \"https://example.com/mcp\"}}");
    bed.apply(&with_id("first", "ERP"));
    bed.condition("first", "Accepted", "True", "Accepted");
    std::thread::sleep(std::time::Duration::from_millis(1100)); // creation times have whole seconds
    bed.cluster.apply_in(other.name(), &with_id("second", "erp"));
    bed.apply(&with_id("third", "Remote"));
    let said = bed.condition("third", "Accepted", "False", "Conflicted");
    assert!(said["message"].as_str().unwrap().contains("remote"), "{said}");
    let second = || {
        bed.cluster.kubectl(&[
            "--namespace",
            other.name(),
            "get",
            "connector",
            "second",
            "-o",
            "jsonpath={.status.conditions[?(@.type==\"Accepted\")].reason}",
        ])
    };
    let becomes = |reason: &'static str| {
        aperium_tests::wait::until_blocking(reason, crate::bed::LIMIT, || (second() == reason).then_some(()));
    };
    becomes("Conflicted");
    assert!(!bed.cluster.try_kubectl(&["--namespace", other.name(), "get", "deployment", "aperium-mcp-second"]).ok);
    // When the id is free the other has it.
    bed.kubectl(&["delete", "connector", "first"]);
    becomes("Accepted");
    bed.kubectl(&["delete", "connector", "remote"]);
    bed.condition("third", "Accepted", "True", "Accepted");
}

#[test]
fn a_pod_template_that_breaks_a_rule_is_refused_and_what_runs_goes_on() {
    let bed = Bed::new("template");
    let _operator = bed.operator();
    bed.apply(&connector("pg", "podTemplate: {spec: {priorityClassName: system-cluster-critical, containers: [{name: side, image: \"x:1\", securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}]}}"));
    let good = bed.eventually("deployment", "aperium-mcp-pg", "has the sidecar", |found| {
        found["spec"]["template"]["spec"]["containers"].as_array().unwrap().len() == 2
    });
    for (template, word) in [
        ("{spec: {serviceAccountName: admin}}", "serviceAccountName"),
        ("{spec: {hostNetwork: true}}", "hostNetwork"),
        ("{spec: {volumes: [{name: x, hostPath: {path: /}}]}}", "volume"),
        ("{spec: {volumes: [{name: x, secret: {secretName: other}}]}}", "volume"),
        ("{spec: {containers: [{name: mcp, securityContext: {privileged: true}}]}}", "securityContext"),
        ("{spec: {containers: [{name: mcp, env: [{name: APERIUM_EGRESS, value: \"{}\"}]}]}}", "env"),
    ] {
        bed.apply(&connector("pg", &format!("podTemplate: {template}")));
        let said = bed.eventually("connector", "pg", &format!("refuses {template}"), |found| {
            let said = crate::bed::condition(found, "Accepted");
            said["reason"] == "PodTemplateInvalid" && said["message"].as_str().unwrap().contains(word)
        });
        assert_eq!(crate::bed::condition(&said, "Ready")["status"], "False");
    }
    let now = bed.get("deployment", "aperium-mcp-pg").unwrap();
    assert_eq!(now["metadata"]["generation"], good["metadata"]["generation"]);
}

#[test]
fn what_the_api_server_cannot_check_the_operator_does() {
    let bed = Bed::new("invalid");
    let _operator = bed.operator();
    bed.apply("{apiVersion: aperium.dev/v1alpha1, kind: Connector, metadata: {name: bad}, spec: {protocol: mcp, context: 5, service: {module: postgres}}}");
    let said = bed.condition("bad", "Accepted", "False", "Invalid");
    assert!(said["message"].as_str().unwrap().contains("spec.context"), "{said}");
    assert!(bed.get("serviceaccount", "aperium-mcp-bad").is_none());
    bed.apply("{apiVersion: aperium.dev/v1alpha1, kind: Connector, metadata: {name: bad}, spec: {protocol: mcp, context: {hint: x}, service: {module: postgres, networkPolicy: {egressCIDRs: [\"10.0.0.0/99\"]}}}}");
    let found = bed.eventually("connector", "bad", "names the range", |found| {
        crate::bed::condition(found, "Accepted")["message"].as_str().unwrap_or_default().contains("10.0.0.0/99")
    });
    assert_eq!(found["status"]["observedGeneration"], 2);
    bed.apply("{apiVersion: aperium.dev/v1alpha1, kind: Connector, metadata: {name: bad}, spec: {protocol: mcp, context: {hint: x}, service: {module: postgres}}}");
    bed.condition("bad", "Accepted", "True", "Accepted");
}
