//! A Deployment in; every rule of the restricted Pod Security profile and of this project that its pods break out.
//!
//! The profile: <https://kubernetes.io/docs/concepts/security/pod-security-standards/>. Written against the whole pod
//! spec, not against what our templates happen to say, so that a new field in a template cannot slip through.

use serde_json::Value;

/// Volume types that the restricted profile allows.
const VOLUMES: [&str; 8] =
    ["configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"];

/// Every rule that the pods of a Deployment break.
pub(crate) fn faults(deployment: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    let pod = &deployment["spec"]["template"]["spec"];
    host(pod, &mut faults);
    identity(pod, &mut faults);
    volumes(pod, &mut faults);
    for container in containers(pod) {
        let name = container["name"].as_str().unwrap_or("?");
        let mut found = Vec::new();
        privileges(pod, container, &mut found);
        image(container, &mut found);
        resources(container, &mut found);
        faults.extend(found.into_iter().map(|fault| format!("container {name}: {fault}")));
    }
    for container in array(&pod["containers"]) {
        probes(container, &mut faults);
    }
    faults
}

fn host(pod: &Value, faults: &mut Vec<String>) {
    for field in ["hostNetwork", "hostPID", "hostIPC"] {
        if pod[field] == true {
            faults.push(format!("{field} is set"));
        }
    }
    if pod["hostUsers"] == true {
        faults.push("hostUsers is set".to_owned());
    }
    if pod.pointer("/securityContext/windowsOptions/hostProcess").is_some() {
        faults.push("windowsOptions.hostProcess is set".to_owned());
    }
    for field in ["sysctls", "seLinuxOptions"] {
        if !pod["securityContext"][field].is_null() {
            faults.push(format!("securityContext.{field} is set"));
        }
    }
}

fn identity(pod: &Value, faults: &mut Vec<String>) {
    if matches!(pod["serviceAccountName"].as_str(), None | Some("default")) {
        faults.push("no ServiceAccount of its own".to_owned());
    }
    if !pod["automountServiceAccountToken"].is_boolean() {
        faults.push("automountServiceAccountToken is not decided".to_owned());
    }
    if pod["enableServiceLinks"] != false {
        faults.push("enableServiceLinks is on".to_owned());
    }
}

fn volumes(pod: &Value, faults: &mut Vec<String>) {
    for volume in array(&pod["volumes"]) {
        for kind in volume.as_object().into_iter().flatten().map(|(name, _)| name).filter(|name| *name != "name") {
            if !VOLUMES.contains(&kind.as_str()) {
                faults.push(format!("volume of type {kind}"));
            }
        }
    }
    let known: Vec<&Value> = array(&pod["volumes"]).map(|volume| &volume["name"]).collect();
    for mount in containers(pod).flat_map(|container| array(&container["volumeMounts"])) {
        if !known.contains(&&mount["name"]) {
            faults.push(format!("mount of unknown volume {}", mount["name"]));
        }
    }
}

