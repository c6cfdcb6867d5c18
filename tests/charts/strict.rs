//! An object as JSON in; nothing, or every field that Kubernetes does not know out.
//!
//! The typed object is written again and compared: what got lost on the way is a field that the API server would drop
//! or refuse.

use aperium_crds::structural;
use k8s_openapi::api::{
    apps::v1::Deployment,
    autoscaling::v2::HorizontalPodAutoscaler,
    core::v1::{ConfigMap, Namespace, Secret, Service, ServiceAccount},
    networking::v1::NetworkPolicy,
    policy::v1::PodDisruptionBudget,
    rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding},
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

/// What is wrong with the shape of an object. An apiVersion that is not on the list is wrong too: that is where
/// deprecated APIs would show.
pub(crate) fn faults(object: &Value) -> Vec<String> {
    let text = |field: &str| object[field].as_str().unwrap_or_default();
    let found = match (text("apiVersion"), text("kind")) {
        ("v1", "Namespace") => lost::<Namespace>(object),
        ("v1", "ConfigMap") => lost::<ConfigMap>(object),
        ("v1", "Secret") => lost::<Secret>(object),
        ("v1", "Service") => lost::<Service>(object),
        ("v1", "ServiceAccount") => lost::<ServiceAccount>(object),
        ("apps/v1", "Deployment") => lost::<Deployment>(object),
        ("autoscaling/v2", "HorizontalPodAutoscaler") => lost::<HorizontalPodAutoscaler>(object),
        ("networking.k8s.io/v1", "NetworkPolicy") => lost::<NetworkPolicy>(object),
        ("policy/v1", "PodDisruptionBudget") => lost::<PodDisruptionBudget>(object),
        ("rbac.authorization.k8s.io/v1", "Role") => lost::<Role>(object),
        ("rbac.authorization.k8s.io/v1", "RoleBinding") => lost::<RoleBinding>(object),
        ("rbac.authorization.k8s.io/v1", "ClusterRole") => lost::<ClusterRole>(object),
        ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding") => lost::<ClusterRoleBinding>(object),
        ("apiextensions.k8s.io/v1", "CustomResourceDefinition") => lost::<CustomResourceDefinition>(object),
        ("aperium.dev/v1alpha1", "Connector") => structural::connector(object).err().map(|e| vec![e.to_string()]),
        ("aperium.dev/v1alpha1", "Grant") => structural::grant(object).err().map(|e| vec![e.to_string()]),
        // No Rust types for it; its fields are compared in `rendered`.
        ("monitoring.coreos.com/v1", "PodMonitor") => None,
        (version, kind) => Some(vec![format!("{version} {kind} is not on the list of kinds that we make")]),
    };
    let name = object["metadata"]["name"].as_str().unwrap_or("?");
    found.unwrap_or_default().into_iter().map(|fault| format!("{} {name}: {fault}", text("kind"))).collect()
}

fn lost<T: DeserializeOwned + Serialize>(object: &Value) -> Option<Vec<String>> {
    let typed: T = match serde_json::from_value(object.clone()) {
        Ok(typed) => typed,
        Err(error) => return Some(vec![error.to_string()]),
    };
    let mut lost = Vec::new();
    compare(object, &serde_json::to_value(typed).expect("typed objects are JSON"), "", &mut lost);
    Some(lost)
}

fn compare(before: &Value, after: &Value, path: &str, lost: &mut Vec<String>) {
    match (before, after) {
        (Value::Object(fields), _) => {
            for (name, value) in fields {
                let path = format!("{path}.{name}");
                match after.get(name) {
                    Some(kept) => compare(value, kept, &path, lost),
                    // Empty and absent mean the same to the types, and `null` to the API server.
                    None if value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty) => {}
                    None if value.as_array().is_some_and(Vec::is_empty) => {}
                    None => lost.push(format!("unknown field {path}")),
                }
            }
        }
        (Value::Array(items), Value::Array(kept)) if items.len() == kept.len() => {
            for (index, (item, kept)) in items.iter().zip(kept).enumerate() {
                compare(item, kept, &format!("{path}[{index}]"), lost);
            }
        }
        // CRD schemas hold floats where the source has whole numbers.
        (Value::Number(a), Value::Number(b)) if a.as_f64() == b.as_f64() => {}
        (a, b) if a == b => {}
        (a, b) => lost.push(format!("{path} is {a}, read as {b}")),
    }
}

#[cfg(test)]
mod tests {
    use super::faults;
    use serde_json::json;

    #[test]
    fn a_misspelt_field_is_found_wherever_it_is() {
        let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {
            "selector": {}, "template": {"spec": {"containers": [{"name": "c", "imagePullPolcy": "Always"}]}}}});
        assert_eq!(
            faults(&deployment),
            ["Deployment d: unknown field .spec.template.spec.containers[0].imagePullPolcy"]
        );
    }

    #[test]
    fn a_wrong_type_and_an_unlisted_version_are_found() {
        let service =
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": "80"}});
        assert_eq!(faults(&service).len(), 1);
        let old = json!({"apiVersion": "policy/v1beta1", "kind": "PodDisruptionBudget", "metadata": {"name": "p"}});
        assert!(faults(&old)[0].contains("not on the list"));
    }

    #[test]
    fn a_connector_is_held_against_its_own_schema() {
        let connector = json!({"apiVersion": "aperium.dev/v1alpha1", "kind": "Connector", "metadata": {"name": "x"},
            "spec": {"protocol": "mcp"}});
        assert!(faults(&connector)[0].contains("exactly one of"), "{:?}", faults(&connector));
    }
}
