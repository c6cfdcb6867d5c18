//! Two pod templates → one, by the rules of a strategic merge patch (Kubernetes reference, "strategic merge patch"):
//! maps merge, lists merge by their key where the API has one, else they are replaced, `null` removes,
//! `$patch: delete | replace` does what it says.

use super::PodTemplateError;
use serde_json::{Map, Value};

/// The most bytes of an overlay.
const MAX_BYTES: usize = 64 * 1024;
/// The deepest nesting of an overlay.
const MAX_DEPTH: usize = 24;

/// Lays the overlay over the base.
pub(super) fn merge(base: Value, overlay: &Value) -> Result<Value, PodTemplateError> {
    if !overlay.is_object() {
        return Err(PodTemplateError::Malformed("must be an object".to_owned()));
    }
    if overlay.to_string().len() > MAX_BYTES {
        return Err(PodTemplateError::Malformed("must hold at most 64 KiB".to_owned()));
    }
    merged(Some(base), overlay, "", 0)
}

/// By what the items of a list are told apart, as the API's `patchMergeKey` says.
fn merge_key(field: &str) -> Option<&'static str> {
    match field {
        "containers" | "initContainers" | "volumes" | "env" => Some("name"),
        "volumeMounts" => Some("mountPath"),
        "ports" => Some("containerPort"),
        "topologySpreadConstraints" => Some("topologyKey"),
        "hostAliases" => Some("ip"),
        _ => None,
    }
}

fn merged(base: Option<Value>, overlay: &Value, field: &str, depth: usize) -> Result<Value, PodTemplateError> {
    if depth > MAX_DEPTH {
        return Err(PodTemplateError::Malformed(format!("{field} is nested too deeply")));
    }
    match overlay {
        Value::Object(changes) => {
            let directive = directive(changes)?;
            if depth > 0 && directive == Some(Directive::Delete) && !field.is_empty() {
                return Err(PodTemplateError::Malformed(format!("{field}: use null to remove it")));
            }
            let mut target = match base {
                Some(Value::Object(members)) if directive != Some(Directive::Replace) => members,
                _ => Map::new(),
            };
            for (name, change) in changes.iter().filter(|(name, _)| *name != "$patch") {
                if name.starts_with('$') {
                    return Err(PodTemplateError::Malformed(format!("directive {name} is not known")));
                }
                let before = target.remove(name);
                if !change.is_null() {
                    target.insert(name.clone(), merged(before, change, name, depth + 1)?);
                }
            }
            Ok(Value::Object(target))
        }
        Value::Array(changes) => match (merge_key(field), base) {
            (Some(key), Some(Value::Array(items))) => by_key(items, changes, key, field, depth),
            (Some(key), _) => by_key(Vec::new(), changes, key, field, depth),
            (None, _) => changes.iter().map(|item| merged(None, item, field, depth + 1)).collect(),
        },
        scalar => Ok(scalar.clone()),
    }
}

fn by_key(
    mut items: Vec<Value>,
    changes: &[Value],
    key: &str,
    field: &str,
    depth: usize,
) -> Result<Value, PodTemplateError> {
    for change in changes {
        let members = change
            .as_object()
            .ok_or_else(|| PodTemplateError::Malformed(format!("items of {field} must be objects")))?;
        let directive = directive(members)?;
        let Some(wanted) = members.get(key) else {
            if directive == Some(Directive::Replace) && members.len() == 1 {
                items.clear();
                continue;
            }
            return Err(PodTemplateError::Malformed(format!("items of {field} must have `{key}`")));
        };
        let at = items.iter().position(|item| item.get(key) == Some(wanted));
        match (directive, at) {
            (Some(Directive::Delete), Some(at)) => drop(items.remove(at)),
            (Some(Directive::Delete), None) => {}
            (_, Some(at)) => {
                let before = items.get(at).cloned();
                if let Some(item) = items.get_mut(at) {
                    *item = merged(before, change, "", depth + 1)?;
                }
            }
            (_, None) => items.push(merged(None, change, "", depth + 1)?),
        }
    }
    Ok(Value::Array(items))
}

#[derive(Debug, PartialEq, Eq)]
enum Directive {
    Delete,
    Replace,
}

fn directive(members: &Map<String, Value>) -> Result<Option<Directive>, PodTemplateError> {
    match members.get("$patch").map(Value::as_str) {
        None => Ok(None),
        Some(Some("delete")) => Ok(Some(Directive::Delete)),
        Some(Some("replace")) => Ok(Some(Directive::Replace)),
        Some(Some("merge")) => Ok(None),
        Some(_) => Err(PodTemplateError::Malformed("$patch must be 'merge', 'replace' or 'delete'".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn merged_with(overlay: &Value) -> Value {
        let base = json!({"spec": {
            "containers": [{"name": "mcp", "image": "i", "env": [{"name": "A", "value": "1"}], "args": ["a", "b"]}],
            "nodeSelector": {"a": "1"},
        }});
        merge(base, overlay).unwrap()
    }

    #[test]
    fn maps_merge_and_null_removes() {
        let merged =
            merged_with(&json!({"spec": {"nodeSelector": {"b": "2", "a": null}, "priorityClassName": "high"}}));
        assert_eq!(merged["spec"]["nodeSelector"], json!({"b": "2"}));
        assert_eq!(merged["spec"]["priorityClassName"], "high");
        assert_eq!(merged["spec"]["containers"][0]["image"], "i");
    }

    #[test]
    fn containers_and_variables_merge_by_name_and_other_lists_are_replaced() {
        let merged = merged_with(&json!({"spec": {"containers": [
            {"name": "mcp", "args": ["c"], "env": [{"name": "A", "value": "2"}, {"name": "B", "value": "3"}]},
            {"name": "side", "image": "s"},
        ]}}));
        let containers = merged["spec"]["containers"].as_array().unwrap();
        assert_eq!(containers.len(), 2);
        assert_eq!(containers[0]["args"], json!(["c"]));
        assert_eq!(containers[0]["env"], json!([{"name": "A", "value": "2"}, {"name": "B", "value": "3"}]));
    }

    #[test]
    fn directives_delete_and_replace() {
        let merged = merged_with(&json!({"spec": {"containers": [
            {"name": "mcp", "env": [{"name": "A", "$patch": "delete"}]},
        ], "nodeSelector": {"$patch": "replace", "z": "9"}}}));
        assert_eq!(merged["spec"]["containers"][0]["env"], json!([]));
        assert_eq!(merged["spec"]["nodeSelector"], json!({"z": "9"}));
    }

    #[test]
    fn nonsense_is_refused_and_never_a_panic() {
        for overlay in [
            json!(5),
            json!([]),
            json!({"spec": {"containers": ["x"]}}),
            json!({"spec": {"containers": [{"image": "nameless"}]}}),
            json!({"spec": {"$retainKeys": ["x"]}}),
            json!({"spec": {"$patch": "explode"}}),
            json!({"spec": {"nodeSelector": {"$patch": "delete"}}}),
            json!({"x": "y".repeat(65 * 1024)}),
        ] {
            assert!(merge(json!({}), &overlay).is_err(), "{overlay}");
        }
        let mut deep = json!(1);
        for _ in 0..60 {
            deep = json!({"a": deep});
        }
        assert!(merge(json!({}), &deep).is_err());
    }
}
