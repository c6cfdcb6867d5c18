//! A planned object and our managedFields entry in, whether we still own every planned leaf out.
//!
//! A foreign edit takes the field away from our entry (reference: server-side apply, "field management"), so "hash
//! annotation equal and every leaf still ours" means that nothing has to be written. The walk needs no schema:
//! fieldsV1 says itself what is a map, an associative list, a set or atomic.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Map, Value};

/// Our server-side apply entry of an object, as compact JSON, without the owner references.
///
/// These hold the owner's uid and are compared apart, so that the entries of a thousand like objects are equal and can
/// be shared.
#[must_use]
pub fn ours(meta: &ObjectMeta, manager: &str) -> Option<String> {
    let entry = meta.managed_fields.iter().flatten().find(|entry| {
        entry.manager.as_deref() == Some(manager)
            && entry.operation.as_deref() == Some("Apply")
            && entry.subresource.as_deref().unwrap_or_default().is_empty()
    })?;
    let mut fields = entry.fields_v1.as_ref()?.0.clone();
    if let Some(metadata) = fields.get_mut("f:metadata").and_then(Value::as_object_mut) {
        metadata.remove("f:ownerReferences");
    }
    Some(fields.to_string())
}

/// Whether the entry holds every leaf of a planned object. What names the object is not part of managedFields.
#[must_use]
pub fn hold(fields: &str, planned: &Value) -> bool {
    let Ok(fields) = serde_json::from_str::<Value>(fields) else { return false };
    let (Some(fields), Some(planned)) = (fields.as_object(), planned.as_object()) else { return false };
    planned.iter().all(|(name, value)| match name.as_str() {
        "apiVersion" | "kind" => true,
        "metadata" => metadata_held(fields.get("f:metadata"), value),
        _ => member_held(fields, name, value),
    })
}

fn metadata_held(fields: Option<&Value>, planned: &Value) -> bool {
    let (Some(fields), Some(planned)) = (fields.and_then(Value::as_object), planned.as_object()) else { return false };
    planned.iter().all(|(name, value)| match name.as_str() {
        "name" | "namespace" | "ownerReferences" => true,
        _ => member_held(fields, name, value),
    })
}

fn member_held(fields: &Map<String, Value>, name: &str, planned: &Value) -> bool {
    fields.get(&format!("f:{name}")).and_then(Value::as_object).is_some_and(|inner| held(inner, planned))
}

/// An entry without members is a leaf, or something atomic: owned as a whole.
fn held(fields: &Map<String, Value>, planned: &Value) -> bool {
    if fields.is_empty() {
        return true;
    }
    match planned {
        Value::Object(members) => members.iter().all(|(name, value)| member_held(fields, name, value)),
        Value::Array(items) => items.iter().all(|item| item_held(fields, item)),
        _ => true,
    }
}

