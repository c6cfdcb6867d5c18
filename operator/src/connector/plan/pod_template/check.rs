//! A merged pod template → allowed or refused.
//!
//! Whoever may write Connectors shall not gain more than Connectors: no token of the API server, no Secret but the
//! Connector's own, nothing outside the restricted Pod Security Standard, and the service itself stays the one that
//! the admin's settings say. Fields are allowed by name; what is not known is refused.

use crate::names::{CONTAINER, IDENTITY_VOLUME};
use serde_json::{Map, Value};

/// Why a pod template is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PodTemplateError {
    /// It is no pod template, or no overlay.
    #[error("{0}")]
    Malformed(String),
    /// A field that must not be set or changed.
    #[error("{0} must not be set or changed")]
    Field(String),
    /// A volume of a type that is not allowed, or a foreign Secret.
    #[error("volume \"{0}\" is not allowed: emptyDir, configMap, downwardAPI, persistentVolumeClaim and ephemeral are")]
    Volume(String),
    /// A Secret in the environment.
    #[error("container \"{0}\" must not read Secrets into its environment")]
    SecretEnvironment(String),
    /// A security context outside the restricted profile.
    #[error("container \"{container}\" breaks the restricted profile: {rule}")]
    Restricted {
        /// Which container; empty for the pod.
        container: String,
        /// Which rule.
        rule: &'static str,
    },
    /// A change of the service's own container.
    #[error("container \"mcp\": {0} must stay as the operator plans it")]
    Service(&'static str),
}

