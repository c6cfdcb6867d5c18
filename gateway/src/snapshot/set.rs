//! What one upstream offers of one kind, as it was sent → what is listed and may be asked for, under exposed names,
//! ready to be sent.

use super::hidden::{hides_text, is_hidden};
use super::kind::Kind;
use crate::catalog::{ConnectorConfig, Place};
use crate::era::mirrored::Mirrored;
use crate::raw::{Edits, RawObject, as_text};
use aperium_core::name::{ExposedNames, expose_uri};
use aperium_core::uri_template::UriTemplate;
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Whether a tool is known to change nothing: an admin says so, or it is one of our own. What a remote server says of its
/// tools proves nothing.
fn reads(config: &ConnectorConfig, kind: Kind, name: &str, definition: &RawValue) -> bool {
    if kind != Kind::Tools || config.retryable.contains(name) {
        return true;
    }
    let ours = matches!(config.place, Place::Service { .. });
    let annotations = RawObject::parse(definition.get()).ok().filter(|_| ours);
    let annotations = annotations.as_ref().and_then(|tool| tool.get("annotations"));
    annotations
        .and_then(|told| RawObject::parse(told.get()).ok())
        .is_some_and(|told| told.get("readOnlyHint").is_some_and(|hint| hint.get() == "true"))
}

/// The most bytes of a name or URI.
const MAX_NAME: usize = 1024;

/// One thing that an upstream offers.
#[derive(Debug)]
pub(crate) struct Item {
    /// The upstream's own name, URI or template.
    pub(crate) name: Box<str>,
    /// The same in the aggregate.
    pub(crate) exposed: Box<str>,
    /// Its definition as the upstream sent it.
    pub(crate) definition: Box<str>,
    /// The definition as the aggregate lists it: name and URIs exposed, all else as it was.
    pub(crate) exposed_definition: Box<str>,
    /// What is known of it beyond that.
    pub(crate) detail: Detail,
    /// Whether somebody who is to be believed says that it changes nothing.
    pub(crate) reads: bool,
}

/// What only some kinds have.
#[derive(Debug)]
pub(crate) enum Detail {
    /// Nothing more.
    Plain,
    /// A tool's arguments that headers repeat.
    Mirrored(Mirrored),
    /// A template, where it is well formed.
    Template(Option<UriTemplate>),
}

/// All things of one kind that are listed, sorted by the upstream's own names.
#[derive(Debug, Default)]
pub(crate) struct Set {
    items: Vec<Item>,
    by_name: HashMap<Box<str>, usize>,
    /// What the upstream offers and the gateway does not: hidden, in quarantine, or malformed.
    withheld: HashSet<Box<str>>,
    /// `sha256:` and the digest of all names and definitions that the upstream sent.
    pub(crate) digest: String,
    /// Names and hashes of what was put in quarantine.
    pub(crate) quarantined: BTreeMap<String, String>,
    /// Names of the tools whose `x-mcp-header` annotations break the rules, and which: no client could call them.
    pub(crate) malformed: BTreeMap<String, &'static str>,
}

impl Item {
    /// A tool's arguments that headers repeat.
    pub(crate) fn mirrored(&self) -> Option<&Mirrored> {
        if let Detail::Mirrored(mirrored) = &self.detail { Some(mirrored) } else { None }
    }

    /// Whether this is a template that can stand for the URI.
    pub(crate) fn covers(&self, uri: &str) -> bool {
        matches!(&self.detail, Detail::Template(Some(template)) if template.covers(uri))
    }
}

impl Set {
    /// Builds it from the definitions as they were sent. What has no name is left out; of two with one name the first
    /// counts; what is hidden, in quarantine or malformed is left out.
    pub(crate) fn build(config: &ConnectorConfig, kind: Kind, definitions: &[Box<RawValue>]) -> Self {
        let mut named: BTreeMap<String, &RawValue> = BTreeMap::new();
        for definition in definitions {
            if let Some(name) = name_of(kind, definition) {
                named.entry(name).or_insert(definition);
            }
        }
        let mut set = Self { digest: digest(&named), ..Self::default() };
        let mut details: BTreeMap<&str, Detail> = BTreeMap::new();
        for (name, definition) in &named {
            match set.admit(config, kind, name, definition) {
                Some(detail) => {
                    details.insert(name, detail);
                }
                None => {
                    set.withheld.insert(name.as_str().into());
                }
            }
        }
        let exposed = exposed_names(config, kind, details.keys().copied());
        for (name, detail) in details {
            let (Some(definition), Some(exposed)) = (named.get(name), exposed.get(name)) else { continue };
            set.by_name.insert(name.into(), set.items.len());
            set.items.push(Item {
                name: name.into(),
                exposed: exposed.as_str().into(),
                definition: definition.get().into(),
                exposed_definition: renamed(config, kind, definition, exposed).into(),
                detail,
                reads: reads(config, kind, name, definition),
            });
        }
        set
    }