fn privileges(pod: &Value, container: &Value, faults: &mut Vec<String>) {
    let own = &container["securityContext"];
    let effective = |field: &str| if own[field].is_null() { &pod["securityContext"][field] } else { &own[field] };
    let mut require = |holds: bool, rule: &str| {
        if !holds {
            faults.push(rule.to_owned());
        }
    };
    require(own["privileged"] != true, "privileged");
    require(own["allowPrivilegeEscalation"] == false, "allowPrivilegeEscalation is not false");
    require(own["readOnlyRootFilesystem"] == true, "readOnlyRootFilesystem is not true");
    require(array(&own["capabilities"]["drop"]).any(|name| name == "ALL"), "capabilities are not all dropped");
    require(array(&own["capabilities"]["add"]).all(|name| name == "NET_BIND_SERVICE"), "adds capabilities");
    require(own["procMount"].is_null() || own["procMount"] == "Default", "procMount is not Default");
    require(own["seLinuxOptions"].is_null(), "seLinuxOptions is set");
    require(own["windowsOptions"].is_null(), "windowsOptions is set");
    require(effective("runAsNonRoot") == true, "runAsNonRoot is not true");
    // Absent is for platforms that give each namespace its own users; low ones could be somebody on the node.
    require(effective("runAsUser").as_i64().is_none_or(|user| user >= 10_000), "runAsUser is below 10000");
    let seccomp = &effective("seccompProfile")["type"];
    require(seccomp == "RuntimeDefault" || seccomp == "Localhost", "no seccomp profile");
    let apparmor = &effective("appArmorProfile")["type"];
    require(apparmor.is_null() || apparmor == "RuntimeDefault" || apparmor == "Localhost", "AppArmor is unconfined");
    require(array(&container["ports"]).all(|port| port["hostPort"].is_null()), "hostPort is set");
    require(!names_a_host(container), "a probe or handler names a host");
}

/// Since Kubernetes 1.34 the baseline profile forbids `host` in probes and lifecycle handlers.
fn names_a_host(container: &Value) -> bool {
    let handlers = ["livenessProbe", "readinessProbe", "startupProbe"].map(|probe| &container[probe]);
    let lifecycle = ["postStart", "preStop"].map(|handler| &container["lifecycle"][handler]);
    handlers
        .iter()
        .chain(&lifecycle)
        .any(|handler| ["httpGet", "tcpSocket"].iter().any(|action| !handler[*action]["host"].is_null()))
}

fn image(container: &Value, faults: &mut Vec<String>) {
    let image = container["image"].as_str().unwrap_or_default();
    let last = image.rsplit('/').next().unwrap_or_default();
    match last.split_once('@').or_else(|| last.split_once(':')) {
        Some((_, tag)) if !tag.is_empty() && tag != "latest" => {}
        _ => faults.push(format!("image {image:?} has no fixed tag or digest")),
    }
    // A bare name is taken for one of a public registry.
    if !image.split('/').next().is_some_and(|host| image.contains('/') && host.contains(['.', ':'])) {
        faults.push(format!("image {image:?} names no registry"));
    }
    if container["imagePullPolicy"].is_null() {
        faults.push("imagePullPolicy is not decided".to_owned());
    }
}

fn resources(container: &Value, faults: &mut Vec<String>) {
    for amount in ["/resources/requests/cpu", "/resources/requests/memory", "/resources/limits/memory"] {
        if container.pointer(amount).is_none() {
            faults.push(format!("no {}", amount.trim_start_matches("/resources/").replace('/', ".")));
        }
    }
}