/// An item of a set is named by its value, an item of an associative list by its keys; a key that the plan leaves
/// out was given its default by the API server.
fn item_held(fields: &Map<String, Value>, item: &Value) -> bool {
    fields.iter().any(|(name, inner)| {
        if let Some(value) = name.strip_prefix("v:") {
            return serde_json::from_str::<Value>(value).is_ok_and(|value| value == *item);
        }
        let Some(keys) = name.strip_prefix("k:").and_then(|keys| serde_json::from_str::<Map<String, Value>>(keys).ok())
        else {
            return false;
        };
        let same = keys.iter().all(|(key, value)| item.get(key).is_none_or(|planned| planned == value));
        same && inner.as_object().is_some_and(|inner| held(inner, item))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn planned() -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "x", "namespace": "ns", "labels": {"a": "1", "b": "2"}, "annotations": {"h": "1"}},
            "spec": {
                "replicas": 2,
                "selector": {"matchLabels": {"a": "1"}},
                "template": {"spec": {
                    "containers": [{"name": "mcp", "image": "i", "ports": [{"containerPort": 8081, "name": "http"}], "args": ["x"]}, {"name": "side"}],
                    "volumes": [{"name": "tmp", "emptyDir": {}}],
                }},
            },
        })
    }

    fn fields() -> Value {
        json!({
            "f:metadata": {"f:labels": {"f:a": {}, "f:b": {}}, "f:annotations": {"f:h": {}}},
            "f:spec": {
                "f:replicas": {},
                "f:selector": {},
                "f:template": {"f:spec": {
                    "f:containers": {"k:{\"name\":\"mcp\"}": {
                        ".": {}, "f:name": {}, "f:image": {}, "f:args": {},
                        "f:ports": {"k:{\"containerPort\":8081,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}, "f:name": {}}},
                    }, "k:{\"name\":\"side\"}": {".": {}, "f:name": {}}},
                    "f:volumes": {"k:{\"name\":\"tmp\"}": {".": {}, "f:name": {}, "f:emptyDir": {}}},
                }},
            },
        })
    }

    fn without(path: &[&str]) -> String {
        let mut fields = fields();
        let (last, parents) = path.split_last().unwrap();
        let parent = parents.iter().fold(&mut fields, |value, name| &mut value[*name]);
        assert!(parent.as_object_mut().unwrap().remove(*last).is_some(), "{path:?}");
        fields.to_string()
    }

    #[test]
    fn an_untouched_object_holds_every_leaf() {
        assert!(hold(&fields().to_string(), &planned()));
    }

    #[test]
    fn any_leaf_that_somebody_took_is_missed() {
        let container = ["f:spec", "f:template", "f:spec", "f:containers", "k:{\"name\":\"mcp\"}"];
        for path in [
            vec!["f:spec", "f:replicas"],
            vec!["f:spec", "f:selector"],
            vec!["f:metadata", "f:labels", "f:a"],
            vec!["f:metadata", "f:annotations"],
            [&container[..], &["f:image"]].concat(),
            [&container[..], &["f:args"]].concat(),
            [&container[..], &["f:ports"]].concat(),
            [&container[..], &["f:ports", "k:{\"containerPort\":8081,\"protocol\":\"TCP\"}", "f:name"]].concat(),
            container.to_vec(),
            vec!["f:spec", "f:template", "f:spec", "f:volumes"],
        ] {
            assert!(!hold(&without(&path), &planned()), "{path:?}");
        }
    }

    #[test]
    fn a_port_with_another_protocol_is_another_item() {
        let mut planned = planned();
        planned["spec"]["template"]["spec"]["containers"][0]["ports"][0]["protocol"] = json!("UDP");
        assert!(!hold(&fields().to_string(), &planned));
    }

    #[test]
    fn items_of_a_set_are_named_by_their_value() {
        let fields = json!({"f:spec": {"f:finalizers": {"v:\"a\"": {}}}}).to_string();
        assert!(hold(&fields, &json!({"spec": {"finalizers": ["a"]}})));
        assert!(!hold(&fields, &json!({"spec": {"finalizers": ["a", "b"]}})));
    }

    #[test]
    fn nonsense_holds_nothing() {
        assert!(!hold("", &planned()));
        assert!(!hold("[]", &planned()));
        assert!(!hold("{}", &planned()));
    }

    #[test]
    fn only_our_own_apply_entry_counts_and_its_owner_is_left_out() {
        let meta: ObjectMeta = serde_json::from_value(json!({"managedFields": [
            {"manager": "kubectl", "operation": "Apply", "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:x": {}}}},
            {"manager": "me", "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:y": {}}}},
            {"manager": "me", "operation": "Apply", "subresource": "status", "fieldsV1": {"f:status": {}}},
            {"manager": "me", "operation": "Apply", "fieldsV1": {"f:metadata": {"f:labels": {}, "f:ownerReferences": {"k:{\"uid\":\"u\"}": {}}}}},
        ]}))
        .unwrap();
        assert_eq!(ours(&meta, "me").unwrap(), r#"{"f:metadata":{"f:labels":{}}}"#);
        assert_eq!(ours(&ObjectMeta::default(), "me"), None);
    }
}
