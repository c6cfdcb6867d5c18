//! A folder of YAML manifests → Connectors, Grants and Secrets, or one line that says what is wrong and where.
//!
//! The same checks as in a cluster: the schema and CEL rules of the CustomResourceDefinitions, unique names and ids.

use crate::catalog::Resources;
use aperium_core::id::{ConnectorName, is_object_name};
use aperium_core::name::effective_id;
use aperium_crds::{Connector, Grant, structural, yaml};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

mod store;

pub use store::{FolderStore, Prepare};

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The folder or a file in it cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file is not YAML.
    #[error("{file}: {source}")]
    Yaml {
        /// The file.
        file: String,
        /// What the parser says; it never quotes the text.
        source: yaml::YamlError,
    },
    /// A document is not what it should be.
    #[error("{file}: document {document}: {message}")]
    Document {
        /// The file.
        file: String,
        /// Its place in the file, from 1.
        document: usize,
        /// What is wrong, naming kind, name and field.
        message: String,
    },
}

/// What a folder holds.
#[derive(Debug, Default)]
pub struct Folder {
    /// Connectors and Grants.
    pub resources: Resources,
    /// Secrets by name.
    pub secrets: BTreeMap<String, FolderSecret>,
    /// Kind and name → where it is.
    places: BTreeMap<(&'static str, String), Placed>,
}

/// Where a resource of a folder is.
#[derive(Debug, Clone)]
pub(crate) struct Placed {
    /// The name of its file.
    pub(crate) file: String,
    /// A digest of what it says: a change must name it.
    pub(crate) version: String,
}

impl Folder {
    /// Where a Connector or Grant is.
    pub(crate) fn place(&self, kind: &str, name: &str) -> Option<&Placed> {
        self.places.iter().find(|((k, n), _)| *k == kind && n == name).map(|(_, placed)| placed)
    }
}

/// A Secret of a folder.
#[derive(Debug, Clone, Default)]
pub struct FolderSecret {
    /// Its labels: a Connector may use it only with `connector.aperium.dev/<name>: "true"`.
    pub labels: BTreeMap<String, String>,
    /// Its values.
    pub data: BTreeMap<String, SecretString>,
}

/// Reads all `*.yaml` and `*.yml` files of a folder, in the order of their names; files whose name starts with a dot,
/// `settings.yaml`, and other folders inside are left out.
///
/// # Errors
/// [`FolderError`] for the first thing that is wrong: nothing of a folder is taken unless all of it is good.
pub fn load(path: &Path) -> Result<Folder, FolderError> {
    let mut loader = Loader::default();
    for file in files(path)? {
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let text = std::fs::read_to_string(&file).map_err(|source| FolderError::Read { path: file, source })?;
        let documents = yaml::documents(&text).map_err(|source| FolderError::Yaml { file: name.clone(), source })?;
        for (at, document) in documents.iter().enumerate() {
            let taken = loader.take(document, &name);
            taken.map_err(|message| FolderError::Document { file: name.clone(), document: at + 1, message })?;
        }
    }
    Ok(loader.folder)
}

fn files(path: &Path) -> Result<Vec<PathBuf>, FolderError> {
    let error = |source| FolderError::Read { path: path.to_owned(), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(error)? {
        let file = entry.map_err(error)?.path();
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let is_yaml = file.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        if is_yaml && !name.starts_with('.') && name != "settings.yaml" && file.is_file() {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

#[derive(Debug, Default)]
struct Loader {
    folder: Folder,
    /// (kind, name) → file.
    names: HashMap<(&'static str, String), String>,
    /// Id without regard to case → Connector and file.
    ids: HashMap<String, String>,
}

impl Loader {
    fn take(&mut self, document: &Value, file: &str) -> Result<(), String> {
        let text = |field: &str| document.get(field).and_then(Value::as_str).unwrap_or_default();
        let name = document.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        let named = |kind: &str, problem: &dyn std::fmt::Display| format!("{kind} \"{name}\": {problem}");
        match (text("apiVersion"), text("kind")) {
            ("aperium.dev/v1alpha1", "Connector") => {
                let mut connector = structural::connector(document).map_err(|faults| named("Connector", &faults))?;
                self.claim("Connector", name, file)?;
                connector.metadata.resource_version = Some(self.place("Connector", name, file, document));
                self.claim_id(&connector, name, file)?;
                self.folder.resources.connectors.push(Arc::new(connector));
            }
            ("aperium.dev/v1alpha1", "Grant") => {
                let mut grant: Grant = structural::grant(document).map_err(|faults| named("Grant", &faults))?;
                self.claim("Grant", name, file)?;
                grant.metadata.resource_version = Some(self.place("Grant", name, file, document));
                self.folder.resources.grants.push(Arc::new(grant));
            }
            ("v1", "Secret") => {
                let secret = secret(document).map_err(|problem| named("Secret", &problem))?;
                self.claim("Secret", name, file)?;
                self.folder.secrets.insert(name.to_owned(), secret);
            }
            (_, "") => return Err("`kind` is missing".to_owned()),
            (version, kind) => {
                return Err(format!(
                    "unknown kind \"{kind}\" of \"{version}\": it must be Connector or Grant of aperium.dev/v1alpha1, or Secret of v1"
                ));
            }
        }
        Ok(())
    }

    /// Remembers where a resource is; its version.
    fn place(&mut self, kind: &'static str, name: &str, file: &str, document: &Value) -> String {
        let version = hex::encode(Sha256::digest(document.to_string()));
        let placed = Placed { file: file.to_owned(), version: version.clone() };
        self.folder.places.insert((kind, name.to_owned()), placed);
        version
    }

    fn claim(&mut self, kind: &'static str, name: &str, file: &str) -> Result<(), String> {
        if name.is_empty() {
            return Err(format!("{kind}: metadata.name is missing"));
        }
        // The rule of a Connector's name is stricter, and checked with its id.
        if kind != "Connector" && !is_object_name(name) {
            return Err(format!("{kind} \"{}\": metadata.name must be a DNS subdomain", name.escape_debug()));
        }
        match self.names.insert((kind, name.to_owned()), file.to_owned()) {
            Some(first) => Err(format!("{kind} \"{name}\": metadata.name is already taken in {first}")),
            None => Ok(()),
        }
    }

    fn claim_id(&mut self, connector: &Connector, name: &str, file: &str) -> Result<(), String> {
        let described = |error: &dyn std::fmt::Display| format!("Connector \"{name}\": {error}");
        let parsed = ConnectorName::parse(name).map_err(|error| described(&error))?;
        let id = effective_id(connector.spec.id.as_deref(), &parsed).map_err(|error| described(&error))?;
        match self.ids.insert(id.key(), format!("Connector \"{name}\" in {file}")) {
            Some(first) => Err(format!("Connector \"{name}\": id \"{id}\" is already taken by {first}")),
            None => Ok(()),
        }
    }
}

/// The fields of a Secret that mean something without a cluster. Errors never quote a value.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Manifest {
    #[serde(rename = "apiVersion")]
    _api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
    metadata: Metadata,
    #[serde(rename = "type", default)]
    _kind_of_secret: Option<String>,
    #[serde(rename = "immutable", default)]
    _immutable: Option<bool>,
    /// Taken apart by hand: a type error of serde would quote a value.
    #[serde(default)]
    string_data: Value,
    #[serde(default)]
    data: Value,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    #[serde(default)]
    labels: BTreeMap<String, String>,
}

fn secret(document: &Value) -> Result<FolderSecret, String> {
    use base64::Engine as _;
    let manifest: Manifest = Manifest::deserialize(document).map_err(|error| error.to_string())?;
    let mut data = BTreeMap::new();
    for (key, encoded) in texts("data", &manifest.data)? {
        let decoded = base64::engine::general_purpose::STANDARD.decode(encoded.trim());
        let text = decoded.ok().and_then(|bytes| String::from_utf8(bytes).ok());
        data.insert(
            key.clone(),
            SecretString::from(text.ok_or_else(|| format!("data.{key} must be base64 of UTF-8 text"))?),
        );
    }
    for (key, text) in texts("stringData", &manifest.string_data)? {
        data.insert(key.clone(), SecretString::from(text.to_owned()));
    }
    Ok(FolderSecret { labels: manifest.metadata.labels, data })
}

fn texts<'v>(field: &str, value: &'v Value) -> Result<Vec<(&'v String, &'v str)>, String> {
    let fields = match value {
        Value::Null => return Ok(Vec::new()),
        Value::Object(fields) => fields,
        _ => return Err(format!("{field} must be a mapping")),
    };
    let text = |(key, value): (&'v String, &'v Value)| {
        value.as_str().map(|text| (key, text)).ok_or_else(|| format!("{field}.{key} must be a string"))
    };
    fields.iter().map(text).collect()
}

#[cfg(test)]
mod tests;