fn probes(container: &Value, faults: &mut Vec<String>) {
    let name = &container["name"];
    for probe in ["livenessProbe", "readinessProbe"] {
        let port = &container[probe]["httpGet"]["port"];
        if port.is_null() {
            faults.push(format!("container {name}: no {probe} by HTTP"));
        } else if !array(&container["ports"]).any(|known| known["name"] == *port) {
            faults.push(format!("container {name}: {probe} asks port {port}, which is no named port"));
        }
    }
    // Readiness depends on others; liveness that did would restart a healthy process for them.
    let path = |probe: &str| &container[probe]["httpGet"]["path"];
    if path("livenessProbe") == path("readinessProbe") {
        faults.push(format!("container {name}: liveness and readiness ask the same"));
    }
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    ["initContainers", "containers", "ephemeralContainers"].into_iter().flat_map(|field| array(&pod[field]))
}

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::faults;
    use crate::render;
    use serde_json::{Value, json};

    /// The gateway's Deployment with one value changed. `null` removes it.
    fn changed(pointer: &str, value: Value) -> Vec<String> {
        let mut gateway = render::find(render::defaults(), "Deployment", "aperium-gateway").clone();
        let mut place = &mut gateway["spec"]["template"]["spec"];
        for step in pointer.split('.') {
            place = match step.parse::<usize>() {
                Ok(index) => &mut place[index],
                Err(_) => &mut place[step],
            };
        }
        *place = value;
        faults(&gateway)
    }

    #[test]
    fn a_pod_that_breaks_one_rule_is_found_by_that_rule() {
        assert_eq!(changed("enableServiceLinks", json!(false)), Vec::<String>::new(), "the canary itself is clean");
        let container = "containers.0";
        let security = "containers.0.securityContext";
        for (pointer, value, expected) in [
            ("hostNetwork".to_owned(), json!(true), "hostNetwork"),
            ("hostPID".to_owned(), json!(true), "hostPID"),
            ("hostUsers".to_owned(), json!(true), "hostUsers"),
            ("securityContext.sysctls".to_owned(), json!([{"name": "a", "value": "b"}]), "sysctls"),
            ("securityContext.runAsNonRoot".to_owned(), json!(null), "runAsNonRoot"),
            ("securityContext.runAsUser".to_owned(), json!(0), "runAsUser"),
            ("securityContext.seccompProfile".to_owned(), json!({"type": "Unconfined"}), "seccomp"),
            ("serviceAccountName".to_owned(), json!("default"), "ServiceAccount"),
            ("automountServiceAccountToken".to_owned(), json!(null), "automount"),
            ("enableServiceLinks".to_owned(), json!(null), "enableServiceLinks"),
            ("volumes.0".to_owned(), json!({"name": "settings", "hostPath": {"path": "/"}}), "hostPath"),
            ("volumes.0.name".to_owned(), json!("other"), "unknown volume"),
            (format!("{security}.privileged"), json!(true), "privileged"),
            (format!("{security}.allowPrivilegeEscalation"), json!(null), "allowPrivilegeEscalation"),
            (format!("{security}.readOnlyRootFilesystem"), json!(false), "readOnlyRootFilesystem"),
            (format!("{security}.capabilities"), json!({"drop": ["NET_RAW"]}), "dropped"),
            (format!("{security}.capabilities.add"), json!(["SYS_ADMIN"]), "adds"),
            (format!("{security}.procMount"), json!("Unmasked"), "procMount"),
            (format!("{security}.appArmorProfile"), json!({"type": "Unconfined"}), "AppArmor"),
            (format!("{security}.seccompProfile"), json!({"type": "Unconfined"}), "seccomp"),
            (format!("{security}.runAsNonRoot"), json!(false), "runAsNonRoot"),
            (format!("{container}.ports.0.hostPort"), json!(80), "hostPort"),
            (format!("{container}.livenessProbe.httpGet.host"), json!("10.0.0.1"), "names a host"),
            (format!("{container}.image"), json!("images.aperium.dev/gateway:latest"), "fixed tag"),
            (format!("{container}.image"), json!("images.aperium.dev:5000/gateway"), "fixed tag"),
            (format!("{container}.image"), json!("gateway:1"), "no registry"),
            (format!("{container}.imagePullPolicy"), json!(null), "imagePullPolicy"),
            (format!("{container}.resources"), json!({"requests": {"cpu": 1, "memory": "1Mi"}}), "limits.memory"),
            (format!("{container}.readinessProbe"), json!(null), "readinessProbe"),
            (format!("{container}.readinessProbe.httpGet.port"), json!("other"), "no named port"),
            (format!("{container}.readinessProbe.httpGet.path"), json!("/healthz"), "the same"),
        ] {
            let found = changed(&pointer, value);
            assert!(found.iter().any(|fault| fault.contains(expected)), "{pointer}: {found:?}");
        }
    }

    #[test]
    fn an_init_container_is_held_to_the_same_rules() {
        let found = changed("initContainers", json!([{"name": "init", "image": "a.example/b:1"}]));
        assert!(found.iter().any(|fault| fault == "container init: capabilities are not all dropped"), "{found:?}");
    }
}
