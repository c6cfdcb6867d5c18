//! Which tools exist for callers: a connector's tools and the rules of the Connector come in; the listed and callable
//! tools, their wire form and their digest go out.
//!
//! A tool that is hidden, switched off, or a write while writes are disabled does not exist: it is neither listed nor
//! callable, and calling it answers exactly like any unknown name.

use std::collections::BTreeMap;
use std::sync::Arc;

use aperium_core::effect::Effect;
use rmcp::model::ToolAnnotations;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::calls::{CallRules, Writes};
use crate::connector::{Connector, Tool, Upstream};

/// The tools of a service, sorted by name.
#[derive(Debug)]
pub(crate) struct Catalog {
    tools: BTreeMap<&'static str, Tool>,
    listed: Vec<rmcp::model::Tool>,
    digest: String,
}

impl Catalog {
    /// Picks the tools that exist under these rules.
    pub(crate) fn new(connector: &dyn Connector, up: &Upstream, rules: &CallRules, hide: &[String]) -> Self {
        let tools: BTreeMap<_, _> = connector
            .tools()
            .iter()
            .filter(|tool| rules.writes() == Writes::Enabled || tool.effect() == Effect::Read)
            .filter(|tool| !hide.iter().any(|hidden| hidden == tool.name()))
            .filter(|tool| tool.applies(up))
            .map(|tool| (tool.name(), tool.clone()))
            .collect();
        let listed: Vec<_> = tools.values().map(on_the_wire).collect();
        let digest = digest_of(&listed);
        Self { tools, listed, digest }
    }

    /// The tool of this name, if it exists for callers.
    pub(crate) fn get(&self, name: &str) -> Option<&Tool> {
        self.tools.get(name)
    }

    /// All tools as `tools/list` shows them.
    pub(crate) fn listed(&self) -> &[rmcp::model::Tool] {
        &self.listed
    }

    /// How many tools there are.
    pub(crate) fn len(&self) -> usize {
        self.tools.len()
    }

    /// `sha256:…` over the canonical JSON of the list: changes exactly when callers see something else.
    pub(crate) fn digest(&self) -> &str {
        &self.digest
    }
}

fn on_the_wire(tool: &Tool) -> rmcp::model::Tool {
    let hints = tool.effect().hints();
    let annotations = ToolAnnotations::with_title(tool.title())
        .read_only(hints.read_only)
        .destructive(hints.destructive)
        .idempotent(hints.idempotent)
        .open_world(hints.open_world);
    rmcp::model::Tool::new(tool.name(), tool.description(), tool.input_schema())
        .with_title(tool.title())
        .with_raw_output_schema(tool.output_schema())
        .with_annotations(annotations)
}

fn digest_of(listed: &[rmcp::model::Tool]) -> String {
    let list = serde_json::to_value(listed).map(sorted).unwrap_or_default();
    format!("sha256:{}", hex::encode(Sha256::digest(list.to_string())))
}

/// The same value with the keys of every object in order, whatever map type serde_json was built with.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let ordered: BTreeMap<String, Value> = map.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            Value::Object(ordered.into_iter().collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}

/// A catalogue together with the upstream that its calls use; swapped as one when credentials change.
#[derive(Debug)]
pub(crate) struct Binding {
    pub(crate) upstream: Upstream,
    pub(crate) catalog: Arc<Catalog>,
}
