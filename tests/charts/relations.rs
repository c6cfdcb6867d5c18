//! All objects of one rendering in; every reference between them that leads nowhere out.

use crate::render::of_kind;
use serde_json::Value;

/// Every broken reference.
pub(crate) fn faults(objects: &[Value]) -> Vec<String> {
    let mut faults = Vec::new();
    for deployment in of_kind(objects, "Deployment") {
        workload(objects, deployment, &mut faults);
    }
    for service in of_kind(objects, "Service") {
        selects_a_workload(objects, service, &service["spec"]["selector"], &mut faults);
        target_ports(objects, service, &mut faults);
    }
    for policy in of_kind(objects, "NetworkPolicy") {
        selects_a_workload(objects, policy, &policy["spec"]["podSelector"]["matchLabels"], &mut faults);
    }
    for budget in of_kind(objects, "PodDisruptionBudget") {
        selects_a_workload(objects, budget, &budget["spec"]["selector"]["matchLabels"], &mut faults);
    }
    for monitor in of_kind(objects, "PodMonitor") {
        selects_a_workload(objects, monitor, &monitor["spec"]["selector"]["matchLabels"], &mut faults);
    }
    bindings(objects, &mut faults);
    scalers(objects, &mut faults);
    duplicates(objects, &mut faults);
    faults
}

fn workload(objects: &[Value], deployment: &Value, faults: &mut Vec<String>) {
    let name = name(deployment);
    let pod = &deployment["spec"]["template"];
    let selector = &deployment["spec"]["selector"]["matchLabels"];
    if !selects(selector, &pod["metadata"]["labels"]) {
        faults.push(format!("Deployment {name}: its selector does not select its own pods"));
    }
    // A selector can never be changed again: what an upgrade changes must not be in it.
    for label in ["app.kubernetes.io/version", "helm.sh/chart"] {
        if !selector[label].is_null() {
            faults.push(format!("Deployment {name}: {label} is in the selector"));
        }
    }
    let account = &pod["spec"]["serviceAccountName"];
    if !of_kind(objects, "ServiceAccount").any(|known| known["metadata"]["name"] == *account) {
        faults.push(format!("Deployment {name}: ServiceAccount {account} is not made"));
    }
    for volume in pod["spec"]["volumes"].as_array().into_iter().flatten() {
        let map = &volume["configMap"]["name"];
        // An optional one may come later, from whoever makes it while running.
        let needed = !map.is_null() && volume["configMap"]["optional"] != true;
        if needed && !of_kind(objects, "ConfigMap").any(|known| known["metadata"]["name"] == *map) {
            faults.push(format!("Deployment {name}: ConfigMap {map} is not made"));
        }
        if !volume["secret"].is_null() && volume["secret"]["optional"] != true {
            faults.push(format!("Deployment {name}: a Secret that nobody here makes is not optional"));
        }
    }
}

fn selects_a_workload(objects: &[Value], object: &Value, selector: &Value, faults: &mut Vec<String>) {
    let mut pods =
        of_kind(objects, "Deployment").map(|deployment| &deployment["spec"]["template"]["metadata"]["labels"]);
    if !pods.any(|labels| selects(selector, labels)) {
        faults.push(format!("{} {}: selects no pod of the chart", object["kind"], name(object)));
    }
}

fn target_ports(objects: &[Value], service: &Value, faults: &mut Vec<String>) {
    let selector = &service["spec"]["selector"];
    for deployment in of_kind(objects, "Deployment") {
        let pod = &deployment["spec"]["template"];
        if !selects(selector, &pod["metadata"]["labels"]) {
            continue;
        }
        for port in service["spec"]["ports"].as_array().into_iter().flatten() {
            let known = pod["spec"]["containers"][0]["ports"].as_array().into_iter().flatten();
            if !known.into_iter().any(|known| known["name"] == port["targetPort"]) {
                faults.push(format!(
                    "Service {}: target port {} is none of the pod",
                    name(service),
                    port["targetPort"]
                ));
            }
        }
    }
}

