//! The pod of a service: what the operator wants, what the Connector lays over it, and what may come out.
//!
//! ```text
//! Input ──base──► template ──merge (podTemplate)──► template ──check──► template, or PodTemplateError
//! ```

mod check;
mod merge;

pub use check::PodTemplateError;

use crate::connector::validate::Token;
use crate::names::{
    BROKER_DIR, BROKER_PORT, CONTAINER, CREDENTIALS_DIR, FACTS_DIR, IDENTITY_DIR, IDENTITY_VOLUME, LEASE_KEYS, Names,
    TOKEN_DIR,
};
use aperium_core::egress::ClusterFacts;
use aperium_core::id::{ConnectorId, ConnectorName, ModuleName};
use aperium_core::name::child_name;
use aperium_crds::ConnectorSpec;
use aperium_crds::connector::{CredentialSource, Service, Writes};
use aperium_platform::lease::{Audience, BROKER_AUDIENCE};
use serde_json::{Value, json};

/// What the pod is made from.
#[derive(Debug)]
pub struct Input<'a> {
    /// Settings and names.
    pub names: &'a Names,
    /// The Connector.
    pub name: &'a ConnectorName,
    /// Its namespace.
    pub namespace: &'a str,
    /// Its effective id.
    pub id: &'a ConnectorId,
    /// The built-in connector to run.
    pub module: &'a ModuleName,
    /// The port to listen on.
    pub port: u16,
    /// The service token.
    pub token: &'a Token,
    /// The credentials' Secret, if it may be mounted.
    pub credentials: Option<&'a str>,
    /// The spec.
    pub spec: &'a ConnectorSpec,
    /// Its service.
    pub service: &'a Service,
}

/// The pod template without the Connector's overlay.
#[must_use]
pub fn base(input: &Input<'_>) -> Value {
    let services = &input.names.settings.services;
    let selector = Names::selector(input.name);
    let mut pod = json!({
        "serviceAccountName": child_name(input.name),
        "automountServiceAccountToken": false,
        // Variables of other Services would tell the pod what else runs in its namespace.
        "enableServiceLinks": false,
        "terminationGracePeriodSeconds": 30,
        "securityContext": {
            "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container(input)],
        "volumes": volumes(input),
        "topologySpreadConstraints": [spread("kubernetes.io/hostname", &selector), spread("topology.kubernetes.io/zone", &selector)],
        "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
            {"weight": 50, "podAffinityTerm": {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": selector}}},
        ]}},
    });
    if !services.image_pull_secrets.is_empty() {
        pod["imagePullSecrets"] = services.image_pull_secrets.iter().map(|name| json!({"name": name})).collect();
    }
    if !input.service.node_selector.is_empty() {
        pod["nodeSelector"] = json!(input.service.node_selector);
    }
    if !input.service.tolerations.is_empty() {
        pod["tolerations"] = json!(input.service.tolerations);
    }
    if let Some(affinity) = &input.service.affinity {
        pod["affinity"] = json!(affinity);
    }
    json!({"metadata": {"labels": Names::labels(input.name)}, "spec": pod})
}

/// The base with the Connector's own template laid over it, checked afterwards.
///
/// # Errors
/// [`PodTemplateError`] when the overlay is malformed or what comes out breaks a rule.
pub fn overlaid(base: &Value, overlay: &Value) -> Result<Value, PodTemplateError> {
    let merged = merge::merge(base.clone(), overlay)?;
    check::check(base, &merged)?;
    Ok(merged)
}

