//! values.yaml, its schema and the settings file that comes of them: what is refused, what is said, what is in step.

use crate::render;
use aperium_crds::{Settings, yaml};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;

fn read(chart: &str, file: &str) -> Value {
    let text = fs::read_to_string(render::chart(chart).join(file)).unwrap();
    if file.ends_with(".json") {
        serde_json::from_str(&text).unwrap()
    } else {
        yaml::documents(&text).unwrap().remove(0)
    }
}

/// The settings file of a rendering.
fn settings(objects: &[Value]) -> String {
    render::find(objects, "ConfigMap", "aperium-settings")["data"]["settings.yaml"].as_str().unwrap().to_owned()
}

#[test]
fn the_settings_of_every_rendering_are_taken_by_the_programs() {
    for (name, objects) in render::all() {
        let text = settings(&objects);
        Settings::parse(&text).unwrap_or_else(|error| panic!("{name}: {error}\n{text}"));
    }
}

#[test]
fn the_defaults_of_the_chart_are_the_defaults_of_the_programs() {
    let mut expected = Settings::default();
    // A namespace has a name only in a cluster.
    expected.services.client_namespaces = vec![render::NAMESPACE.to_owned()];
    assert_eq!(Settings::parse(&settings(render::defaults())).unwrap(), expected);
}

/// All that notes say of a release besides its name and namespace. Helm keeps them, and shows them to whoever may look.
const NOTED: [&str; 5] = [
    "Values $component).podMonitor.enabled",
    "Values.crds.keep",
    "Values.settings.authentication.serviceAccounts.audience",
    "Values.settings.egress.clusterRanges",
    "include \"aperium.namespaces\"",
];

#[test]
fn t10_notes_tell_nothing_that_could_be_a_secret() {
    let mut seen = BTreeSet::new();
    for chart in ["aperium", "aperium-crds"] {
        let notes = fs::read_to_string(render::chart(chart).join("templates/NOTES.txt")).unwrap();
        for action in notes.split("{{").skip(1).map(|rest| rest.split("}}").next().unwrap()) {
            assert!(!action.contains("lookup") && !action.contains("toYaml"), "{chart}: {action}");
            for word in ["Values", "include "] {
                for (at, _) in action.match_indices(word) {
                    let noted = NOTED.iter().find(|noted| action[at..].starts_with(*noted));
                    seen.insert(noted.unwrap_or_else(|| panic!("{chart} tells {}", &action[at..])));
                }
            }
        }
    }
    assert_eq!(seen.len(), NOTED.len(), "the test reads notes that are there: {seen:?}");
}

#[test]
fn every_setting_has_a_value() {
    let values = read("aperium", "values.yaml");
    // Ports are the chart's own; the image and its pulling have values of their own; loopback is for a laptop.
    let elsewhere =
        ["listeners", "services.image", "services.imagePullPolicy", "services.imagePullSecrets", "egress.loopback"];
    let mut missing = Vec::new();
    keys(&serde_json::to_value(Settings::default()).unwrap(), "", &mut |path| {
        let pointer = format!("/settings/{}", path.replace('.', "/"));
        if !elsewhere.iter().any(|other| path.starts_with(other)) && values.pointer(&pointer).is_none() {
            missing.push(path.to_owned());
        }
    });
    assert_eq!(missing, Vec::<String>::new(), "settings without a value in charts/aperium/values.yaml");
}

#[test]
fn the_schema_names_every_value_and_no_other() {
    for chart in ["aperium", "aperium-crds"] {
        let schema = read(chart, "values.schema.json");
        let mut faults = Vec::new();
        compare(&read(chart, "values.yaml"), &schema, &schema, "", &mut faults);
        assert_eq!(faults, Vec::<String>::new(), "{chart}");
    }
}

/// Walks values and schema together; objects whose schema lists no properties are free maps.
fn compare(values: &Value, schema: &Value, root: &Value, path: &str, faults: &mut Vec<String>) {
    let schema = resolve(schema, root);
    let Some(properties) = schema["properties"].as_object() else { return };
    // Helm puts what parent charts pass into `global`.
    if schema["additionalProperties"] != false && path != ".global" {
        faults.push(format!("{path}: takes unknown values"));
    }
    let Some(fields) = values.as_object() else {
        faults.push(format!("{path}: is no object in values.yaml"));
        return;
    };
    for (name, value) in fields {
        match properties.get(name) {
            Some(property) => compare(value, property, root, &format!("{path}.{name}"), faults),
            None => faults.push(format!("{path}.{name}: not in the schema")),
        }
    }
    // Of the security context only what we set is shown.
    let optional = |name: &str| path == ".podSecurityContext" || path.ends_with(".seccompProfile") || name == "global";
    for name in properties.keys().filter(|name| !fields.contains_key(*name) && !optional(name)) {
        faults.push(format!("{path}.{name}: in the schema, not in values.yaml"));
    }
}

fn resolve<'a>(schema: &'a Value, root: &'a Value) -> &'a Value {
    match schema["$ref"].as_str().and_then(|reference| root.pointer(reference.trim_start_matches('#'))) {
        Some(target) => target,
        None => schema,
    }
}

