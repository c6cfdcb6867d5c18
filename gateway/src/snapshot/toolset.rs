//! The raw tools of one upstream → what is listed and callable, under exposed names, ready to be sent.

use crate::catalog::ConnectorConfig;
use crate::era::mirrored::Mirrored;
use crate::raw::{RawObject, RawWriter};
use aperium_core::name::ExposedNames;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, HashMap};

/// One tool.
#[derive(Debug)]
pub(crate) struct Tool {
    /// The upstream's own name.
    pub(crate) name: Box<str>,
    /// The name in the aggregate.
    pub(crate) exposed: Box<str>,
    /// Its definition as the upstream sent it.
    pub(crate) definition: Box<str>,
    /// The same under the exposed name.
    pub(crate) exposed_definition: Box<str>,
    /// Its arguments that headers repeat.
    pub(crate) mirrored: Mirrored,
}

/// All tools of one upstream that are listed and callable, sorted by name.
#[derive(Debug, Default)]
pub(crate) struct Toolset {
    tools: Vec<Tool>,
    by_name: HashMap<Box<str>, usize>,
    /// `sha256:` and the digest of all names and definitions.
    pub(crate) digest: String,
    /// Names and hashes of the tools that were put in quarantine.
    pub(crate) quarantined: BTreeMap<String, String>,
    /// Names of the tools whose `x-mcp-header` annotations break the rules, and which: no client could call them.
    pub(crate) malformed: BTreeMap<String, &'static str>,
}

impl Toolset {
    /// Builds it from the definitions as they were sent. What has no name is left out; of two tools with one name the
    /// first counts; hidden and quarantined tools are left out.
    pub(crate) fn build(config: &ConnectorConfig, definitions: &[Box<RawValue>]) -> Self {
        let mut named: BTreeMap<String, &RawValue> = BTreeMap::new();
        for definition in definitions {
            if let Some(name) = name_of(definition) {
                named.entry(name).or_insert(definition);
            }
        }
        let digest = digest(&named);
        let mut quarantined = BTreeMap::new();
        named.retain(|name, definition| {
            let hash = hash(definition.get());
            let hostile = hostile(definition) && !config.accepted_hashes.contains(&hash);
            if hostile {
                quarantined.insert(printable(name), hash);
            }
            !hostile && !config.hide.contains(name)
        });
        let mut malformed = BTreeMap::new();
        let mut mirrored: HashMap<String, Mirrored> = HashMap::new();
        named.retain(|name, definition| {
            let read = Mirrored::read(definition);
            match &read {
                Ok(parameters) if parameters.is_empty() => {}
                Ok(parameters) => drop(mirrored.insert(name.clone(), parameters.clone())),
                Err(why) => drop(malformed.insert(printable(name), *why)),
            }
            read.is_ok()
        });
        let names = ExposedNames::new(&config.id, config.prefixing, named.keys().map(String::as_str));
        let exposed: HashMap<&str, &str> = names.iter().map(|(exposed, name)| (name, exposed)).collect();
        let tools: Vec<Tool> = named
            .iter()
            .filter_map(|(name, definition)| {
                let mirrored = mirrored.remove(name).unwrap_or_default();
                Some(tool(name, exposed.get(name.as_str())?, definition, mirrored))
            })
            .collect();
        let by_name = tools.iter().enumerate().map(|(at, tool)| (tool.name.clone(), at)).collect();
        Self { tools, by_name, digest, quarantined, malformed }
    }

    /// The tools in the order of their names.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Tool> {
        self.tools.iter()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.tools.len()
    }

    /// The tool at a position.
    pub(crate) fn at(&self, position: usize) -> Option<&Tool> {
        self.tools.get(position)
    }

    /// The position of a tool by the upstream's own name.
    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }
}

fn name_of(definition: &RawValue) -> Option<String> {
    let object = RawObject::parse(definition.get()).ok()?;
    object.text("name").map(std::borrow::Cow::into_owned).filter(|name| !name.is_empty() && name.len() <= 1024)
}

fn tool(name: &str, exposed: &str, definition: &RawValue, mirrored: Mirrored) -> Tool {
    Tool {
        name: name.into(),
        exposed: exposed.into(),
        definition: definition.get().into(),
        exposed_definition: renamed(definition, exposed).into(),
        mirrored,
    }
}

/// The definition with another name; everything else as it was.
fn renamed(definition: &RawValue, name: &str) -> String {
    let Ok(object) = RawObject::parse(definition.get()) else { return "{}".to_owned() };
    let mut writer = RawWriter::object(definition.get().len() + name.len());
    for (field, value) in object.iter() {
        if field == "name" {
            writer.text("name", name);
        } else {
            writer.raw(field, value.get());
        }
    }
    String::from_utf8(writer.finish()).unwrap_or_default()
}