fn container(input: &Input<'_>) -> Value {
    let services = &input.names.settings.services;
    let default_resources = || json!({"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "256Mi"}});
    let probe = |path: &str, period: u32, failures: u32| json!({"httpGet": {"path": path, "port": "http"}, "periodSeconds": period, "timeoutSeconds": 3, "failureThreshold": failures});
    let mut mounts = vec![
        json!({"name": "tmp", "mountPath": "/tmp"}),
        json!({"name": "cluster", "mountPath": FACTS_DIR, "readOnly": true}),
    ];
    if input.token.mounted {
        mounts.push(json!({"name": "token", "mountPath": TOKEN_DIR, "readOnly": true}));
    }
    if input.credentials.is_some() {
        mounts.push(json!({"name": "credentials", "mountPath": CREDENTIALS_DIR, "readOnly": true}));
    }
    if from_platform(input) {
        mounts.push(json!({"name": "broker", "mountPath": BROKER_DIR, "readOnly": true}));
        mounts.push(json!({"name": IDENTITY_VOLUME, "mountPath": IDENTITY_DIR, "readOnly": true}));
    }
    json!({
        "name": CONTAINER,
        "image": services.image,
        "imagePullPolicy": services.image_pull_policy,
        "args": ["--connector", input.module.as_str(), "--listen", format!("0.0.0.0:{}", input.port)],
        "env": environment(input),
        "ports": [{"name": "http", "containerPort": input.port, "protocol": "TCP"}],
        "startupProbe": probe("/healthz", 1, 60),
        "livenessProbe": probe("/healthz", 10, 3),
        "readinessProbe": probe("/readyz", 5, 2),
        "resources": input.service.resources.as_ref().map_or_else(default_resources, |resources| json!(resources)),
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": true,
            "runAsNonRoot": true,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": mounts,
    })
}

fn environment(input: &Input<'_>) -> Value {
    let calls = &input.spec.calls;
    // A service with a module writes only where its admin said so.
    let writes = match calls.writes {
        Some(Writes::Enabled) => "Enabled",
        Some(Writes::Disabled) | None => "Disabled",
    };
    let call_limits =
        json!({"timeoutSeconds": calls.timeout_seconds, "maxConcurrent": calls.max_concurrent, "writes": writes});
    let mut variables = vec![
        ("MCP_AUTH_TOKEN_FILE", format!("{TOKEN_DIR}/{}", input.token.key)),
        ("APERIUM_CREDENTIALS_DIR", CREDENTIALS_DIR.to_owned()),
        ("APERIUM_CONNECTOR_NAME", input.name.to_string()),
        ("APERIUM_CONNECTOR_ID", input.id.to_string()),
        ("APERIUM_SETTINGS", input.service.settings.as_ref().map_or_else(|| "{}".to_owned(), Value::to_string)),
        ("APERIUM_CALLS", call_limits.to_string()),
        ("APERIUM_TOOLS_HIDE", json!(input.spec.tools.hide).to_string()),
        ("APERIUM_EGRESS", json!(input.names.egress).to_string()),
        ("APERIUM_CLUSTER_FACTS", format!("{FACTS_DIR}/{}", ClusterFacts::KEY)),
        ("APERIUM_ALLOWED_HOSTS", input.names.service_hosts(input.name, input.namespace).join(",")),
    ];
    if !input.names.settings.services.metrics_require_token {
        variables.push(("APERIUM_METRICS_OPEN", "true".to_owned()));
    }
    if from_platform(input) {
        variables.extend([
            ("APERIUM_BROKER", format!("{}:{BROKER_PORT}", input.names.gateway_host())),
            ("APERIUM_LEASE_AUDIENCE", Audience::of(input.namespace, input.name).to_string()),
            ("APERIUM_LEASE_KEYS_DIR", BROKER_DIR.to_owned()),
            ("APERIUM_BROKER_TOKEN_FILE", format!("{IDENTITY_DIR}/token")),
        ]);
    }
    if let Some(tenant) = &input.service.tenant {
        variables.push(("APERIUM_TENANT", tenant.clone()));
    }
    // `$(NAME)` in a value would be replaced by the kubelet (reference: dependent environment variables).
    variables.into_iter().map(|(name, value)| json!({"name": name, "value": value.replace("$(", "$$(")})).collect()
}

fn volumes(input: &Input<'_>) -> Value {
    // Optional: a Secret that goes missing makes the pod unready with a reason; it does not keep it from starting.
    let secret = |volume: &str, secret: &str| json!({"name": volume, "secret": {"secretName": secret, "optional": true, "defaultMode": 0o440}});
    let mut volumes = vec![
        json!({"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}),
        json!({"name": "cluster", "configMap": {"name": ClusterFacts::CONFIG_MAP, "optional": true, "defaultMode": 0o444}}),
    ];
    if input.token.mounted {
        volumes.push(secret("token", &input.token.secret));
    }
    if let Some(name) = input.credentials {
        volumes.push(secret("credentials", name));
    }
    if from_platform(input) {
        volumes
            .push(json!({"name": "broker", "configMap": {"name": LEASE_KEYS, "optional": true, "defaultMode": 0o444}}));
        // Bound to the pod by the kubelet, good for the broker alone, and replaced before it ends.
        let token =
            json!({"serviceAccountToken": {"audience": BROKER_AUDIENCE, "expirationSeconds": 3600, "path": "token"}});
        volumes.push(json!({"name": IDENTITY_VOLUME, "projected": {"sources": [token], "defaultMode": 0o440}}));
    }
    Value::Array(volumes)
}

/// Whether the pods get credentials from the broker.
fn from_platform(input: &Input<'_>) -> bool {
    input.service.credentials.source == CredentialSource::Platform
}

fn spread(topology: &str, selector: &Value) -> Value {
    json!({
        "maxSkew": 1, "topologyKey": topology, "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": selector}, "matchLabelKeys": ["pod-template-hash"],
    })
}

#[cfg(test)]
mod tests;