#[test]
fn every_value_has_a_comment_and_a_row_in_the_readme() {
    for chart in ["aperium", "aperium-crds"] {
        let readme = fs::read_to_string(render::chart(chart).join("README.md")).unwrap();
        keys(&read(chart, "values.yaml"), "", &mut |path| {
            let documented = readme.lines().any(|line| {
                let row = line.strip_prefix("| `").and_then(|rest| rest.split_once('`'));
                row.is_some_and(|(name, rest)| path == name || path.starts_with(&format!("{name}.")) && rest.len() > 10)
            });
            assert!(documented, "{chart}: {path} has no `# -- ` comment");
        });
    }
}

/// Calls for the path of every leaf.
fn keys(value: &Value, path: &str, leaf: &mut impl FnMut(&str)) {
    match value.as_object() {
        Some(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                keys(value, &path, leaf);
            }
        }
        _ => leaf(path),
    }
}

#[test]
fn what_the_schema_does_not_know_is_refused_by_name() {
    for (values, named) in [
        ("replicas: 2", "replicas"),
        ("gateway: {replica: 2}", "replica"),
        ("gateway: {replicas: two}", "/gateway/replicas"),
        ("gateway: {replicas: 0}", "/gateway/replicas"),
        ("operator: {replicas: -1}", "/operator/replicas"),
        ("gateway: {image: {tag: latest}}", "/gateway/image/tag"),
        ("gateway: {image: {digest: 'sha256:12'}}", "/gateway/image/digest"),
        ("gateway: {image: {pullPolicy: Sometimes}}", "/gateway/image/pullPolicy"),
        ("gateway: {resources: {limits: {memory: null}}}", "/gateway/resources/limits"),
        ("gateway: {resources: {limits: {memory: lots}}}", "/gateway/resources/limits/memory"),
        ("gateway: {service: {type: LoadBalancer}}", "type"),
        ("gateway: {publicService: {type: ExternalName}}", "/gateway/publicService/type"),
        ("gateway: {networkPolicy: {egressCIDRs: [everything]}}", "egressCIDRs"),
        ("gateway: {networkPolicy: {publicFrom: [{}]}}", "publicFrom"),
        ("watchNamespaces: [A_b]", "watchNamespaces"),
        ("watchNamespaces: [a, a]", "watchNamespaces"),
        ("podSecurityContext: {runAsNonRoot: false}", "runAsNonRoot"),
        ("podSecurityContext: {runAsUser: 0}", "runAsUser"),
        ("podSecurityContext: {seccompProfile: {type: Unconfined}}", "seccompProfile"),
        ("podSecurityContext: {privileged: true}", "privileged"),
        ("settings: {limits: {maxConnections: 0}}", "maxConnections"),
        ("settings: {limits: {maxRequestBites: 1}}", "maxRequestBites"),
        ("settings: {listeners: {public: '0.0.0.0:1'}}", "listeners"),
        ("settings: {authentication: {staticTokens: [{name: ci, token: hunter2}]}}", "token"),
        ("settings: {authentication: {staticTokens: [{name: ci, sha256: [hunter2]}]}}", "sha256"),
        ("settings: {authentication: {serviceAccounts: {tenants: {nobody: acme}}}}", "'nobody'"),
        ("settings: {egress: {clusterRanges: 10.0.0.0/8}}", "clusterRanges"),
        ("settings: {egress: {loopback: {}}}", "loopback"),
        ("networkPolicy: {apiServerPorts: []}", "apiServerPorts"),
        ("commonLabels: {a: 1}", "commonLabels"),
        ("commonLabels: {'a b': c}", "'a b'"),
    ] {
        let error = render::refusal("aperium", values);
        assert!(error.contains("schema") && error.contains(named), "{values}: {error}");
    }
    let error = render::refusal("aperium-crds", "crds: {keep: sometimes}");
    assert!(error.contains("/crds/keep"), "{error}");
    assert!(render::refusal("aperium-crds", "crd: {}").contains("crd"));
}

#[test]
fn a_combination_that_cannot_work_is_refused_with_the_reason() {
    for (values, reason) in [
        ("operator: {podDisruptionBudget: {enabled: true}}", "operator.replicas of at least 2"),
        ("gateway: {podDisruptionBudget: {enabled: true}}", "at least 2 pods"),
        (
            "gateway: {podDisruptionBudget: {enabled: true}, autoscaling: {enabled: true, minReplicas: 1}}",
            "at least 2 pods",
        ),
        ("gateway: {autoscaling: {enabled: true, minReplicas: 7}}", "minReplicas must be at most"),
    ] {
        let error = render::refusal("aperium", values);
        assert!(error.contains(reason), "{values}: {error}");
    }
}

#[test]
fn helm_may_pass_global_values_of_a_parent_chart() {
    let objects = render::objects("aperium", &["--set", "global.somethingElse=1"]);
    assert!(!objects.is_empty());
    assert_eq!(json!(render::objects("aperium-crds", &["--set", "global.x=1"]).len()), 2);
}