fn bindings(objects: &[Value], faults: &mut Vec<String>) {
    for binding in of_kind(objects, "RoleBinding").chain(of_kind(objects, "ClusterRoleBinding")) {
        let role = &binding["roleRef"];
        let made = objects.iter().any(|object| {
            object["kind"] == role["kind"]
                && object["metadata"]["name"] == role["name"]
                && object["metadata"]["namespace"] == binding["metadata"]["namespace"]
        });
        if !made {
            faults.push(format!("{} {}: {} is not made", binding["kind"], name(binding), role["name"]));
        }
        for subject in binding["subjects"].as_array().into_iter().flatten() {
            let made = of_kind(objects, "ServiceAccount").any(|account| {
                account["metadata"]["name"] == subject["name"]
                    && account["metadata"]["namespace"] == subject["namespace"]
            });
            if !made {
                faults.push(format!("{} {}: subject {} is not made", binding["kind"], name(binding), subject["name"]));
            }
        }
    }
}

fn scalers(objects: &[Value], faults: &mut Vec<String>) {
    for scaler in of_kind(objects, "HorizontalPodAutoscaler") {
        let target = &scaler["spec"]["scaleTargetRef"]["name"];
        match of_kind(objects, "Deployment").find(|deployment| deployment["metadata"]["name"] == *target) {
            // Two who decide the number would undo each other's decision.
            Some(deployment) if !deployment["spec"]["replicas"].is_null() => {
                faults.push(format!("Deployment {target}: has replicas although it is scaled"));
            }
            Some(_) => {}
            None => faults.push(format!("HorizontalPodAutoscaler {}: no Deployment {target}", name(scaler))),
        }
    }
}

fn duplicates(objects: &[Value], faults: &mut Vec<String>) {
    let mut seen = std::collections::BTreeSet::new();
    for object in objects {
        let metadata = &object["metadata"];
        if !seen.insert(format!("{} {} {}", object["kind"], metadata["namespace"], metadata["name"])) {
            faults.push(format!("{} {} is made twice", object["kind"], name(object)));
        }
    }
}

/// Whether all labels of a non-empty selector are there.
fn selects(selector: &Value, labels: &Value) -> bool {
    selector
        .as_object()
        .is_some_and(|wanted| !wanted.is_empty() && wanted.iter().all(|(key, value)| labels[key] == *value))
}

fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or("?")
}

#[cfg(test)]
mod tests {
    use super::faults;
    use crate::render;
    use serde_json::{Value, json};

    fn after(change: impl Fn(&mut Value)) -> Vec<String> {
        let mut objects = render::defaults().to_vec();
        for object in &mut objects {
            change(object);
        }
        faults(&objects)
    }

    #[test]
    fn a_reference_that_leads_nowhere_is_found() {
        assert_eq!(after(|_| {}), Vec::<String>::new(), "the canary itself is clean");
        let set = |kind: &'static str, pointer: &'static str, value: Value| {
            after(move |object| {
                if object["kind"] == kind {
                    *object.pointer_mut(pointer).expect(pointer) = value.clone();
                }
            })
        };
        for (kind, pointer, value, expected) in [
            ("Service", "/spec/selector", json!({"app": "x"}), "selects no pod"),
            ("Service", "/spec/selector", json!({}), "selects no pod"),
            ("Service", "/spec/ports/0/targetPort", json!("web"), "target port"),
            ("NetworkPolicy", "/spec/podSelector/matchLabels", json!({"a": "b"}), "selects no pod"),
            ("Deployment", "/spec/template/metadata/labels", json!({"a": "b"}), "its own pods"),
            ("Deployment", "/spec/template/spec/serviceAccountName", json!("x"), "ServiceAccount"),
            ("ConfigMap", "/metadata/name", json!("x"), "ConfigMap"),
            ("Role", "/metadata/namespace", json!("x"), "is not made"),
            ("ServiceAccount", "/metadata/namespace", json!("x"), "subject"),
            ("Role", "/metadata/name", json!("x"), "made twice"),
        ] {
            let found = set(kind, pointer, value);
            assert!(found.iter().any(|fault| fault.contains(expected)), "{kind}{pointer}: {found:?}");
        }
    }
}
