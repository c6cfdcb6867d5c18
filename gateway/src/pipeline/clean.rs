//! An upstream's answer → the caller's: on the aggregate the URIs of its resources carry its connector's id, and what
//! a caller may cache is that caller's alone. Pure; an answer that holds nothing of the kind keeps every byte.

use super::action::Action;
use crate::era::Era;
use crate::raw::{Edits, RawObject, as_text};
use crate::snapshot::user_interfaces;
use aperium_core::id::ConnectorId;
use aperium_core::name::expose_uri;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// What has to be done with the answers to one request.
#[derive(Debug, Clone)]
pub(crate) struct Clean {
    /// What was asked.
    pub(crate) action: Action,
    /// On the aggregate, the connector that answers: its URIs are exposed.
    pub(crate) expose: Option<ConnectorId>,
    /// The caller's era.
    pub(crate) era: Era,
}

impl Clean {
    /// A result.
    pub(crate) fn result<'r>(&self, result: &'r RawValue) -> Cow<'r, str> {
        let text = result.get();
        let caching = self.action == Action::Read && self.era == Era::Stateless;
        let exposing = self.expose.as_ref().filter(|_| may_hold_uris(text));
        if !caching && exposing.is_none() {
            return Cow::Borrowed(text);
        }
        let Ok(object) = RawObject::parse(text) else { return Cow::Borrowed(text) };
        let mut edits = Edits::of(text);
        if let Some(id) = exposing {
            Exposing { id, edits: &mut edits }.result(self.action, &object);
        }
        if caching {
            keep_private(&object, text, &mut edits);
        }
        edits.finish().map_or(Cow::Borrowed(text), Cow::Owned)
    }

    /// A JSON-RPC error. Of a resource that is not there it names the URI (SEP-2164), under a code that differs
    /// between the eras.
    pub(crate) fn error<'e>(&self, error: &'e RawValue) -> Cow<'e, str> {
        let text = error.get();
        let Some(object) = RawObject::parse(text).ok().filter(|_| self.action == Action::Read) else {
            return Cow::Borrowed(text);
        };
        let mut edits = Edits::of(text);
        let code = object.get("code").filter(|code| code.get() == "-32002");
        if let Some(code) = code.filter(|_| self.era == Era::Stateless) {
            edits.raw(code, "-32602");
        }
        if let Some(id) = &self.expose {
            let data = object.get("data").and_then(|data| RawObject::parse(data.get()).ok());
            Exposing { id, edits: &mut edits }.field(data.as_ref(), "uri");
        }
        edits.finish().map_or(Cow::Borrowed(text), Cow::Owned)
    }
}

/// A cheap look first: most results speak of no resource.
fn may_hold_uris(text: &str) -> bool {
    text.contains("uri\"") || text.contains("Uri\"")
}

/// Finds the URIs of an upstream's resources where the protocol says that they are, and nowhere else: what a tool
/// puts into texts or structured content is its own affair.
struct Exposing<'c, 'e, 't> {
    id: &'c ConnectorId,
    edits: &'e mut Edits<'t>,
}

impl Exposing<'_, '_, '_> {
    fn result(&mut self, action: Action, result: &RawObject<'_>) {
        match action {
            Action::Call => {
                for block in items(result.get("content")) {
                    self.block(block);
                }
                let meta = result.get("_meta").and_then(|meta| RawObject::parse(meta.get()).ok());
                for uri in meta.iter().flat_map(user_interfaces) {
                    self.uri(uri);
                }
            }
            Action::Get => {
                for message in items(result.get("messages")) {
                    let message = RawObject::parse(message.get()).ok();
                    match message.and_then(|message| message.get("content")) {
                        Some(content) if content.get().starts_with('[') => {
                            items(Some(content)).into_iter().for_each(|block| self.block(block));
                        }
                        Some(block) => self.block(block),
                        None => {}
                    }
                }
            }
            Action::Read => {
                for contents in items(result.get("contents")) {
                    self.field(RawObject::parse(contents.get()).ok().as_ref(), "uri");
                }
            }
            Action::Complete => {}
        }
    }

    /// A content block: a link to a resource, or a resource itself. Types that are not known stay as they are.
    fn block(&mut self, block: &RawValue) {
        let Ok(block) = RawObject::parse(block.get()) else { return };
        match block.text("type").as_deref() {
            Some("resource_link") => self.field(Some(&block), "uri"),
            Some("resource") => {
                let resource = block.get("resource").and_then(|resource| RawObject::parse(resource.get()).ok());
                self.field(resource.as_ref(), "uri");
            }
            _ => {}
        }
    }

    fn field(&mut self, object: Option<&RawObject<'_>>, name: &str) {
        if let Some(uri) = object.and_then(|object| object.get(name)) {
            self.uri(uri);
        }
    }

    fn uri(&mut self, uri: &RawValue) {
        if let Some(own) = as_text(uri) {
            self.edits.text(uri, &expose_uri(self.id, &own));
        }
    }
}

fn items(array: Option<&RawValue>) -> Vec<&RawValue> {
    array.and_then(|array| serde_json::from_str(array.get()).ok()).unwrap_or_default()
}

/// Specification 2026-07-28, "Caching": `resources/read` says how long and for whom it may be kept. What the upstream
/// says counts, but never for anyone else: it does not know who is granted what.
fn keep_private(result: &RawObject<'_>, text: &str, edits: &mut Edits<'_>) {
    if result.text("resultType").is_some_and(|kind| kind != "complete") {
        return;
    }
    let mut missing: Vec<&str> = Vec::new();
    if result.get("ttlMs").is_none() {
        missing.push("\"ttlMs\":0");
    }
    match result.get("cacheScope") {
        None => missing.push("\"cacheScope\":\"private\""),
        Some(scope) if scope.get() != "\"private\"" => edits.text(scope, "private"),
        Some(_) => {}
    }
    if !missing.is_empty() {
        edits.prepend(text, &missing.join(","));
    }
}

#[cfg(test)]
mod tests;
