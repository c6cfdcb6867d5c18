//! The yardstick: one loop that applies what the operator would, without looking at anything.

use aperium_crds::{Connector, Settings};
use aperium_operator::connector::{dereference::Referenced, plan::plan, validate::validate};
use aperium_operator::names::{MANAGER, Names, STATUS_MANAGER};
use futures::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::core::ApiResource;
use kube::{Api, Client};
use serde_json::{Value, json};

/// How many are worked on at a time, the operator's own default.
pub(crate) const CONCURRENCY: usize = 16;

/// A Connector of the benchmark.
pub(crate) fn connector(namespace: &str, number: usize) -> Connector {
    serde_json::from_value(json!({
        "apiVersion": "aperium.dev/v1alpha1", "kind": "Connector",
        "metadata": {"name": format!("c{number}"), "namespace": namespace},
        "spec": {"protocol": "mcp", "service": {"module": "postgres"}},
    }))
    .expect("a Connector")
}

/// Creates the Connectors and nothing else: what a person does for the operator.
pub(crate) async fn create(client: &Client, namespace: &str, count: usize) {
    let api: Api<Connector> = Api::namespaced(client.clone(), namespace);
    let each = futures::stream::iter(0..count).for_each_concurrent(CONCURRENCY, |number| {
        let api = api.clone();
        async move {
            api.create(&PostParams::default(), &connector(namespace, number)).await.expect("a Connector is taken");
        }
    });
    each.await;
}

/// Creates the Connectors and applies their children and status.
pub(crate) async fn apply_all(client: &Client, namespace: &str, count: usize) {
    let names = Names {
        system_namespace: namespace.to_owned(),
        cluster_domain: "cluster.local".to_owned(),
        settings: Settings::default(),
        egress: Default::default(),
        ranges_known: true,
    };
    let names = &names;
    let each = futures::stream::iter(0..count).for_each_concurrent(CONCURRENCY, |number| async move {
        apply_one(client, names, connector(namespace, number)).await.expect("every object is taken");
    });
    each.await;
}

async fn apply_one(client: &Client, names: &Names, connector: Connector) -> Result<(), kube::Error> {
    let namespace = names.system_namespace.as_str();
    let connectors: Api<Connector> = Api::namespaced(client.clone(), namespace);
    let connector = connectors.create(&PostParams::default(), &connector).await?;
    let name = connector.metadata.name.clone().unwrap_or_default();
    let service = connector.spec.service.clone().expect("it has a service");
    let valid = validate(names, &connector, &service, &Referenced::default()).expect("it is valid");
    let plan = plan(names, &valid);
    secret(client, namespace, &name, plan.bodies().next().expect("it has children")).await?;
    for body in plan.bodies() {
        let kind = body["kind"].as_str().unwrap_or_default();
        let api_version = body["apiVersion"].as_str().unwrap_or_default();
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let plural =
            if kind == "NetworkPolicy" { "networkpolicies".to_owned() } else { format!("{}s", kind.to_lowercase()) };
        let resource = ApiResource {
            group: group.to_owned(),
            version: version.to_owned(),
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            plural,
        };
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &resource);
        let object = body["metadata"]["name"].as_str().unwrap_or_default();
        api.patch(object, &PatchParams::apply(MANAGER), &Patch::Apply(body)).await?;
    }
    let condition = |kind: &str| json!({"type": kind, "status": "True", "reason": "R", "message": "", "observedGeneration": 1, "lastTransitionTime": "2026-01-01T00:00:00Z"});
    let kinds = ["Accepted", "ResolvedRefs", "Available", "CredentialsAvailable", "ToolsDiscovered", "Ready"];
    let status = json!({
        "apiVersion": "aperium.dev/v1alpha1", "kind": "Connector", "metadata": {"name": name},
        "status": {"id": name, "observedGeneration": 1, "conditions": kinds.map(condition)},
    });
    connectors.patch_status(&name, &PatchParams::apply(STATUS_MANAGER).force(), &Patch::Apply(&status)).await?;
    Ok(())
}

/// The token Secret, with the labels and the owner of the other children.
async fn secret(client: &Client, namespace: &str, connector: &str, sibling: &Value) -> Result<(), kube::Error> {
    let secret: Secret = serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": {
            "name": format!("aperium-mcp-{connector}-token"), "namespace": namespace,
            "labels": sibling["metadata"]["labels"], "ownerReferences": sibling["metadata"]["ownerReferences"],
        },
        "stringData": {"mcp_auth_token": "x".repeat(43)},
    }))
    .expect("a Secret");
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    api.create(&PostParams::default(), &secret).await.map(drop)
}
