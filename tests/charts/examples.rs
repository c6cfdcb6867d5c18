//! Every example in deploy/examples: its shape, its references, and what a reader would copy from it.

use crate::{policy, render, strict};
use aperium_core::id::ModuleName;
use aperium_crds::yaml;
use aperium_mcp_service::{connector::Connector, connectors::find};
use aperium_tests::binaries;
use serde_json::{Value, json};
use std::{fs, path::Path};

/// Name and objects of every example that is a manifest for a cluster.
fn examples() -> Vec<(String, Vec<Value>)> {
    let folder = binaries::repository().join("deploy/examples");
    let mut examples = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            examples.push((file_name(&path), yaml::documents(&fs::read_to_string(&path).unwrap()).unwrap()));
        }
    }
    examples.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(examples.len() >= 5, "{} examples", examples.len());
    examples
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

#[test]
fn every_example_would_be_taken_by_the_api_server() {
    for (name, objects) in examples() {
        assert!(!objects.is_empty(), "{name} is empty");
        for object in &objects {
            assert_eq!(strict::faults(object), Vec::<String>::new(), "{name}");
            assert_eq!(
                object["metadata"]["namespace"],
                render::NAMESPACE,
                "{name}: where it is applied must not depend on a context"
            );
        }
    }
}

#[test]
fn every_secret_that_a_connector_names_is_there_and_labelled_for_it() {
    let mut seen = 0;
    for (name, objects) in examples() {
        for connector in render::of_kind(&objects, "Connector") {
            let Some(secret) = connector["spec"]["service"]["credentials"]["secretRef"]["name"].as_str() else {
                continue;
            };
            let label = format!("connector.aperium.dev/{}", connector["metadata"]["name"].as_str().unwrap());
            assert_eq!(render::find(&objects, "Secret", secret)["metadata"]["labels"][&label], "true", "{name}");
            seen += 1;
        }
    }
    assert!(seen >= 2, "{seen} Secrets looked at");
}

/// Connectors with a module: the example's name, the Connector, what the module says of itself.
fn with_module(check: impl Fn(&str, &[Value], &Value, &dyn Connector)) -> usize {
    let mut seen = 0;
    for (name, objects) in examples() {
        for connector in render::of_kind(&objects, "Connector") {
            let Some(module) = connector["spec"]["service"]["module"].as_str() else { continue };
            let known =
                find(&ModuleName::parse(module).unwrap()).unwrap_or_else(|| panic!("{name}: no module {module}"));
            check(&name, &objects, connector, &*known);
            seen += 1;
        }
    }
    seen
}

#[test]
fn the_fields_of_a_secret_are_those_of_the_module() {
    let seen = with_module(|name, objects, connector, module| {
        let secret = connector["spec"]["service"]["credentials"]["secretRef"]["name"].as_str().unwrap();
        let fields = render::find(objects, "Secret", secret)["stringData"].as_object().unwrap();
        let known = module.info().credentials;
        for field in fields.keys() {
            assert!(known.iter().any(|known| known.name == *field), "{name}: there is no field {field}");
        }
        for field in known.iter().filter(|field| field.required) {
            assert!(fields.contains_key(field.name), "{name}: field {} is missing", field.name);
        }
    });
    assert!(seen >= 2, "{seen} Connectors looked at");
}

#[test]
fn the_settings_and_the_smoke_test_are_ones_that_the_module_has() {
    let seen = with_module(|name, _, connector, module| {
        let settings = &connector["spec"]["service"]["settings"];
        let settings = if settings.is_null() { json!({}) } else { settings.clone() };
        if let Err(error) = module.info().settings.parse(settings) {
            panic!("{name}: {error}");
        }
        let tool = connector["spec"]["smoke"]["read"]["tool"].as_str().unwrap();
        assert!(module.tools().iter().any(|known| known.name() == tool), "{name}: there is no tool {tool}");
    });
    assert!(seen >= 2, "{seen} Connectors looked at");
}

#[test]
fn no_example_holds_a_secret() {
    for (name, objects) in examples() {
        for secret in render::of_kind(&objects, "Secret") {
            for (field, value) in secret["stringData"].as_object().unwrap() {
                let harmless = ["host", "port", "database", "username", "ssl_mode", "api_url"];
                assert!(harmless.contains(&field.as_str()) || value == "replace-me", "{name}: {field}");
            }
            assert!(secret["data"].is_null(), "{name}: a placeholder must be readable");
        }
    }
}

#[test]
fn the_backend_recipe_obeys_what_its_namespace_enforces() {
    let objects = examples().into_iter().find(|(name, _)| name == "backend-recipe.yaml").unwrap().1;
    let backend = render::find(&objects, "Deployment", "backend");
    assert_eq!(policy::faults(backend), Vec::<String>::new());
    let pod = &backend["spec"]["template"];
    assert_eq!(pod["metadata"]["labels"]["aperium.dev/mcp-client"], "true");
    assert_eq!(pod["spec"]["containers"][0]["envFrom"][0]["configMapRef"]["name"], "aperium-mcp-routing");
    assert_eq!(pod["spec"]["containers"][0]["envFrom"][0]["configMapRef"]["optional"], true);
}
