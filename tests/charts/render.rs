//! Chart and values in, objects out: by the real helm.

use aperium_crds::yaml;
use aperium_tests::binaries;
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::LazyLock,
};

/// The namespace that charts are rendered for.
pub(crate) const NAMESPACE: &str = "aperium-system";
/// The lowest Kubernetes that the charts support.
pub(crate) const KUBERNETES: &str = "1.33.0";

/// A chart of this repository.
pub(crate) fn chart(name: &str) -> PathBuf {
    binaries::repository().join("charts").join(name)
}

/// The values files of a chart, one per feature, sorted by name.
pub(crate) fn feature_files(name: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(chart(name).join("ci")).expect("ci folder").map(|entry| entry.expect("entry").path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{name} has no ci values");
    files
}

/// The objects of a chart with the given further arguments of helm.
///
/// # Panics
/// When helm refuses.
pub(crate) fn objects(name: &str, args: &[&str]) -> Vec<Value> {
    yaml::documents(&text(name, args)).unwrap_or_else(|error| panic!("{name} {args:?}: {error}"))
}

/// The chart `aperium` with its defaults, rendered once.
pub(crate) fn defaults() -> &'static [Value] {
    static DEFAULTS: LazyLock<Vec<Value>> = LazyLock::new(|| objects("aperium", &[]));
    &DEFAULTS
}

/// What helm prints.
pub(crate) fn text(name: &str, args: &[&str]) -> String {
    let output = helm(name, args);
    assert!(output.status.success(), "helm template {name} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// What helm says when it refuses the values.
///
/// # Panics
/// When it does not refuse them.
pub(crate) fn refusal(name: &str, values: &str) -> String {
    let file = tempfile::NamedTempFile::new().expect("values file");
    fs::write(file.path(), values).expect("values file");
    let output = helm(name, &["--values", file.path().to_str().expect("UTF-8")]);
    assert!(!output.status.success(), "helm took these values:\n{values}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The objects with the values of a file.
pub(crate) fn with_file(name: &str, file: &Path) -> Vec<Value> {
    objects(name, &["--values", file.to_str().expect("UTF-8")])
}

/// The defaults and every feature file of the chart `aperium`, by name.
pub(crate) fn all() -> Vec<(String, Vec<Value>)> {
    let mut all = vec![("defaults".to_owned(), objects("aperium", &[]))];
    for file in feature_files("aperium") {
        let name = file.file_stem().expect("name").to_string_lossy().into_owned();
        all.push((name, with_file("aperium", &file)));
    }
    all
}

/// The object of a kind and name.
///
/// # Panics
/// When there is none.
pub(crate) fn find<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    objects
        .iter()
        .find(|object| object["kind"] == kind && object["metadata"]["name"] == name)
        .unwrap_or_else(|| panic!("no {kind} {name}"))
}

/// All objects of a kind.
pub(crate) fn of_kind<'a>(objects: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    objects.iter().filter(move |object| object["kind"] == kind)
}

fn helm(name: &str, args: &[&str]) -> Output {
    Command::new(binaries::helm())
        .args(["template", "aperium"])
        .arg(chart(name))
        .args(["--namespace", NAMESPACE, "--kube-version", KUBERNETES])
        .args(["--api-versions", "monitoring.coreos.com/v1/PodMonitor"])
        .args(args)
        .output()
        .expect("helm starts")
}