    /// Whether one thing is offered to anyone; `None` when it is withheld.
    fn admit(&mut self, config: &ConnectorConfig, kind: Kind, name: &str, definition: &RawValue) -> Option<Detail> {
        if kind == Kind::Tools && config.hide.contains(name) {
            return None;
        }
        let hash = hash(definition.get());
        // What cannot be read whole (a depth beyond the parser's) cannot be shown to be harmless.
        let value: Value = serde_json::from_str(definition.get()).unwrap_or_default();
        if (value.is_null() || hostile(&value)) && !config.accepted_hashes.contains(&hash) {
            self.quarantined.insert(printable(name), hash);
            return None;
        }
        Some(match kind {
            Kind::Tools => match Mirrored::read(definition) {
                Ok(arguments) => Detail::Mirrored(arguments),
                Err(why) => {
                    self.malformed.insert(printable(name), why);
                    return None;
                }
            },
            Kind::Templates => Detail::Template(UriTemplate::parse(name)),
            Kind::Prompts | Kind::Resources => Detail::Plain,
        })
    }

    /// All of them in the order of their names.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Item> {
        self.items.iter()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    /// The one at a position.
    pub(crate) fn at(&self, position: usize) -> Option<&Item> {
        self.items.get(position)
    }

    /// The position of one by the upstream's own name.
    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// The one of this own name.
    pub(crate) fn get(&self, name: &str) -> Option<&Item> {
        self.at(self.position(name)?)
    }

    /// Whether the upstream offers it and the gateway does not.
    pub(crate) fn withholds(&self, name: &str) -> bool {
        self.withheld.contains(name)
    }
}

fn name_of(kind: Kind, definition: &RawValue) -> Option<String> {
    let object = RawObject::parse(definition.get()).ok()?;
    let name = object.text(kind.key()).map(std::borrow::Cow::into_owned);
    name.filter(|name| !name.is_empty() && name.len() <= MAX_NAME)
}

/// Own name → exposed name.
fn exposed_names<'n>(
    config: &ConnectorConfig,
    kind: Kind,
    names: impl Iterator<Item = &'n str>,
) -> HashMap<String, String> {
    match kind {
        Kind::Tools | Kind::Prompts => ExposedNames::new(&config.id, config.prefixing, names)
            .iter()
            .map(|(exposed, name)| (name.to_owned(), exposed.to_owned()))
            .collect(),
        Kind::Resources | Kind::Templates => names.map(|uri| (uri.to_owned(), expose_uri(&config.id, uri))).collect(),
    }
}

/// The definition under another name; everything else as it was, but for the URI of a user interface, which is a
/// resource of the same upstream (MCP Apps: `_meta.ui.resourceUri`, earlier `_meta["ui/resourceUri"]`).
fn renamed(config: &ConnectorConfig, kind: Kind, definition: &RawValue, exposed: &str) -> String {
    let text = definition.get();
    let mut edits = Edits::of(text);
    if let Ok(object) = RawObject::parse(text) {
        if let Some(name) = object.get(kind.key()) {
            edits.text(name, exposed);
        }
        let interface = object.get("_meta").and_then(|meta| RawObject::parse(meta.get()).ok());
        for uri in interface.iter().flat_map(user_interfaces) {
            if let Some(own) = as_text(uri) {
                edits.text(uri, &expose_uri(&config.id, &own));
            }
        }
    }
    edits.finish().unwrap_or_else(|| text.to_owned())
}

/// The URIs of user interfaces in a `_meta`.
pub(crate) fn user_interfaces<'a>(meta: &RawObject<'a>) -> impl Iterator<Item = &'a RawValue> + use<'a> {
    let nested = meta.get("ui").and_then(|ui| RawObject::parse(ui.get()).ok()?.get("resourceUri"));
    [nested, meta.get("ui/resourceUri")].into_iter().flatten()
}

/// `sha256:` and the digest of a definition as it was sent: what an admin names to accept it.
pub(super) fn hash(text: &str) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(text.as_bytes())))
}

fn digest(named: &BTreeMap<String, &RawValue>) -> String {
    let mut hasher = Sha256::new();
    for (name, definition) in named {
        for part in [name.as_str(), definition.get()] {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part.as_bytes());
        }
    }
    format!("sha256:{}", hex::encode(hasher.finalize()))
}

fn printable(name: &str) -> String {
    name.chars().filter(|c| !is_hidden(*c)).take(64).collect()
}

/// Whether any text of the definition, keys included, carries characters that hide or reorder what a reader sees.
fn hostile(value: &Value) -> bool {
    match value {
        Value::String(text) => hides_text(text),
        Value::Array(items) => items.iter().any(hostile),
        Value::Object(fields) => fields.iter().any(|(name, value)| hides_text(name) || hostile(value)),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