/// Fields of the pod that an overlay may set. All others must be as planned.
const POD_FIELDS: [&str; 16] = [
    "affinity",
    "containers",
    "dnsConfig",
    "dnsPolicy",
    "hostAliases",
    "initContainers",
    "nodeSelector",
    "preemptionPolicy",
    "priorityClassName",
    "readinessGates",
    "runtimeClassName",
    "schedulerName",
    "securityContext",
    "terminationGracePeriodSeconds",
    "tolerations",
    "topologySpreadConstraints",
];
const CONTAINER_FIELDS: [&str; 17] = [
    "args",
    "command",
    "env",
    "envFrom",
    "image",
    "imagePullPolicy",
    "lifecycle",
    "livenessProbe",
    "name",
    "ports",
    "readinessProbe",
    "resources",
    "restartPolicy",
    "securityContext",
    "startupProbe",
    "volumeMounts",
    "workingDir",
];
/// What of the service's own container stays as planned.
const SERVICE_FIELDS: [&str; 7] = ["image", "command", "args", "ports", "securityContext", "envFrom", "workingDir"];
const POD_SECURITY: [&str; 8] = [
    "fsGroup",
    "fsGroupChangePolicy",
    "runAsGroup",
    "runAsNonRoot",
    "runAsUser",
    "seccompProfile",
    "supplementalGroups",
    "supplementalGroupsPolicy",
];
const CONTAINER_SECURITY: [&str; 7] = [
    "allowPrivilegeEscalation",
    "capabilities",
    "readOnlyRootFilesystem",
    "runAsGroup",
    "runAsNonRoot",
    "runAsUser",
    "seccompProfile",
];
const VOLUME_TYPES: [&str; 5] = ["configMap", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim"];

/// Checks what the overlay made of the base.
pub(super) fn check(base: &Value, merged: &Value) -> Result<(), PodTemplateError> {
    let template = object(merged, "podTemplate")?;
    if let Some(other) = template.keys().find(|name| !matches!(name.as_str(), "metadata" | "spec")) {
        return Err(PodTemplateError::Field(other.clone()));
    }
    check_metadata(&base["metadata"], &merged["metadata"])?;
    let (planned, pod) = (&base["spec"], object(&merged["spec"], "spec")?);
    for name in pod.keys().chain(planned.as_object().into_iter().flat_map(Map::keys)) {
        let free = POD_FIELDS.contains(&name.as_str()) || name == "volumes";
        if !free && pod.get(name) != planned.get(name) {
            return Err(PodTemplateError::Field(format!("spec.{name}")));
        }
    }
    check_pod_security(pod.get("securityContext"))?;
    check_volumes(planned, pod)?;
    let containers = list(pod.get("containers"), "containers")?;
    let service = containers.iter().find(|container| container["name"] == CONTAINER);
    check_service(&planned["containers"][0], service.unwrap_or(&Value::Null))?;
    let no_pod_user =
        pod.get("securityContext").and_then(|context| context.get("runAsNonRoot")) != Some(&Value::Bool(true));
    for container in containers.iter().chain(list(pod.get("initContainers"), "initContainers")?) {
        check_container(container, no_pod_user)?;
        check_identity(container)?;
    }
    Ok(())
}

/// Labels and annotations may be added; ours stay.
fn check_metadata(base: &Value, merged: &Value) -> Result<(), PodTemplateError> {
    let metadata = object(merged, "metadata")?;
    if let Some(other) = metadata.keys().find(|name| !matches!(name.as_str(), "labels" | "annotations")) {
        return Err(PodTemplateError::Field(format!("metadata.{other}")));
    }
    let reserved = |name: &str| {
        let domain = name.split('/').next().unwrap_or_default();
        domain == "aperium.dev" || domain.ends_with(".aperium.dev") || domain == "app.kubernetes.io"
    };
    for part in ["labels", "annotations"] {
        let empty = Map::new();
        let planned = base[part].as_object().unwrap_or(&empty);
        let found = metadata.get(part).and_then(Value::as_object).unwrap_or(&empty);
        for name in planned.keys().chain(found.keys()) {
            if (reserved(name) || planned.contains_key(name)) && planned.get(name) != found.get(name) {
                return Err(PodTemplateError::Field(format!("metadata.{part}.{name}")));
            }
            if found.get(name).is_some_and(|value| !value.is_string()) {
                return Err(PodTemplateError::Malformed(format!("metadata.{part}.{name} must be a string")));
            }
        }
    }
    Ok(())
}

fn check_pod_security(context: Option<&Value>) -> Result<(), PodTemplateError> {
    let context = object(context.unwrap_or(&Value::Null), "spec.securityContext")?;
    if let Some(other) = context.keys().find(|name| !POD_SECURITY.contains(&name.as_str())) {
        return Err(PodTemplateError::Field(format!("spec.securityContext.{other}")));
    }
    restricted_user(context, "")?;
    restricted_seccomp(context, "")
}

/// Volumes of ours stay as they are; others must be of a harmless type.
fn check_volumes(planned: &Value, pod: &Map<String, Value>) -> Result<(), PodTemplateError> {
    let ours = list(planned.get("volumes"), "volumes")?;
    let found = list(pod.get("volumes"), "volumes")?;
    for volume in ours {
        if !found.contains(volume) {
            return Err(PodTemplateError::Field(format!("volume \"{}\"", text(&volume["name"]))));
        }
    }
    for volume in found.iter().filter(|volume| !ours.contains(volume)) {
        let members = object(volume, "volumes")?;
        let harmless = |name: &String| name == "name" || VOLUME_TYPES.contains(&name.as_str());
        if !members.keys().all(harmless) {
            return Err(PodTemplateError::Volume(text(&volume["name"])));
        }
    }
    Ok(())
}

/// The service runs what the settings say, under the rules that the operator gave it.
fn check_service(planned: &Value, found: &Value) -> Result<(), PodTemplateError> {
    for field in SERVICE_FIELDS {
        if planned.get(field) != found.get(field) {
            return Err(PodTemplateError::Service(field));
        }
    }
    let variables = |container: &Value| list(container.get("env"), "env").map(<[Value]>::to_vec);
    let ours = variables(planned)?;
    let kept = variables(found)?;
    let ours_named = |name: &str| name.starts_with("APERIUM_") || name.starts_with("MCP_");
    if !ours.iter().all(|variable| kept.contains(variable))
        || kept.iter().any(|variable| ours_named(&text(&variable["name"])) && !ours.contains(variable))
    {
        return Err(PodTemplateError::Service("env (APERIUM_* and MCP_*)"));
    }
    let mounts = list(found.get("volumeMounts"), "volumeMounts")?;
    if !list(planned.get("volumeMounts"), "volumeMounts")?.iter().all(|mount| mounts.contains(mount)) {
        return Err(PodTemplateError::Service("volumeMounts"));
    }
    Ok(())
}

fn check_container(container: &Value, no_pod_user: bool) -> Result<(), PodTemplateError> {
    let members = object(container, "containers")?;
    let name = text(&container["name"]);
    if let Some(other) = members.keys().find(|field| !CONTAINER_FIELDS.contains(&field.as_str())) {
        return Err(PodTemplateError::Field(format!("container \"{name}\": {other}")));
    }
    let from_secret = |variable: &Value| !variable["valueFrom"]["secretKeyRef"].is_null();
    if list(members.get("env"), "env")?.iter().any(from_secret)
        || list(members.get("envFrom"), "envFrom")?.iter().any(|source| !source["secretRef"].is_null())
    {
        return Err(PodTemplateError::SecretEnvironment(name));
    }
    let broken = |rule| Err(PodTemplateError::Restricted { container: name.clone(), rule });
    for port in list(members.get("ports"), "ports")? {
        if port.get("hostPort").is_some_and(|port| *port != 0) || port.get("hostIP").is_some() {
            return broken("no host ports");
        }
    }
    if members.get("resources").is_some_and(|resources| resources.get("claims").is_some()) {
        return broken("no device claims");
    }
    // A probe or hook with a host is a request to anywhere, sent by the node (baseline profile since 1.34).
    if ["livenessProbe", "readinessProbe", "startupProbe", "lifecycle"]
        .iter()
        .any(|field| names_host(&container[*field]))
    {
        return broken("no host in probes and hooks");
    }
    check_container_security(&name, members.get("securityContext"), no_pod_user)
}

/// Who holds this token is the service in the eyes of the broker.
fn check_identity(container: &Value) -> Result<(), PodTemplateError> {
    let mounts = list(container.get("volumeMounts"), "volumeMounts")?;
    if container["name"] != CONTAINER && mounts.iter().any(|mount| mount["name"] == IDENTITY_VOLUME) {
        return Err(PodTemplateError::Volume(IDENTITY_VOLUME.to_owned()));
    }
    Ok(())
}

fn check_container_security(name: &str, context: Option<&Value>, no_pod_user: bool) -> Result<(), PodTemplateError> {
    let broken = |rule| Err(PodTemplateError::Restricted { container: name.to_owned(), rule });
    let context = object(context.unwrap_or(&Value::Null), "securityContext")?;
    if let Some(other) = context.keys().find(|field| !CONTAINER_SECURITY.contains(&field.as_str())) {
        return Err(PodTemplateError::Field(format!("container \"{name}\": securityContext.{other}")));
    }
    if context.get("allowPrivilegeEscalation") != Some(&Value::Bool(false)) {
        return broken("allowPrivilegeEscalation must be false");
    }
    let capabilities = context.get("capabilities").unwrap_or(&Value::Null);
    if !list(capabilities.get("drop"), "capabilities.drop")?.iter().any(|dropped| dropped == "ALL") {
        return broken("capabilities.drop must hold ALL");
    }
    if list(capabilities.get("add"), "capabilities.add")?.iter().any(|added| added != "NET_BIND_SERVICE") {
        return broken("no capability but NET_BIND_SERVICE may be added");
    }
    if no_pod_user && context.get("runAsNonRoot") != Some(&Value::Bool(true)) {
        return broken("runAsNonRoot must be true");
    }
    restricted_user(context, name)?;
    if context.contains_key("seccompProfile") { restricted_seccomp(context, name) } else { Ok(()) }
}

fn restricted_user(context: &Map<String, Value>, container: &str) -> Result<(), PodTemplateError> {
    let broken = |rule| Err(PodTemplateError::Restricted { container: container.to_owned(), rule });
    if context.get("runAsNonRoot").is_some_and(|value| *value != Value::Bool(true)) {
        return broken("runAsNonRoot must be true");
    }
    match context.get("runAsUser") {
        Some(user) if user.as_i64().is_none_or(|user| user < 1) => broken("runAsUser must not be 0"),
        _ => Ok(()),
    }
}

fn restricted_seccomp(context: &Map<String, Value>, container: &str) -> Result<(), PodTemplateError> {
    match context.get("seccompProfile").map(|profile| text(&profile["type"])).as_deref() {
        Some("RuntimeDefault" | "Localhost") => Ok(()),
        _ => Err(PodTemplateError::Restricted {
            container: container.to_owned(),
            rule: "seccompProfile must be RuntimeDefault or Localhost",
        }),
    }
}

/// Whether an action somewhere in a probe or hook names a host.
fn names_host(action: &Value) -> bool {
    match action {
        Value::Object(members) => {
            members.get("host").is_some_and(|host| host != "") || members.values().any(names_host)
        }
        Value::Array(items) => items.iter().any(names_host),
        _ => false,
    }
}

fn object<'a>(value: &'a Value, what: &str) -> Result<&'a Map<String, Value>, PodTemplateError> {
    value.as_object().ok_or_else(|| PodTemplateError::Malformed(format!("{what} must be an object")))
}

fn list<'a>(value: Option<&'a Value>, what: &str) -> Result<&'a [Value], PodTemplateError> {
    match value {
        None => Ok(&[]),
        Some(Value::Array(items)) => Ok(items),
        Some(_) => Err(PodTemplateError::Malformed(format!("{what} must be a list"))),
    }
}

/// A text for messages: cut, because it comes from outside.
fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().chars().filter(|c| !c.is_control()).take(64).collect()
}
