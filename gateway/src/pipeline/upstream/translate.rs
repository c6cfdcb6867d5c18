//! Between the two eras: what a caller sent → what this upstream understands, and back. Pure.

use crate::era::{Era, META_CAPABILITIES, META_CLIENT, META_LEVEL, META_VERSION, STATELESS};
use crate::pipeline::action::Action;
use crate::raw::{Edits, RawObject, RawWriter};
use crate::session::level::Level;
use serde_json::value::RawValue;

/// Who we are, for upstreams and clients.
pub(crate) fn identity() -> String {
    format!("{{\"name\":\"aperium-gateway\",\"version\":\"{}\"}}", env!("CARGO_PKG_VERSION"))
}

/// The `_meta` of requests that the gateway makes on its own under the stateless protocol.
pub(crate) fn own_meta() -> String {
    format!("{{\"{META_VERSION}\":\"{STATELESS}\",\"{META_CAPABILITIES}\":{{}},\"{META_CLIENT}\":{}}}", identity())
}

/// What a caller of the older era has said of itself in its session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Declared<'a> {
    /// Its capabilities, a JSON object.
    pub(crate) capabilities: &'a str,
    /// The log messages that it wants.
    pub(crate) level: Option<Level>,
}

impl Declared<'_> {
    /// Of a caller that has said nothing.
    pub(crate) const NOTHING: Declared<'static> = Declared { capabilities: "{}", level: None };

    fn write(&self, meta: &mut RawWriter) {
        meta.text(META_VERSION, STATELESS).raw(META_CAPABILITIES, self.capabilities).raw(META_CLIENT, &identity());
        if let Some(level) = self.level {
            meta.text(META_LEVEL, level.name());
        }
    }
}

/// Which log messages the caller wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Logs {
    /// None.
    None,
    /// All.
    All,
    /// Those from this level on.
    From(Level),
}

impl Logs {
    fn want(self, params: Option<&RawValue>) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::From(least) => {
                let params = params.and_then(|params| RawObject::parse(params.get()).ok());
                let level = params.and_then(|params| params.text("level")).and_then(|level| Level::parse(&level));
                // What is of no known level is not held back.
                level.is_none_or(|level| level >= least)
            }
        }
    }
}

/// The prefix of `_meta` keys that only the stateless protocol knows.
const STATELESS_PREFIX: &str = "io.modelcontextprotocol/";
/// The extension that is not relayed.
const TASKS: &str = "io.modelcontextprotocol/tasks";

/// A request as it goes upstream: what the caller's parameters say, about what the upstream calls by its own name.
pub(crate) struct Outgoing<'a> {
    /// Our JSON-RPC id.
    pub(crate) id: u64,
    /// What is to be done.
    pub(crate) action: Action,
    /// The upstream's own name, URI or template of what it is to be done with.
    pub(crate) name: &'a str,
    /// The caller's parameters.
    pub(crate) params: &'a RawObject<'a>,
    /// The caller's era.
    pub(crate) from: Era,
    /// The upstream's era.
    pub(crate) to: Era,
    /// What the caller has said of itself in its session; counts for callers of the older era.
    pub(crate) declared: Declared<'a>,
}

/// A call written down, and the progress token that it replaced.
pub(crate) struct Written {
    /// The body.
    pub(crate) body: Vec<u8>,
    /// The caller's own progress token.
    pub(crate) token: Option<Box<RawValue>>,
}