fn hash(text: &str) -> String {
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
    name.chars().filter(|c| !is_hostile(*c)).take(64).collect()
}

/// Whether any text of the definition, keys included, carries characters that hide or reorder what a reader sees.
fn hostile(definition: &RawValue) -> bool {
    fn walk(value: &serde_json::Value) -> bool {
        match value {
            serde_json::Value::String(text) => text.chars().any(is_hostile),
            serde_json::Value::Array(items) => items.iter().any(walk),
            serde_json::Value::Object(fields) => {
                fields.iter().any(|(name, value)| name.chars().any(is_hostile) || walk(value))
            }
            _ => false,
        }
    }
    // What cannot be read whole (a depth beyond the parser's) cannot be shown to be harmless.
    serde_json::from_str(definition.get()).map_or(true, |value| walk(&value))
}

/// Control, tag and bidirectional-override characters. Line ends and tabs are ordinary in descriptions.
fn is_hostile(c: char) -> bool {
    (c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    fn definitions(texts: &[&str]) -> Vec<Box<RawValue>> {
        texts.iter().map(|text| serde_json::from_str(text).unwrap()).collect()
    }

    #[test]
    fn a_definition_keeps_everything_but_its_name() {
        let text =
            r#"{"inputSchema":{"z":1,"a":12345678901234567890123},"name":"echo","vendor":{"x":[1, 2]},"execution":{}}"#;
        let set = Toolset::build(&fixtures::remote("odoo"), &definitions(&[text]));
        let tool = set.at(0).unwrap();
        assert_eq!(&*tool.definition, text);
        assert_eq!(&*tool.exposed_definition, text.replace("\"echo\"", "\"odoo_echo\""));
    }

    #[test]
    fn hidden_nameless_and_doubled_tools_are_left_out() {
        let mut config = fixtures::remote("odoo");
        config.hide.insert("secret".into());
        let set = Toolset::build(
            &config,
            &definitions(&[
                r#"{"name":"b","n":1}"#,
                r#"{"name":"secret"}"#,
                r#"{"title":"x"}"#,
                r#"{"name":"b","n":2}"#,
                r#"{"name":"a"}"#,
            ]),
        );
        let names: Vec<&str> = set.iter().map(|tool| &*tool.name).collect();
        assert_eq!(names, ["a", "b"]);
        assert!(set.at(1).unwrap().definition.contains("\"n\":1"));
        assert_eq!(set.position("secret"), None);
    }

    #[test]
    fn a_tool_with_hostile_text_is_in_quarantine_until_its_hash_is_accepted() {
        let mut config = fixtures::remote("odoo");
        let texts = [
            r#"{"name":"bidi","description":"a\u202eb"}"#,
            r#"{"name":"tag","inputSchema":{"properties":{"x\udb40\udc41":{}}}}"#,
            r#"{"name":"esc","description":"\u001b[31m"}"#,
            r#"{"name":"fine","description":"two\nlines, ünïcode, 👩‍💻"}"#,
        ];
        let set = Toolset::build(&config, &definitions(&texts));
        assert_eq!(set.iter().map(|tool| &*tool.name).collect::<Vec<_>>(), ["fine"]);
        assert_eq!(set.quarantined.keys().collect::<Vec<_>>(), ["bidi", "esc", "tag"]);
        config.accepted_hashes.insert(set.quarantined["bidi"].clone());
        assert_eq!(Toolset::build(&config, &definitions(&texts)).len(), 2);
    }

    #[test]
    fn a_tool_whose_header_annotations_break_the_rules_is_left_out_and_the_others_stay() {
        let set = Toolset::build(
            &fixtures::remote("odoo"),
            &definitions(&[
                r#"{"name":"bad","inputSchema":{"properties":{"a":{"type":"number","x-mcp-header":"A"}}}}"#,
                r#"{"name":"good","inputSchema":{"properties":{"a":{"type":"string","x-mcp-header":"A"}}}}"#,
            ]),
        );
        assert_eq!(set.iter().map(|tool| &*tool.name).collect::<Vec<_>>(), ["good"]);
        assert!(!set.at(0).unwrap().mirrored.is_empty());
        assert_eq!(set.malformed.keys().collect::<Vec<_>>(), ["bad"]);
    }

    #[test]
    fn the_digest_changes_with_a_definition_and_not_with_the_order() {
        let config = fixtures::remote("odoo");
        let digest = |texts: &[&str]| Toolset::build(&config, &definitions(texts)).digest;
        let (a, b) = (r#"{"name":"a"}"#, r#"{"name":"b"}"#);
        assert_eq!(digest(&[a, b]), digest(&[b, a]));
        assert_ne!(digest(&[a, b]), digest(&[a, r#"{"name":"b","x":1}"#]));
    }
}
