//! The CustomResourceDefinitions as they are committed and served.

use crate::{Connector, Grant};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{CustomResourceDefinition, JSONSchemaProps};
use kube::CustomResourceExt;
use serde_json::Value;

/// The Connector's definition.
#[must_use]
pub fn connector() -> CustomResourceDefinition {
    strict(Connector::crd())
}

/// The Grant's definition.
#[must_use]
pub fn grant() -> CustomResourceDefinition {
    strict(Grant::crd())
}

/// The schema of the only version, as JSON.
#[must_use]
pub fn schema(crd: &CustomResourceDefinition) -> Value {
    crd.spec
        .versions
        .first()
        .and_then(|version| version.schema.as_ref()?.open_api_v3_schema.as_ref())
        .and_then(|schema| serde_json::to_value(schema).ok())
        .unwrap_or_default()
}

/// Options are marked nullable by the derive. An explicit `null` says nothing that leaving the field out does not,
/// so it is refused.
fn strict(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut crd.spec.versions {
        if let Some(schema) = version.schema.as_mut().and_then(|s| s.open_api_v3_schema.as_mut()) {
            refuse_null(schema);
        }
    }
    crd
}

fn refuse_null(schema: &mut JSONSchemaProps) {
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
        JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
    };
    schema.nullable = None;
    for property in schema.properties.iter_mut().flat_map(|properties| properties.values_mut()) {
        refuse_null(property);
    }
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        refuse_null(items);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        refuse_null(values);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn committed(name: &str) -> String {
        std::fs::read_to_string(name).unwrap_or_default()
    }

    #[test]
    fn the_committed_yaml_is_what_the_types_say() {
        for (name, crd) in [("connector.yaml", connector()), ("grant.yaml", grant())] {
            let generated = crate::yaml::to_document(&crd).unwrap();
            assert_eq!(generated, committed(name), "{name} is stale: run `make generate` and commit the result");
        }
    }

    #[test]
    fn short_names_and_category_clash_with_nobody() {
        let names = connector().spec.names;
        assert_eq!(names.short_names, Some(vec!["apcon".to_owned()]));
        assert_eq!(names.categories, Some(vec!["aperium".to_owned()]));
        assert_eq!(grant().spec.names.short_names, Some(vec!["apgrant".to_owned()]));
    }

    #[test]
    fn every_field_of_ours_is_described() {
        fn walk(path: &str, schema: &Value, missing: &mut Vec<String>) {
            for (name, property) in schema["properties"].as_object().into_iter().flatten() {
                let path = format!("{path}.{name}");
                if property["description"].as_str().is_none_or(str::is_empty) {
                    missing.push(path.clone());
                }
                walk(&path, property, missing);
                walk(&path, &property["items"], missing);
            }
        }
        let mut missing = Vec::new();
        for crd in [connector(), grant()] {
            walk("", &schema(&crd), &mut missing);
        }
        // The API server gives these their own.
        missing.retain(|path| path != ".metadata" && path != ".spec");
        assert!(missing.is_empty(), "fields without a description: {missing:#?}");
    }
}