impl Outgoing<'_> {
    /// Writes the request. Everything but the name, `_meta` where the eras differ, and the progress token stays as it was.
    pub(crate) fn write(&self) -> Written {
        let mut token = None;
        let mut params = RawWriter::object(512);
        let mut meta_seen = false;
        for (name, value) in self.params.iter() {
            match name {
                field if field == self.action.field() => {
                    self.subject(&mut params, value);
                }
                "_meta" => {
                    meta_seen = true;
                    if let Some(meta) = self.meta(value, &mut token) {
                        params.bytes("_meta", &meta);
                    }
                }
                _ => {
                    params.raw(name, value.get());
                }
            }
        }
        if !meta_seen && self.from == Era::Legacy && self.to == Era::Stateless {
            let mut meta = RawWriter::object(256);
            self.declared.write(&mut meta);
            params.bytes("_meta", &meta.finish());
        }
        let params = params.finish();
        let mut message = RawWriter::object(params.len() + 80);
        message.raw("jsonrpc", "\"2.0\"").raw("id", &self.id.to_string());
        message.text("method", self.action.method()).bytes("params", &params);
        Written { body: message.finish(), token }
    }

    /// What the request is about: a name or a URI, or the reference of a completion, which holds one of them.
    fn subject(&self, params: &mut RawWriter, value: &RawValue) {
        let field = self.action.field();
        let Some(reference) = RawObject::parse(value.get()).ok().filter(|_| self.action == Action::Complete) else {
            params.text(field, self.name);
            return;
        };
        let mut edits = Edits::of(value.get());
        let key = if reference.text("type").as_deref() == Some("ref/prompt") { "name" } else { "uri" };
        if let Some(name) = reference.get(key) {
            edits.text(name, self.name);
        }
        params.raw(field, edits.finish().as_deref().unwrap_or(value.get()));
    }

    /// `None`: nothing is left of it.
    fn meta(&self, value: &RawValue, token: &mut Option<Box<RawValue>>) -> Option<Vec<u8>> {
        let Ok(fields) = RawObject::parse(value.get()) else { return Some(value.get().into()) };
        let mut meta = RawWriter::object(value.get().len() + 160);
        let mut empty = true;
        if self.from == Era::Legacy && self.to == Era::Stateless {
            self.declared.write(&mut meta);
            empty = false;
        }
        for (name, value) in fields.iter() {
            if name.starts_with(STATELESS_PREFIX) && (self.to == Era::Legacy || self.from == Era::Legacy) {
                continue;
            }
            if name == META_CAPABILITIES {
                meta.raw(name, &relayed(value));
            } else if name == "progressToken" {
                *token = Some(value.to_owned());
                meta.raw(name, &self.id.to_string());
            } else {
                meta.raw(name, value.get());
            }
            empty = false;
        }
        (!empty).then(|| meta.finish())
    }
}

/// The capabilities of a caller of the stateless era without those that are not relayed: tasks would be known to the
/// upstream alone.
fn relayed(declared: &RawValue) -> std::borrow::Cow<'_, str> {
    if !declared.get().contains("tasks\"") {
        return declared.get().into();
    }
    let Ok(fields) = RawObject::parse(declared.get()) else { return declared.get().into() };
    let mut kept = RawWriter::object(declared.get().len());
    for (name, value) in fields.iter().filter(|(name, _)| *name != "tasks") {
        match RawObject::parse(value.get()).ok().filter(|_| name == "extensions") {
            Some(extensions) => {
                let mut inner = RawWriter::object(value.get().len());
                for (name, value) in extensions.iter().filter(|(name, _)| *name != TASKS) {
                    inner.raw(name, value.get());
                }
                kept.bytes(name, &inner.finish());
            }
            None => {
                kept.raw(name, value.get());
            }
        }
    }
    String::from_utf8(kept.finish()).map_or_else(|_| declared.get().into(), Into::into)
}

/// A result as the caller's era wants it: the stateless protocol names the kind of every result.
pub(crate) fn result(raw: &str, from_upstream: Era, to_caller: Era) -> std::borrow::Cow<'_, [u8]> {
    if to_caller == Era::Legacy || from_upstream == Era::Stateless {
        return raw.as_bytes().into();
    }
    match RawObject::parse(raw) {
        Ok(object) if object.get("resultType").is_none() => {
            let mut edits = Edits::of(raw);
            edits.prepend(raw, "\"resultType\":\"complete\"");
            edits.finish().map_or(raw.as_bytes().into(), |edited| edited.into_bytes().into())
        }
        _ => raw.as_bytes().into(),
    }
}

/// A notification of an upstream as the caller sees it; `None` where it is not the caller's.
///
/// Progress and log messages belong to the request whose stream they arrive on. Anything else on that stream concerns
/// the gateway, not one caller.
pub(crate) fn notification(
    message: &RawObject<'_>,
    our_id: u64,
    token: Option<&RawValue>,
    logs: Logs,
) -> Option<Vec<u8>> {
    match message.text("method")?.as_ref() {
        "notifications/message" if logs.want(message.get("params")) => {
            let mut out = RawWriter::object(256);
            for (name, value) in message.iter() {
                out.raw(name, value.get());
            }
            Some(out.finish())
        }
        "notifications/progress" => {
            let token = token?;
            let params = RawObject::parse(message.get("params")?.get()).ok()?;
            if params.get("progressToken")?.get() != our_id.to_string() {
                return None;
            }
            let mut own = RawWriter::object(128);
            for (name, value) in params.iter() {
                own.raw(name, if name == "progressToken" { token.get() } else { value.get() });
            }
            let mut out = RawWriter::object(192);
            out.raw("jsonrpc", "\"2.0\"").raw("method", "\"notifications/progress\"").bytes("params", &own.finish());
            Some(out.finish())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
