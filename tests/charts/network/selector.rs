//! A label selector and labels in; whether it selects them out.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use std::collections::BTreeMap;

/// Whether a selector selects labels; an empty one selects everything.
///
/// # Panics
/// On an operator that Kubernetes does not have: the API server would refuse it.
pub(crate) fn selects(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let equal = selector.match_labels.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    let expressions = selector.match_expressions.iter().flatten().all(|expression| {
        let value = labels.get(&expression.key);
        let listed = || value.is_some_and(|value| expression.values.iter().flatten().any(|listed| listed == value));
        match expression.operator.as_str() {
            "In" => listed(),
            // A missing label is not in any list.
            "NotIn" => !listed(),
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            other => panic!("no operator of label selectors: {other}"),
        }
    });
    equal && expressions
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn selected(selector: Value) -> bool {
        let labels = BTreeMap::from([("app".to_owned(), "web".to_owned())]);
        selects(&serde_json::from_value(selector).unwrap(), &labels)
    }

    #[test]
    fn every_operator_means_what_kubernetes_says() {
        let one = |operator: &str, key: &str, values: Value| {
            selected(json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]}))
        };
        assert!(selected(json!({})));
        assert!(selected(json!({"matchLabels": {"app": "web"}})));
        assert!(!selected(json!({"matchLabels": {"app": "web", "tier": "x"}})));
        assert!(
            one("In", "app", json!(["web", "api"]))
                && !one("In", "app", json!(["api"]))
                && !one("In", "tier", json!(["x"]))
        );
        assert!(
            !one("NotIn", "app", json!(["web"]))
                && one("NotIn", "app", json!(["api"]))
                && one("NotIn", "tier", json!(["x"]))
        );
        assert!(one("Exists", "app", json!(null)) && !one("Exists", "tier", json!(null)));
        assert!(!one("DoesNotExist", "app", json!(null)) && one("DoesNotExist", "tier", json!(null)));
    }

    #[test]
    fn labels_and_expressions_must_both_hold() {
        let both = |value: &str| {
            selected(json!({"matchLabels": {"app": value}, "matchExpressions": [{"key": "app", "operator": "Exists"}]}))
        };
        assert!(both("web") && !both("api"));
    }
}
