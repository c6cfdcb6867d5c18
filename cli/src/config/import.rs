//! `aperium config import`: a document → manifests of the same meaning, credentials in Secrets with the label that
//! lets their Connector use them.

use super::read;
use anyhow::{Context, bail};
use aperium_crds::yaml;
use aperium_gateway::document::Severity;
use aperium_gateway::folder::{Folder, FolderSecret};
use secrecy::ExposeSecret as _;
use serde_json::{Map, Value, json};
use std::io::Write as _;
use std::path::Path;

/// Writes them to standard output, or into a folder.
pub(crate) fn run(file: &Path, out: Option<&Path>, namespace: Option<&str>, lenient: bool) -> anyhow::Result<()> {
    let reading = read(file, if lenient { Severity::Error } else { Severity::Warning })?;
    let [connectors, grants, secrets] = manifests(&reading.folder, namespace)?;
    match out {
        None => {
            let text = [connectors, grants, secrets].concat();
            std::io::stdout().lock().write_all(text.as_bytes()).context("standard output is closed")?;
        }
        Some(folder) => {
            std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
            for (name, text) in [("connectors.yaml", connectors), ("grants.yaml", grants), ("secrets.yaml", secrets)] {
                if !text.is_empty() {
                    write(&folder.join(name), &text)?;
                }
            }
        }
    }
    if reading.accept_registrations {
        let mut err = std::io::stderr().lock();
        writeln!(err, "mcp.accept_registrations is no resource: set registration.accept: true in the settings")
            .context("standard error is closed")?;
    }
    Ok(())
}

/// The text of all Connectors, Grants and Secrets.
fn manifests(folder: &Folder, namespace: Option<&str>) -> anyhow::Result<[String; 3]> {
    let connectors = folder.resources.connectors.iter().map(|connector| serde_json::to_value(&**connector));
    let grants = folder.resources.grants.iter().map(|grant| serde_json::to_value(&**grant));
    let secrets = folder.secrets.iter().map(|(name, secret)| Ok(manifest(name, secret)));
    Ok([
        documents(connectors.collect::<Result<_, _>>()?, namespace)?,
        documents(grants.collect::<Result<_, _>>()?, namespace)?,
        documents(secrets.collect::<anyhow::Result<_>>()?, namespace)?,
    ])
}

fn documents(manifests: Vec<Value>, namespace: Option<&str>) -> anyhow::Result<String> {
    let mut text = String::new();
    for mut manifest in manifests {
        if let Some(namespace) = namespace {
            manifest["metadata"]["namespace"] = json!(namespace);
        }
        text.push_str("---\n");
        text.push_str(&yaml::to_document(&without_defaults(manifest)).context("a manifest cannot be written")?);
    }
    Ok(text)
}

/// What nobody wrote is left out, as far as it says nothing.
fn without_defaults(mut manifest: Value) -> Value {
    if let Some(spec) = manifest.get_mut("spec").and_then(Value::as_object_mut) {
        if spec.get("discovery") == Some(&json!({ "periodSeconds": 5, "timeoutSeconds": 4 })) {
            spec.remove("discovery");
        }
        if let Some(calls) = spec.get_mut("calls").and_then(Value::as_object_mut) {
            calls.retain(|field, value| match field.as_str() {
                "timeoutSeconds" => *value != json!(30),
                "maxConcurrent" => *value != json!(64),
                _ => true,
            });
        }
        if spec.get("calls") == Some(&json!({})) {
            spec.remove("calls");
        }
        if spec.get("suspend") == Some(&json!(false)) {
            spec.remove("suspend");
        }
    }
    manifest
}

fn manifest(name: &str, secret: &FolderSecret) -> Value {
    let data: Map<String, Value> =
        secret.data.iter().map(|(key, value)| (key.clone(), json!(value.expose_secret()))).collect();
    let metadata = json!({ "name": name, "labels": secret.labels });
    json!({ "apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data })
}

/// Only its owner may read a file that may hold secrets; what is there is never overwritten.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(mut file) => file.write_all(text.as_bytes()).with_context(|| path.display().to_string()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            bail!("{} is there already: choose another folder, or remove it", path.display())
        }
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aperium_gateway::document::{Macros, read_file};
    use aperium_gateway::folder;

    #[test]
    fn what_was_imported_is_the_same_folder_again() {
        let text = r#"{
          "connectors": {"servers": {"weatherApi": {"protocol": "http", "url": "https://api.example.com", "timeoutSeconds": 60,
            "auth": {"type": "api_key", "secret": "yes: 'no' #1", "name": "X-Key"}}}},
          "grants": [{"src": ["ann@example.com"], "app": {"tailscale.com/cap/aperture": [{"role": "admin"}, {"connectors": ["**"]}]}}]
        }"#;
        let reading = read_file(text, &Macros::default(), None);
        assert!(!reading.has(Severity::Warning), "{:?}", reading.findings);
        let path = tempfile::tempdir().unwrap();
        let [connectors, grants, secrets] = manifests(&reading.folder, Some("apps")).unwrap();
        assert!(connectors.contains("namespace: apps") && !connectors.contains("discovery"), "{connectors}");
        for (name, text) in [("c.yaml", connectors), ("g.yaml", grants), ("s.yaml", secrets)] {
            write(&path.path().join(name), &text).unwrap();
        }
        let loaded = folder::load(path.path()).unwrap();
        assert_eq!(loaded.resources.connectors[0].spec, reading.folder.resources.connectors[0].spec);
        assert_eq!(loaded.resources.grants.len(), 2);
        let secret = &loaded.secrets["weatherapi-auth"];
        assert_eq!(secret.data["secret"].expose_secret(), "yes: 'no' #1");
        assert_eq!(secret.labels["connector.aperium.dev/weatherapi"], "true");
        assert!(write(&path.path().join("c.yaml"), "").unwrap_err().to_string().contains("is there already"));
    }
}
