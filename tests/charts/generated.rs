//! What is generated and committed against what the generator writes now.

use crate::{render, strict};
use aperium_crds::{crd, yaml};
use aperium_tests::binaries;
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("folder") {
        let path = entry.expect("entry").path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

fn install() -> Vec<Value> {
    yaml::documents(&fs::read_to_string(binaries::repository().join("deploy/install.yaml")).unwrap()).unwrap()
}

#[test]
fn what_is_committed_is_what_the_generator_writes() {
    let out = tempfile::tempdir().unwrap();
    let run = Command::new(binaries::repository().join("deploy/generate.sh"))
        .arg(out.path())
        .env("HELM", binaries::helm())
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let mut written = Vec::new();
    files(out.path(), &mut written);
    assert!(written.len() >= 8, "{written:?}");
    for path in written {
        let name = path.strip_prefix(out.path()).unwrap();
        let committed = fs::read_to_string(binaries::repository().join(name)).unwrap_or_default();
        assert!(
            committed == fs::read_to_string(&path).unwrap(),
            "{} is stale: run `make generate` and commit the result",
            name.display()
        );
    }
}

#[test]
fn the_chart_of_the_kinds_holds_what_the_types_say() {
    let rendered = render::objects("aperium-crds", &[]);
    for definition in [crd::connector(), crd::grant()] {
        let expected = serde_json::to_value(&definition).unwrap();
        let name = expected["metadata"]["name"].as_str().unwrap();
        let made = render::find(&rendered, "CustomResourceDefinition", name);
        // Numbers are compared as numbers: 1024.0 is written for 1024.
        assert!(same(&expected["spec"], &made["spec"]), "{name} differs from the types");
        assert_eq!(made["metadata"]["annotations"]["helm.sh/resource-policy"], "keep");
        assert_eq!(strict::faults(made), Vec::<String>::new());
    }
    assert_eq!(rendered.len(), 2);
}

#[test]
fn the_kinds_go_with_the_chart_only_when_asked() {
    for definition in render::objects("aperium-crds", &["--set", "crds.keep=false"]) {
        assert!(definition["metadata"]["annotations"].is_null());
    }
}

fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, value)| b.get(name).is_some_and(|other| same(value, other)))
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (a, b) => a == b,
    }
}

#[test]
fn install_yaml_is_the_chart_with_its_defaults_in_a_restricted_namespace() {
    let mut objects = install();
    let namespace = objects.remove(0);
    assert_eq!(namespace["kind"], "Namespace", "it comes first: the others live in it");
    assert_eq!(namespace["metadata"]["name"], render::NAMESPACE);
    assert_eq!(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted");
    let mut expected = render::defaults().to_vec();
    for object in &mut expected {
        unlabel(&mut object["metadata"]["labels"]);
    }
    assert_eq!(objects, expected);
    assert!(objects.iter().all(|object| object["kind"] != "CustomResourceDefinition"), "they come from crds/");
}

/// Helm looks after none of these objects.
fn unlabel(labels: &mut Value) {
    let labels = labels.as_object_mut().unwrap();
    assert_eq!(labels.remove("app.kubernetes.io/managed-by"), Some(json!("Helm")));
    assert!(labels.remove("helm.sh/chart").is_some());
}

#[test]
fn kubectl_apply_can_remember_every_object() {
    // `kubectl apply` keeps the whole object in an annotation, and all annotations of an object share 256 KiB.
    let crds = ["connector", "grant"].map(|name| binaries::repository().join(format!("crds/{name}.yaml")));
    let definitions = crds.iter().flat_map(|path| yaml::documents(&fs::read_to_string(path).unwrap()).unwrap());
    for object in definitions.chain(install()) {
        let bytes = object.to_string().len();
        assert!(bytes < 200 * 1024, "{} {} holds {bytes} bytes", object["kind"], object["metadata"]["name"]);
    }
}

#[test]
fn kustomize_renders_base_and_overlay() {
    let build = |folder: &str| {
        let run = Command::new(binaries::kubectl())
            .arg("kustomize")
            .arg(binaries::repository().join("deploy/kustomize").join(folder))
            .output()
            .unwrap();
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        yaml::documents(&String::from_utf8(run.stdout).unwrap()).unwrap()
    };
    let base = build("base");
    assert_eq!(base.len(), install().len() + 2, "everything of install.yaml and the two kinds");
    let overlay = build("overlays/ha");
    assert_eq!(render::find(&overlay, "Deployment", "aperium-gateway")["spec"]["replicas"], 3);
    assert_eq!(render::find(&overlay, "Deployment", "aperium-operator")["spec"]["replicas"], 2);
    for object in base.iter().chain(&overlay) {
        assert_eq!(strict::faults(object), Vec::<String>::new());
    }
}
